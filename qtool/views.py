"""What the commands print: one frozen dataclass a kind of row, and how a table shows it.

The field names are a promise: ``qtool schema`` publishes them. Times are aware and in UTC, spans are seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from qtool.engine.broker import LEASE_SECONDS, Bucket, Change, QueueStats, WorkerInfo
from qtool.engine.job import Attempt, Failure, JobInfo
from qtool.engine.states import Reason, State
from qtool.engine.times import format_duration
from qtool.output import to_json
from qtool.tables import Column, Table

NONE = "·"
"""Stands for zero and for nothing in columns of numbers, so that what is there stands out."""


def moment(at: float | None) -> datetime | None:
    """A time for machines: aware, in UTC; None also where no calendar reaches."""
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def sure_moment(at: float) -> datetime:
    """:func:`moment` of a time that is there."""
    return datetime.fromtimestamp(at, UTC)


def ago(at: datetime | None) -> str:
    """A time for people: ``3m12s ago``, ``in 5m00s``, or nothing."""
    if at is None:
        return ""
    seconds = time.time() - at.timestamp()
    return f"{format_duration(seconds)} ago" if seconds >= 0 else f"in {format_duration(-seconds)}"


def age(at: datetime | None) -> str:
    """How old, without the word."""
    return NONE if at is None else format_duration(max(time.time() - at.timestamp(), 0.0))


def number(value: float) -> str:
    """A count, in thousands."""
    return f"{value:,}" if value else NONE


def rate(value: float) -> str:
    """A rate per second."""
    if not value:
        return NONE
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def span(seconds: float | None) -> str:
    """A duration, to the unit that matters."""
    return format_duration(seconds) if seconds else NONE


def always(style: str) -> Callable[[Any], str]:
    """The same style for every row."""
    return lambda _row: style


STYLES: Mapping[str, str] = {
    "waiting": "dim",
    "scheduled": "blue",
    "ready": "",
    "running": "cyan",
    "retry": "yellow",
    "succeeded": "green",
    "dead": "red",
    "cancelled": "dim",
    "expired": "dim",
}


# --- queues ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue at one instant. Rates are per second over the last minute, latencies in seconds over the last ten."""

    queue: str
    paused: bool
    waiting: int
    scheduled: int
    ready: int
    running: int
    retry: int
    succeeded: int
    dead: int
    cancelled: int
    expired: int
    oldest_ready_at: datetime | None
    in_rate: float
    out_rate: float
    failed_rate: float
    wait_p50: float | None
    wait_p95: float | None
    run_p50: float | None
    run_p95: float | None
    drain_seconds: float | None
    workers: int

    @classmethod
    def of(cls, stats: QueueStats, workers: int) -> QueueRow:
        """The row of a queue that so many workers serve."""
        return cls(
            queue=stats.name,
            paused=stats.paused,
            **{str(state): stats.counts.get(state, 0) for state in State},
            oldest_ready_at=moment(stats.oldest_ready_at),
            in_rate=stats.in_rate,
            out_rate=stats.out_rate,
            failed_rate=stats.failed_rate,
            wait_p50=stats.wait.p50 if stats.wait else None,
            wait_p95=stats.wait.p95 if stats.wait else None,
            run_p50=stats.run.p50 if stats.run else None,
            run_p95=stats.run.p95 if stats.run else None,
            drain_seconds=stats.drain_seconds,
            workers=workers,
        )


