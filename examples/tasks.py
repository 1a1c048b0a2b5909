"""Tiny tasks, for trying things out and for measuring.

Run them from the checkout, in two terminals::

    qtool worker -A examples.tasks
    qtool enqueue examples.tasks.add 2:=2 3:=3 --wait
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from qtool import CurrentJob, task


@task
def noop(*args: Any, **kwargs: Any) -> None:
    """Nothing, whatever it is given."""


@task
def echo(*args: Any, **kwargs: Any) -> Any:
    """What it is given: one argument as it is, otherwise all of them."""
    return args[0] if len(args) == 1 and not kwargs else {"args": args, "kwargs": kwargs}


@task
def add(x: float, y: float) -> float:
    """The sum."""
    return x + y


@task
def fail(message: str = "asked to fail") -> None:
    """Always an error."""
    raise RuntimeError(message)


@task(bind=True)
def sleep(self: CurrentJob, seconds: float = 1.0) -> float:
    """Sleep, and say how far it is ten times a second."""
    seconds = float(seconds)
    started = time.monotonic()
    while (gone := time.monotonic() - started) < seconds:
        self.progress(gone / seconds, f"{seconds - gone:.1f} s to go")
        time.sleep(min(0.1, seconds - gone))
    return seconds


@task
async def asleep(seconds: float = 1.0) -> float:
    """Sleep on the event loop: thousands of these fit into one ``--pool async``."""
    await asyncio.sleep(float(seconds))
    return float(seconds)
