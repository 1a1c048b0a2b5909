"""The options that commands share, each written once.

A command takes ``common: Common`` as its first parameter; :mod:`qtool.cli` turns that one parameter into the options
of :func:`common_options`. Everything else here is an ``Annotated`` alias to use in a command's signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from qtool.engine.states import State
from qtool.errors import UsageError
from qtool.output import Format, Output

if TYPE_CHECKING:
    from qtool.config import Settings
    from qtool.engine.broker import Adapter
    from qtool.engine.filter import Filter


class Color(StrEnum):
    """When to use colours."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What every command is told."""

    broker: str | None = None
    context: str | None = None
    output: Format | None = None
    quiet: bool = False
    verbose: bool = False
    color: Color = Color.AUTO

    def settings(self) -> Settings:
        """Flags over environment over context over file. Raises BadConfig, UsageError."""
        from qtool.config import load_settings

        return load_settings(broker=self.broker, context=self.context)

    def adapter(self, *, write: bool = False, patience: float | None = None) -> Adapter:
        """The broker these options name, open; a context manager. Raises ReadOnlyContext, BrokerError."""
        from qtool.config import open_adapter

        return open_adapter(self.settings(), write=write, patience=patience)

    def out(self, *, keep_going: bool = False) -> Output:
        """Stdout and stderr as these options want them; ``keep_going`` survives a closed pipe (for what acts)."""
        return Output(format=self.output, quiet=self.quiet, color=str(self.color), keep_going=keep_going)


def common_options(
    broker: Annotated[
        str | None,
        # No envvar= here: qtool.config reads the environment, so that -c beats QTOOL_BROKER.
        typer.Option("-b", "--broker", metavar="URL", help="A broker's URL, or a file. [QTOOL_BROKER]"),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option("-c", "--context", metavar="NAME", help="A broker named by 'qtool context'. [QTOOL_CONTEXT]"),
    ] = None,
    output: Annotated[
        Format | None,
        typer.Option(
            "-o", "--output", metavar="FORMAT", help="table (on a terminal), jsonl (in a pipe), json, csv, tsv, ids."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No talk on stderr, only errors.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks with errors.")] = False,
    color: Annotated[Color, typer.Option("--color", metavar="WHEN", help="auto, always or never.")] = Color.AUTO,
) -> Common:
    """The options of every command; their one declaration."""
    return Common(broker=broker, context=context, output=output, quiet=quiet, verbose=verbose, color=color)


def complete_queue(incomplete: str) -> list[str]:
    """Queue names for the shell; none when there is no broker to ask."""
    from qtool.completion import queue_names

    return queue_names(incomplete)


def complete_job(incomplete: str) -> list[str]:
    """Ids of recent jobs for the shell."""
    from qtool.completion import job_ids

    return job_ids(incomplete)


def complete_state(incomplete: str) -> list[str]:
    """States; after a comma, for the last of a list."""
    head, comma, last = incomplete.rpartition(",")
    return [head + comma + state for state in State if state.startswith(last)]


Where = Annotated[
    str | None,
    typer.Option(
        "-w", "--where", metavar="FILTER", help="Only jobs that match, as in 'state:dead error~timeout age>5m'."
    ),
]
Queues = Annotated[
    list[str] | None,
    typer.Option(
        "-Q", "--queue", metavar="QUEUE", help="Only this queue; repeat, or q1,q2.", autocompletion=complete_queue
    ),
]
States = Annotated[
    list[str] | None,
    typer.Option(
        "-s", "--state", metavar="STATE", help="Only in this state; repeat, or s1,s2.", autocompletion=complete_state
    ),
]
DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Say what would happen; change nothing.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask. Needed where there is no terminal.")]
Wait = Annotated[str, typer.Option("--wait", metavar="DURATION", help="How long to wait for running jobs to stop.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Only ask: do not wait for what becomes of running jobs.")]
JobId = Annotated[
    str, typer.Argument(metavar="ID", help="A job's id, or the beginning of it.", autocompletion=complete_job)
]
JobIds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID…", help="Ids or beginnings of ids; - reads them from stdin.", autocompletion=complete_job
    ),
]
QueueNames = Annotated[
    list[str], typer.Argument(metavar="QUEUE…", help="Names of queues.", autocompletion=complete_queue)
]


def split_names(values: list[str] | None) -> tuple[str, ...]:
    """``["a,b", "c"]`` as ``("a", "b", "c")``."""
    return tuple(name for value in values or () for name in value.split(",") if name)


def split_states(values: list[str] | None) -> tuple[str, ...]:
    """As :func:`split_names`, of states only. Raises UsageError."""
    states = split_names(values)
    for state in states:
        if state not in set(State):
            raise UsageError(why=f"{state!r} is not a state: use {', '.join(State)}.")
    return states


def parse_where(*parts: str | None) -> Filter | None:
    """One filter of all the parts that say something, joined by ``and``. Raises BadFilter."""
    said = [part for part in parts if part and part.strip()]
    if not said:
        return None
    from qtool.engine.filter import parse

    return parse(said[0] if len(said) == 1 else " and ".join(f"({part})" for part in said))


def any_of(field: str, values: tuple[str, ...]) -> str | None:
    """A filter for ``field`` being one of ``values``; None when there are none."""
    if not values:
        return None
    from qtool.engine.filter import quote

    # Between quotes * and ? still stand for any text, so a name that has them is asked for with =.
    if any("*" in value or "?" in value for value in values):
        return " or ".join(f"{field}={quote(value)}" for value in values)
    return f"{field}:{','.join(map(quote, values))}"


def read_ids(arguments: list[str] | None) -> Iterator[str]:
    """The ids on the command line; ``-`` stands for those on stdin, one a line, or JSON lines with an "id"."""
    import sys

    for argument in arguments or ():
        if argument == "-":
            for number, line in enumerate(sys.stdin, start=1):
                if text := line.strip():
                    yield _id_in(text, number)
        else:
            yield argument


def _id_in(text: str, number: int) -> str:
    if not text.startswith("{"):
        return text
    import json

    try:
        id = json.loads(text)["id"]
    except (ValueError, KeyError):
        id = None
    if not isinstance(id, str):
        raise UsageError(why=f'Line {number} of stdin is neither an id nor a JSON object with an "id".')
    return id
