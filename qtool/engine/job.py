"""The values that travel between the parts: jobs, leases, outcomes, settlements. Stdlib only.

Times are seconds since the epoch (UTC); durations are seconds; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from qtool.engine.states import Event, Reason, State
from qtool.engine.value import Value

DEFAULT_QUEUE = "default"
EXEC = "qtool.exec"
"""The task that runs a command."""
HTTP = "qtool.http"
"""The task that sends an HTTP request."""
PRIORITIES = range(10)
"""0 (the default) to 9; the larger runs first, as on RabbitMQ."""

OnCrash = Literal["retry", "dead"]

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Policy(Value, kw_only=True):
    """How a job is retried and bounded. ``None`` leaves the question to the task, and then to the defaults."""

    retries: int | None = None
    """How many errors are forgiven."""
    backoff: float | None = None
    """Seconds before the first retry, at most; doubled for each further one (full jitter)."""
    backoff_cap: float | None = None
    """The longest wait between two attempts, in seconds."""
    timeout: float | None = None
    """How long one attempt may run, in seconds."""
    grace: float | None = None
    """Seconds between the end of its time and the kill of an attempt that goes on; the worker's where nothing says."""
    jitter: bool | None = None
    """False: wait the whole backoff, not a random part of it."""
    on_crash: OnCrash | None = None
    """What becomes of a job that took its process down: another try, up to three in all, or the end."""

    def over(self, other: Policy) -> Policy:
        """This policy, with ``other`` where this one says nothing."""
        if self is UNSAID:
            return other
        return Policy(
            retries=self.retries if self.retries is not None else other.retries,
            backoff=self.backoff if self.backoff is not None else other.backoff,
            backoff_cap=self.backoff_cap if self.backoff_cap is not None else other.backoff_cap,
            timeout=self.timeout if self.timeout is not None else other.timeout,
            grace=self.grace if self.grace is not None else other.grace,
            jitter=self.jitter if self.jitter is not None else other.jitter,
            on_crash=self.on_crash if self.on_crash is not None else other.on_crash,
        )


UNSAID = Policy()


class Job(Value, kw_only=True):
    """One unit of work, as its producer described it. It never changes."""

    id: str
    task: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = NOTHING
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    created_at: float
    run_at: float | None = None
    """Not before this time."""
    expires_at: float | None = None
    """Not started after this time."""
    unique: str | None = None
    """While an unfinished job holds this key, no other job with it is enqueued."""
    key: str | None = None
    """Of all jobs with this key, at most :attr:`key_limit` run at once."""
    key_limit: int = 1
    tags: Mapping[str, str] = NOTHING
    parents: tuple[str, ...] = ()
    policy: Policy = UNSAID
    signature: str | None = None
    """Of a command that goes over a network: see :mod:`qtool.engine.signing`."""


class Lease(NamedTuple):
    """A worker's tokened claim on a job, with what it needs to run it.

    A tuple rather than a dataclass: a claim builds them straight from rows, 50 000 a second and more.
    """

    id: str
    task: str
    queue: str
    token: int
    """Says which claim this is; an outcome under another token is refused."""
    attempt: int
    """How many times the job has been started, this time included."""
    failures: int
    """How many attempts ended in an error."""
    crashes: int
    """How many attempts took their process down."""
    body: str
    """The arguments, encoded: :func:`qtool.engine.codec.decode_body`."""
    options: str | None
    """Policy, tags and parents, encoded, or None: :func:`qtool.engine.codec.decode_options`."""
    key: int
    """The adapter's own handle, a positive number."""
    ready_at: float
    """Since when the job could have been started."""


# --- how a run ended ---------------------------------------------------------------------------------


class Failure(Value, kw_only=True):
    """What went wrong in an attempt."""

    type: str
    message: str
    traceback: str | None = None
    exit_code: int | None = None
    """A command's exit code."""
    signal: int | None = None
    """The signal that ended the process."""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class Done(Value):
    """The task returned. ``result`` is JSON, or None for the value null."""

    result: str | None = None
    kept: bool = True
    """False: the task asks that nothing is kept of what it returns (``ignore_result``)."""