QUEUES = Table(
    QueueRow,
    (
        Column("QUEUE", lambda r: r.queue, least=10, style=lambda r: "yellow" if r.paused else "bold"),
        Column("READY", lambda r: number(r.ready), right=True),
        Column("RUN", lambda r: number(r.running), right=True, style=always("cyan")),
        Column("SCHED", lambda r: number(r.scheduled), right=True, rank=3),
        Column("RETRY", lambda r: number(r.retry), right=True, style=always("yellow")),
        Column("DEAD", lambda r: number(r.dead), right=True, style=lambda r: "red" if r.dead else ""),
        Column("OK", lambda r: number(r.succeeded), right=True, style=always("green")),
        Column("OLDEST", lambda r: age(r.oldest_ready_at), right=True),
        Column("IN/s", lambda r: rate(r.in_rate), right=True, rank=1),
        Column("OUT/s", lambda r: rate(r.out_rate), right=True, rank=1),
        Column("P50", lambda r: span(r.run_p50), right=True, rank=2),
        Column("P95", lambda r: span(r.run_p95), right=True, rank=2),
        Column("DRAIN", lambda r: "∞" if r.drain_seconds is None else span(r.drain_seconds), right=True, rank=1),
        Column("WRK", lambda r: number(r.workers), right=True),
        Column("", lambda r: "paused" if r.paused else "", style=always("yellow")),
    ),
    id="queue",
    empty="No queues yet. 'qtool enqueue' makes the first.",
)


# --- jobs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """What went wrong."""

    type: str
    message: str
    traceback: str | None
    exit_code: int | None
    signal: int | None

    @classmethod
    def of(cls, failure: Failure | None) -> Error | None:
        """The view of a failure, if there is one."""
        if failure is None:
            return None
        return cls(
            type=failure.type,
            message=failure.message,
            traceback=failure.traceback,
            exit_code=failure.exit_code,
            signal=failure.signal,
        )

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One start of a job that did not succeed."""

    attempt: int
    worker: str
    started_at: datetime
    finished_at: datetime
    event: str
    state: State
    error: Error | None

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptView:
        """The view of one attempt."""
        return cls(
            attempt=attempt.attempt,
            worker=attempt.worker,
            started_at=sure_moment(attempt.started_at),
            finished_at=sure_moment(attempt.finished_at),
            event=str(attempt.event),
            state=attempt.state,
            error=Error.of(attempt.error),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job and where it stands."""

    id: str
    task: str
    queue: str
    state: State
    reason: Reason | None
    error: Error | None
    args: list[Any]
    kwargs: dict[str, Any]
    priority: int
    created_at: datetime
    due_at: datetime | None
    ready_at: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    failures: int
    crashes: int
    worker: str | None
    progress: float | None
    message: str | None
    unique: str | None
    tags: dict[str, str]
    parents: list[str]
    retries: int | None
    backoff: float | None
    backoff_cap: float | None
    timeout: float | None
    attempts: list[AttemptView] | None = None
    """Only from ``qtool show``: the starts that did not succeed, oldest first."""

    @classmethod
    def of(cls, job: JobInfo, attempts: list[Attempt] | None = None) -> JobRow:
        """The row of a job."""
        same = {name: getattr(job, name) for name in _SAME}
        times = {name: moment(getattr(job, name)) for name in _TIMES}
        return cls(
            **same,
            **times,
            created_at=sure_moment(job.created_at),
            error=Error.of(job.error),
            args=list(job.args),
            kwargs=dict(job.kwargs),
            tags=dict(job.tags),
            parents=list(job.parents),
            retries=job.policy.retries,
            backoff=job.policy.backoff,
            backoff_cap=job.policy.backoff_cap,
            timeout=job.policy.timeout,
            attempts=None if attempts is None else [AttemptView.of(each) for each in attempts],
        )


_SAME = (
    *("id", "task", "queue", "state", "reason", "priority", "attempt", "failures", "crashes"),
    *("worker", "progress", "message", "unique"),
)
_TIMES = ("due_at", "ready_at", "expires_at", "started_at", "finished_at")

SHORT = 18
"""Characters of an id that a table shows: its milliseconds and sequence, which tell jobs apart."""


def short(id: str) -> str:
    """The part of an id that people read and type."""
    return id[:SHORT] if len(id) == 36 else id


