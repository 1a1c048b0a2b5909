"""Durations and times as people write and read them. All are seconds: spans, or since the epoch (UTC)."""

from __future__ import annotations

import re
import time

from qtool.errors import BadDuration, BadTime

_UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
LONGEST = 100 * 365.25 * _UNITS["d"]
"""A hundred years: anything further away is a slip of the finger."""

_NUMBER = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_PLAIN = re.compile(_NUMBER)
# Each unit at most once, from large to small: 5m5m and 30m1h are slips.
_DURATION = re.compile("".join(f"(?:{_NUMBER}{unit}{'(?!s)' if unit == 'm' else ''})?" for unit in _UNITS))
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    re.IGNORECASE,
)


def parse_duration(text: str) -> float:
    """Seconds in ``90s``, ``5m``, ``1h30m``, ``2d``, ``1w``, ``1.5h``, ``250ms``; a plain number is seconds.

    Raises BadDuration, also for a negative one and for more than a hundred years.
    """
    stripped = text.strip()
    if _PLAIN.fullmatch(stripped):
        seconds = float(stripped)
    elif stripped and (match := _DURATION.fullmatch(stripped)):
        seconds = sum(float(n) * unit for n, unit in zip(match.groups(), _UNITS.values(), strict=True) if n)
    else:
        raise BadDuration(text=text)
    if seconds > LONGEST:
        raise BadDuration(text=text)
    return seconds


def parse_offset(text: str) -> float | None:
    """The signed seconds in ``+5m`` or ``-1h``; None when it has no sign. Raises BadTime."""
    stripped = text.strip()
    if stripped[:1] not in ("+", "-"):
        return None
    try:
        seconds = parse_duration(stripped[1:])
    except BadDuration:
        raise BadTime(text=text) from None
    return seconds if stripped[0] == "+" else -seconds


def parse_time(text: str, now: float) -> float:
    """Seconds since the epoch for ISO 8601, or for ``+5m`` and ``-1h`` from ``now``.

    Without a zone it is the machine's own. Raises BadTime, also for what lies more than a hundred years from ``now``.
    """
    offset = parse_offset(text)
    if offset is not None:
        return now + offset
    stripped = text.strip()
    if not _ISO.fullmatch(stripped):
        raise BadTime(text=text)
    # Imported here because it costs a millisecond that few commands need.
    from datetime import datetime

    try:
        at = datetime.fromisoformat(stripped.upper()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadTime(text=text) from None
    if abs(at - now) > LONGEST:
        raise BadTime(text=text)
    return at


def format_duration(seconds: float) -> str:
    """Short, for people, two units at most: ``2.3ms``, ``250ms``, ``4.2s``, ``42s``, ``3m12s``, ``2h05m``, ``3d04h``.

    :func:`parse_duration` reads every one of them that is not negative.
    """
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds == 0:
        return "0s"
    # Each bound is where rounding would carry into the next form: 59.5 s is 1m00s, never 60s.
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f}ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}m{rest:02d}s"
    if seconds < 86370:
        hours, rest = divmod(round(seconds / 60), 60)
        return f"{hours}h{rest:02d}m"
    days, rest = divmod(round(seconds / 3600), 24)
    return f"{days}d{rest:02d}h"


def format_time(epoch: float) -> str:
    """ISO 8601 in UTC to the millisecond: ``2026-01-31T08:00:00.000Z``. Raises ValueError where no calendar reaches."""
    try:
        whole, milliseconds = divmod(round(epoch * 1000), 1000)
        at = time.gmtime(whole)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{epoch!r} is not a time") from error
    return (
        f"{at.tm_year:04d}-{at.tm_mon:02d}-{at.tm_mday:02d}T{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
        f".{milliseconds:03d}Z"
    )
