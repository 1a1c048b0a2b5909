"""Times, numbers and states as people read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from qtool.engine.times import format_duration
from qtool.tables import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def moment(at: float | None) -> datetime | None:
    """A time for machines: aware, in UTC; None also where no calendar reaches."""
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def sure_moment(at: float) -> datetime:
    """:func:`moment` of a time that is there."""
    return datetime.fromtimestamp(at, UTC)


def ago(at: datetime | None) -> str:
    """A time for people: ``3m12s ago``, ``in 5m00s``, or nothing."""
    if at is None:
        return ""
    seconds = time.time() - at.timestamp()
    return f"{format_duration(seconds)} ago" if seconds >= 0 else f"in {format_duration(-seconds)}"


def age(at: datetime | None) -> str:
    """How old, without the word."""
    return NONE if at is None else format_duration(max(time.time() - at.timestamp(), 0.0))


def number(value: float) -> str:
    """A count, in thousands."""
    return f"{value:,}" if value else NONE


def rate(value: float) -> str:
    """A rate per second."""
    if not value:
        return NONE
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def limit_text(concurrency: int | None, per_second: float | None) -> str:
    """What limits a queue or a task, in short: ``3``, ``10/s``, ``3, 10/s``; nothing where nothing does."""
    from qtool.engine.limits import format_rate

    said = [str(concurrency)] if concurrency is not None else []
    return ", ".join([*said, format_rate(per_second)] if per_second is not None else said)


def span(seconds: float | None) -> str:
    """A duration, to the unit that matters."""
    return format_duration(seconds) if seconds else NONE


def always(style: str) -> Callable[[Any], str]:
    """The same style for every row."""
    return lambda _row: style


STYLES: Mapping[str, str] = {
    "waiting": "dim",
    "scheduled": "blue",
    "ready": "",
    "running": "cyan",
    "retry": "yellow",
    "succeeded": "green",
    "dead": "red",
    "cancelled": "dim",
    "expired": "dim",
}

SHORT = 18
"""Characters of an id that a table shows: its milliseconds and sequence, which tell jobs apart."""


def short(id: str) -> str:
    """The part of an id that people read and type."""
    return id[:SHORT] if len(id) == 36 else id


def state_style(row: Any) -> str:
    """The colour of a row's state."""
    return STYLES.get(row.state, "")