def what(row: JobRow | JobInfo) -> str:
    """What a job does, in one line: its command, its request, or its task and arguments."""
    if row.task == "qtool.exec":
        if row.kwargs.get("shell"):
            return f"$ {' '.join(map(str, row.args))}"
        import shlex

        return f"$ {shlex.join(map(str, row.args))}"
    if row.task == "qtool.http":
        return f"{row.kwargs.get('method') or 'GET'} {' '.join(map(str, row.args))}"
    args = [*map(to_json, row.args), *(f"{key}={to_json(value)}" for key, value in row.kwargs.items())]
    return f"{row.task}({', '.join(args)})"


def state_style(row: Any) -> str:
    """The colour of a row's state."""
    return STYLES.get(row.state, "")


def _took(row: JobRow) -> str:
    if row.started_at is None:
        return NONE
    if row.state is State.RUNNING:
        return age(row.started_at)
    return span((row.finished_at - row.started_at).total_seconds()) if row.finished_at else NONE


def _remark(row: JobRow) -> str:
    """Why it stands where it stands."""
    if row.state in (State.SCHEDULED, State.RETRY) and row.due_at:
        return f"{ago(row.due_at)}{f' · {row.error}' if row.error else ''}"
    if row.state is State.RUNNING and (row.progress is not None or row.message):
        done = f"{100 * row.progress:.0f} % " if row.progress is not None else ""
        return f"{done}{row.message or ''}".strip()
    if row.state is State.DEAD:
        reason = "" if row.reason in (None, Reason.FAILED) else f"{row.reason}: "
        return f"{reason}{row.error or ''}".removesuffix(": ")
    return row.message or ""


JOBS = Table(
    JobRow,
    (
        Column("ID", lambda r: short(r.id), style=always("dim")),
        Column("STATE", lambda r: str(r.state), style=state_style),
        Column("QUEUE", lambda r: r.queue, least=6, rank=1),
        Column("AGE", lambda r: age(r.created_at), right=True),
        Column("TOOK", _took, right=True, rank=2),
        Column("TRY", lambda r: number(r.attempt), right=True, rank=3),
        Column("JOB", what, least=18),
        Column("WHY", _remark, least=14, rank=1, style=state_style),
    ),
    id="id",
    empty="No such jobs.",
)


# --- workers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker as it last described itself."""

    id: str
    state: Literal["idle", "busy", "stopping", "silent"]
    """``silent``: no heartbeat for longer than a lease."""
    host: str
    pid: int
    queues: list[str]
    """Empty: all of them."""
    pool: str
    slots: int
    busy: int
    started_at: datetime
    seen_at: datetime
    succeeded: int
    failed: int

    @classmethod
    def of(cls, info: WorkerInfo, now: float) -> WorkerRow:
        """The row of a worker, seen from ``now``."""
        silent = now - info.seen_at > LEASE_SECONDS
        state: Any = "silent" if silent else "stopping" if info.stopping else "busy" if info.busy else "idle"
        return cls(
            id=info.id,
            state=state,
            host=info.host,
            pid=info.pid,
            queues=list(info.queues),
            pool=info.pool,
            slots=info.slots,
            busy=info.busy,
            started_at=sure_moment(info.started_at),
            seen_at=sure_moment(info.seen_at),
            succeeded=info.succeeded,
            failed=info.failed,
        )


_WORKER_STYLES = {"idle": "green", "busy": "cyan", "stopping": "yellow", "silent": "red"}

WORKERS = Table(
    WorkerRow,
    (
        Column("WORKER", lambda r: short(r.id), style=always("dim")),
        Column("STATE", lambda r: r.state, style=lambda r: _WORKER_STYLES[r.state]),
        Column("HOST", lambda r: r.host, least=6, rank=3),
        Column("PID", lambda r: str(r.pid), right=True, rank=2),
        Column("POOL", lambda r: r.pool, rank=4),
        Column("BUSY", lambda r: f"{r.busy}/{r.slots}", right=True),
        Column("OK", lambda r: number(r.succeeded), right=True, style=always("green")),
        Column("FAILED", lambda r: number(r.failed), right=True, style=lambda r: "red" if r.failed else ""),
        Column("UP", lambda r: age(r.started_at), right=True),
        Column("SEEN", lambda r: ago(r.seen_at), right=True, rank=1),
        Column("QUEUES", lambda r: ", ".join(r.queues) or "all", least=8),
    ),
    id="id",
    empty="No workers. 'qtool worker' starts one.",
)


