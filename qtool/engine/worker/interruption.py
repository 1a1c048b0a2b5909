"""What is raised inside a run to break into it."""

from __future__ import annotations

from qtool.engine.current import JobCancelled, JobTimeout
from qtool.engine.worker import wire

_soft_limit: type[BaseException] | None = None


def tell_time_limits_by(kind: type[BaseException]) -> None:
    """From now on raise this at the end of a run's time: what the tasks of another framework look out for."""
    global _soft_limit
    _soft_limit = kind


def interruption(why: str, limit: float | None) -> BaseException:
    """What to raise inside a run."""
    if why != wire.TIMEOUT:
        return JobCancelled()
    if _soft_limit is not None:
        return _soft_limit()
    return JobTimeout(f"the attempt ran longer than {limit or 0:g} s")


def kinds() -> tuple[type[BaseException], ...]:
    """What :func:`interruption` makes."""
    return (JobTimeout, JobCancelled) if _soft_limit is None else (_soft_limit, JobTimeout, JobCancelled)
