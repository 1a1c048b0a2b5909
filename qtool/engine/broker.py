"""The seam between the engine and what stores the queues: six small protocols and their values.

``Broker`` moves jobs, ``Operator`` changes what stands, ``Inspector`` looks without moving, ``ResultStore`` keeps ends
and output, ``Journal`` what people write down, and ``Freight`` (:mod:`qtool.engine.freight`) takes jobs out of a store
and into another. :class:`.Pipeline` has a broker on a network claim and settle without a wait for each answer. An
adapter offers them in one :class:`Adapter`; they differ by :class:`Capabilities`, data that
callers branch on. Every adapter raises only :class:`~qtool.errors.QtoolError`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

from qtool.engine.freight import Freight
from qtool.engine.job import Attempt, Chunk, Job, JobInfo, Lease, Report, Result, Settlement
from qtool.engine.journal import Journal
from qtool.engine.pipeline import Pipeline
from qtool.engine.remote import Remote
from qtool.engine.states import State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from qtool.engine.filter import Filter
    from qtool.engine.limits import Limit, Scope

LEASE_SECONDS = 30.0
"""How long a claim holds without a sign of life from its worker."""


class Capabilities(Value, kw_only=True):
    """What a broker can do; the guarantees are DESIGN's seven, by number, with the reason where one is weakened."""

    name: str
    shared: bool
    """Other processes see the same queues."""
    durable: bool
    """An enqueued job survives the death of every process."""
    priorities: bool = True
    priority_levels: int = 10
    """How many of the ten priorities are told apart, 0 and the largest always; within a level the older goes first."""
    browse: bool = True
    """Jobs can be listed, filtered and acted on by id."""
    peek: Literal["pure", "marks", "reorders", "counts"] = "pure"
    lease: float = LEASE_SECONDS
    """How long a worker's claims hold without a sign of life where nobody says."""
    local_rescue: bool = False
    """A dead worker on this host is noticed at once, not when its lease runs out."""
    network: bool = False
    """Whoever reaches the server can write to it: commands come signed, and run where a worker was told to."""
    dependencies: bool = False
    """Jobs wait for their parents; without it ``parents`` is a note, and a job is ready at once."""
    unseen: str | None = None
    """What happens to its jobs and is not recorded anywhere, in a sentence; None where everything is."""
    weakened: Mapping[int, str] = MappingProxyType({})
    hazards: Sequence[str] = ()
    """Sentences on what is set up so that jobs can be lost, and what to do. Looking may ask the broker: BrokerError."""
    others: Sequence[str] = ()
    """Queues that other programs send jobs to, as far as is known; to look may ask the broker, as with ``hazards``."""


NO_SCHEDULES = "there are no schedules yet"
"""Why nobody can rely on the fifth guarantee so far."""


# --- Broker ------------------------------------------------------------------------------------------


class Receipt(Value):
    """What ``enqueue`` did: an id for each job, in order."""

    ids: tuple[str, ...]
    existing: frozenset[str] = frozenset()
    """Those ids that stood already: the same job id, or the holder of the same unique key. Nothing was added."""


class Renewal(Value):
    """What a worker learns when it extends its leases; all are job ids."""

    lost: frozenset[str] = frozenset()
    """No longer held: stop the run, its outcome will be refused."""
    cancelled: frozenset[str] = frozenset()
    """Asked to stop."""
    killed: frozenset[str] = frozenset()
    """To be killed without being asked."""
    slots: tuple[int, int] | None = None
    """How many slots the worker should have, at least and at most, when somebody has said so from outside."""


class Maintenance(Value):
    """What a round of upkeep did, and when the next one has something to do."""

    promoted: int = 0
    expired: int = 0
    rescued: int = 0
    pruned: int = 0
    next_due: float | None = None
    """Wall time of the next scheduled or retried job."""


class WorkerInfo(Value, kw_only=True):
    """A worker as it describes itself with every heartbeat."""

    id: str
    """New at every start."""
    host: str
    pid: int
    queues: tuple[str, ...]
    """Empty: all of them."""
    pool: str
    slots: int
    """How many jobs it runs at once now."""
    most: int | None = None
    """To how many slots it grows by itself; None if their number is fixed."""
    busy: int
    started_at: float
    seen_at: float
    """The last heartbeat, on the worker's own clock."""
    succeeded: int = 0
    failed: int = 0
    stopping: bool = False
    gone: bool = False
    """It is known to be dead, with all of its processes; what it held has not been taken back yet."""


class Bell(Protocol):
    """Rings when something may have changed; a hint, never the only way to notice."""

    def fileno(self) -> int:
        """Readable while the bell has rung; for ``select``."""
        ...

    def wait(self, timeout: float) -> bool:
        """Whether it rang within ``timeout`` seconds; silences it."""
        ...

    def close(self) -> None: ...


class Slate(Protocol):
    """What a worker's processes really started, readable after their death; see :mod:`qtool.engine.slate`."""

    fd: int
    """Inherited by the worker's children: while any of them lives, the slate is locked."""
    path: str

    def mark(self, slot: int, key: int, token: int) -> None:
        """The job of the lease with this key and token starts in ``slot``."""
        ...

    def close(self) -> None: ...


