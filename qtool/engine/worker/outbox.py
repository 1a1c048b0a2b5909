"""Outcomes on their way to the broker: turned into settlements, counted, stored in batches, kept while it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.codec import decode_options
from qtool.engine.job import UNSAID, Chunk, Lease, Outcome, Policy, Settlement, Snooze
from qtool.engine.policy import decide
from qtool.engine.states import Event, State
from qtool.engine.worker.options import Listener, Summary, WorkerEvent
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Broker
    from qtool.engine.clock import Clock


class Outbox:
    """What has ended and is not stored yet."""

    def __init__(self, broker: Broker, clock: Clock, random: Callable[[], float], listener: Listener) -> None:
        self._broker = broker
        self._clock = clock
        self._random = random
        self._listener = listener
        self._started = clock.monotonic()
        self.waiting: list[Settlement] = []
        self.counts = dict.fromkeys(State, 0)
        """How many settlements led to each state."""
        self.late = 0
        """Outcomes of runs whose lease was lost: refused by the broker, or known before they got there."""
        self.killed = 0
        """Runs that had to be killed for the worker to end."""
        self.events: list[WorkerEvent] | None = [] if listener.wants_events else None

    def done(
        self, lease: Lease, started: float, ended: float, result: str | None, output: tuple[Chunk, ...] = ()
    ) -> None:
        """The run succeeded. Called for every job: it does no more than it must."""
        self.waiting.append(Settlement(lease, Event.SUCCESS, State.SUCCEEDED, ended, started, result, output=output))

    def end(
        self,
        lease: Lease,
        outcome: Outcome,
        task_policy: Policy = UNSAID,
        started: float | None = None,
        output: tuple[Chunk, ...] = (),
    ) -> Settlement:
        """The run ended otherwise, or anyhow; the job's own policy goes over its task's."""
        now = self._clock.now()
        policy = task_policy
        if lease.options is not None:
            try:
                policy = decode_options(lease.options)[0].over(task_policy)
            except Undecodable:
                # Its outcome says so already.
                policy = task_policy
        settlement = decide(
            lease,
            outcome,
            policy,
            started_at=started if started is not None else now,
            now=now,
            random=self._random,
            output=output,
        )
        self.waiting.append(settlement)
        return settlement

    def give_back(self, lease: Lease) -> None:
        """The job was claimed and will not be started here."""
        self.end(lease, Snooze())

    def started(self, lease: Lease, at: float) -> None:
        """News for the listener only."""
        if self.events is not None:
            self.events.append(_event(lease, at, "started"))

    def flush(self) -> float | None:
        """Store everything that waits; when the first of it will be due again, if any will. Raises BrokerError.

        When it raises, everything still waits.
        """
        batch = self.waiting
        applied = self._broker.settle(batch)
        self.waiting = []
        if not all(applied):
            self.late += applied.count(False)
            batch = [settlement for settlement, stands in zip(batch, applied, strict=True) if stands]
        others = [settlement for settlement in batch if settlement.event is not Event.SUCCESS]
        self.counts[State.SUCCEEDED] += len(batch) - len(others)
        for settlement in others:
            self.counts[settlement.state] += 1
        if self.events is not None:
            self.events += map(_ended, batch)
        return min((due for settlement in others if (due := _due(settlement)) is not None), default=None)

    def tell(self) -> None:
        """Hand the events to the listener."""
        if self.events:
            batch, self.events = self.events, []
            self._listener.events(batch)

    def summary(self, *, running: int = 0) -> Summary:
        """What was done so far."""
        counts = self.counts
        return Summary(
            succeeded=counts[State.SUCCEEDED],
            dead=counts[State.DEAD],
            retried=counts[State.RETRY],
            cancelled=counts[State.CANCELLED],
            late=self.late,
            running=running,
            seconds=self._clock.monotonic() - self._started,
            killed=self.killed,
            abandoned=len(self.waiting),
        )


def _due(settlement: Settlement) -> float | None:
    """When the job is ready again; None if it never will be."""
    return settlement.at if settlement.state is State.READY else settlement.due_at


def _event(lease: Lease, at: float, kind: str) -> WorkerEvent:
    return WorkerEvent(at=at, kind=kind, id=lease.id, task=lease.task, queue=lease.queue, attempt=lease.attempt)


def _ended(settlement: Settlement) -> WorkerEvent:
    lease = settlement.lease
    return WorkerEvent(
        at=settlement.at,
        kind=str(settlement.state),
        id=lease.id,
        task=lease.task,
        queue=lease.queue,
        attempt=lease.attempt,
        seconds=max(0.0, settlement.at - settlement.started_at),
        error=str(settlement.failure) if settlement.failure is not None else None,
    )
