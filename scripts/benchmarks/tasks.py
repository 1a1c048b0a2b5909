"""The tasks that the benchmarks run."""

from __future__ import annotations

import time

from qtool import task


@task
def noop(number: str) -> None:
    """Nothing."""


@task
def now() -> float:
    """When it started, by the wall clock."""
    return time.time()


@task
def hold(seconds: float) -> None:
    """Keep a slot busy."""
    time.sleep(seconds)
