"""Time, injected. Wall times are seconds since the epoch (UTC); durations are seconds."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the engine reads the time."""

    def now(self) -> float:
        """Wall time: seconds since the epoch, UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for leases and time-outs. They do not count while the machine is suspended."""
        ...

    def suspended(self) -> float:
        """For how many seconds in all the machine has been suspended; only its growth means anything."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    if hasattr(time, "CLOCK_BOOTTIME"):

        def suspended(self) -> float:
            return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()

    else:

        def suspended(self) -> float:
            return 0.0


class ManualClock:
    """A clock that stands still until it is moved; for tests and simulations."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._monotonic = start

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def suspended(self) -> float:
        return 0.0

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock, forward or back."""
        self._now += seconds

    def boot(self) -> None:
        """The machine starts again: the monotonic clock begins anew."""
        self._monotonic = 0.0
