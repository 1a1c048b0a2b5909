"""Huey on its SQLite storage: the peer's application, and how it enqueues."""

from __future__ import annotations

import os
import time

from huey import SqliteHuey

# Every commit synced, as qtool's are.
huey = SqliteHuey("bench", filename=os.environ["HUEY_FILE"], fsync=True)


@huey.task()  # type: ignore[untyped-decorator]  # huey has no types
def noop(number: int) -> int:
    """Nothing; a number, because Huey keeps no result that is None."""
    return number


@huey.task()  # type: ignore[untyped-decorator]  # huey has no types
def now() -> float:
    """When it started."""
    return time.time()


def send(count: int) -> float:
    """Enqueue so many; the seconds it took."""
    began = time.perf_counter()
    for number in range(count):
        noop(number)
    return time.perf_counter() - began
