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
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    seats = -1
    try:
        if not _lock(fd):
            _mark("!", job)
        if key is not None and (seats := _seat(key, limit)) < 0:
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
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(fd)
        if seats >= 0:
            os.close(seats)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _seat(key: str, limit: int) -> int:
    """A descriptor that holds one of the key's seats; -1 when all are taken."""
    for number in range(limit):
        fd = os.open(_HOME / "seats" / f"{key}.{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _lock(fd):
            return fd
        os.close(fd)
    return -1


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
