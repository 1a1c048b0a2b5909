"""Stopping what runs in the pool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.broker import CANNOT_STOP
from qtool.engine.worker import wire
from qtool.engine.worker.runs import Runs, Why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.process import Child


class Stops:
    """Asks runs to stop, and kills them after the grace period where that is possible."""

    def __init__(self, floor: Floor, children: Sequence[Child], runs: Runs) -> None:
        self._floor = floor
        self._children = children
        self._runs = runs

    def run(self, serial: int, why: Why) -> None:
        """Ask one run to stop, if it still runs."""
        child = next((each for each in self._children if serial in each.jobs), None)
        if child is None:
            return
        run = self._runs.of(child, serial)
        if run.why is not None:
            return
        run.why = why
        child.interrupt(serial, wire.TIMEOUT if why is Why.TIMEOUT else wire.CANCEL, run.limit)
        self._floor.reactor.after(run.grace(self._floor.grace), partial(self._insist, child, serial))

    def _insist(self, child: Child, serial: int) -> None:
        """It was asked, and still runs."""
        if serial not in child.jobs:
            return
        if child.killable:
            child.kill()
            return
        run = self._runs[serial]
        if run.why is Why.CANCEL:
            run.message = CANNOT_STOP
            self._floor.news.add(run)
        what = "is over its time limit" if run.why is Why.TIMEOUT else "was asked to stop"
        self._floor.say(
            f"job {run.lease.id} ({run.lease.task}) {what} and cannot be stopped in this pool; it keeps its slot until"
            " it ends by itself. Use --pool process for tasks that may have to be killed.",
            run.lease,
        )

    def jobs(self, ids: frozenset[str], why: Why) -> None:
        """Ask the runs of these jobs to stop."""
        for _, serial in self._of(ids):
            self.run(serial, why)

    def kill(self, ids: frozenset[str]) -> None:
        """End the runs of these jobs at once, where that is possible: an operator wants it so."""
        for child, serial in self._of(ids):
            run = self._runs.of(child, serial)
            if not child.killable:
                self.run(serial, Why.CANCEL)
            elif not run.forced:
                run.why, run.forced = run.why or Why.CANCEL, True
                child.kill()

    def _of(self, ids: frozenset[str]) -> list[tuple[Child, int]]:
        """The process and the serial number of each of these jobs that is here."""
        return [(child, serial) for child in self._children for serial, lease in child.jobs.items() if lease.id in ids]

    def all(self, why: Why) -> None:
        """Ask every run to stop."""
        for child in self._children:
            for serial in list(child.jobs):
                self.run(serial, why)

    def kill_all(self, why: Why) -> None:
        """End every process that runs something at once; ``why`` decides what becomes of the jobs."""
        for child in self._children:
            for serial in child.jobs:
                run = self._runs.of(child, serial)
                # What it is being stopped for already stands.
                run.why = run.why or why
            if child.jobs:
                child.kill()