class Retry(Value):
    """The task asked to be run again, in ``in_`` seconds or after the usual backoff."""

    failure: Failure
    in_: float | None = None
    reason: Reason = Reason.FAILED
    """Why the job is dead where no retry is left."""


class Fail(Value):
    """The attempt ended in an error. ``final`` forbids a retry."""

    failure: Failure
    reason: Reason = Reason.FAILED
    final: bool = False
    crashed: bool = False
    """It took its process down: counted apart from errors, and dead at the third."""


class Snooze(Value):
    """Not now: run again in ``in_`` seconds, at once when 0; the attempt is given back."""

    in_: float = 0.0


class Cancel(Value):
    """The run stopped because it was asked to."""


class Told(Value, kw_only=True):
    """Another framework ran the task, and did all that its own worker owes: the result is stored, whoever waits for it
    was told, what follows was published, the retry too. The broker changes the job, and nothing else.
    """

    state: State
    """``succeeded``, ``dead``; ``retry`` and ``ready`` say that the same job was published again and will be met."""
    result: str | None = None
    """JSON, where the value is JSON."""
    failure: Failure | None = None
    reason: Reason | None = None
    due_at: float | None = None
    """When the published retry is due."""


Outcome = Done | Retry | Fail | Snooze | Cancel | Told


class Chunk(NamedTuple):
    """A piece of a job's captured output."""

    stream: str
    """``stdout``, ``stderr`` or ``log``."""
    offset: int
    """Where in the attempt's whole output it starts, in bytes; a gap says that what lay there was dropped."""
    data: bytes


class Settlement(Value):
    """What :mod:`qtool.engine.policy` made of an outcome: the one change a broker applies, or refuses as late."""

    lease: Lease
    event: Event
    state: State
    at: float
    """When the run ended."""
    started_at: float
    """When the task's own code began; claiming is earlier by the read-ahead."""
    result: str | None = None
    due_at: float | None = None
    """When a retried or snoozed job is ready again."""
    reason: Reason | None = None
    failure: Failure | None = None
    crash: bool = False
    output: tuple[Chunk, ...] = ()
    told: bool = False
    """All but the job's own state is done already: see :class:`Told`."""
    kept: bool = True
    """Of a success: see :class:`Done`."""


class Report(Value):
    """News of a running job: how far it is, and output since the last report."""

    lease: Lease
    progress: float | None = None
    """0 to 1."""
    message: str | None = None
    output: tuple[Chunk, ...] = ()


# --- how a job looks from outside --------------------------------------------------------------------


class JobInfo(Value, kw_only=True):
    """A job and where it stands: what ``show`` and ``jobs`` print."""

    id: str
    task: str
    queue: str
    state: State
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    priority: int
    created_at: float | None
    """None where nobody has written it down: Celery's messages do not say."""
    due_at: float | None
    ready_at: float | None
    """Since when it could have been started, for the attempt at hand or the last one."""
    expires_at: float | None
    started_at: float | None
    finished_at: float | None
    attempt: int
    failures: int
    crashes: int
    reason: Reason | None
    error: Failure | None
    worker: str | None
    progress: float | None
    message: str | None
    unique: str | None
    key: str | None = None
    key_limit: int = 1
    held: str | None = None
    """The limit that keeps a ready job from starting: ``key:NAME`` or ``task:NAME``."""
    tags: Mapping[str, str]
    parents: tuple[str, ...]
    policy: Policy


class Attempt(Value, kw_only=True):
    """One start of a job that did not succeed."""

    attempt: int
    worker: str
    started_at: float
    finished_at: float
    event: Event
    state: State
    """Where the attempt left the job."""
    error: Failure | None


class Result(Value, kw_only=True):
    """The stored end of a job."""

    id: str
    state: State
    value: str | None
    """JSON; None for null. Only a succeeded job has one."""
    reason: Reason | None
    error: Failure | None
