"""The rows, and the one function through which a row changes its state. Its callers hold :attr:`Store.lock`."""

from __future__ import annotations

import heapq
import threading
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from qtool.engine.brokers.memory.bells import Belfry
from qtool.engine.brokers.memory.limits import Limits
from qtool.engine.codec import decode_body, decode_options, encode_body, encode_options
from qtool.engine.job import Attempt, Chunk, Failure, Job, JobInfo, Lease
from qtool.engine.notes import NOTES_KEEP
from qtool.engine.output import bound
from qtool.engine.rollup import Tally, floor_to, thin
from qtool.engine.states import FINAL, PENDING, Event, Reason, State, allowed

if TYPE_CHECKING:
    from qtool.engine.broker import WorkerInfo
    from qtool.engine.clock import Clock
    from qtool.engine.journal import Note
    from qtool.engine.policy import Retention

COUNTER: dict[State, str] = {
    State.SUCCEEDED: "succeeded",
    State.DEAD: "dead",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "expired",
    State.RETRY: "retried",
    State.RUNNING: "started",
}
"""What the history counts when a job comes into a state."""


@dataclass(slots=True)
class Row:
    """A job and where it stands."""

    key: int
    """Order of enqueueing."""
    job: Job
    body: str
    options: str | None
    state: State
    ready_at: float | None = None
    due_at: float | None = None
    expires_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    token: int | None = None
    worker: str | None = None
    cancel: bool = False
    """Asked to stop while running."""
    kill: bool = False
    """And to be killed."""
    reason: Reason | None = None
    error: Failure | None = None
    result: str | None = None
    progress: float | None = None
    message: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    output: dict[int, list[Chunk]] = field(default_factory=dict)
    """By attempt."""

    def info(self, held: str | None = None) -> JobInfo:
        """How it looks from outside. The arguments went through JSON, as with every other adapter."""
        args, kwargs = decode_body(self.body)
        policy, tags, parents = decode_options(self.options)
        return JobInfo(
            id=self.job.id,
            task=self.job.task,
            queue=self.job.queue,
            state=self.state,
            args=args,
            kwargs=kwargs,
            priority=self.job.priority,
            created_at=self.job.created_at,
            due_at=self.due_at,
            ready_at=self.ready_at,
            expires_at=self.expires_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            attempt=self.attempt,
            failures=self.failures,
            crashes=self.crashes,
            reason=self.reason,
            error=self.error,
            worker=self.worker,
            progress=self.progress,
            message=self.message,
            unique=self.job.unique,
            key=self.job.key,
            key_limit=self.job.key_limit if self.job.key is not None else 1,
            held=held,
            tags=tags,
            parents=parents,
            policy=policy,
        )

    def lease(self) -> Lease:
        """The claim on it; only while it runs."""
        assert self.token is not None
        assert self.ready_at is not None
        return Lease(
            id=self.job.id,
            task=self.job.task,
            queue=self.job.queue,
            token=self.token,
            attempt=self.attempt,
            failures=self.failures,
            crashes=self.crashes,
            body=self.body,
            options=self.options,
            key=self.key,
            ready_at=self.ready_at,
        )

    def keep_output(self, chunks: tuple[Chunk, ...]) -> None:
        """Add to the attempt's output, within the bound."""
        if chunks:
            self.output[self.attempt] = bound([*self.output.get(self.attempt, ()), *chunks])


@dataclass(slots=True)
class Presence:
    """A worker's claim to be alive."""

    renewed: float
    """Monotonic."""
    lease: float
    info: WorkerInfo | None = None
    slots: tuple[int, int] | None = None
    """Asked for from outside."""


