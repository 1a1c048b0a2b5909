"""Limits on queues and tasks, and the arithmetic of rates. Pure; stdlib only.

A rate is a leaky bucket: what has started fills it, time empties it, and it holds ``burst``. So in any span of ``t``
seconds no more than ``burst + rate * t`` starts get through. Its clock is the machine's monotonic one, which all
processes share and nobody sets. That clock begins at 0 when the machine starts: one that shows less than it did says
how long that is ago, at least.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from qtool.engine.value import Value

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"([0-9]*\.?[0-9]+)\s*(?:/\s*([smhd]))?", re.ASCII)

SLOWEST = 1 / (366 * 86400.0)
"""Starts a second: one a year."""
FASTEST = 1e6

_ROUNDING = 1e-3
"""The part of a start by which a sum of floats may be off."""


def parse_rate(said: str | float) -> float:
    """Starts a second in ``"10/s"``, ``"100/m"``, ``"1000/h"``, ``"5/d"`` or a plain number. Raises ValueError."""
    if isinstance(said, str):
        match = _TEXT.fullmatch(said.strip())
        rate = float(match[1]) / _UNITS[match[2] or ""] if match is not None else math.nan
    else:
        rate = float(said) if isinstance(said, int | float) and not isinstance(said, bool) else math.nan
    if not SLOWEST <= rate <= FASTEST:
        raise ValueError(
            f"a rate is written 10/s, 100/m or 1000/h, from one a year to a million a second, not {said!r}"
        )
    return rate


def format_rate(rate: float) -> str:
    """The rate as people write it: in the shortest unit in which it is a whole number, or else at least one."""
    many = {unit: rate * _UNITS[unit] for unit in "smhd"}
    whole = [unit for unit, count in many.items() if count >= 1 and abs(count - round(count)) < 1e-6 * count]
    unit = (whole or [unit for unit, count in many.items() if count >= 1] or ["d"])[0]
    return f"{many[unit]:.6g}/{unit}"


def default_burst(rate: float) -> int:
    """How many may start together where nobody says: what a tenth of a second brings, and one at least."""
    return max(1, math.ceil(rate / 10 - _ROUNDING))


class Rate(Value):
    """A rate and how far it is used up."""

    per_second: float
    burst: int
    used: float = 0.0
    """How many starts of the burst were used up…"""
    used_at: float = 0.0
    """… at this monotonic time."""

    def _used(self, now: float) -> float:
        passed = now - self.used_at if now >= self.used_at else now
        return max(0.0, min(self.used, self.burst + _ROUNDING) - passed * self.per_second)

    def allows(self, now: float) -> int:
        """How many may start at this moment."""
        return max(0, math.floor(self.burst - self._used(now) + _ROUNDING))

    def opens_in(self, now: float) -> float:
        """Seconds until the next may start; 0 when one may now."""
        if self.allows(now):
            return 0.0
        return (self._used(now) + 1 - self.burst) / self.per_second

    def after(self, count: int, now: float) -> Rate:
        """The rate once ``count`` have started."""
        return Rate(self.per_second, self.burst, self._used(now) + count, now)


Scope = Literal["queue", "task"]


class Limit(Value, kw_only=True):
    """What limits a queue or a task, and how much of it is in use."""

    scope: Scope
    name: str
    concurrency: int | None = None
    """How many jobs run at once; a queue's only."""
    rate: float | None = None
    """How many jobs start a second."""
    burst: int | None = None
    """How many of them may start together; None where there is no rate."""
    declared: bool = False
    """The task's own code says so, and no operator."""
    running: int | None = None
    """Jobs of the queue that run; None for a task."""
    held: int = 0
    """Ready jobs of the task that wait for its rate."""
    opens_at: float | None = None
    """When its rate lets the next job start; None when it does so now."""


def check_limit(scope: str, concurrency: int | None, rate: float | None, burst: int | None) -> None:
    """Raises ValueError for a limit that cannot be."""
    if scope == "task" and concurrency is not None:
        raise ValueError("how many jobs of a task run at once is limited by giving them a key")
    if concurrency is not None and concurrency < 1:
        raise ValueError("at least one job runs at once; to let none start, pause the queue")
    if burst is not None and (burst < 1 or rate is None):
        raise ValueError("a burst is a number from 1 on, and goes with a rate")
    if rate is not None:
        parse_rate(rate)
