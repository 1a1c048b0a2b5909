"""How many slots a worker has, and when that changes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

GROW_AFTER = 0.5
"""Seconds that jobs wait while every slot is busy before there are more slots."""

SHRINK_AFTER = 10.0
"""Seconds over which the most slots that were busy at once say how many are needed."""

LOOK = 0.25
"""Seconds between two looks."""


class Size:
    """The number of slots, and between which numbers it moves by itself."""

    __slots__ = ("_changed", "least", "most", "now")

    def __init__(self, least: int, most: int | None = None) -> None:
        self.least = self.now = least
        self.most = max(least, most or least)
        self._changed: list[Callable[[int], object]] = []

    def on_change(self, callback: Callable[[int], object]) -> None:
        """Call back with the new number."""
        self._changed.append(callback)

    def set(self, slots: int) -> None:
        """Have so many."""
        if slots != self.now:
            self.now = slots
            for callback in self._changed:
                callback(slots)

    def bound(self, least: int, most: int) -> None:
        """Move between these from now on."""
        self.least, self.most = least, most
        self.set(min(max(self.now, least), most))


class Pressure(Value, kw_only=True):
    """What has been seen of a worker's load."""

    full_since: float | None = None
    """Since when every slot has been busy while jobs waited, without a break."""
    since: float
    """When the window began over which ``peak`` is taken."""
    peak: int = 0
    """The most slots that were busy at once in the window."""


def rescale(
    seen: Pressure, *, now: float, slots: int, least: int, most: int, active: int, waiting: int
) -> tuple[int, Pressure]:
    """How many slots there should be, and what to remember of this look.

    Twice as many, but no more than the ``waiting`` jobs need, once they have waited for half a second with all slots
    busy; as many as were busy at once, at most, in the last ten seconds. So it grows quickly and shrinks slowly, and a
    load that comes and goes within ten seconds changes nothing.
    """
    full = active >= slots and waiting > 0
    full_since = (seen.full_since if seen.full_since is not None else now) if full else None
    peak = max(seen.peak, active)
    if full_since is not None and slots < most and now - full_since >= GROW_AFTER:
        grown = min(most, 2 * slots, slots + waiting)
        return grown, Pressure(full_since=now, since=now, peak=active)
    if now - seen.since < SHRINK_AFTER:
        return slots, Pressure(full_since=full_since, since=seen.since, peak=peak)
    return max(least, min(slots, peak)), Pressure(full_since=full_since, since=now, peak=active)
