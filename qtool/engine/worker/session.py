"""What is left of a session (setsid(2)) whose leader is gone."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

_LOOKS = 100
_PAUSE = 0.001
"""Seconds between two looks."""


def end_session(leader: int) -> None:
    """Kill every process of the session that ``leader`` had begun; what has begun one of its own is none of it.

    Looks again until there is none: one of them may just be starting another.
    """
    for _ in range(_LOOKS):
        left = members(leader)
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def members(leader: int) -> list[int]:
    """The living processes of a session; a zombie is none."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _belongs(pid, leader)]


def _belongs(pid: int, leader: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # proc(5): pid (name) state ppid pgrp session …; the name may hold anything.
            state, _, _, session, *_ = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(session) == leader and state != b"Z"
