"""Moving jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.broker import LEASE_SECONDS, Maintenance, Receipt, Renewal
from qtool.engine.brokers.memory.store import Presence, Row, Store, encoded
from qtool.engine.job import Attempt, Failure, Job, Lease, Report, Settlement
from qtool.engine.policy import tries_again
from qtool.engine.states import FINAL, Event, Reason, State, allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.broker import Bell, Slate, Topic, WorkerInfo


class MemoryBroker:
    """See :class:`qtool.engine.broker.Broker`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def enqueue(self, jobs: Sequence[Job]) -> Receipt:
        store = self._store
        # Encoded first: a job that cannot be stored leaves the whole batch out.
        texts = [encoded(job) for job in jobs]
        ids: list[str] = []
        existing: set[str] = set()
        with store.lock:
            now = store.clock.now()
            for job, body, options in texts:
                holder = store.by_id.get(job.id)
                if holder is None and job.unique is not None:
                    holder = store.holders.get(job.unique)
                if holder is None:
                    holder = store.add(job, body, options, now)
                else:
                    existing.add(holder.job.id)
                ids.append(holder.job.id)
            if len(existing) < len(ids):
                # Also for scheduled ones: a worker asleep until the next due job may have to rise earlier.
                store.bells.ring("ready")
        return Receipt(tuple(ids), frozenset(existing))

    def claim(self, worker: str, queues: Sequence[str], count: int, lease: float = LEASE_SECONDS) -> list[Lease]:
        store = self._store
        with store.lock:
            now = store.clock.now()
            store.upkeep(now)
            names = [name for name in (queues or sorted(store.ready)) if name not in store.paused]
            rows = self._take(list(dict.fromkeys(names)), count, worker, now)
            if rows and worker not in store.workers:
                store.workers[worker] = Presence(store.clock.monotonic(), lease)
            return [row.lease() for row in rows]

    def _take(self, names: list[str], count: int, worker: str, now: float) -> list[Row]:
        """Start up to ``count`` ready rows: one of each queue in turn, beginning one queue later each time."""
        store = self._store
        taken: list[Row] = []
        if names:
            start = store.turn % len(names)
            store.turn += 1
            names = names[start:] + names[:start]
        while names and len(taken) < count:
            for name in list(names):
                free = len(taken) < count and store.limits.opens_in(name) == 0
                row = store.next_ready(name) if free else None
                if row is None:
                    names.remove(name)
                else:
                    # At once: the heap may hold a row twice, and it is the new state that makes its double stale.
                    self._start(row, worker, now)
                    taken.append(row)
        return taken

    def _start(self, row: Row, worker: str, now: float) -> None:
        assert row.ready_at is not None
        self._store.tally(row.job.queue).waited(now - row.ready_at)
        self._store.limits.spend(row)
        self._store.move(row, Event.CLAIM, State.RUNNING, now)
        row.attempt += 1
        row.worker, row.started_at = worker, now
        row.progress = row.message = None

    def settle(self, settlements: Sequence[Settlement]) -> list[State | None]:
        for each in settlements:
            assert each.state in allowed(State.RUNNING, each.event), f"{each.event} does not end in {each.state}"
        with self._store.lock:
            return [self._settle(each) for each in settlements]

    def _settle(self, settled: Settlement) -> State | None:
        store = self._store
        row = store.held(settled.lease)
        if row is None:
            return None
        row.started_at = settled.started_at
        row.keep_output(settled.output)
        if settled.event is Event.SNOOZE:
            # Behind what is ready already: a job that snoozes for no time does not keep others from running.
            self._give_back(row, settled.state, settled.at, settled.due_at, ready_at=settled.at)
            return row.state
        store.tally(row.job.queue).ran(settled.at - settled.started_at)
        self._end(row, settled)
        return row.state

    def _end(self, row: Row, settled: Settlement) -> None:
        """An attempt ended: keep what became of it."""
        store = self._store
        event, state = settled.event, settled.state
        if row.cancel and state not in FINAL:
            # It was asked to stop: it does not run again.
            event, state = Event.CANCEL, State.CANCELLED
        if settled.event is not Event.CANCEL:
            row.error = settled.failure
        row.reason = settled.reason if state is State.DEAD else None
        row.result = settled.result if state is State.SUCCEEDED else None
        row.failures += settled.event is Event.ERROR
        row.crashes += settled.crash
        if settled.event in (Event.ERROR, Event.LEASE_LOST):
            self._keep_attempt(row, settled, state)
        store.move(row, event, state, settled.at, due_at=settled.due_at)
        if state in FINAL:
            store.bells.ring("finished")
        else:
            store.bells.ring("ready")

    def _keep_attempt(self, row: Row, settled: Settlement, state: State) -> None:
        assert row.worker is not None
        row.attempts.append(
            Attempt(
                attempt=row.attempt,
                worker=row.worker,
                started_at=settled.started_at,
                finished_at=settled.at,
                event=settled.event,
                state=state,
                error=settled.failure,
            )
        )

    def _give_back(self, row: Row, state: State, now: float, due_at: float | None, *, ready_at: float | None) -> None:
        """As if it had not been started; with the attempt goes its output, since the next one bears its number."""
        store = self._store
        row.output.pop(row.attempt, None)
        row.attempt -= 1
        row.ready_at = ready_at if state is State.READY else None
        if row.cancel:
            store.move(row, Event.CANCEL, State.CANCELLED, now)
            store.bells.ring("finished")
            return
        store.move(row, Event.SNOOZE, state, now, due_at=due_at)
        store.bells.ring("ready")

    def extend(self, worker: WorkerInfo, leases: Sequence[Lease], seconds: float = LEASE_SECONDS) -> Renewal:
        store = self._store
        with store.lock:
            before = store.workers.get(worker.id)
            slots = before.slots if before is not None else None
            store.workers[worker.id] = Presence(store.clock.monotonic(), seconds, worker, slots)
            held = [(lease.id, store.held(lease)) for lease in leases]
            return Renewal(
                lost=frozenset(job for job, row in held if row is None),
                cancelled=frozenset(job for job, row in held if row is not None and row.cancel and not row.kill),
                killed=frozenset(job for job, row in held if row is not None and row.kill),
                slots=slots,
            )

    def report(self, reports: Sequence[Report]) -> None:
        store = self._store
        with store.lock:
            for report in reports:
                row = store.held(report.lease)
                if row is None:
                    continue
                row.progress = report.progress if report.progress is not None else row.progress
                row.message = report.message if report.message is not None else row.message
                row.keep_output(report.output)
                if report.output:
                    store.bells.ring("finished")

    def maintain(self) -> Maintenance:
        store = self._store
        with store.lock:
            now = store.clock.now()
            promoted, expired = store.upkeep(now)
            return Maintenance(promoted, expired, self._rescue(now), store.prune(now), store.next_due())

    def _rescue(self, now: float) -> int:
        """Take back what workers held that have not renewed their lease in time."""
        store = self._store
        clock = store.clock.monotonic()
        gone = {name for name, here in store.workers.items() if clock - here.renewed >= here.lease}
        if not gone:
            return 0
        rows = [row for row in store.rows.values() if row.state is State.RUNNING and row.worker in gone]
        for row in rows:
            assert row.started_at is not None
            dead = not tries_again(row.crashes, row.job.policy)
            lost = Settlement(
                row.lease(),
                Event.LEASE_LOST,
                State.DEAD if dead else State.RETRY,
                now,
                row.started_at,
                due_at=None if dead else now,
                reason=Reason.CRASHED if dead else None,
                failure=Failure(type="WorkerLost", message=f"worker {row.worker} gave no more sign of life"),
                crash=True,
            )
            self._end(row, lost)
        for name in gone:
            del store.workers[name]
        return len(rows)

    def listen(self, topic: Topic) -> Bell:
        with self._store.lock:
            return self._store.bells.hang(topic)

    def slate(self, worker: str, slots: int) -> Slate | None:  # noqa: ARG002 - the protocol's signature
        """None: a dead worker takes this store with it."""
        return None

    def leave(self, worker: str) -> None:
        store = self._store
        with store.lock:
            now = store.clock.now()
            store.workers.pop(worker, None)
            for row in list(store.rows.values()):
                if row.state is State.RUNNING and row.worker == worker:
                    # Back to its old place in the queue: it was only claimed ahead, or stopped for its worker's sake.
                    self._give_back(row, State.READY, now, None, ready_at=row.ready_at)

    def opens_at(self, queues: Sequence[str]) -> float | None:
        store = self._store
        with store.lock:
            names = [name for name in (queues or store.ready) if name not in store.paused]
            waits = [wait for name in names if (wait := store.limits.waits(name)) is not None]
            return store.clock.now() + min(waits) if waits else None