# --- what acting did ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """What became of one job."""

    id: str
    before: State | None
    """None: no such job."""
    after: State | None
    """None: there is none any more."""
    changed: bool
    note: str | None

    @classmethod
    def of(cls, change: Change) -> ReportRow:
        """The row of a change."""
        return cls(
            id=change.id, before=change.before, after=change.after, changed=change.changed, note=change.note
        )


REPORTS = Table(
    ReportRow,
    (
        Column("ID", lambda r: r.id),
        Column("WAS", lambda r: str(r.before or "unknown"), style=lambda r: STYLES.get(r.before or "", "red")),
        Column("IS", lambda r: str(r.after or "gone"), style=lambda r: STYLES.get(r.after or "", "dim")),
        Column("NOTE", lambda r: r.note or ("" if r.changed else "nothing changed"), least=10, style=always("dim")),
    ),
    id="id",
    empty="No job was touched.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRow:
    """What a purge did to one queue."""

    queue: str
    deleted: int
    remaining: int
    """Jobs that are still in it."""
    running: int
    """Those of them that are running, which a purge leaves alone."""


PURGED = Table(
    PurgeRow,
    (
        Column("QUEUE", lambda r: r.queue, least=10, style=always("bold")),
        Column("DELETED", lambda r: number(r.deleted), right=True, style=always("red")),
        Column("REMAINING", lambda r: number(r.remaining), right=True),
        Column("RUNNING", lambda r: number(r.running), right=True, style=always("cyan")),
    ),
    id="queue",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRow:
    """Whether a queue is paused, and whether that is new."""

    queue: str
    paused: bool
    changed: bool


PAUSES = Table(
    PauseRow,
    (
        Column("QUEUE", lambda r: r.queue, least=10, style=always("bold")),
        Column("IS", lambda r: "paused" if r.paused else "running", style=lambda r: "yellow" if r.paused else "green"),
        Column("", lambda r: "" if r.changed else "as it was", style=always("dim")),
    ),
    id="queue",
)


# --- waiting, history, output -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRow:
    """A job that was waited for."""

    id: str
    state: State
    reason: Reason | None
    error: Error | None
    exit_code: int | None
    """What a command job ended with: 128 and the signal's number when a signal ended it."""
    final: bool


ENDS = Table(
    EndRow,
    (
        Column("ID", lambda r: r.id),
        Column("STATE", lambda r: str(r.state), style=state_style),
        Column("EXIT", lambda r: NONE if r.exit_code is None else str(r.exit_code), right=True),
        Column("ERROR", lambda r: str(r.error or ""), least=10, style=state_style),
    ),
    id="id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsRow:
    """What happened in one queue in one span of time; latencies in seconds."""

    at: datetime
    """Where the span starts."""
    seconds: int
    queue: str
    enqueued: int
    started: int
    succeeded: int
    retried: int
    dead: int
    cancelled: int
    expired: int
    wait_p50: float | None
    wait_p95: float | None
    run_p50: float | None
    run_p95: float | None

    @classmethod
    def of(cls, bucket: Bucket) -> StatsRow:
        """The row of a bucket."""
        counted = ("seconds", "queue", "enqueued", "started", "succeeded", "retried", "dead", "cancelled", "expired")
        return cls(
            at=sure_moment(bucket.at),
            **{name: getattr(bucket, name) for name in counted},
            wait_p50=bucket.wait.p50 if bucket.wait else None,
            wait_p95=bucket.wait.p95 if bucket.wait else None,
            run_p50=bucket.run.p50 if bucket.run else None,
            run_p95=bucket.run.p95 if bucket.run else None,
        )


def _clock(row: StatsRow) -> str:
    local = row.at.astimezone()
    return local.strftime("%H:%M:%S" if row.seconds < 60 else "%H:%M" if row.seconds < 3600 else "%m-%d %H:%M")


STATS = Table(
    StatsRow,
    (
        Column("TIME", _clock, style=always("dim")),
        Column("QUEUE", lambda r: r.queue, least=8, style=always("bold")),
        Column("IN", lambda r: number(r.enqueued), right=True),
        Column("STARTED", lambda r: number(r.started), right=True, rank=3),
        Column("OK", lambda r: number(r.succeeded), right=True, style=always("green")),
        Column("RETRY", lambda r: number(r.retried), right=True, style=always("yellow")),
        Column("DEAD", lambda r: number(r.dead), right=True, style=lambda r: "red" if r.dead else ""),
        Column("GONE", lambda r: number(r.cancelled + r.expired), right=True, rank=2, style=always("dim")),
        Column("WAIT P50", lambda r: span(r.wait_p50), right=True, rank=1),
        Column("P95", lambda r: span(r.wait_p95), right=True, rank=1),
        Column("RUN P50", lambda r: span(r.run_p50), right=True, rank=1),
        Column("P95", lambda r: span(r.run_p95), right=True, rank=1),
    ),
    empty="Nothing happened in that time.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRow:
    """A piece of a job's output."""

    attempt: int | None
    """None: the last one."""
    stream: str
    offset: int
    """Where in the attempt's whole output it starts, in bytes; a gap says what was dropped."""
    text: str
    """UTF-8; bytes that are not are lone surrogates."""


CHUNKS = Table(
    ChunkRow,
    (
        Column("STREAM", lambda r: r.stream),
        Column("OFFSET", lambda r: str(r.offset), right=True),
        Column("TEXT", lambda r: r.text, least=20),
    ),
)


# --- set-up ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRow:
    """A named broker."""

    name: str
    broker: str
    """Without its password."""
    current: bool
    """The one that commands use when nothing else is said."""
    read_only: bool
    production: bool


CONTEXTS = Table(
    ContextRow,
    (
        Column("", lambda r: "*" if r.current else "", style=always("bold")),
        Column("CONTEXT", lambda r: r.name, style=lambda r: "bold red" if r.production else "bold"),
        Column("BROKER", lambda r: r.broker, least=20),
        Column(
            "GUARDS",
            lambda r: ", ".join(w for w, on in (("read-only", r.read_only), ("production", r.production)) if on),
            style=always("yellow"),
        ),
    ),
    id="name",
    empty="No contexts yet. 'qtool context add NAME URL' makes one.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One thing the doctor looked at."""

    check: str
    verdict: Literal["ok", "warning", "bad"]
    found: str
    advice: str | None = None


_VERDICTS = {"ok": "green", "warning": "yellow", "bad": "red"}

CHECKS = Table(
    CheckRow,
    (
        Column("", lambda r: {"ok": "✓", "warning": "!", "bad": "✗"}[r.verdict], style=lambda r: _VERDICTS[r.verdict]),
        Column("CHECK", lambda r: r.check, style=always("bold")),
        Column("FOUND", lambda r: r.found, least=20, wrap=True),
        Column("WHAT TO DO", lambda r: r.advice or "", least=20, wrap=True, style=always("yellow")),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuaranteeRow:
    """Whether one of the seven guarantees holds on the broker in use."""

    number: int
    guarantee: str
    holds: bool
    why: str | None
    """What weakens it."""


GUARANTEES = Table(
    GuaranteeRow,
    (
        Column("", lambda r: "✓" if r.holds else "✗", style=lambda r: "green" if r.holds else "red"),
        Column("#", lambda r: str(r.number), right=True, style=always("dim")),
        Column("GUARANTEE", lambda r: r.guarantee, least=40, wrap=True),
        Column("WEAKENED BY", lambda r: r.why or "", least=20, wrap=True, rank=1, style=always("yellow")),
    ),
)
