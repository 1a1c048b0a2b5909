"""What happens in a broker that keeps no record of it: derived by looking, and honest about what was missed.

::

    events = Events()
    while True:
        news = events.look(adapter.inspector, watch.look(adapter))     # raises BrokerError; the next one goes on

A look costs the same whatever flows: the newest jobs by key, what runs and ran a moment ago, the newest of those that
ended. Where little happens that is everything; where much happens it is a sample, and :class:`News` says of how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from qtool.engine.broker import WorkerInfo
from qtool.engine.codec import encode_body
from qtool.engine.filter import parse
from qtool.engine.job import NOTHING, Failure, JobInfo
from qtool.engine.states import FINAL, State
from qtool.engine.value import Value
from qtool.errors import QtoolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qtool.engine.broker import Inspector
    from qtool.engine.watch import Sight

NEWEST = 40
"""Jobs looked at among the newest, and among those that ended in trouble."""
DONE = 20
"""Jobs looked at among those that succeeded."""
FOLLOWED = 60
"""Jobs that ran a moment ago of which a look asks what has become."""
FIRST = 50
"""Of what had happened before the first look, so much is told."""
GAP = 5.0
"""Seconds without a look after which it is said that something may have been missed."""
KNOWN = 20_000
"""Occurrences that are remembered, so as not to be told again."""
LONGEST = 500
"""Characters of arguments and of an error that are kept."""

_SLACK = 2.0
"""Seconds: what has happened may be stored that much later."""
_MEASURED = 5
"""Complete seconds over which what was seen is compared with the counters."""


class Kind(StrEnum):
    """What happened."""

    ENQUEUED = "enqueued"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    RETRY = "retry"
    AGAIN = "run again"
    """Somebody retried by hand what had ended."""
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    WORKER_CAME = "worker came"
    WORKER_STOPPING = "worker stopping"
    WORKER_GONE = "worker gone"
    PAUSED = "paused"
    RESUMED = "resumed"
    MISSED = "not watched"
    """Nobody looked for a while."""


_ENDS = {
    State.SUCCEEDED: Kind.SUCCEEDED,
    State.DEAD: Kind.DEAD,
    State.CANCELLED: Kind.CANCELLED,
    State.EXPIRED: Kind.EXPIRED,
}


_TURN = {Kind.ENQUEUED: 0, Kind.AGAIN: 0, Kind.STARTED: 1}
"""Which comes first of what happened at the same instant."""


class Occurrence(Value, kw_only=True):
    """One thing that happened."""

    key: str
    """Which no other has."""
    at: float
    """Wall time."""
    kind: Kind
    job: JobInfo | None = None
    """As it was when it was looked at, in the state that this brought it to; long arguments are left out."""
    worker: WorkerInfo | None = None
    queue: str | None = None
    seconds: float = 0.0
    """How long nobody looked."""


class News(Value):
    """What one look brought."""

    occurrences: tuple[Occurrence, ...]
    """The oldest first."""
    seen: float
    """Enqueued and ended jobs a second among what was seen lately."""
    real: float
    """How many there were by the counters."""

    @property
    def sampled(self) -> bool:
        """Not everything was seen."""
        return self.seen < self.real


class _Jobs(Value):
    """What a look has asked of jobs."""

    jobs: tuple[JobInfo, ...]
    fresh: Set[str]
    """Ids of those enqueued since the last look."""
    retried: Mapping[str, float]
    """When the last attempt of those that wait for another one failed."""
    newest: int
    """The greatest key."""
    ended: Set[str]
    """Ids of the newest that have ended, or wait for another attempt."""


class Events:
    """Looks again and again; used by one thread at a time."""

    def __init__(self) -> None:
        self._trouble = parse("state:dead,cancelled,expired,retry")
        self._done = parse("state:succeeded")
        self._told: dict[str, None] = {}
        self._looked_at: float | None = None
        self._since = 0.0
        """When the unbroken looking began."""
        self._newest = -1
        self._running: dict[str, JobInfo] = {}
        self._ended: Set[str] = frozenset()
        self._workers: Mapping[str, WorkerInfo] = {}
        self._paused: frozenset[str] = frozenset()
        self._counts: object = None
        self._seconds: dict[int, int] = {}
        """Enqueued and ended jobs that were seen, by second."""

    def look(self, inspector: Inspector, sight: Sight) -> News:
        """What has happened since the last look. Raises BrokerError: nothing is lost then."""
        now, before = sight.snapshot.at, self._looked_at
        # All questions come first: one that fails leaves everything to the next look.
        jobs = self._ask(inspector, sight) if self._moves(sight) else None
        found: list[Occurrence] = []
        if before is None or not 0.0 <= now - before <= GAP:
            self._since = now
        if before is not None and now - before > GAP:
            found.append(Occurrence(key=f"missed:{now}", at=before, kind=Kind.MISSED, seconds=now - before))
        found += self._of_workers(sight, first=before is None)
        found += self._of_queues(sight, first=before is None)
        if jobs is not None:
            of_jobs = sorted(self._of_jobs(jobs, sight), key=lambda each: (each.at, _TURN.get(each.kind, 2)))
            found += of_jobs if before is not None else of_jobs[-FIRST:]
        self._looked_at = now
        found.sort(key=lambda each: each.at)
        return News(tuple(found), *self._rates(sight))

    # --- jobs ----------------------------------------------------------------------------------------

    def _moves(self, sight: Sight) -> bool:
        """Whether anything can have happened to a job: counters stand still where nothing does."""
        return (
            _counts(sight) != self._counts
            or any(flow.enqueued or flow.ended for flows in sight.flows.values() for flow in flows[-3:])
            or _attempts(sight.running) != _attempts(self._running.values())
        )

    def _ask(self, inspector: Inspector, sight: Sight) -> _Jobs:
        newest = inspector.browse(None, limit=NEWEST)
        running = {job.id for job in sight.running}
        over = [id for id in self._running if id not in running][:FOLLOWED]
        newest_ended = [
            *inspector.browse(self._trouble, limit=NEWEST).jobs,
            *inspector.browse(self._done, limit=DONE).jobs,
        ]
        # What had ended and has not any more was retried.
        there = {job.id for job in newest_ended}
        over += [id for id in self._ended if id not in there and id not in running]
        ended = [*(job for job in inspector.get(over) if job is not None), *newest_ended]
        jobs = {job.id: job for job in (*sight.running[::-1], *newest.jobs[::-1], *ended[::-1])}
        retried: dict[str, float] = {}
        for job in jobs.values():
            if job.state is State.RETRY and _key(job, Kind.RETRY) not in self._told:
                # Only its attempts say when it was.
                for attempt in inspector.attempts(job.id)[-1:]:
                    retried[job.id] = attempt.finished_at
        fresh = {job.id for job, key in zip(newest.jobs, newest.keys, strict=True) if key > self._newest}
        return _Jobs(tuple(jobs.values()), fresh, retried, max([self._newest, *newest.keys]), there)

    def _of_jobs(self, jobs: _Jobs, sight: Sight) -> Iterator[Occurrence]:
        since = self._looked_at - _SLACK if self._looked_at is not None else 0.0
        for job in jobs.jobs:
            had_ended = any(f"{job.id}:{kind}:{_starts_before(job)}" in self._told for kind in _ENDS.values())
            for kind, at in _story(job, had_ended=had_ended):
                if kind is Kind.ENQUEUED and job.id in jobs.fresh:
                    # A job that was created long ago elsewhere is enqueued now.
                    yield from self._tell(job, kind, at if at > since else sight.snapshot.at)
                elif at > since:
                    yield from self._tell(job, kind, at)
            if job.id in jobs.retried:
                yield from self._tell(job, Kind.RETRY, jobs.retried[job.id], silent=jobs.retried[job.id] <= since)
        self._newest, self._ended = jobs.newest, jobs.ended
        self._running = {job.id: job for job in sight.running}
        self._counts = _counts(sight)

    def _tell(self, job: JobInfo, kind: Kind, at: float, *, silent: bool = False) -> Iterable[Occurrence]:
        key = _key(job, kind)
        if key in self._told:
            return ()
        self._told[key] = None
        while len(self._told) > KNOWN:
            del self._told[next(iter(self._told))]
        if silent:
            return ()
        if kind not in (Kind.STARTED, Kind.RETRY, Kind.AGAIN):
            self._seconds[int(at)] = self._seconds.get(int(at), 0) + 1
        return (Occurrence(key=key, at=at, kind=kind, job=_slim(job, kind)),)

    # --- workers and queues --------------------------------------------------------------------------

    def _of_workers(self, sight: Sight, *, first: bool) -> Iterator[Occurrence]:
        now = sight.snapshot.at
        before, self._workers = self._workers, {worker.id: worker for worker in sight.snapshot.workers}
        if first:
            return
        for id, worker in self._workers.items():
            known = before.get(id)
            if known is None:
                yield _of_worker(worker, Kind.WORKER_CAME, now)
            for kind, new, old in (
                (Kind.WORKER_STOPPING, worker.stopping, known is not None and known.stopping),
                (Kind.WORKER_GONE, worker.gone, known is not None and known.gone),
            ):
                if new and not old:
                    yield _of_worker(worker, kind, now)
        for id, worker in before.items():
            if id not in self._workers and not worker.gone:
                yield _of_worker(worker, Kind.WORKER_GONE, now)

    def _of_queues(self, sight: Sight, *, first: bool) -> Iterator[Occurrence]:
        now = sight.snapshot.at
        before, self._paused = self._paused, frozenset(each.name for each in sight.snapshot.queues if each.paused)
        if first:
            return
        for kind, names in ((Kind.PAUSED, self._paused - before), (Kind.RESUMED, before - self._paused)):
            for name in sorted(names):
                yield Occurrence(key=f"{kind}:{name}:{now}", at=now, kind=kind, queue=name)

    # --- how much of it ------------------------------------------------------------------------------

    def _rates(self, sight: Sight) -> tuple[float, float]:
        """Seen, and real, a second; over the last complete seconds since which it was looked without a break."""
        last = int(sight.snapshot.at)
        for second in [each for each in self._seconds if each < last - 60]:
            del self._seconds[second]
        until = last - int(_SLACK)
        start = max(until - _MEASURED, int(self._since) + 1)
        if start >= until:
            return 0.0, 0.0
        # The last of a queue's flows is that of the second before this one.
        places = slice(start - last, until - last)
        real = sum(flow.enqueued + flow.ended for flows in sight.flows.values() for flow in flows[places])
        seen = sum(self._seconds.get(second, 0) for second in range(start, until))
        return min(seen, real) / (until - start), real / (until - start)


def _story(job: JobInfo, *, had_ended: bool) -> Iterator[tuple[Kind, float]]:
    """What a job tells of itself, with the time of each. ``had_ended``: it was seen to, before its last start."""
    if job.created_at is not None:
        yield Kind.ENQUEUED, job.created_at
    # Only an operator's retry forgives all failures and keeps the starts.
    forgiven = _starts_before(job) > 0 and not job.failures and not job.crashes
    if job.ready_at is not None and job.state not in _NOT_YET and (had_ended or forgiven):
        yield Kind.AGAIN, job.ready_at
    if job.started_at is not None:
        yield Kind.STARTED, job.started_at
    if job.state in FINAL and job.finished_at is not None:
        yield _ENDS[job.state], job.finished_at


_NOT_YET = (State.WAITING, State.SCHEDULED, State.CANCELLED, State.EXPIRED)
"""Of a job that stands here it is not told when it became ready last, or for what."""


def _starts_before(job: JobInfo) -> int:
    """How many times the job had been started when it became ready last."""
    return job.attempt if job.state is State.READY else job.attempt - 1


def _counts(sight: Sight) -> list[tuple[str, dict[State, int]]]:
    return [(queue.name, dict(queue.counts)) for queue in sight.snapshot.queues]


def _attempts(jobs: Iterable[JobInfo]) -> dict[str, int]:
    return {job.id: job.attempt for job in jobs}


def _after(job: JobInfo, kind: Kind) -> State:
    """The state in which the job was then."""
    if kind is Kind.STARTED:
        return State.RUNNING
    if kind is Kind.AGAIN or (kind is Kind.ENQUEUED and job.state not in (State.WAITING, State.SCHEDULED)):
        return State.READY
    return job.state


def _slim(job: JobInfo, kind: Kind) -> JobInfo:
    """The job as it was then, small enough to keep thousands of them."""
    small = _is_small(job)
    error = job.error if kind in (Kind.DEAD, Kind.RETRY) else None
    return replace(
        job,
        state=_after(job, kind),
        args=job.args if small else ("…",),
        kwargs=job.kwargs if small else NOTHING,
        error=Failure(type=error.type, message=error.message[:LONGEST]) if error is not None else None,
    )


def _is_small(job: JobInfo) -> bool:
    try:
        return len(encode_body(job.args, job.kwargs)) <= LONGEST
    except QtoolError:
        # What a foreign producer wrote may be read and yet not be written, such as NaN.
        return False


def _key(job: JobInfo, kind: Kind) -> str:
    number = 0 if kind is Kind.ENQUEUED else _starts_before(job) if kind is Kind.AGAIN else job.attempt
    return f"{job.id}:{kind}:{number}"


def _of_worker(worker: WorkerInfo, kind: Kind, now: float) -> Occurrence:
    return Occurrence(key=f"{worker.id}:{kind}", at=now, kind=kind, worker=worker)
