"""Jobs that have crashed before: each runs alone, in a process in which nothing else has run or will.

So no neighbour is blamed when it crashes again, and no state that others left behind is the cause.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtool.engine.clock import Clock
    from qtool.engine.job import Lease
    from qtool.engine.worker.children import Children


class Quarantine:
    """Keeps them until there is a slot, and a process for each."""

    def __init__(self, clock: Clock, children: Children) -> None:
        self._clock = clock
        self._children = children
        self._moved_at = 0.0
        self.waiting: deque[Lease] = deque()

    def take(self, leases: list[Lease]) -> None:
        """These were claimed."""
        if not self.waiting:
            self._moved_at = self._clock.monotonic()
        self.waiting.extend(leases)

    @property
    def crowded(self) -> bool:
        """Whether some have no process that starts for them."""
        return len(self.waiting) > self._children.reserved

    def start(self, free: int) -> int:
        """Start a process for each that waits, in at most ``free`` slots: how many."""
        started = 0
        while started < free and self.crowded and self._children.start_alone():
            started += 1
        if started:
            self._moved_at = self._clock.monotonic()
        return started

    def late(self, now: float, patience: float) -> list[Lease]:
        """Those that have found no slot for so long: they need not wait for this worker."""
        if not self.crowded or now - self._moved_at <= patience:
            return []
        return [self.waiting.pop() for _ in range(len(self.waiting) - self._children.reserved)]

    def recall(self) -> list[Lease]:
        """All that wait."""
        taken = [*self.waiting]
        self.waiting.clear()
        return taken
