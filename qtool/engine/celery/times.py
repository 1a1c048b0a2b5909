"""Celery's times, ISO 8601 in UTC, to seconds since the epoch and back (WIRE.md section 1)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache

LAST = 253_370_764_799.0
"""The end of the year 9998: beyond it a reader's time zone may leave the years that Python can count."""


def to_text(seconds: float) -> str:
    """ISO 8601 in UTC, to the microsecond; what lies outside the years 1970 to 9998 is written as their end."""
    # As ``datetime.isoformat`` writes it, at a third of the cost where there are many of one second.
    fraction, whole = math.modf(min(max(seconds, 0.0), LAST))
    micros = round(fraction * 1e6)
    if micros == 1_000_000:
        whole, micros = whole + 1.0, 0
    return f"{_second(whole)}.{micros:06d}+00:00" if micros else f"{_second(whole)}+00:00"


@lru_cache(maxsize=64)
def _second(whole: float) -> str:
    return datetime.fromtimestamp(whole, UTC).isoformat()[:19]


def from_text(text: object) -> float:
    """Seconds since the epoch; ``Z`` and offsets count, and a time without either is UTC, as Celery's default.

    Raises ValueError.
    """
    if not isinstance(text, str):
        raise ValueError(f"a time is ISO 8601 text, not {text!r}")
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO 8601 time") from None
    try:
        return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
    except OverflowError:
        raise ValueError(f"{text!r} is not a time that can be counted") from None