Topic = Literal["ready", "finished", "control"]
"""Jobs to claim; jobs that ended or were written to; a request to a worker (cancel)."""


class Broker(Protocol):
    """Stores queues and moves jobs. All batches are all or nothing."""

    def enqueue(self, jobs: Sequence[Job]) -> Receipt:
        """Commit and sync the jobs: when this returns they survive a crash. Raises BrokerError and its kin."""
        ...

    def claim(self, worker: str, queues: Sequence[str], count: int, lease: float = LEASE_SECONDS) -> list[Lease]:
        """Take up to ``count`` ready jobs for ``worker``, by priority, then by age.

        ``queues`` empty serves all; several are served in turn. Due jobs become ready and overdue ones expire first;
        paused queues give nothing. No limit is ever exceeded: not the concurrency of a queue or a key (jobs that run,
        their worker alive or not yet known to be dead), not the rate of a queue or a task. A job that its key or its
        task keeps from starting is passed over for those behind it.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> list[State | None]:
        """Apply each: the state that its job is in now; None for one whose lease is no longer held.

        That one changes nothing. A job that was asked to stop is cancelled where it would have run again.
        """
        ...

    def extend(self, worker: WorkerInfo, leases: Sequence[Lease], seconds: float = LEASE_SECONDS) -> Renewal:
        """The heartbeat: renew ``leases`` (all that the worker holds) and its row; the first one introduces it. What
        stands as the worker's beyond them, where a server has lost what it had confirmed, goes back."""
        ...

    def report(self, reports: Sequence[Report]) -> None:
        """Store progress and output of running jobs; what is no longer held is dropped."""
        ...

    def maintain(self) -> Maintenance:
        """Promote what is due, expire what is overdue, take back what dead workers held, prune what is old."""
        ...

    def listen(self, topic: Topic) -> Bell:
        """A bell that other processes ring. Close it when done."""
        ...

    def slate(self, worker: str, slots: int) -> Slate | None:
        """A slate for a worker about to start, where :attr:`Capabilities.local_rescue`; its lock says it lives."""
        ...

    def leave(self, worker: str) -> None:
        """The worker ends: forget it. Whatever it still held goes back as not started."""
        ...

    def opens_at(self, queues: Sequence[str]) -> float | None:
        """The wall time at which a rate lets the next ready job of ``queues`` (of all, when empty) through.

        None when none waits for a rate: whatever else keeps a job from starting rings the bell when it ends.
        """
        ...


# --- Operator ----------------------------------------------------------------------------------------

ASKED_TO_STOP = "asked to stop"
"""The note on the cancelling of a running job: its worker decides."""
TO_BE_KILLED = "to be killed"
"""The note on the killing of a running job: its worker does it."""
CANNOT_STOP = "cannot be stopped: it ignores that it was asked to, or is in a call that does not return"
"""The message that a worker leaves on such a job, in a pool where it cannot be killed."""


class Change(Value):
    """What an operator's verb did to one job."""

    id: str
    before: State | None
    """None: no such job."""
    after: State | None
    """None: gone. The same as before: nothing was changed, ``note`` says why."""
    note: str | None = None

    @property
    def changed(self) -> bool:
        """Whether something happened, or was asked for."""
        return self.before is not None and (self.before is not self.after or self.note in (ASKED_TO_STOP, TO_BE_KILLED))


class Operator(Protocol):
    """Changes that a person makes. Every verb reports on every id, in order."""

    def retry(self, ids: Sequence[str]) -> list[Change]:
        """Final jobs become ready again, with fresh budgets; their history stays."""
        ...

    def cancel(self, ids: Sequence[str]) -> list[Change]:
        """Pending jobs are cancelled; running ones are asked to stop (their worker decides)."""
        ...

    def kill(self, ids: Sequence[str]) -> list[Change]:
        """As :meth:`cancel`, but what runs is killed where its worker can do that."""
        ...

    def delete(self, ids: Sequence[str]) -> list[Change]:
        """Jobs that are not running vanish, with their output and history."""
        ...

    def pause(self, queue: str) -> bool:
        """Nothing more is claimed from the queue; running jobs go on. False if it was paused.

        A queue may be paused before its first job.
        """
        ...

    def resume(self, queue: str) -> bool:
        """Undo :meth:`pause`. False if it was not paused."""
        ...

    def scale(self, worker: str, least: int, most: int) -> bool:
        """Ask a worker, by its id, for so many slots. False if there is no such worker."""
        ...

    def limit(
        self,
        scope: Scope,
        name: str,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        burst: int | None = None,
    ) -> None:
        """Limit a queue or a task, in place of what limited it before and of what the task declares.

        With neither ``concurrency`` nor ``rate`` nothing limits it, whatever the task declares. A queue may be limited
        before its first job. Raises ValueError for what cannot be: see :func:`qtool.engine.limits.check_limit`.
        """
        ...

    def unlimit(self, scope: Scope, name: str) -> bool:
        """Take back what :meth:`limit` said; what a task declares holds again. False if nothing was said."""
        ...

    def declare(self, rates: Mapping[str, float | None]) -> None:
        """What the code of tasks says: starts a second, None for no limit. :meth:`limit` wins over it."""
        ...


