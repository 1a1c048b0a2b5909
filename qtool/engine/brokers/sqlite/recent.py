"""What the last minutes saw, read once: what is old enough to change no more is remembered between two looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.store import BUSY_SECONDS, Row, rows
from qtool.engine.rollup import floor_to

if TYPE_CHECKING:
    import apsw

BLOCK = 10
"""Seconds that are added up and remembered together."""

SETTLING = int(2 * BUSY_SECONDS)
"""Seconds after which no transaction adds to a second any more: it would have given up waiting before."""


class Recent:
    """The newest rollups, for one who looks every second."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[Row]] = {}

    def rows(self, db: apsw.Connection, since: int, until: int) -> list[Row]:
        """(queue, series, bucket, n, total) from second ``since`` to ``until``, both included; several of a kind."""
        first = -(-since // BLOCK) * BLOCK
        last = max(first, floor_to(until - SETTLING, BLOCK))
        # What lies outside is too old, or was read before the clock was set back.
        self._blocks = {at: block for at, block in self._blocks.items() if first <= at < last}
        found = rows(db, "recent", (since, first - 1)) + rows(db, "recent", (last, until))
        for at in range(first, last, BLOCK):
            if at not in self._blocks:
                self._blocks[at] = rows(db, "recent", (at, at + BLOCK - 1))
            found += self._blocks[at]
        return found
