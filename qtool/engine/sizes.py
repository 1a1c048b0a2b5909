"""Sizes as people write them: of memory, in bytes, and of a worker, in slots."""

from __future__ import annotations

import re

from qtool.errors import BadSize, BadSlots

_UNITS = ("B", "KB", "MB", "GB", "TB")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?:([KMGT])(?:I?B)?|B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes in ``200MB``, ``1.5G``, ``512k``; a plain number is bytes, and a kilobyte is 1024 of them.

    Raises BadSize, also for nothing at all.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise BadSize(text=text)
    power = 0 if match[2] is None else _UNITS.index(f"{match[2].upper()}B")
    size = int(float(match[1]) * 1024**power)
    if not 0 < size < 2**63:
        raise BadSize(text=text)
    return size


def format_size(size: int) -> str:
    """``200 MB``, to three digits."""
    value, unit = float(size), 0
    while value >= 1000 and unit + 1 < len(_UNITS):
        value, unit = value / 1024, unit + 1
    return f"{value:.3g} {_UNITS[unit]}"


MOST_SLOTS = 4096
"""As many as a worker may have."""


def parse_slots(text: str) -> tuple[int, int]:
    """The least and the most in ``4`` or ``2:8``. Raises BadSlots."""
    least, colon, most = text.partition(":")
    numbers = [least, most if colon else least]
    if not all(number.isascii() and number.isdigit() and len(number) < 6 for number in numbers):
        raise BadSlots(text=text, most=MOST_SLOTS)
    low, high = map(int, numbers)
    if not 1 <= low <= high <= MOST_SLOTS:
        raise BadSlots(text=text, most=MOST_SLOTS)
    return low, high
