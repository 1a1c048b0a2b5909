"""``qtool note``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qtool.errors import ExitCode, UsageError
from qtool.options import Common
from qtool.views.notes import NOTES, NoteRow

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from qtool.engine.journal import Note

ROW = NoteRow
EXAMPLES = """
qtool note "deploy 1.4"
qtool note --at -20m "the mail server was restarted"
qtool note --at 2026-01-31T08:00 "prices imported"
qtool note                  # the notes of the last 30 days
qtool note --remove 7
"""


def command(
    common: Common,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT…]", help="What happened; without it the notes are listed.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="When it happened: ISO 8601, or -20m. Now by default.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="List the notes of 24h, 7d … instead of 30d.")
    ] = None,
    remove: Annotated[int | None, typer.Option("--remove", metavar="ID", help="Take a note back, by its id.")] = None,
) -> ExitCode:
    """Write down what happened when: a deploy, an incident.

    The charts of 'qtool top' mark the moment. A note is for all queues, and is kept as long as the history, 400 days.
    """
    import time

    _check(words, at, since, remove)
    if words:
        text, now = " ".join(words), time.time()
        when = now if at is None else _moment(at, now)
        with common.adapter(write=True) as adapter:
            return _show(common, [adapter.journal.note(text, when)], acted=True)
    if remove is not None:
        with common.adapter(write=True) as adapter:
            return _remove(common, adapter, remove)
    from qtool.engine.times import LONGEST, parse_duration

    now = time.time()
    back = parse_duration(since or "30d")
    with common.adapter() as adapter:
        # Also those of what is planned.
        return _show(common, adapter.journal.notes(now - back, now + LONGEST))


def _check(words: list[str] | None, at: str | None, since: str | None, remove: int | None) -> None:
    if at is not None and not words:
        raise UsageError(why="--at goes with the text of a note.")
    if sum((bool(words), since is not None, remove is not None)) > 1:
        raise UsageError(why="Give a text to write down, --since to list, or --remove: one of them.")


def _moment(text: str, now: float) -> float:
    from qtool.engine.notes import NOTES_KEEP
    from qtool.engine.times import parse_time

    at = parse_time(text, now)
    if at < now - NOTES_KEEP:
        raise UsageError(why=f"--at {text}: the history is kept for {NOTES_KEEP // 86400} days.")
    return at


def _remove(common: Common, adapter: Adapter, id: int) -> ExitCode:
    gone = adapter.journal.forget(id)
    if gone is None:
        common.out().note(f"There is no note {id}. 'qtool note' lists them.")
        return ExitCode.NOT_FOUND
    return _show(common, [gone], acted=True)


def _show(common: Common, notes: list[Note], *, acted: bool = False) -> ExitCode:
    common.out(keep_going=acted).rows(NOTES, map(NoteRow.of, notes))
    return ExitCode.OK
