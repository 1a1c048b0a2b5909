"""``qtool enqueue``: the command line. What it does is in :mod:`qtool.intake.run`."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.engine.job import OnCrash
from qtool.intake.options import EnqueueOptions
from qtool.intake.options import mark_dashes as prepare
from qtool.intake.run import EnqueuedRow, run
from qtool.options import Common

__all__ = ["EXAMPLES", "ROW", "command", "prepare"]

ROW = EnqueuedRow
EXAMPLES = """
qtool enqueue mail.send ann@example.com subject=Hi retry:=true
qtool enqueue -- convert a.png a.jpg
qtool enqueue --shell 'pg_dump shop | gzip > shop.gz' --in 1h
find . -name '*.wav' -print0 | qtool enqueue -0 -- flac --best {}
seq 1000 | qtool enqueue --lines examples.tasks.noop
qtool enqueue --jsonl mail.send --from mails.jsonl -Q bulk
qtool enqueue --lines shop.sync --key 'account-{}' --key-limit 2 --from accounts.txt
qtool enqueue --wait -- make test && echo green
qtool enqueue --timeout 10m --grace 30s --on-crash dead -- ./charge-cards
"""

Text = str | None


def command(
    common: Common,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK [ARG | K=V | K:=JSON]… | -- CMD [ARG]…]", help="What to run.", show_default=False
        ),
    ] = None,
    shell: Annotated[Text, typer.Option("--shell", metavar="SCRIPT", help="A command for the shell.")] = None,
    args: Annotated[Text, typer.Option("--args", metavar="JSON", help="An array: the task's first arguments.")] = None,
    kwargs: Annotated[Text, typer.Option("--kwargs", metavar="JSON", help="An object: keyword arguments.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="A job for every line of stdin.")] = False,
    null: Annotated[bool, typer.Option("-0", "--null", help="The same, for items that end in NUL.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A job for every line of JSON.")] = False,
    source: Annotated[Text, typer.Option("--from", metavar="FILE", help="Read lines here instead of stdin.")] = None,
    cwd: Annotated[Text, typer.Option("--cwd", metavar="DIR", help="Where the command runs; here by default.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME[=VALUE]", help="Pass this variable to the command; repeat."),
    ] = None,
    queue: Annotated[Text, typer.Option("-Q", "--queue", metavar="QUEUE", help="By default the task's route.")] = None,
    priority: Annotated[Text, typer.Option("-p", "--priority", metavar="0-9", help="9 runs first.")] = None,
    delay: Annotated[
        Text, typer.Option("--in", metavar="DURATION", help="Not before this has passed: 90s, 2h.")
    ] = None,
    at: Annotated[Text, typer.Option("--at", metavar="TIME", help="Not before: 2026-01-31T09:00, +5m.")] = None,
    expires: Annotated[Text, typer.Option("--expires", metavar="DURATION|TIME", help="Not started after this.")] = None,
    retries: Annotated[Text, typer.Option("--retries", metavar="N", help="How many errors are forgiven.")] = None,
    backoff: Annotated[
        Text, typer.Option("--backoff", metavar="DURATION", help="Longest first wait between attempts; it doubles.")
    ] = None,
    timeout: Annotated[Text, typer.Option("--timeout", metavar="DURATION", help="How long an attempt may run.")] = None,
    grace: Annotated[
        Text, typer.Option("--grace", metavar="DURATION", help="How long after --timeout it is killed; 5s.")
    ] = None,
    on_crash: Annotated[
        OnCrash | None,
        typer.Option("--on-crash", metavar="retry|dead", help="After an attempt took its process down: dead ends it."),
    ] = None,
    unique: Annotated[
        Text, typer.Option("--unique", metavar="KEY", help="Nothing new while an unfinished job has this key.")
    ] = None,
    key: Annotated[
        Text, typer.Option("--key", metavar="KEY", help="One job with this key runs at once; {} takes the line.")
    ] = None,
    key_limit: Annotated[Text, typer.Option("--key-limit", metavar="N", help="So many of them run at once.")] = None,
    id: Annotated[Text, typer.Option("--id", metavar="ID", help="The job's id, to enqueue it once only.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="K=V", help="For filters; repeat.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; pass on a command's exit code.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="The same, and show what it writes.")] = False,
    wait_timeout: Annotated[
        Text, typer.Option("--wait-timeout", metavar="DURATION", help="Stop waiting then (exit code 124).")
    ] = None,
) -> int:
    """Add jobs: a task, a command, or one for every line of a file.

    ARG is a string, K=V a string by name, K:=JSON a value by name and :=JSON a value. K is a Python name, so that
    https://host/?q=1 is an ARG; write :='"a=b"' for a string that looks like K=V. After a task, -- ends the options.

    With --lines or -0, {} stands for the line in every ARG, in every V, in both KEYs and in the command; where it does
    not occur, the line becomes the last argument. In a --shell script it is quoted. Empty lines are skipped.

    With --jsonl and a task, an array holds arguments (after those on the command line) and an object keyword arguments
    (over them). Without a task, every line is an envelope: an object with "task" and, where it has something to say of
    them, "id", "args", "kwargs", "queue", "priority", "run_at", "expires_at", "unique", "key", "key_limit", "tags",
    "retries", "backoff", "jitter", "timeout", "grace", "on_crash" (times and durations in seconds); options given here
    win over it. A line that cannot be used is reported and left out, the rest is enqueued, and the exit code is 3.

    Prints the ids, -q nothing, -o jsonl objects.
    """
    return run(
        EnqueueOptions(
            words=tuple(words or ()),
            shell=shell,
            args=args,
            kwargs=kwargs,
            lines=lines,
            null=null,
            jsonl=jsonl,
            source=source,
            cwd=cwd,
            env=tuple(env or ()),
            queue=queue,
            priority=priority,
            delay=delay,
            at=at,
            expires=expires,
            retries=retries,
            backoff=backoff,
            timeout=timeout,
            grace=grace,
            on_crash=on_crash,
            unique=unique,
            key=key,
            key_limit=key_limit,
            id=id,
            tag=tuple(tag or ()),
            wait=wait,
            follow=follow,
            wait_timeout=wait_timeout,
            broker=common.broker,
            context=common.context,
            output=common.output and str(common.output),
            quiet=common.quiet,
            verbose=common.verbose,
            color=str(common.color),
        )
    )
