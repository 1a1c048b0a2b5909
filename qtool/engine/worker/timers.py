"""Things to do later, in the supervisor's one thread."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """One-shot timers by monotonic time. A callback that is no longer wanted looks for itself and does nothing."""

    __slots__ = ("_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    def at(self, when: float, callback: Callable[[], None]) -> None:
        """Call back at ``when``."""
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, callback))

    @property
    def next(self) -> float:
        """When the earliest is due; infinity when there is none."""
        return self._heap[0][0] if self._heap else float("inf")

    def run(self, now: float) -> None:
        """Call back all that are due."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
