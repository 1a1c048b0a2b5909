"""Tasks of which one takes its process down, and the others are merely near it."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time

from qtool import current_job, task

_log = os.open(os.environ["QTOOL_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_ran = 0
"""How many jobs this process has begun."""


def _note(word: str) -> None:
    global _ran
    _ran += 1
    job = current_job()
    seen = f"{word} {job.id} {job.crashes} {job.previous_crash} {os.getpid()} {_ran}"
    os.write(_log, f"{seen}\n".encode())


@task
def poison(how: str) -> None:
    """Ends its process at a random moment."""
    _note("poison")
    time.sleep(random.random() * 0.3)
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


@task
def innocent(seconds: float) -> None:
    """Takes its time."""
    _note("innocent")
    time.sleep(seconds)


@task
async def dozing(seconds: float) -> None:
    """The same, as a coroutine."""
    import asyncio

    _note("innocent")
    await asyncio.sleep(seconds)
