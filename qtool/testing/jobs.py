"""Jobs in memory: enqueued by the code under test, run when the test says so, on a clock that the test moves."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from qtool.client import Client, stand_in
from qtool.config import Settings, TopDefaults, WorkerDefaults
from qtool.engine.brokers.memory import open_memory
from qtool.engine.brokers.memory.broker import MemoryBroker
from qtool.engine.clock import ManualClock
from qtool.engine.job import NOTHING
from qtool.engine.states import FINAL, PENDING, State
from qtool.engine.tasks import Task
from qtool.errors import TimeStandsStill
from qtool.testing.worker import Ran, TestWorker, close

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Unpack

    from qtool.engine.broker import Adapter, Bell, Topic
    from qtool.engine.brokers.memory.store import Store
    from qtool.engine.handle import Batch, Handle
    from qtool.engine.job import JobInfo
    from qtool.engine.options import SendOptions
    from qtool.engine.tasks import AnyTask

__all__ = ["Jobs", "Ran", "eager", "in_memory"]

TICK = 1e-6
"""Seconds by which the clock moves at least, whatever is lost in a sum with the time since 1970."""

MOST = 10_000
"""Attempts in one go; what takes more goes round in circles."""


class Jobs:
    """Jobs of one test: what was enqueued, and a worker that runs it, one job at a time, when it is told to.

    The clock stands still until it is moved. Priorities, limits, retries, snoozes and expiry are those of a real
    worker; waits between retries are the longest they can be, and only ``async def`` tasks have time limits.
    """

    def __init__(self, *, eager: bool = False, raises: bool = True, settings: Settings | None = None) -> None:
        """``eager`` runs each job where it is enqueued, and then ``raises`` what ended it. Routes are those of
        ``settings``; by default there are none."""
        self._clock = ManualClock(time.time())
        # Rates are counted on the monotonic clock, more finely the nearer it is to nought.
        self._clock.boot()
        self._adapter = open_memory(clock=self._clock, broker=lambda store: _Broker(store, lambda: self._worker))
        self._worker = TestWorker(self._adapter, self._clock)
        settings = settings or Settings(
            broker="memory:", source="test", retention={}, worker=WorkerDefaults(), top=TopDefaults(), path=""
        )
        self.client: Client = _EagerClient(settings, self, raises=raises) if eager else _MemoryClient(settings, self)
        """Enqueues here."""

    # --- what there is -------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time, in seconds since the epoch: that of the beginning, moved on by :meth:`advance`."""
        return self._clock.now()

    @property
    def enqueued(self) -> list[JobInfo]:
        """The jobs that wait to be run, or to be run again; oldest first."""
        return [job for job in self.all if job.state in PENDING]

    @property
    def all(self) -> list[JobInfo]:
        """Every job there was; oldest first."""
        found: list[JobInfo] = []
        after = None
        while True:
            page = self._adapter.inspector.browse(after=after, limit=1000, oldest_first=True)
            found += page.jobs
            after = page.next
            if after is None:
                return found

    def job(self, of: Handle[Any] | str) -> JobInfo:
        """A job as it stands now, by its handle or id. Raises UnknownJob."""
        return self.client.job(of if isinstance(of, str) else of.id).info()

    def find(
        self,
        task: AnyTask | str | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] = NOTHING,
        queue: str | None = None,
        tags: Mapping[str, str] = NOTHING,
    ) -> list[JobInfo]:
        """The enqueued jobs of a task, with just these ``args``, and at least these ``kwargs`` and ``tags``."""
        name = task.name if isinstance(task, Task) else task
        # As they come back from JSON: a tuple is a list there.
        wanted = None if args is None else json.loads(json.dumps(list(args)))
        named = json.loads(json.dumps(dict(kwargs)))
        return [
            job
            for job in self.enqueued
            if (name is None or job.task == name)
            and (wanted is None or list(job.args) == wanted)
            and named.items() <= job.kwargs.items()
            and (queue is None or job.queue == queue)
            and tags.items() <= job.tags.items()
        ]

    # --- what should be ------------------------------------------------------------------------------

    def assert_enqueued(
        self,
        task: AnyTask | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] = NOTHING,
        queue: str | None = None,
        tags: Mapping[str, str] = NOTHING,
        count: int = 1,
    ) -> JobInfo:
        """The first of the ``count`` enqueued jobs that :meth:`find` finds. Raises AssertionError for other counts."""
        found = self.find(task, args=args, kwargs=kwargs, queue=queue, tags=tags)
        if len(found) != count or not found:
            self._fail(task, args, kwargs, f"{len(found)} of {count} wanted jobs are enqueued")
        return found[0]

    def assert_not_enqueued(
        self,
        task: AnyTask | str | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] = NOTHING,
        queue: str | None = None,
        tags: Mapping[str, str] = NOTHING,
    ) -> None:
        """Raises AssertionError if :meth:`find` finds any."""
        if found := self.find(task, args=args, kwargs=kwargs, queue=queue, tags=tags):
            self._fail(task, args, kwargs, f"{len(found)} unwanted jobs are enqueued")

    def _fail(
        self, task: AnyTask | str | None, args: Sequence[Any] | None, kwargs: Mapping[str, Any], what: str
    ) -> NoReturn:
        from qtool.views.jobs import what as told

        name = task.name if isinstance(task, Task) else task or "any task"
        asked = [*map(repr, args or ()), *(f"{key}={value!r}" for key, value in kwargs.items())]
        there = [f"  {told(job)} in {job.queue}, {job.state}" for job in self.enqueued] or ["  nothing"]
        raise AssertionError("\n".join([f"{what}: {name}({', '.join(asked)}). What is enqueued:", *there]))

    # --- running -------------------------------------------------------------------------------------

    def run(self, *, raises: bool = True) -> list[Ran]:
        """Run what is due now, and what that enqueues, until nothing is; every attempt, in order.

        ``raises`` the error of the first job that it ended (not of a discarded one, nor of an attempt that will be
        tried again); the rest then stays enqueued. Raises RuntimeError where there is no end.
        """
        ran: list[Ran] = []
        self._go_on(ran, raises)
        return ran

    def advance(self, by: float | timedelta, *, raises: bool = True) -> list[Ran]:
        """Move the clock by so many seconds, and run on the way what becomes due, each at its time; as :meth:`run`."""
        end = self.now + (by.total_seconds() if isinstance(by, timedelta) else by)
        ran: list[Ran] = []
        self._go_on(ran, raises)
        while (due := self._next_due()) is not None and due <= end:
            self._move_to(due)
            self._go_on(ran, raises)
        self._move_to(end)
        self._go_on(ran, raises)
        return ran

    def drain(self, *, raises: bool = True) -> list[Ran]:
        """Run until nothing is left to be run, moving the clock to whatever is due next; as :meth:`run`."""
        ran: list[Ran] = []
        self._go_on(ran, raises)
        while (due := self._next_due()) is not None:
            self._move_to(due)
            self._go_on(ran, raises)
        return ran

    def _go_on(self, ran: list[Ran], raises: bool) -> None:
        while (one := self._worker.next()) is not None:
            ran.append(one)
            if raises:
                one.check()
            if len(ran) >= MOST:
                raise RuntimeError(f"{MOST} attempts were run and there is no end; the last was of {one.job.task}")

    def _next_due(self) -> float | None:
        """When there may be something to run next: a job is due, or a rate lets one start."""
        broker = self._adapter.broker
        known = [when for when in (broker.maintain().next_due, broker.opens_at(())) if when is not None]
        return max(min(known), self.now + TICK) if known else None

    def _move_to(self, when: float) -> None:
        self._clock.advance(max(0.0, when - self.now))

    def finish(self, of: Handle[Any] | str) -> Ran | None:
        """Run one job to its end, retries and snoozes at once, on a clock that moves on for them; the last attempt.

        None if the job had ended, or was refused, without being started. Raises RuntimeError where there is no end.
        """
        id = of if isinstance(of, str) else of.id
        last = None
        for _ in range(MOST):
            job = self.job(id)
            if job.state in FINAL:
                return last
            if job.due_at is not None:
                self._move_to(job.due_at)
            ran = self._worker.this(id)
            if ran is None and self.job(id).state is State.READY:
                if (opens := self._adapter.broker.opens_at([job.queue])) is not None:
                    self._move_to(max(opens, self.now + TICK))
                    continue
                raise RuntimeError(f"job {id} of {job.task} cannot be run: its queue is paused, or a limit holds it")
            last = ran or last
        raise RuntimeError(f"{MOST} attempts of job {id} were run and there is no end")


