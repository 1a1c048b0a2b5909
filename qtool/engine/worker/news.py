"""Progress and output of running jobs, on their way to the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.worker.runs import Run, Why
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtool.engine.broker import Broker
    from qtool.engine.job import Report
    from qtool.engine.worker.health import Health
    from qtool.engine.worker.reactor import Reactor

EVERY = 0.2
"""Seconds between two reports of progress and output."""


class News:
    """Gathers what is new of runs, and reports it a few times a second; what soon ends is settled with it instead."""

    def __init__(self, broker: Broker, reactor: Reactor, health: Health) -> None:
        self._broker = broker
        self._reactor = reactor
        self._health = health
        self._runs: list[Run] = []
        self.watchers: Sequence[Callable[[list[Report]], None]] = ()
        """Called with what is reported."""

    def add(self, run: Run) -> None:
        """The run has something to report."""
        if not run.unreported:
            run.unreported = True
            if not self._runs:
                self._reactor.after(EVERY, self._report)
            self._runs.append(run)

    def _report(self) -> None:
        if self._health.resting:
            self._reactor.at(self._health.retry_at, self._report)
            return
        runs, self._runs = self._runs, []
        reports = [run.report() for run in runs if run.unreported and run.why is not Why.LOST and not run.over]
        if reports:
            for watch in self.watchers:
                watch(reports)
            try:
                self._broker.report(reports)
            except BrokerError as error:
                # News, not outcomes: what could not be stored now is left out.
                self._health.failed(error)
