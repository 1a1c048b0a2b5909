"""The running job, as the task's own code sees it, and what that code may raise to say how the run ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from qtool.engine.job import NOTHING
from qtool.engine.policy import refuse_delay

if TYPE_CHECKING:
    import logging
    from datetime import datetime

    from qtool.engine.job import Lease


class Retry(Exception):
    """Raise it to run the job again, in ``in_`` seconds or after the usual backoff. It spends one of the retries.

    Raises ValueError for an ``in_`` that is no number of seconds from 0 on.
    """

    def __init__(self, message: str = "", *, in_: float | None = None, exc: BaseException | None = None) -> None:
        super().__init__(message)
        refuse_delay(in_)
        self.in_ = in_
        self.exc = exc
        """What went wrong, if anything: it is recorded as the attempt's error."""

    @property
    def cause(self) -> BaseException | None:
        """What went wrong, as it was told or as it was being handled."""
        return self.exc or self.__cause__ or self.__context__


class Snooze(Exception):
    """Raise it to run the job again in ``in_`` seconds, at once when 0. The attempt is given back.

    Raises ValueError for an ``in_`` that is no number of seconds from 0 on.
    """

    def __init__(self, in_: float = 0.0) -> None:
        super().__init__(in_)
        refuse_delay(in_)
        self.in_ = in_


class Discard(Exception):
    """Raise it to end the job as dead (discarded), whatever retries are left: ``Discard("the account is closed")``.

    It says that the job should not run again and that nobody need look.
    """

    def __init__(self, reason: str = "discarded by the task") -> None:
        super().__init__(reason)


class RetriesSpent(Exception):
    """Raised by :meth:`CurrentJob.retry` when none is left; the job is dead of ``exc``, or of this."""

    def __init__(self, message: str, exc: BaseException | None) -> None:
        super().__init__(message)
        self.exc = exc


class JobTimeout(Exception):
    """The attempt ran longer than its time-out. It is raised inside the task, which may clean up and let it through."""


class JobCancelled(BaseException):
    """The job was asked to stop. It is raised inside the task, and no ``except Exception`` catches it."""


class Request:
    """The part of a job that Celery's bound tasks read as ``self.request``."""

    __slots__ = ("args", "id", "kwargs", "retries", "task")

    def __init__(self, job: CurrentJob) -> None:
        self.id = job.id
        self.task = job.task
        self.args = job.args
        self.kwargs = job.kwargs
        self.retries = job.failures
        """How many attempts ended in an error before this one."""


Reporter = Callable[[float | None, str | None], None]
"""Takes progress (0 to 1) and a text."""


class CurrentJob:
    """The job that this code runs for: :func:`current_job` returns it, and a bound task gets it as ``self``."""

    # Made once a run, 50 000 times a second: plain slots, and nothing that is not already at hand.
    __slots__ = (
        "_lease",
        "_report",
        "args",
        "attempt",
        "crashes",
        "failures",
        "id",
        "kwargs",
        "queue",
        "retry_delay",
        "tags",
        "task",
    )

    def __init__(
        self,
        id: str,
        task: str,
        queue: str,
        attempt: int = 1,
        failures: int = 0,
        crashes: int = 0,
        tags: Mapping[str, str] = NOTHING,
        report: Reporter | None = None,
    ) -> None:
        self.id = id
        """With ``attempt`` it makes an idempotency key."""
        self.task = task
        self.queue = queue
        self.attempt = attempt
        """How many times the job has been started, this time included."""
        self.failures = failures
        """How many attempts ended in an error."""
        self.crashes = crashes
        """How many attempts took their process down."""
        self.tags = tags
        self.args: tuple[Any, ...] = ()
        self.kwargs: Mapping[str, Any] = NOTHING
        self.retry_delay: float | None = None
        # The claim it runs under, for the one other framework whose tasks are run: no business of a task.
        self._lease: Lease | None = None
        self._report = report

    @property
    def previous_crash(self) -> bool:
        """Whether an earlier attempt took its process down, so that its work may be half done."""
        return self.crashes > 0

    @property
    def log(self) -> logging.Logger:
        """A logger with the task's name; what it is given is stored with the job (``qtool logs``)."""
        import logging

        return logging.getLogger(self.task)

    @property
    def request(self) -> Request:
        """Celery's view: ``request.id``, ``request.retries``, ``request.args``, …"""
        return Request(self)

    def progress(self, fraction: float | None = None, text: str | None = None) -> None:
        """Tell how far the job is, from 0 to 1, and what it is doing. Raises ValueError for another number."""
        if fraction is not None and not 0.0 <= fraction <= 1.0:
            raise ValueError(f"progress is a number from 0 to 1, not {fraction!r}")
        if self._report is not None:
            self._report(fraction, text)

    def retry(
        self,
        *,
        countdown: float | None = None,
        exc: BaseException | None = None,
        eta: datetime | None = None,
        max_retries: int | None = None,
    ) -> NoReturn:
        """Celery's way to run again: in ``countdown`` seconds or at ``eta``, otherwise after the task's usual wait.

        Raises Retry, which ends this run; ``exc`` (or what is being handled) is recorded as its error. When
        ``max_retries`` attempts have failed already, the job is dead of ``exc``.
        """
        if max_retries is not None and self.failures >= max_retries:
            raise RetriesSpent(f"no retry is left of {max_retries}", exc) from exc
        if eta is not None and countdown is None:
            import time

            countdown = max(0.0, eta.timestamp() - time.time())
        raise Retry(in_=countdown if countdown is not None else self.retry_delay, exc=exc)

    def __repr__(self) -> str:
        return f"<job {self.id} of {self.task}, attempt {self.attempt}>"


running: ContextVar[CurrentJob | None] = ContextVar("qtool.running", default=None)
"""The job this thread or coroutine runs."""


def current_job() -> CurrentJob:
    """The job that this code runs for. Raises RuntimeError outside one."""
    job = running.get()
    if job is None:
        raise RuntimeError(
            "current_job() works inside a running task only: this code was called directly, "
            "or in a thread that the task started itself"
        )
    return job
