"""Job ids: UUID version 7 (RFC 9562 section 5.7), so that ids sort by the time they were made."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        # Every eighth byte begins with the variant, the bits 10: set for the whole batch at once.
        noise = int.from_bytes(self._random(8 * count), "big") & _all(0x3F, 0xFF, count) | _all(0x80, 0x00, count)
        tails = noise.to_bytes(8 * count, "big").hex()
        ids = []
        start, sequence, head = 0, self._sequence, _head(self._milliseconds)
        while start < len(tails):
            if sequence == 0x1000:
                # More than 4 096 ids in a millisecond borrow from the next one, as the RFC's section 6.2 allows.
                self._milliseconds += 1
                sequence, head = 0, _head(self._milliseconds)
            ids.append(f"{head}{sequence:03x}-{tails[start : start + 4]}-{tails[start + 4 : start + 16]}")
            sequence += 1
            start += 16
        self._sequence = sequence
        return ids


def _head(milliseconds: int) -> str:
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7"


@lru_cache(maxsize=4)
def _all(first: int, rest: int, count: int) -> int:
    """``count`` times the byte ``first`` and seven times ``rest``, as one number."""
    return int.from_bytes(bytes([first, *[rest] * 7]) * count, "big")


new_id = IdSource()
"""The process's own source."""
