"""Jobs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from qtool.engine.job import EXEC, HTTP, Attempt, Failure, JobInfo
from qtool.engine.states import Reason, State
from qtool.tables import NONE, Column, Table
from qtool.views.text import age, ago, always, moment, number, short, span, state_style, sure_moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """What went wrong."""

    type: str
    """The exception's name; ``ExitCode`` or ``Signal`` for a command."""
    message: str
    """What it said."""
    traceback: str | None
    exit_code: int | None
    """A command's exit code."""
    signal: int | None
    """The signal that ended the process."""

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
    """Which start this was."""
    worker: str
    """The id of the worker."""
    started_at: datetime
    finished_at: datetime
    event: str
    """What ended it."""
    state: State
    """Where it left the job."""
    error: Error | None
    """What went wrong."""

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
    """The name of its task; a command is ``qtool.exec``."""
    queue: str
    state: State
    reason: Reason | None
    """Why it is dead."""
    error: Error | None
    """What went wrong last."""
    args: list[Any]
    """Positional arguments; the words of a command."""
    kwargs: dict[str, Any]
    """Named arguments."""
    priority: int
    """0 to 9; the larger runs first."""
    created_at: datetime | None
    """When it was enqueued; null where nobody has written it down, as Celery's messages do not."""
    due_at: datetime | None
    """When it may start, or be tried again."""
    ready_at: datetime | None
    """Since when it could have been started, for the attempt at hand or the last one."""
    expires_at: datetime | None
    """When it is too late to start it."""
    started_at: datetime | None
    """When its last attempt began."""
    finished_at: datetime | None
    """When it ended."""
    attempt: int
    """How many times it has been started."""
    failures: int
    """How many attempts ended in an error."""
    crashes: int
    """How many attempts took their process down."""
    worker: str | None
    """The id of the worker that runs it, or ran it last."""
    progress: float | None
    """0 to 1, as its code tells."""
    message: str | None
    """What its code says it is doing."""
    unique: str | None
    """The key that only one unfinished job may hold."""
    key: str | None
    """Of all jobs with this key, ``key_limit`` run at once."""
    key_limit: int
    held: str | None
    """The limit that keeps a ready job from starting: ``key:…`` or ``task:…``."""
    tags: dict[str, str]
    parents: list[str]
    """Ids of jobs it comes after."""
    retries: int | None
    """How many errors are forgiven; null leaves it to the task, here and in the next six."""
    backoff: float | None
    """The longest wait before the first retry, doubled for each further one."""
    backoff_cap: float | None
    """The longest wait between two attempts."""
    jitter: bool | None
    """False: the whole backoff is waited, not a random part of it."""
    timeout: float | None
    """How long an attempt may run."""
    grace: float | None
    """How long it may go on after that before it is killed."""
    on_crash: str | None
    """What becomes of it if it takes its process down: retry or dead."""

    @classmethod
    def of(cls, job: JobInfo) -> JobRow:
        """The row of a job."""
        return JobRow(
            id=job.id,
            task=job.task,
            queue=job.queue,
            state=job.state,
            reason=job.reason,
            priority=job.priority,
            created_at=moment(job.created_at),
            due_at=moment(job.due_at),
            ready_at=moment(job.ready_at),
            expires_at=moment(job.expires_at),
            started_at=moment(job.started_at),
            finished_at=moment(job.finished_at),
            attempt=job.attempt,
            failures=job.failures,
            crashes=job.crashes,
            worker=job.worker,
            progress=job.progress,
            message=job.message,
            unique=job.unique,
            key=job.key,
            key_limit=job.key_limit,
            held=job.held,
            error=Error.of(job.error),
            args=list(job.args),
            kwargs=dict(job.kwargs),
            tags=dict(job.tags),
            parents=list(job.parents),
            retries=job.policy.retries,
            backoff=job.policy.backoff,
            backoff_cap=job.policy.backoff_cap,
            jitter=job.policy.jitter,
            timeout=job.policy.timeout,
            grace=job.policy.grace,
            on_crash=job.policy.on_crash,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail(JobRow):
    """A job with the starts that did not succeed, oldest first."""

    attempts: list[AttemptView]
    """The starts that did not succeed, oldest first."""

    @classmethod
    def with_attempts(cls, job: JobInfo, attempts: list[Attempt]) -> JobDetail:
        """The row of a job and its attempts."""
        row = JobRow.of(job)
        same = {each.name: getattr(row, each.name) for each in fields(row)}
        return cls(**same, attempts=[AttemptView.of(each) for each in attempts])


def what(row: JobRow | JobInfo) -> str:
    """What a job does, in one line: its command, its request, or its task and arguments."""
    if row.task == EXEC:
        if row.kwargs.get("shell"):
            return f"$ {' '.join(map(str, row.args))}"
        import shlex

        return f"$ {shlex.join(map(str, row.args))}"
    if row.task == HTTP:
        return f"{row.kwargs.get('method') or 'GET'} {' '.join(map(str, row.args))}"
    if not row.task:
        return "(nobody can read it)" if row.error is not None else "(unknown)"
    args = [*map(_shown, row.args), *(f"{key}={_shown(value)}" for key, value in row.kwargs.items())]
    return f"{row.task}({', '.join(args)})"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _took(row: JobRow) -> str:
    if row.started_at is None:
        return NONE
    if row.state is State.RUNNING:
        return age(row.started_at)
    return span((row.finished_at - row.started_at).total_seconds()) if row.finished_at else NONE


def _remark(row: JobRow) -> str:
    """Why it stands where it stands."""
    if row.state in (State.SCHEDULED, State.RETRY) and row.due_at:
        due = ago(row.due_at) if row.due_at.timestamp() > time.time() else "due"
        return f"{due} · {row.error}" if row.error else due
    if row.state is State.RUNNING and (row.progress is not None or row.message):
        done = f"{100 * row.progress:.0f} % " if row.progress is not None else ""
        return f"{done}{row.message or ''}".strip()
    if row.held is not None:
        return f"waits for {row.held}"
    if row.state is State.READY and row.error is not None and not row.attempt:
        # It never ran: its message is what is wrong.
        return str(row.error)
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

JOB = Table(JobDetail, (), id="id")
"""``qtool show``; a terminal gets :mod:`qtool.views.card` instead of columns."""
