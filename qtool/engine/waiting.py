"""Waiting for jobs to end, or to stop: woken by the broker's bell, with a slow poll as a net."""

from __future__ import annotations

import math
import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from qtool.engine.broker import ASKED_TO_STOP, CANNOT_STOP, LEASE_SECONDS, Change
from qtool.engine.states import FINAL, State
from qtool.errors import BrokerError, BrokerUnreachable, UnknownJob, WaitTimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qtool.engine.broker import Adapter
    from qtool.engine.job import JobInfo, Result

POLL_SECONDS = 1.0
"""How long a missed bell may delay the news."""

PAGE = 500
"""Ids asked for at once."""

OUTAGE = 30.0
"""Seconds for which a broker that has answered before may be out of reach until a wait is given up."""

AGAIN = 0.2
"""Seconds between two tries to reach it."""

T = TypeVar("T")


class Patience:
    """Asks a broker again while it is out of reach, once it has answered: a restart or a failover ends no wait."""

    def __init__(self, deadline: float | None, say: Callable[[str], object] = lambda _: None) -> None:
        """``deadline``: on the monotonic clock; ``say`` is told once of each outage."""
        self._deadline = math.inf if deadline is None else deadline
        self._say = say
        self._answered = False

    def ask(self, question: Callable[[], T]) -> T:
        """The answer. Raises BrokerUnreachable when the outage lasts, and what ``question`` raises else."""
        until = min(self._deadline, time.monotonic() + OUTAGE) if self._answered else 0.0
        told = False
        while True:
            try:
                answer = question()
            except BrokerUnreachable as error:
                if time.monotonic() >= until:
                    raise
                if not told:
                    self._say(f"{error} Waiting for it.")
                told = True
                time.sleep(AGAIN)
            else:
                self._answered = True
                return answer


def as_they_end(
    adapter: Adapter,
    ids: Sequence[str],
    *,
    timeout: float | None = None,
    tick: Callable[[], None] = lambda: None,
    say: Callable[[str], object] = lambda _: None,
) -> Iterator[Result]:
    """The result of each job as soon as it has one; ``tick`` is called at every look, ``say`` tells of an outage.

    Raises UnknownJob for an id that is not there, WaitTimedOut after ``timeout`` seconds, BrokerError.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    patience = Patience(deadline, say)
    pending = list(dict.fromkeys(ids))
    bell = adapter.broker.listen("finished")
    try:
        while True:
            waiting: list[str] = []
            last = None
            for start in range(0, len(pending), PAGE):
                page = pending[start : start + PAGE]
                results = patience.ask(partial(adapter.results.results, page))
                for id, result in zip(page, results, strict=True):
                    if result is None:
                        raise UnknownJob(id=id)
                    if result.state in FINAL:
                        yield result
                    else:
                        waiting.append(id)
                        last = last or result
            tick()
            pending = waiting
            if last is None:
                return
            left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            if left <= 0:
                assert timeout is not None
                raise WaitTimedOut(id=last.id, seconds=timeout, state=last.state)
            bell.wait(left)
    finally:
        bell.close()


def as_they_stop(adapter: Adapter, ids: Sequence[str], *, timeout: float) -> Iterator[Change]:
    """What became of running jobs that were asked to stop, or killed: as soon as it is known, or after ``timeout``.

    Those of a worker that died are taken back meanwhile, also where no other worker would do it. Raises BrokerError.
    """
    started = time.monotonic()
    look_after_them_at = started + POLL_SECONDS
    pending = list(dict.fromkeys(ids))
    with closing(adapter.broker.listen("finished")) as bell:
        while True:
            running: list[JobInfo] = []
            for start in range(0, len(pending), PAGE):
                page = pending[start : start + PAGE]
                for id, job in zip(page, adapter.inspector.get(page), strict=True):
                    if job is not None and job.state is State.RUNNING:
                        running.append(job)
                    else:
                        yield _stopped(id, job)
            pending = [job.id for job in running]
            left = started + timeout - time.monotonic()
            if not pending or left <= 0:
                break
            if time.monotonic() >= look_after_them_at:
                look_after_them_at = time.monotonic() + POLL_SECONDS
                with suppress(BrokerError):
                    adapter.broker.maintain()
                    continue
            bell.wait(min(POLL_SECONDS, left))
    if running:
        snapshot = adapter.inspector.snapshot()
        here = [worker for worker in snapshot.workers if not worker.gone]
        seen = {worker.id for worker in here if snapshot.at - worker.seen_at < LEASE_SECONDS}
        for job in running:
            yield Change(job.id, State.RUNNING, State.RUNNING, f"{ASKED_TO_STOP}; still running{_why(job, seen)}")


def _stopped(id: str, job: JobInfo | None) -> Change:
    if job is None:
        return Change(id, State.RUNNING, None)
    by_itself = None if job.state is State.CANCELLED else "it had ended by itself"
    return Change(id, State.RUNNING, job.state, by_itself)


def _why(job: JobInfo, seen: set[str]) -> str:
    """Why it does not stop, where that is known."""
    if job.worker not in seen:
        return f": its worker {job.worker} gives no sign of life"
    return f": it {CANNOT_STOP}" if job.message == CANNOT_STOP else ""
