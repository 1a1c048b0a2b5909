"""Outcomes on their way to the broker: turned into settlements, counted, stored in batches, kept while it cannot."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from qtool.engine.codec import decode_options
from qtool.engine.job import UNSAID, Chunk, Failure, Lease, Outcome, Policy, Settlement, Snooze
from qtool.engine.pipeline import Direct
from qtool.engine.policy import decide
from qtool.engine.states import FINAL, Event, Reason, State
from qtool.engine.worker.options import Listener, Summary, WorkerEvent
from qtool.errors import BrokerError, QtoolError, Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtool.engine.broker import Broker
    from qtool.engine.clock import Clock
    from qtool.engine.pipeline import Answer, Pipeline


REJECTED = (QtoolError, TypeError, ValueError, OverflowError)
"""What an adapter raises that cannot, or will not, store something."""

TRIES = 3
"""Settlements of a batch that may fail one after the other before the rest of it is not tried either."""

LONGEST = 500
"""Characters of a refusal that are kept."""


class Fate(StrEnum):
    """What became of a claimed job that did not end at this worker, or not as its run did."""

    UNSTARTED = "unstarted"
    """Given back before it had started."""
    STOPPED = "stopped"
    """Stopped for the worker's sake, and given back."""
    KILLED = "killed"
    """Killed for the worker's end, and given back."""
    SNOOZED = "snoozed"
    """It put itself off."""
    CANCELLED = "cancelled"
    """Asked to stop, it ended as something that would run again, which it does not."""


