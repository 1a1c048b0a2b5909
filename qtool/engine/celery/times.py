"""Celery's times, ISO 8601 in UTC, to seconds since the epoch and back (WIRE.md section 1)."""

from __future__ import annotations

from datetime import UTC, datetime

LAST = 253_370_764_799.0
"""The end of the year 9998: beyond it a reader's time zone may leave the years that Python can count."""


def to_text(seconds: float) -> str:
    """ISO 8601 in UTC, to the microsecond; what lies outside the years 1970 to 9998 is written as their end."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), LAST), UTC).isoformat()


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
