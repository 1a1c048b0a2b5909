"""What ``qtool enqueue`` is told, and the short way to it.

Importing Typer costs more than enqueueing a job. :func:`read_fast` reads the plain uses of ``enqueue`` from a table of
its options; whatever is not plain it leaves to Typer, which knows better, or says what is wrong. A test holds the table
against the parameters of the Typer command.
"""

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
    unique: str | None = None
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
    "--unique": "unique",
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

CHOICES = {"output": ("table", "json", "jsonl", "csv", "tsv", "ids"), "color": ("auto", "always", "never")}


def mark_dashes(arguments: list[str]) -> list[str]:
    """The arguments with :data:`DASHES` after the first ``--``, which Click swallows without a trace."""
    if "--" not in arguments:
        return arguments
    after = arguments.index("--") + 1
    return [*arguments[:after], DASHES, *arguments[after:]]


def read_fast(arguments: list[str]) -> EnqueueOptions | None:
    """The options in ``arguments`` (those after ``enqueue``), or None where Typer should read them."""
    said: dict[str, str | bool] = {}
    many: dict[str, list[str]] = {"env": [], "tag": []}
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words += [DASHES, *rest]
        elif word[:1] != "-" or word == "-":
            words.append(word)
        elif word in FLAGS:
            said[FLAGS[word]] = True
        else:
            name, value = _split(word)
            if value is None:
                value = next(rest, None)
            if value is None or value == "--":
                return None
            if name in MANY:
                many[MANY[name]].append(value)
            elif name in TEXT and value in CHOICES.get(TEXT[name], (value,)):
                said[TEXT[name]] = value
            else:
                return None
    return EnqueueOptions(words=tuple(words), env=tuple(many["env"]), tag=tuple(many["tag"]), **said)  # type: ignore[arg-type]


def _split(word: str) -> tuple[str, str | None]:
    """Option and value of ``--queue=demo``, ``-Qdemo``, ``--queue`` or ``-Q``."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    return word[:2], word[2:] or None


def try_fast(arguments: list[str]) -> int | None:
    """Run ``qtool enqueue …`` without Typer: its exit code, or None where Typer should read the arguments."""
    options = read_fast(arguments[1:])
    if options is None:
        return None
    from qtool.commands.enqueue_run import run

    return run(options)