class Outbox:
    """What has ended and is not stored yet."""

    def __init__(self, broker: Broker, clock: Clock, random: Callable[[], float], listener: Listener) -> None:
        self._broker = broker
        self.pipeline: Pipeline = Direct(broker)
        """By which outcomes go out; each that is refused goes alone, and is waited for."""
        self._clock = clock
        self._random = random
        self._listener = listener
        self._started = clock.monotonic()
        self.waiting: list[Settlement] = []
        self._underway: deque[tuple[list[Settlement], Answer[list[State | None]]]] = deque()
        """Sent, and not known to be stored."""
        self.claimed = 0
        """Every one of them is in one of the counts below in the end."""
        self.counts = dict.fromkeys(State, 0)
        """How many runs led to each state; what was given back is among the fates."""
        self.fates = dict.fromkeys(Fate, 0)
        self._fates: dict[tuple[int, int], Fate] = {}
        """Of what waits, by the lease's key and token."""
        self.late = 0
        """Outcomes of runs whose lease was lost: refused by the broker, or known before they got there."""
        self.batches = 0
        """How many times outcomes were stored."""
        self.watchers: Sequence[Callable[[list[Settlement]], None]] = ()
        """Called with the outcomes that were stored."""
        self.events: list[WorkerEvent] | None = [] if listener.wants_events else None

    def done(
        self,
        lease: Lease,
        started: float,
        ended: float,
        result: str | Literal[False] | None,
        output: tuple[Chunk, ...] = (),
    ) -> None:
        """The run succeeded; a ``result`` of False is not to be kept. Called for every job: it does no more than it
        must.
        """
        self.waiting.append(
            Settlement(lease, Event.SUCCESS, State.SUCCEEDED, ended, started, result, output=output)
            if result is not False
            else Settlement(lease, Event.SUCCESS, State.SUCCEEDED, ended, started, output=output, kept=False)
        )

    def end(
        self,
        lease: Lease,
        outcome: Outcome,
        task_policy: Policy = UNSAID,
        started: float | None = None,
        output: tuple[Chunk, ...] = (),
        fate: Fate | None = None,
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
        if fate is None and settlement.event is Event.SNOOZE:
            fate = Fate.SNOOZED
        if fate is not None and settlement.state not in FINAL:
            self._fates[lease.key, lease.token] = fate
        return settlement

    def give_back(self, lease: Lease) -> None:
        """The job was claimed and will not be started here."""
        self.end(lease, Snooze(), fate=Fate.UNSTARTED)

    def started(self, lease: Lease, at: float) -> None:
        """News for the listener only."""
        if self.events is not None:
            self.events.append(_event(lease, at, "started"))

    @property
    def empty(self) -> bool:
        """Whether everything that ended is stored."""
        return not self.waiting and not self._underway

    def leases(self) -> list[Lease]:
        """Those of everything that ended and is not known to be stored."""
        return [settlement.lease for batch in (*self._sent(), self.waiting) for settlement in batch]

    def sent(self) -> set[str]:
        """The ids of the jobs whose outcomes were sent, and are not known to be stored."""
        return {settlement.lease.id for batch in self._sent() for settlement in batch}

    def _sent(self) -> list[list[Settlement]]:
        return [batch for batch, _ in self._underway]

    @property
    def underway(self) -> int:
        """Batches that were sent and are not known to be stored."""
        return len(self._underway)

    @property
    def answered(self) -> bool:
        """Whether there is something to collect."""
        return bool(self._underway) and self._underway[0][1].here

    def flush(self) -> float | None:
        """Send everything that waits, and :meth:`collect`. Raises BrokerError: what could not be sent still waits."""
        batch = self.waiting
        try:
            answer = self.pipeline.settle(batch)
        except REJECTED as error:
            if not _may_be_one_jobs(error):
                raise
            return self._flush_apart()
        self.waiting = []
        self._underway.append((batch, answer))
        return self.collect()

    def collect(self) -> float | None:
        """Take in what was stored: when the first of it will be due again, if any will.

        Raises BrokerError: what could not be stored waits again.
        """
        due: list[float | None] = []
        while self.answered:
            batch, answer = self._underway.popleft()
            try:
                ends = answer.take()
            except REJECTED as error:
                self.waiting[:0] = batch
                if not _may_be_one_jobs(error):
                    raise
                due.append(self._flush_apart())
            else:
                due.append(self._stored(batch, ends))
        return _first(due)

    def _flush_apart(self) -> float | None:
        """Something among what waits cannot be stored at all: it must not hold up the rest, and its job is dead."""
        batch, self.waiting = self.waiting, []
        due: list[float | None] = []
        trouble: Exception | None = None
        for index, settlement in enumerate(batch):
            try:
                due.append(self._store_alone(settlement))
            except REJECTED as error:
                trouble = error
                self.waiting.append(settlement)
                if not _may_be_one_jobs(error) or (len(self.waiting) >= TRIES and not due):
                    self.waiting += batch[index + 1 :]
                    break
        if trouble is not None:
            raise trouble
        return _first(due)

    def _store_alone(self, settlement: Settlement) -> float | None:
        try:
            ends = self._broker.settle([settlement])
        except REJECTED as error:
            if not _may_be_one_jobs(error):
                raise
            why = str(error).encode("ascii", "backslashreplace").decode()[:LONGEST]
            failure = Failure(type="NotStored", message=f"what it ended as could not be stored: {why}")
            lease = settlement.lease
            settlement = Settlement(
                lease,
                Event.ERROR,
                State.DEAD,
                settlement.at,
                settlement.started_at,
                reason=Reason.FAILED,
                failure=failure,
            )
            # If not even this can be stored, it is the broker that fails.
            ends = self._broker.settle([settlement])
            self._listener.say(f"job {lease.id} ({lease.task}) is dead: {failure.message}", lease)
        return self._stored([settlement], ends)

    def _stored(self, batch: list[Settlement], ends: list[State | None]) -> float | None:
        """Count what the broker has taken; when the first of it will be due again, if any will."""
        self.batches += 1
        if ends != [settlement.state for settlement in batch]:
            batch = self._as_it_stands(batch, ends)
        others = [settlement for settlement in batch if settlement.event is not Event.SUCCESS]
        self.counts[State.SUCCEEDED] += len(batch) - len(others)
        for settlement in others:
            fate = self._fates.pop((settlement.lease.key, settlement.lease.token), None) if self._fates else None
            if fate is None or settlement.state in FINAL:
                self.counts[settlement.state] += 1
            else:
                self.fates[fate] += 1
        if self.events is not None:
            self.events += map(ended, batch)
        for watch in self.watchers:
            watch(batch)
        return min((due for settlement in others if (due := _due(settlement)) is not None), default=None)

    def _as_it_stands(self, batch: list[Settlement], ends: list[State | None]) -> list[Settlement]:
        """Without what came too late, and with those cancelled that somebody asked to stop before this worker knew."""
        from dataclasses import replace

        standing = []
        for settlement, end in zip(batch, ends, strict=True):
            if end is None:
                self.late += 1
                self._fates.pop((settlement.lease.key, settlement.lease.token), None)
            else:
                same = end is settlement.state
                standing.append(settlement if same else replace(settlement, state=end, due_at=None))
        return standing

    def tell(self) -> None:
        """Hand the events to the listener."""
        if self.events:
            batch, self.events = self.events, []
            self._listener.events(batch)

    def summary(self, *, running: int = 0) -> Summary:
        """What was done so far."""
        counts, fates = self.counts, self.fates
        return Summary(
            claimed=self.claimed,
            succeeded=counts[State.SUCCEEDED],
            dead=counts[State.DEAD],
            retried=counts[State.RETRY],
            cancelled=counts[State.CANCELLED] + fates[Fate.CANCELLED],
            snoozed=fates[Fate.SNOOZED],
            unstarted=fates[Fate.UNSTARTED],
            stopped=fates[Fate.STOPPED],
            killed=fates[Fate.KILLED],
            late=self.late,
            running=running,
            seconds=self._clock.monotonic() - self._started,
            abandoned=len(self.leases()),
        )


def _first(due: list[float | None]) -> float | None:
    return min((each for each in due if each is not None), default=None)


def _may_be_one_jobs(error: Exception) -> bool:
    """Whether a refusal may be for what one job ended as: the kinds of BrokerError are for trouble of the broker's."""
    return type(error) is BrokerError or not isinstance(error, BrokerError)


def _due(settlement: Settlement) -> float | None:
    """When the job is ready again; None if it never will be."""
    return settlement.at if settlement.state is State.READY else settlement.due_at


def _event(lease: Lease, at: float, kind: str) -> WorkerEvent:
    return WorkerEvent(at=at, kind=kind, id=lease.id, task=lease.task, queue=lease.queue, attempt=lease.attempt)


def ended(settlement: Settlement) -> WorkerEvent:
    """The event that an attempt has ended."""
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
        reason=settlement.reason,
    )
