"""What the screen shows, folded from what the lines answer. No Textual, no I/O."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from qtool.engine.alerts import Alert, Thresholds, evaluate
from qtool.engine.job import JobInfo
from qtool.engine.states import State
from qtool.engine.value import Value
from qtool.engine.watch import Flow, Sight
from qtool.tui.usage import Usage
from qtool.views.queues import QueueRow
from qtool.views.workers import WorkerRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtool.errors import QtoolError
    from qtool.tui.poller import Answer

STALE = 3.0
"""Seconds without an answer after which what is shown is called old."""

TICKS = "▁▂▃▄▅▆▇█"


class QueueLine(Value):
    """A queue as a line of the screen."""

    row: QueueRow
    flows: tuple[Flow, ...]


class WorkerLine(Value):
    """A worker as a line of the screen."""

    row: WorkerRow
    running: tuple[JobInfo, ...]
    """The longest first."""
    usage: Usage | None
    """None: it is on another host, or gone."""


class Age(Value):
    """How old what is shown is."""

    seconds: float | None
    """None: there is nothing yet."""
    stale: bool
    reason: str | None
    """Why nothing newer has come."""


class Store:
    """The newest of everything, and how old it is."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self.alerts: tuple[Alert, ...] = ()
        """What is not well."""
        self.begun: tuple[Alert, ...] = ()
        """Those of them that were not there a look before."""
        self._thresholds = thresholds
        self.sight: Sight | None = None
        self.queues: tuple[QueueLine, ...] = ()
        self.workers: tuple[WorkerLine, ...] = ()
        self._asked_at = float("-inf")
        self._fresh_at: float | None = None
        self._error: QtoolError | None = None
        self._failing_since: float | None = None
        self.frozen = False
        """The view is paused: what comes is dropped."""

    def see(self, answer: Answer) -> bool:
        """Fold the answer to "what is there": whether anything is new."""
        if answer.error is not None:
            self._error = answer.error
            if self._failing_since is None:
                self._failing_since = answer.answered_at
            return False
        if answer.asked_at < self._asked_at or self.frozen:
            # Overtaken by a newer one.
            return False
        self._asked_at, self._fresh_at = answer.asked_at, answer.answered_at
        self._error = self._failing_since = None
        sight, usages = answer.value
        self.sight = sight
        self.queues = _queues(sight)
        self.workers = _workers(sight, usages)
        if self._thresholds is not None:
            known = {alert.key for alert in self.alerts}
            self.alerts = evaluate(sight.snapshot, self._thresholds)
            self.begun = tuple(alert for alert in self.alerts if alert.key not in known)
        return True

    @property
    def error(self) -> QtoolError | None:
        """Why nothing newer has come."""
        return self._error

    def age(self, now: float, busy_since: float | None = None) -> Age:
        """How old it is at this monotonic time, on a line that has been waiting for the broker ``busy_since``."""
        seconds = None if self._fresh_at is None else max(0.0, now - self._fresh_at)
        reason = str(self._error) if self._error is not None else None
        if reason is None and busy_since is not None and now - busy_since > STALE:
            reason = f"no answer for {now - busy_since:.0f} s"
        stale = reason is not None or (seconds is not None and seconds > STALE and not self.frozen)
        return Age(seconds, stale, reason)

    def nothing(self, said: str) -> str:
        """What a list says that is empty, and, where the broker does not show everything, why it may be."""
        unseen = self.sight.unseen if self.sight is not None else None
        return f"{said} {unseen}" if unseen else said

    def totals(self) -> Mapping[State, int]:
        """Jobs of all queues by state."""
        totals = dict.fromkeys(State, 0)
        for queue in self.sight.snapshot.queues if self.sight is not None else ():
            for state, count in queue.counts.items():
                totals[state] += count
        return totals


def _queues(sight: Sight) -> tuple[QueueLine, ...]:
    workers = sight.snapshot.workers
    return tuple(
        QueueLine(
            QueueRow.of(stats, sum(not worker.queues or stats.name in worker.queues for worker in workers)),
            sight.flows.get(stats.name, ()),
        )
        for stats in sight.snapshot.queues
    )


def _workers(sight: Sight, usages: Mapping[str, Usage]) -> tuple[WorkerLine, ...]:
    running: dict[str, list[JobInfo]] = defaultdict(list)
    for job in sight.running:
        if job.worker is not None:
            running[job.worker].append(job)
    return tuple(
        WorkerLine(
            WorkerRow.of(info, sight.snapshot.at),
            tuple(sorted(running[info.id], key=lambda job: job.started_at or 0.0)),
            usages.get(info.id),
        )
        for info in sorted(sight.snapshot.workers, key=lambda info: info.id)
    )


def spark(values: tuple[float, ...], width: int) -> str:
    """The last of ``values`` as a line of small bars, ``width`` cells wide; the tallest is as high as a cell."""
    if not values or width < 1:
        return ""
    step = -(-len(values) // width)
    # From the end, so that the newest bar always stands for a full step.
    sums = [sum(values[max(0, end - step) : end]) for end in range(len(values), 0, -step)][::-1]
    most = max(sums)
    if most <= 0:
        return TICKS[0] * len(sums)
    return "".join(TICKS[min(7, int(8 * value / most))] if value > 0 else TICKS[0] for value in sums)
