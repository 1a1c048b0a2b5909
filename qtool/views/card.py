"""One job as a card: what ``qtool show`` draws on a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtool.engine.states import Event, State
from qtool.engine.times import format_duration
from qtool.output import clean
from qtool.views.jobs import AttemptView, Error, JobDetail, JobRow, what
from qtool.views.text import ago, state_style

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from rich.console import Console

LONGEST = 2_000
"""Characters of one value that are shown; ``-o json`` has all of it."""

_LABEL = 11


def print_card(row: JobDetail, result: str | None, console: Console) -> None:
    """The job: headline, facts, what it got, what came of it, earlier attempts."""
    from rich.text import Text

    console.print(Text(clean(what(row)), style="bold"), no_wrap=True, overflow="ellipsis")
    reason = f" ({row.reason})" if row.reason else ""
    console.print(Text.assemble((f"{row.state}{reason}", state_style(row)), (f"  {clean(row.id)}", "dim")))
    console.print()
    for label, value in facts(row):
        _fact(console, label, value)
    _block(console, "arguments", _arguments(row))
    if row.state is State.SUCCEEDED:
        _block(console, "result", _pretty(json.loads(result)) if result else "null")
    if row.error is not None:
        _error(console, "error", row.error)
    for attempt in row.attempts:
        console.print()
        took = _took(attempt.started_at, attempt.finished_at)
        told = f"{_event(attempt)} after {took}, {ago(attempt.finished_at)}, on {attempt.worker}"
        _fact(console, f"attempt {attempt.attempt}", f"{told}: {attempt.error}" if attempt.error else told)


def _took(began: datetime, ended: datetime) -> str:
    """How long; by a clock that was set back in between it may have ended before it began."""
    return format_duration(max(0.0, (ended - began).total_seconds()))


def _event(attempt: AttemptView) -> str:
    """What ended an attempt: a lost lease is its worker's, or its process took it down."""
    if attempt.event != Event.LEASE_LOST:
        return str(attempt.event)
    lost = attempt.error is not None and attempt.error.type == "WorkerLost"
    return "its worker was lost" if lost else "crashed"


def facts(row: JobRow) -> Iterator[tuple[str, str]]:
    """What there is to say about a job beside its arguments and its end: label and value."""
    backing_off = row.state in (State.SCHEDULED, State.RETRY)
    done = f"{100 * row.progress:.0f} % " if row.progress is not None else ""
    facts = {
        "queue": f"{row.queue}{f', priority {row.priority}' if row.priority else ''}",
        "task": row.task,
        "created": _when(row.created_at),
        "due": _when(row.due_at) if backing_off else "",
        "expires": _when(row.expires_at),
        "started": _when(row.started_at),
        "finished": _finished(row),
        "attempts": _attempts(row),
        "worker": row.worker or "",
        "progress": f"{done}{row.message or ''}".strip(),
        "policy": _policy(row),
        "unique": row.unique or "",
        "key": f"{row.key}, {row.key_limit} at once" if row.key is not None else "",
        "waits": _waits(row),
        "tags": ", ".join(f"{key}={value}" for key, value in row.tags.items()),
        "parents": ", ".join(row.parents),
    }
    return ((label, value) for label, value in facts.items() if value)


def _waits(row: JobRow) -> str:
    if row.held is None:
        return ""
    return "for a slot of its key" if row.held == f"key:{row.key}" else "for the rate of its task"


def _finished(row: JobRow) -> str:
    if row.finished_at is None or row.started_at is None:
        return _when(row.finished_at)
    return f"{_when(row.finished_at)}, took {_took(row.started_at, row.finished_at)}"


def _attempts(row: JobRow) -> str:
    if not row.attempt:
        return ""
    told = [f"{row.attempt}"]
    told += [f"{count} {word}" for count, word in ((row.failures, "failed"), (row.crashes, "crashed")) if count]
    return ", ".join(told)


def _policy(row: JobRow) -> str:
    told = [f"{row.retries} retries"] if row.retries is not None else []
    for label, seconds in (
        ("backoff", row.backoff),
        ("at most", row.backoff_cap),
        ("timeout", row.timeout),
        ("grace", row.grace),
    ):
        if seconds is not None:
            told.append(f"{label} {format_duration(seconds)}")
    told += ["no jitter"] if row.jitter is False else []
    told += ["dead after a crash"] if row.on_crash == "dead" else []
    return ", ".join(told)


def _when(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S} ({ago(at)})"


def _arguments(row: JobRow) -> str:
    if not row.args and not row.kwargs:
        return ""
    shown: list[str] = [_pretty(value) for value in row.args]
    shown += [f"{key} = {_pretty(value)}" for key, value in row.kwargs.items()]
    return "\n".join(shown)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _fact(console: Console, label: str, value: str) -> None:
    from rich.text import Text

    width = max(console.width - _LABEL, 20)
    lines = Text(clean(value)).wrap(console, width) or [Text()]
    for number, line in enumerate(lines):
        console.print(Text.assemble((f"{label if number == 0 else '':<{_LABEL}}", "dim"), line))


def _block(console: Console, label: str, text: str, style: str = "") -> None:
    """Text of several lines under its label."""
    from rich.text import Text

    if not text:
        return
    cut = len(text) - LONGEST
    console.print()
    console.print(Text(label, style="dim"))
    for line in text[:LONGEST].split("\n"):
        console.print(Text("  " + clean(line), style=style))
    if cut > 0:
        console.print(Text(f"  … {cut:,} characters more: -o json shows all", style="dim"))


def _error(console: Console, label: str, error: Error) -> None:
    traceback = (error.traceback or "").rstrip("\n")
    if traceback and error.message in traceback:
        # The end of a traceback says what happened.
        _block(console, label, traceback[-LONGEST:], style="red")
    elif traceback:
        _block(console, label, f"{error}\n{traceback}", style="red")
    else:
        _block(console, label, str(error), style="red")