class _MemoryClient(Client):
    """Enqueues in memory; closing it closes nothing, since the code under test may well do so."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        super().__init__(settings, clock=jobs._clock.now)
        self._jobs = jobs

    def adapter(self, *, write: bool = False) -> Adapter:  # noqa: ARG002 - as in Client
        return self._jobs._adapter

    def close(self) -> None:
        return


class _EagerClient(_MemoryClient):
    """Runs each job before it says that it is enqueued."""

    def __init__(self, settings: Settings, jobs: Jobs, *, raises: bool) -> None:
        super().__init__(settings, jobs)
        self._raises = raises

    def send(
        self,
        task: AnyTask | str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = NOTHING,
        **options: Unpack[SendOptions],
    ) -> Handle[Any]:
        handle = super().send(task, args, kwargs, **options)
        self._finish(handle.id)
        return handle

    def send_many(
        self, task: AnyTask | str, calls: Iterable[tuple[Any, ...]], **options: Unpack[SendOptions]
    ) -> Batch[Any]:
        batch = super().send_many(task, calls, **options)
        for id in batch.ids:
            self._finish(id)
        return batch

    def _finish(self, id: str) -> None:
        last = self._jobs.finish(id)
        if last is not None and self._raises:
            last.check()


class _Broker(MemoryBroker):
    """Whoever waits for a job to end lets the worker run meanwhile, as it would in a process of its own."""

    def __init__(self, store: Store, worker: Callable[[], TestWorker]) -> None:
        super().__init__(store)
        self._worker = worker

    def listen(self, topic: Topic) -> Bell:
        bell = super().listen(topic)
        return _TurningBell(bell, self._worker()) if topic == "finished" else bell


class _TurningBell:
    """A bell for ended jobs: waiting for it is what runs them."""

    def __init__(self, bell: Bell, worker: TestWorker) -> None:
        self._bell = bell
        self._worker = worker
        self.fileno = bell.fileno
        self.close = bell.close

    def wait(self, timeout: float) -> bool:
        if self._worker.next() is not None:
            return True
        # In this order: who has just ended a job has rung before it was not at work any more.
        if self._worker.works_elsewhere():
            return self._bell.wait(timeout)
        if not self._bell.wait(0):
            raise TimeStandsStill
        return True


@contextmanager
def in_memory() -> Iterator[Jobs]:
    """A context manager: keep what is enqueued in the block in memory, and run it by hand.

    That is what ``.delay()`` and whatever else names no broker enqueues.
    """
    with _standing_in(Jobs()) as jobs:
        yield jobs


@contextmanager
def eager(*, raises: bool = True) -> Iterator[Jobs]:
    """A context manager, and a decorator: run each job where it is enqueued, in this process, to its end.

    Retries and snoozes happen at once. A job that ends dead raises there what its task raised; with ``raises=False``
    its handle tells.
    """
    with _standing_in(Jobs(eager=True, raises=raises)) as jobs:
        yield jobs


@contextmanager
def _standing_in(jobs: Jobs) -> Iterator[Jobs]:
    before = stand_in(jobs.client)
    try:
        yield jobs
    finally:
        stand_in(before)
        close()
