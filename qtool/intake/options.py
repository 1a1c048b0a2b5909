"""What ``qtool enqueue`` is told, and the table of its options."""

from __future__ import annotations

from qtool.engine.value import Value

DASHES = "\0--"
"""Stands among the words where the first ``--`` stood; no word of a command line has a NUL."""


class EnqueueOptions(Value, kw_only=True):
    """The command line of ``qtool enqueue``, as it was typed: nothing is checked yet."""

    words: tuple[str, ...] = ()
    """Task and arguments, or the command after :data:`DASHES`."""
    shell: str | None = None
    args: str | None = None
    kwargs: str | None = None
    lines: bool = False
    null: bool = False
    jsonl: bool = False
    source: str | None = None
    cwd: str | None = None
    env: tuple[str, ...] = ()
    queue: str | None = None
    priority: str | None = None
    delay: str | None = None
    at: str | None = None
    expires: str | None = None
    retries: str | None = None
    backoff: str | None = None
    timeout: str | None = None
    grace: str | None = None
    on_crash: str | None = None
    unique: str | None = None
    key: str | None = None
    key_limit: str | None = None
    id: str | None = None
    tag: tuple[str, ...] = ()
    wait: bool = False
    follow: bool = False
    wait_timeout: str | None = None
    broker: str | None = None
    context: str | None = None
    output: str | None = None
    quiet: bool = False
    verbose: bool = False
    color: str = "auto"


TEXT: dict[str, str] = {
    "--shell": "shell",
    "--args": "args",
    "--kwargs": "kwargs",
    "--from": "source",
    "--cwd": "cwd",
    "-Q": "queue",
    "--queue": "queue",
    "-p": "priority",
    "--priority": "priority",
    "--in": "delay",
    "--at": "at",
    "--expires": "expires",
    "--retries": "retries",
    "--backoff": "backoff",
    "--timeout": "timeout",
    "--grace": "grace",
    "--on-crash": "on_crash",
    "--unique": "unique",
    "--key": "key",
    "--key-limit": "key_limit",
    "--id": "id",
    "--wait-timeout": "wait_timeout",
    "-b": "broker",
    "--broker": "broker",
    "-c": "context",
    "--context": "context",
    "-o": "output",
    "--output": "output",
    "--color": "color",
}
"""Options that take a value; the last one counts."""

MANY: dict[str, str] = {"--env": "env", "--tag": "tag"}
"""Options that take a value and may be repeated."""

FLAGS: dict[str, str] = {
    "--lines": "lines",
    "-0": "null",
    "--null": "null",
    "--jsonl": "jsonl",
    "--wait": "wait",
    "--follow": "follow",
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
}

CHOICES = {
    "on_crash": ("retry", "dead"),
    "output": ("table", "json", "jsonl", "csv", "tsv", "ids"),
    "color": ("auto", "always", "never"),
}


def mark_dashes(arguments: list[str]) -> list[str]:
    """The arguments with :data:`DASHES` after the first ``--``, which Click swallows without a trace."""
    if "--" not in arguments:
        return arguments
    after = arguments.index("--") + 1
    return [*arguments[:after], DASHES, *arguments[after:]]
