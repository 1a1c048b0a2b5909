"""What a worker is told, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from qtool.engine.value import Value

if TYPE_CHECKING:
    from qtool.engine.job import Lease

PoolKind = Literal["process", "thread", "async"]


class WorkerOptions(Value, kw_only=True):
    """How a worker runs. Durations are seconds."""

    queues: tuple[str, ...] = ()
    """Empty: all of them."""
    slots: int = 1
    """How many jobs run at once; where there is a ``most``, how many at least."""
    most: int | None = None
    """To how many slots it grows by itself while jobs wait."""
    pool: PoolKind = "process"
    apps: tuple[str, ...] = ()
    """Modules that define tasks."""
    middleware: tuple[str, ...] = ()
    """``module:function``, outside of what the apps register themselves."""
    burst: bool = False
    """End when the queues hold nothing that is ready, running or about to be retried."""
    max_jobs: int | None = None
    """End after starting so many."""
    max_jobs_per_child: int | None = None
    """A process of the pool runs no more than so many, and then another takes its place."""
    max_memory_per_child: int | None = None
    """A process of the pool that holds more bytes of memory at the end of a job is replaced."""
    reload: bool = False
    """Start the pool's processes anew when the code of their modules changes."""
    drain_timeout: float | None = None
    """How long running jobs may go on after the first signal; None waits for them, however long."""
    lease: float | None = None
    """How long its claims hold without a sign of life; None leaves it to the broker."""
    allow_exec: bool = False
    """Run commands that come from a network broker, if they are signed…"""
    key: str | None = None
    """… with this."""
    name: str | None = None
    """What Celery's tools call it, as ``name`` or ``name@host``; None for one by its process."""
    remote_control: bool = True
    """Do what Celery's remote control asks for, where the broker has it."""
    task_events: bool = False
    """Tell of every job in Celery's events from the start, not only once somebody asks for it."""
    grace: float = 5.0
    """Between asking a run to stop and killing it."""


class WorkerEvent(Value, kw_only=True):
    """Something that happened to a job at this worker."""

    at: float
    kind: str
    """``started``, or the state it ended in: succeeded, retry, dead, cancelled, ready, scheduled."""
    id: str
    task: str
    queue: str
    attempt: int
    seconds: float | None = None
    """How long the attempt ran."""
    error: str | None = None
    reason: str | None = None
    """Why it is dead."""


class Summary(Value, kw_only=True):
    """What a worker did, so far or in all."""

    claimed: int = 0
    """All jobs it took on; each is in one of the other counts."""
    succeeded: int = 0
    dead: int = 0
    retried: int = 0
    cancelled: int = 0
    snoozed: int = 0
    """Put off by the job itself."""
    unstarted: int = 0
    """Given back before they had started."""
    stopped: int = 0
    """Asked to stop for the worker's sake, and given back."""
    killed: int = 0
    """Killed for the worker to end, and given back."""
    late: int = 0
    """Leases that were lost: what their runs ended as counts for nothing."""
    running: int = 0
    """Still at it."""
    seconds: float = 0.0
    abandoned: int = 0
    """Outcomes that could not be stored before the end."""

    @property
    def jobs(self) -> int:
        """How many ended; one that is to be retried has not."""
        return self.succeeded + self.dead + self.cancelled

    @property
    def clean(self) -> bool:
        """Whether nothing had to be killed and nothing was left behind."""
        return not self.killed and not self.abandoned


class Vitals(Value, kw_only=True):
    """How the worker itself is doing: what it counted so far, and two gauges."""

    running: int
    slots: int
    claims: int
    """Questions to the broker for jobs."""
    claimed: int
    batches: int
    """Times that outcomes were stored."""
    broker_errors: int
    late: int
    deaths: int
    """Processes of the pool that ended otherwise than they were told to."""
    rescued: int


class Listener(Protocol):
    """Whoever wants to know. Called from the worker's only thread: return at once."""

    wants_events: bool
    """A quiet worker makes none."""

    def events(self, batch: list[WorkerEvent]) -> None: ...

    def say(self, message: str, lease: Lease | None = None) -> None:
        """Something a person should read, about a job if there is a lease."""
        ...

    def progress(self, summary: Summary) -> None:
        """Called a few times a second while jobs end."""
        ...


class Say(Protocol):
    """A listener's :meth:`Listener.say`."""

    def __call__(self, message: str, lease: Lease | None = None) -> None: ...


class Silence:
    """The listener that does not listen."""

    wants_events = False

    def events(self, batch: list[WorkerEvent]) -> None: ...

    def say(self, message: str, lease: Lease | None = None) -> None: ...

    def progress(self, summary: Summary) -> None: ...