# --- Inspector ---------------------------------------------------------------------------------------


class Latency(Value, kw_only=True):
    """How long things took, in seconds, from a histogram with buckets a quarter of a power of two wide."""

    count: int
    mean: float
    p50: float
    p95: float


class QueueStats(Value, kw_only=True):
    """One queue at one instant. Rates are per second over the last minute; latencies over the last ten."""

    name: str
    paused: bool
    counts: Mapping[State, int]
    """Every state, also those with none."""
    held: int
    """Ready jobs that a key or their task's rate holds back."""
    concurrency: int | None
    """How many jobs may run at once; None for any number."""
    rate: float | None
    """How many may start a second; None for any number."""
    oldest_ready_at: float | None
    """Since when the oldest ready job that is not held back could have been started."""
    in_rate: float
    out_rate: float
    failed_rate: float
    wait: Latency | None
    """From ready to started."""
    run: Latency | None
    """From started to ended."""

    @property
    def drain_seconds(self) -> float | None:
        """How long the ready jobs will take at the present rates; None if they do not shrink."""
        ready = self.counts[State.READY]
        if ready == 0:
            return 0.0
        net = self.out_rate - self.in_rate
        return ready / net if net > 0 else None


class Snapshot(Value):
    """Everything at one instant."""

    at: float
    queues: tuple[QueueStats, ...]
    workers: tuple[WorkerInfo, ...]


class Bucket(Value, kw_only=True):
    """What happened in one queue in one span of time."""

    at: float
    """Where the span starts."""
    seconds: int
    """How long it is: 1, 60 or 3600."""
    queue: str
    enqueued: int = 0
    started: int = 0
    succeeded: int = 0
    retried: int = 0
    dead: int = 0
    cancelled: int = 0
    expired: int = 0
    wait: Latency | None = None
    run: Latency | None = None


class Page(Value):
    """A stretch of a listing."""

    jobs: tuple[JobInfo, ...]
    next: int | None
    """Pass as ``after`` for the following page; None at the end."""
    keys: tuple[int, ...]
    """One a job, that it keeps: the greater the newer. ``after`` may be any number beside or between them."""


class Inspector(Protocol):
    """Looks at queues without moving anything."""

    def snapshot(self) -> Snapshot: ...

    def browse(
        self,
        where: Filter | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> Page:
        """Jobs that match, newest first unless asked, by key: its cost does not grow with what lies before."""
        ...

    def count(self, where: Filter | None = None) -> int:
        """How many match. From the counters where the filter names only queues and states."""
        ...

    def get(self, ids: Sequence[str]) -> list[JobInfo | None]: ...

    def find(self, prefix: str) -> str:
        """The one id that begins with ``prefix``. Raises UnknownJob, AmbiguousJob."""
        ...

    def attempts(self, id: str) -> list[Attempt]:
        """The starts that did not succeed, oldest first."""
        ...

    def history(
        self, since: float, until: float, *, seconds: int, queues: Collection[str] = (), together: bool = False
    ) -> list[Bucket]:
        """The rollups between two times, in buckets of at least ``seconds``; oldest first.

        ``together``: one bucket for all the queues instead of one for each; its ``queue`` is empty.
        """
        ...

    def limits(self) -> list[Limit]:
        """Every limit on queues and tasks, by scope and name, with what is in use."""
        ...

    def check(self) -> list[str]:
        """What is wrong with the store, in sentences; empty when it is sound."""
        ...


class ResultStore(Protocol):
    """Keeps what jobs ended as, and what they wrote."""

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        """None for an id that is unknown; an unfinished job has a Result in its present state."""
        ...

    def output(self, id: str, *, attempt: int | None = None, after: int = 0) -> list[Chunk]:
        """Captured output of an attempt (the last by default) from byte ``after`` on; a gap is where it was cut."""
        ...


class Adapter(Value):
    """An open broker: its sides, and how to close it. A context manager."""

    url: str
    """Without password."""
    capabilities: Capabilities
    broker: Broker
    operator: Operator
    inspector: Inspector
    results: ResultStore
    journal: Journal
    close: Callable[[], None]
    freight: Freight | None = None
    """None where jobs cannot be taken out whole."""
    remote: Remote | None = None
    """None where Celery's remote control and events have no way."""
    stream: Callable[[Iterable[Sequence[Job]]], Iterator[Receipt]] | None = None
    """:meth:`Broker.enqueue` for batch after batch: the next is made ready while the broker takes in the last.

    Each receipt comes once its batch is committed. An error in ``batches`` is raised after the receipt of all that was
    sent before it. None where nothing is won by it.
    """
    pipeline: Callable[[], Pipeline] | None = None
    """None where answers are as good as there."""

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
