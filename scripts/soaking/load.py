"""The tasks that workers run under ``scripts/soak``: each says in the effect log when it begins and how it ends.

A line is ``MARK ID ATTEMPT MEMBER PID``, appended in one write. The marks: ``+`` began, ``-`` returned, ``e`` raised,
``z`` asked to be run later, ``~`` was asked to stop, ``!`` another run of the same job was still alive, ``k`` more jobs
with the same key ran than its limit allows. Whether another run is alive the kernel says: every run holds a lock on a
file named after its job, which is free as soon as the run has ended, however it ended.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtool import Discard, Retry, Snooze, current_job, task
from qtool.engine.current import JobCancelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.current import CurrentJob

_HOME = Path(os.environ["SOAK_DIRECTORY"])
_MEMBER = os.environ["SOAK_MEMBER"]
_log = os.open(_HOME / "effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _mark(mark: str, job: CurrentJob) -> None:
    os.write(_log, f"{mark} {job.id} {job.attempt} {_MEMBER} {os.getpid()}\n".encode())


@contextmanager
def _observed(key: str | None = None, limit: int = 1) -> Iterator[CurrentJob]:
    job = current_job()
    path = _HOME / "running" / job.id
    held = _locks()
    try:
        if not _lock(_open(path, held)):
            _mark("!", job)
        if key is not None and not _seated(key, limit, held):
            _mark("k", job)
        _mark("+", job)
        yield job
        _mark("-", job)
    except Snooze:
        _mark("z", job)
        raise
    except JobCancelled:
        _mark("~", job)
        raise
    except BaseException:
        _mark("e", job)
        raise
    finally:
        try:
            with suppress(FileNotFoundError):
                path.unlink()
        finally:
            try:
                _let_go(held)
            finally:
                # The way out may have been interrupted itself.
                _let_go(held)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_threads: dict[int, list[int]] = {}
"""The locks of the job that each thread runs."""


def _locks() -> list[int]:
    """Where a job keeps the descriptors of its locks.

    A job in a thread is stopped by an exception at any point, also between taking a lock and noting it down, or on the
    way to letting go. What the one before in the same thread has left is let go here: the process lives on with it.
    """
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        # Coroutines share their thread, and are stopped only where they wait.
        return []
    held = _threads.setdefault(threading.get_ident(), [])
    _let_go(held)
    return held


def _open(path: Path, held: list[int]) -> int:
    held.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return held[-1]


def _let_go(held: list[int]) -> None:
    while held:
        # It may be closed already, where that was interrupted.
        with suppress(OSError):
            os.close(held[-1])
        held.pop()


def _seated(key: str, limit: int, held: list[int]) -> bool:
    """Whether one of the key's seats was free, and is held now."""
    for number in range(limit):
        if _lock(_open(_HOME / "seats" / f"{key}.{number}", held)):
            return True
        os.close(held[-1])
        held.pop()
    return False


@task
def echo(number: int) -> int:
    """The most common job."""
    with _observed():
        return number


@task
def slow(seconds: float) -> None:
    """Works for a while, in Python code."""
    with _observed():
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)


@task
async def doze(seconds: float) -> None:
    """Waits for a while."""
    with _observed():
        await asyncio.sleep(seconds)


@task
def talk(lines: int) -> None:
    """Writes, and tells how far it is."""
    with _observed() as job:
        for number in range(lines):
            print(f"line {number} of {lines}")
            job.log.info("step %d", number)
            job.progress(number / lines, f"step {number}")


@task
def fail(message: str) -> None:
    """Never succeeds."""
    with _observed():
        raise ValueError(message)


@task
def flaky(failures: int) -> None:
    """Succeeds after so many errors."""
    with _observed() as job:
        if job.failures < failures:
            raise Retry(f"error {job.failures + 1}", in_=0.05)


@task
def put_off(odds: float) -> None:
    """Is put off with these odds, each time."""
    import random

    with _observed():
        if random.random() < odds:
            raise Snooze(random.choice((0.0, 0.05, 0.3)))


@task
def discard() -> None:
    """Ends itself for good."""
    with _observed():
        raise Discard("not wanted")


@task
def seated(key: str, limit: int, seconds: float) -> None:
    """Runs beside no more than ``limit`` jobs with the same key, itself included."""
    with _observed(key, limit):
        time.sleep(seconds)


@task
def poison() -> None:
    """Takes its process down, always."""
    with _observed():
        os.kill(os.getpid(), signal.SIGKILL)


@task
def crash_once() -> None:
    """Takes its process down at its first start."""
    with _observed() as job:
        if job.crashes == 0:
            os.kill(os.getpid(), signal.SIGKILL)
