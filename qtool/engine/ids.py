"""Job ids: UUID version 7 (RFC 9562 section 5.7), so that ids sort by the time they were made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


class IdSource:
    """Makes ids that increase within a process: 48 bits of milliseconds, a 12-bit sequence, 62 random bits."""

    __slots__ = ("_milliseconds", "_random", "_sequence", "_wall")

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._wall = wall
        self._random = random
        self._milliseconds = 0
        self._sequence = 0

    def __call__(self) -> str:
        """One id."""
        return self.batch(1)[0]

    def batch(self, count: int) -> list[str]:
        """``count`` ids in increasing order; one look at the clock and one draw of randomness for all."""
        now = int(self._wall() * 1000)
        if now > self._milliseconds:
            self._milliseconds, self._sequence = now, 0
        noise = self._random(8 * count)
        ids = []
        for start in range(0, 8 * count, 8):
            if self._sequence == 0x1000:
                # More than 4 096 ids in a millisecond borrow from the next one, as the RFC's section 6.2 allows.
                self._milliseconds += 1
                self._sequence = 0
            tail = int.from_bytes(noise[start : start + 8], "big")
            ids.append(
                "%08x-%04x-7%03x-%04x-%012x"
                % (
                    self._milliseconds >> 16,
                    self._milliseconds & 0xFFFF,
                    self._sequence,
                    0x8000 | tail >> 50,
                    tail & 0xFFFFFFFFFFFF,
                )
            )
            self._sequence += 1
        return ids


new_id = IdSource()
"""The process's own source."""
