"""The attempts of a job over time, as bars. No Textual here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.states import State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.job import Attempt, JobInfo


class Run(Value):
    """One start of the job."""

    number: int
    how: str
    """What became of it, in a word or two."""
    state: State
    """Where it left the job."""
    started_at: float
    ended_at: float | None
    """None: it runs."""
    worker: str
    error: str
    """What went wrong; empty if nothing did."""


class Bar(Value):
    """A start of the job in the time that the picture covers."""

    run: Run
    start: float
    end: float
    now: float

    @property
    def seconds(self) -> float:
        """How long it ran, or runs."""
        return max(0.0, (self.now if self.run.ended_at is None else self.run.ended_at) - self.run.started_at)

    def cells(self, count: int) -> tuple[int, int]:
        """From which cell to which of so many it lies; at least one of them."""
        scale = count / max(self.end - self.start, 0.001)
        first = max(0, min(int((self.run.started_at - self.start) * scale), count - 1))
        stop = round((self.run.started_at + self.seconds - self.start) * scale)
        return first, max(first + 1, min(stop, count))


def bars(job: JobInfo, attempts: Sequence[Attempt], now: float) -> list[Bar]:
    """All starts, one below the other over the same time."""
    found = runs(job, attempts)
    return [Bar(run, *bounds(job, found, now), now) for run in found]


def runs(job: JobInfo, attempts: Sequence[Attempt]) -> list[Run]:
    """All starts, oldest first: those that did not succeed, and the one that did or that runs."""
    found = [
        Run(
            each.attempt,
            str(each.event).replace("-", " "),
            each.state,
            each.started_at,
            max(each.started_at, each.finished_at),
            each.worker,
            str(each.error) if each.error is not None else "",
        )
        for each in attempts
    ]
    runs_now = job.state is State.RUNNING
    if job.started_at is not None and (runs_now or job.state is State.SUCCEEDED):
        ended = None if runs_now else max(job.started_at, job.finished_at or job.started_at)
        found.append(Run(job.attempt, str(job.state), job.state, job.started_at, ended, job.worker or "", ""))
    return found


def bounds(job: JobInfo, found: Sequence[Run], now: float) -> tuple[float, float]:
    """From its first start (or its enqueueing, if that was not long before) to its end, or now."""
    if not found:
        return (now if job.created_at is None else job.created_at), now
    first = found[0].started_at
    last = max(now if run.ended_at is None else run.ended_at for run in found)
    # A job that lay for a week before it ran for a second would show as a dot.
    begun = first if job.created_at is None else job.created_at
    return (begun if 0 <= first - begun <= 2 * max(last - first, 0.001) else first), max(last, first + 0.001)
