"""Stopping what runs in the pool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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
        if serial not in child.jobs:
            return
        if child.killable:
            child.kill()
            return
        run = self._runs[serial]
        what = "is over its time limit" if run.why is Why.TIMEOUT else "was asked to stop"
        self._floor.say(
            f"job {run.lease.id} ({run.lease.task}) {what} and cannot be stopped in this pool; it keeps its slot until"
            " it ends by itself. Use --pool process for tasks that may have to be killed."
        )

    def jobs(self, ids: frozenset[str], why: Why) -> None:
        """Ask the runs of these jobs to stop."""
        for child in self._children:
            for serial, lease in list(child.jobs.items()):
                if lease.id in ids:
                    self.run(serial, why)

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
                run.why = why if run.why is not Why.LOST else run.why
            if child.jobs:
                child.kill()
