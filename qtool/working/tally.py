"""Numbers of the jobs that ended at a worker, by queue and task: plain ones, for whoever scrapes them now and then."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from qtool.engine.states import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.job import Settlement

BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Upper ends of the histograms' buckets, in seconds: from a call to half a working day."""

MOST = 1000
"""Pairs of queue and task. Their names come from outside, and a scrape must not grow without end."""

OTHER = ("other", "other")
"""Where pairs beyond that are counted."""

RETURNED = "returned"
"""The outcome of a job that went back with its attempt: snoozed, not started, or stopped with the worker."""


class Histogram:
    """How many values fell under each bound."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds


class Row:
    """The numbers of one queue and task."""

    __slots__ = ("ends", "run", "wait")

    def __init__(self) -> None:
        self.ends: dict[str, int] = {}
        """By outcome."""
        self.run = Histogram()
        self.wait = Histogram()
        """From when the job could have started until it did."""


class Tally:
    """Counts what the broker has stored."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}

    def settled(self, batch: Sequence[Settlement]) -> None:
        """Add a batch."""
        rows = self.rows
        for settlement in batch:
            lease = settlement.lease
            row = rows.get((lease.queue, lease.task)) or self._row(lease.queue, lease.task)
            if settlement.event is Event.SNOOZE:
                row.ends[RETURNED] = row.ends.get(RETURNED, 0) + 1
                continue
            outcome = settlement.state.value
            row.ends[outcome] = row.ends.get(outcome, 0) + 1
            started = settlement.started_at
            row.run.add(max(0.0, settlement.at - started))
            row.wait.add(max(0.0, started - lease.ready_at))

    def _row(self, queue: str, task: str) -> Row:
        key = (queue, task) if len(self.rows) < MOST else OTHER
        return self.rows.setdefault(key, Row())
