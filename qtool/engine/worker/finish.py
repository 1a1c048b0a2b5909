"""When a worker is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.states import State
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from qtool.engine.broker import Inspector
    from qtool.engine.worker.claimer import Claimer
    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.health import Health
    from qtool.engine.worker.options import WorkerOptions
    from qtool.engine.worker.runners import Runners
    from qtool.engine.worker.served import Served
    from qtool.engine.worker.stopping import Stopping

BURST_LOOK = 0.2
"""Seconds between two looks at whether a burst is over."""


class Finish:
    """Knows whether the worker has done all that it was started for, or was told to stop."""

    def __init__(
        self,
        inspector: Inspector,
        options: WorkerOptions,
        served: Served,
        lease: float,
        floor: Floor,
        health: Health,
        claimer: Claimer,
        runners: Runners,
        stopping: Stopping,
    ) -> None:
        self._inspector = inspector
        self._options = options
        self._served = served
        self._lease = lease
        self._floor = floor
        self._health = health
        self._claimer = claimer
        self._runners = runners
        self._stopping = stopping
        self._look_at = 0.0

    def reached(self) -> bool:
        """Whether nothing is left to do."""
        if self._runners.pool.held or self._runners.commands.active or not self._claimer.idle:
            return False
        stopping = self._stopping.stage > 0
        if not self._floor.outbox.empty:
            # With the broker gone for a whole lease, nothing of this can be stored any more.
            since = self._health.failing_since
            return stopping and since is not None and self._floor.clock.monotonic() - since > self._lease
        if stopping or self._claimer.exhausted:
            return True
        return self._options.burst and self._claimer.dry and self._burst_over()

    def _burst_over(self) -> bool:
        """Whether the queues hold nothing ready, running or about to be retried; looked at now and then."""
        now = self._floor.clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + BURST_LOOK
        self._floor.reactor.at(self._look_at, self._claimer.look)
        try:
            queues = self._inspector.snapshot().queues
        except BrokerError as error:
            self._health.failed(error)
            return False
        return not any(
            (not queue.paused and queue.counts[State.READY]) or queue.counts[State.RUNNING] or queue.counts[State.RETRY]
            for queue in queues
            if self._served.include(queue.name)
        )
