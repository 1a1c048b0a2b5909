"""Counters and history of one transaction: gathered while jobs move, written once before the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.limits import HELD, reopen
from qtool.engine.brokers.sqlite.store import SQL, rows
from qtool.engine.rollup import Tally
from qtool.engine.states import State

if TYPE_CHECKING:
    import apsw

COUNTED = {
    State.SUCCEEDED: "succeeded",
    State.DEAD: "dead",
    State.RETRY: "retried",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "expired",
}
"""The history's word for arriving in a state."""

WAIT, RUN = "wait", "run"


class Ledger:
    """Adds up moves between states and what the history keeps of them."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.opened = False
        """Once written: something may start that could not before."""
        self._freed: set[str] = set()
        self._in_use: tuple[bool, bool] | None = None
        self._deltas: dict[tuple[str, str], int] = {}
        self._tallies: dict[str, Tally] = {}

    def tally(self, queue: str) -> Tally:
        """The history of ``queue`` in this second."""
        found = self._tallies.get(queue)
        if found is None:
            found = self._tallies[queue] = Tally(int(self.now), 1, queue)
        return found

    def move(self, queue: str, before: State | str | None, after: State | str | None, count: int = 1) -> None:
        """``count`` jobs went from one state to another; None is outside the file."""
        deltas = self._deltas
        if before is not None:
            deltas[before, queue] = deltas.get((before, queue), 0) - count
        if after is not None:
            deltas[after, queue] = deltas.get((after, queue), 0) + count

    def arrive(self, queue: str, before: State | str, after: State, count: int = 1) -> None:
        """``count`` jobs moved, and the history takes note where it has a word for it."""
        self.move(queue, before, after, count)
        if (counter := COUNTED.get(after)) is not None:
            self.tally(queue).count(counter, count)

    def slots_in_use(self, db: apsw.Connection) -> tuple[bool, bool]:
        """Whether any unfinished job has a key, and whether any queue limits how many run at once."""
        if self._in_use is None:
            keys, queues = rows(db, "slots_in_use")[0]
            self._in_use = bool(keys), bool(queues)
        return self._in_use

    def free(self, key: str | None) -> None:
        """A job with this key, if it has one, has ended, left or made way: others may go."""
        if key is not None:
            self._freed.add(key)

    def leave(self, queue: str, state: State | str, key: str | None, held: str | None) -> None:
        """A job that does not run has left this state: what it kept back may go."""
        if held is not None:
            self.move(queue, HELD, None)
        if state == State.READY:
            self.free(key)

    def write(self, db: apsw.Connection) -> None:
        """Let go what was held back for what has ended, and apply everything to the counters and the rollups."""
        for key in self._freed:
            self.opened |= reopen(db, self, key)
        ended = {queue for (state, queue), by in self._deltas.items() if by < 0 and state == State.RUNNING}
        if ended and not self.opened and self.slots_in_use(db)[1]:
            self.opened = any(name in ended for (name,) in rows(db, "limited_queues"))
        for (state, queue), by in self._deltas.items():
            if by > 0:
                db.execute(SQL["count_up"], (str(state), queue, by))
            elif by < 0:
                db.execute(SQL["count_down"], (-by, str(state), queue))
        rolled: list[tuple[int, str, str, int, int, float]] = []
        for tally in self._tallies.values():
            at, queue = tally.at, tally.queue
            rolled += ((at, queue, name, 0, count, 0.0) for name, count in tally.counters.items())
            for series, histogram, total in ((WAIT, tally.wait, tally.wait_total), (RUN, tally.run, tally.run_total)):
                for bucket, count in histogram.items():
                    # The sum is kept with the first bucket only: it belongs to the whole histogram.
                    rolled.append((at, queue, series, bucket, count, total))
                    total = 0.0
        if rolled:
            db.executemany(SQL["roll_up"], rolled)
