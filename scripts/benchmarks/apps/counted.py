"""What every peer's job does, and how every peer's client is driven: the same for all, by the standard library alone.

A job counts itself in a few bytes of shared memory, one file for each process, with the times of the first and the
last: so a run is counted by what ran, not by what a peer says of itself, and that costs a microsecond or two.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL = os.environ["BENCH_URL"]
RESULTS = os.environ["BENCH_RESULTS"] == "1"
MARKS = Path(os.environ["BENCH_MARKS"])
PAUSE = 0.02
"""Seconds between two jobs whose start is timed: the worker is idle again."""
MARK = struct.Struct("<qdd")


class _Mark:
    """This process's file."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.count, self.first = 0, time.time()
        fd = os.open(MARKS / str(self.pid), os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, MARK.size)
        self.memory = mmap.mmap(fd, MARK.size)
        os.close(fd)

    def add(self) -> None:
        self.count += 1
        MARK.pack_into(self.memory, 0, self.count, self.first, time.time())


_mark: _Mark | None = None
_lock = threading.Lock()


def count(number: int) -> int:
    """The job."""
    global _mark
    with _lock:
        # A process that was forked counts in a file of its own.
        if _mark is None or _mark.pid != os.getpid():
            _mark = _Mark()
        _mark.add()
    return number


def stamp(sent: float) -> float:
    """The job whose start is timed: how long it was under way, by the wall clock."""
    under_way = time.time() - sent
    with (MARKS / "latencies").open("a") as log:
        log.write(f"{under_way}\n")
    return under_way


async def drive_async(
    many: Callable[[int], Awaitable[object]],
    one: Callable[[int], Awaitable[object]],
    stamped: Callable[[float], Awaitable[object]],
) -> None:
    """Do what the command line says: ``many COUNT``, ``one COUNT`` or ``stamp COUNT``; print the seconds.

    ``many`` enqueues so many in the best way that the client has, ``one`` a single job, ``stamped`` one for its time.
    """
    verb, number = sys.argv[1], int(sys.argv[2])
    if verb == "stamp":
        for _ in range(number):
            time.sleep(PAUSE)
            await stamped(time.time())
        return
    # One before the clock runs: who connects late connects now.
    await one(0)
    began = time.perf_counter()
    if verb == "many":
        await many(number)
    else:
        for each in range(number):
            await one(each)
    print(time.perf_counter() - began)


def drive(many: Callable[[int], object], one: Callable[[int], object], stamped: Callable[[float], object]) -> None:
    """As :func:`drive_async`, for clients that are not asynchronous."""

    def waited(function: Callable[[Any], object]) -> Callable[[Any], Awaitable[None]]:
        async def call(value: object) -> None:
            function(value)

        return call

    work = drive_async(waited(many), waited(one), waited(stamped))
    with suppress(StopIteration):
        # None of them waits for anything, so no loop is needed, nor paid for.
        work.send(None)