class Store:
    """Everything. Heaps and deques may hold stale entries, which are skipped when they come up."""

    def __init__(self, clock: Clock, retention: Retention) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.retention = retention
        self.bells = Belfry()
        self.rows: dict[int, Row] = {}
        self.by_id: dict[str, Row] = {}
        self.holders: dict[str, Row] = {}
        """The unfinished job of each unique key."""
        self.counts: Counter[tuple[str, State]] = Counter()
        self.paused: set[str] = set()
        self.limits = Limits(self)
        self.workers: dict[str, Presence] = {}
        self.tallies: dict[tuple[int, int, str], Tally] = {}
        self.notes: dict[int, Note] = {}
        self.noted = 0
        """The id of the last note."""
        self.ready: dict[str, list[tuple[int, float, int]]] = {}
        """Heaps of (-priority, ready_at, key), by queue."""
        self.finished: dict[State, deque[tuple[float, int]]] = {state: deque() for state in FINAL}
        """(finished_at, key), in order of finishing."""
        self.turn = 0
        """Which queue the next claim begins with."""
        self._due: list[tuple[float, int]] = []
        self._expiry: list[tuple[float, int]] = []
        self._keys = 0
        self._tokens = 0

    def close(self) -> None:
        """Take the bells down; what is stored stays until the adapter is dropped."""
        with self.lock:
            self.bells.close()

    # --- rows ----------------------------------------------------------------------------------------

    def add(self, job: Job, body: str, options: str | None, now: float) -> Row:
        """A new job, scheduled or ready."""
        self._keys += 1
        later = job.run_at is not None and job.run_at > now
        row = Row(self._keys, job, body, options, State.SCHEDULED if later else State.READY, expires_at=job.expires_at)
        self.rows[row.key] = self.by_id[job.id] = row
        if job.unique is not None:
            self.holders[job.unique] = row
        self.counts[job.queue, row.state] += 1
        self.tally(job.queue).count("enqueued")
        self._enter(row, now, job.run_at if later else None)
        return row

    def move(self, row: Row, event: Event, state: State, at: float, *, due_at: float | None = None) -> None:
        """The one place where a job goes from one state to another; ``at`` is when it did."""
        assert state in allowed(row.state, event), f"{row.state} does not become {state} by {event}"
        self.limits.note(row, state)
        self.counts[row.job.queue, row.state] -= 1
        self.counts[row.job.queue, state] += 1
        row.state = state
        row.token = None
        row.due_at = None
        if state in COUNTER:
            self.tally(row.job.queue).count(COUNTER[state])
        if row.job.unique is not None:
            if state not in FINAL:
                self.holders[row.job.unique] = row
            elif self.holders.get(row.job.unique) is row:
                del self.holders[row.job.unique]
        self._enter(row, at, due_at)

    def _enter(self, row: Row, at: float, due_at: float | None) -> None:
        """Put a row where its new state is looked for."""
        row.finished_at = at if row.state in FINAL else None
        if row.state is State.RUNNING:
            self._tokens += 1
            row.token = self._tokens
        elif row.state in (State.SCHEDULED, State.RETRY):
            assert due_at is not None
            row.due_at = due_at
            heapq.heappush(self._due, (due_at, row.key))
        elif row.state is State.READY:
            if row.ready_at is None:
                row.ready_at = at
            heapq.heappush(self.ready.setdefault(row.job.queue, []), (-row.job.priority, row.ready_at, row.key))
        elif row.state in FINAL:
            row.cancel = row.kill = False
            row.progress = None
            self.finished[row.state].append((at, row.key))
        if row.state in PENDING:
            row.progress = None
            if row.expires_at is not None:
                heapq.heappush(self._expiry, (row.expires_at, row.key))

    def drop(self, row: Row) -> None:
        """Forget a job that is not running, with its output and history."""
        self.counts[row.job.queue, row.state] -= 1
        del self.rows[row.key], self.by_id[row.job.id]
        if row.job.unique is not None and self.holders.get(row.job.unique) is row:
            del self.holders[row.job.unique]

    def place(self, row: Row) -> None:
        """Take in a row that comes from elsewhere, in the state that it brings along; its key is new."""
        self._keys += 1
        row.key = self._keys
        self.rows[row.key] = self.by_id[row.job.id] = row
        if row.job.unique is not None and row.state not in FINAL:
            self.holders[row.job.unique] = row
        self.counts[row.job.queue, row.state] += 1
        self._enter(row, row.finished_at or self.clock.now(), row.due_at)
        if row.state in FINAL:
            # In the order of ending: pruning looks at the first only.
            self.finished[row.state] = deque(sorted(self.finished[row.state]))

    def rehome(self, row: Row, queue: str) -> None:
        """Another queue for a job that is not running; it stands there where its age says."""
        before = row.job.queue
        self.counts[before, row.state] -= 1
        self.counts[queue, row.state] += 1
        row.job = replace(row.job, queue=queue)
        if row.state is State.READY:
            self.ready[before] = [entry for entry in self.ready[before] if entry[2] != row.key]
            heapq.heapify(self.ready[before])
            self._enter(row, self.clock.now(), None)

    def held(self, lease: Lease) -> Row | None:
        """The row of a lease that is still good."""
        row = self.rows.get(lease.key)
        return row if row is not None and row.state is State.RUNNING and row.token == lease.token else None

    # --- time ----------------------------------------------------------------------------------------

    def upkeep(self, now: float) -> tuple[int, int]:
        """Make due jobs ready and overdue ones expired; how many of each."""
        promoted = expired = 0
        while self._due and self._due[0][0] <= now:
            due_at, key = heapq.heappop(self._due)
            row = self.rows.get(key)
            if row is not None and row.due_at == due_at:
                row.ready_at = due_at
                self.move(row, Event.DUE, State.READY, now)
                promoted += 1
        while self._expiry and self._expiry[0][0] <= now:
            expires_at, key = heapq.heappop(self._expiry)
            row = self.rows.get(key)
            if row is not None and row.state in PENDING and row.expires_at == expires_at:
                self.move(row, Event.DEADLINE, State.EXPIRED, now)
                expired += 1
        if promoted:
            self.bells.ring("ready")
        if expired:
            self.bells.ring("finished")
        return promoted, expired

    def next_due(self) -> float | None:
        """When the next scheduled or retried job is due."""
        while self._due:
            due_at, key = self._due[0]
            row = self.rows.get(key)
            if row is not None and row.due_at == due_at:
                return due_at
            heapq.heappop(self._due)
        return None

    def next_ready(self, queue: str) -> Row | None:
        """Take the first row off a queue's heap that is ready and that nothing holds back."""
        heap = self.ready.get(queue, [])
        passed = []
        found = None
        while heap and found is None:
            entry = heapq.heappop(heap)
            row = self.rows.get(entry[2])
            if row is not None and row.state is State.READY and row.ready_at == entry[1]:
                if self.limits.holds(row) is None:
                    found = row
                else:
                    passed.append(entry)
        for entry in passed:
            heapq.heappush(heap, entry)
        return found

    def prune(self, now: float) -> int:
        """Forget what the retention keeps no longer, old notes too, and thin the history; how many jobs."""
        pruned = 0
        for state, queue in self.finished.items():
            keep = self.retention.seconds(state)
            while keep is not None and queue and queue[0][0] < now - keep:
                finished_at, key = queue.popleft()
                row = self.rows.get(key)
                if row is not None and row.state is state and row.finished_at == finished_at:
                    self.drop(row)
                    pruned += 1
        self.tallies = {(t.at, t.seconds, t.queue): t for t in thin(self.tallies.values(), now)}
        self.notes = {note.id: note for note in self.notes.values() if note.at >= now - NOTES_KEEP}
        return pruned

    def tally(self, queue: str) -> Tally:
        """What is happening in a queue in this second."""
        key = (floor_to(self.clock.now(), 1), 1, queue)
        if key not in self.tallies:
            self.tallies[key] = Tally(*key)
        return self.tallies[key]


def encoded(job: Job) -> tuple[Job, str, str | None]:
    """A job with its body and options. Raises NotSerialisable, PayloadTooLarge."""
    return job, encode_body(job.args, job.kwargs), encode_options(job)
