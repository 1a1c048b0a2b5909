"""When a process of the pool has done enough, and another takes over."""

from __future__ import annotations

import os
from contextlib import suppress

START_UP = 0.3
"""Seconds that a process is given to start: its successor is begun so long before its last job ends."""

WEIGH = 0.1
"""Seconds between two looks at the memory of a process that goes on to run jobs."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def nearly_spent(left: int, pace: float) -> bool:
    """Whether ``left`` more jobs, at ``pace`` seconds each, take no longer than another process takes to start."""
    return left * pace <= START_UP


def resident(pid: int) -> int:
    """Bytes of memory that the process holds; 0 when it is gone."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE
    return 0
