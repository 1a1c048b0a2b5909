"""Places on the slate, and beside it: a number for every slot that anything could start a job in."""

from __future__ import annotations

from bisect import insort

from qtool.engine.sizes import MOST_SLOTS

PLACES = 5 * MOST_SLOTS
"""The commands, three whole pools of threads (one that runs, one that takes over, one that still drains), and room."""


class Places:
    """Hands out stretches of neighbouring numbers, the lowest first, and takes them back."""

    def __init__(self, count: int = PLACES) -> None:
        self.count = count
        self._free = [(0, count)]
        """Stretches as (first, behind the last), in order, never two that touch."""

    def take(self, count: int = 1) -> int | None:
        """The first of ``count`` numbers in a row; None when there are not so many."""
        for index, (first, end) in enumerate(self._free):
            if end - first >= count:
                if end - first == count:
                    del self._free[index]
                else:
                    self._free[index] = (first + count, end)
                return first
        return None

    def give(self, first: int, count: int = 1) -> None:
        """They are free again."""
        insort(self._free, (first, first + count))
        joined: list[tuple[int, int]] = []
        for stretch in self._free:
            if joined and joined[-1][1] == stretch[0]:
                joined[-1] = (joined[-1][0], stretch[1])
            else:
                joined.append(stretch)
        self._free = joined
