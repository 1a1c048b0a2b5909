"""Durations and times as people write and read them."""

from __future__ import annotations

import re
import time

from qtool.errors import BadDuration, BadTime

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
LONGEST = 100 * 365 * 86400.0
"""A century: beyond it a number is a typing mistake, and dates overflow."""


def parse_duration(text: str) -> float:
    """Seconds in ``90s``, ``5m``, ``1h30m``, ``1.5h``, ``250ms``, ``2d``, ``1w`` or ``0``. Raises BadDuration."""
    said = text.strip()
    if said == "0":
        return 0.0
    parts = _PART.findall(said)
    if not parts or "".join(number + unit for number, unit in parts) != said:
        raise BadDuration(text=text)
    seconds: float = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > LONGEST:
        raise BadDuration(text=text)
    return seconds


def parse_time(text: str, now: float | None = None) -> float:
    """Seconds since the epoch for ``+5m``, or ISO 8601; without an offset it is local time. Raises BadTime."""
    said = text.strip()
    if said.startswith("+"):
        try:
            return (time.time() if now is None else now) + parse_duration(said[1:])
        except BadDuration:
            raise BadTime(text=text) from None
    from datetime import datetime

    try:
        return datetime.fromisoformat(said).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadTime(text=text) from None


def format_duration(seconds: float) -> str:
    """Two units at most, for people: ``412ms``, ``3.2s``, ``3m12s``, ``2h05m``, ``4d03h``."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 0.0005:
        return "0s" if seconds == 0 else f"{seconds * 1e6:.0f}µs"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"
