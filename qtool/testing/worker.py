"""A worker for tests: it runs one job at a time, in the thread that asks, when it is asked."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from qtool.engine import tasks
from qtool.engine.codec import decode_options
from qtool.engine.current import CurrentJob, RetriesSpent, Retry
from qtool.engine.job import EXEC, UNSAID, Done, JobInfo, Lease, Outcome, Report, Snooze
from qtool.engine.policy import decide
from qtool.engine.run import drop_loop, refusal_of, run
from qtool.engine.states import Reason, State
from qtool.engine.value import Value
from qtool.errors import AppNotImported, JobFailed, Undecodable, UnknownTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtool.engine.broker import Adapter
    from qtool.engine.clock import Clock

ALL = 10**9
"""As many as there are."""

NAME = "test"
"""The worker's id, as its attempts record it."""


class Ran(Value, kw_only=True):
    """One attempt that was run, and what came of it."""

    job: JobInfo
    """As the attempt left it."""
    result: Any = None
    """What the task returned, as it comes back from JSON."""
    error: BaseException | None = None
    """What the task raised; the very object."""

    def __repr__(self) -> str:
        error = f" ({type(self.error).__name__}: {self.error})" if self.error is not None else ""
        return f"<ran {self.job.task}, attempt {self.job.attempt}: {self.job.state}{error}>"

    @property
    def state(self) -> State:
        """Where the attempt left the job."""
        return self.job.state

    @property
    def failed(self) -> bool:
        """Whether the job is dead and somebody should look: a discarded one is foreseen."""
        return self.job.state is State.DEAD and self.job.reason is not Reason.DISCARDED

    def check(self) -> None:
        """Raise what the task raised if that was the end of the job, and JobFailed if it was not an Exception."""
        if not self.failed:
            return
        job = self.job
        note = f"Job {job.id} of {job.task} is {job.state} ({job.reason}) after {job.attempt} attempts."
        if isinstance(self.error, Exception):
            self.error.add_note(note)
            raise self.error
        failed = JobFailed(id=job.id, state=f"{job.state} ({job.reason})", error=job.error, failure=job.error)
        failed.add_note(note)
        raise failed from self.error


class TestWorker:
    """Claims, runs and settles as a worker with one slot does, without processes and time limits."""

    __test__ = False  # its name begins as those of test classes do

    def __init__(self, adapter: Adapter, clock: Clock) -> None:
        self._adapter = adapter
        self._clock = clock
        self._claiming = threading.Lock()
        self._rates: dict[str, float | None] = {}
        self._threads: list[int] = []
        """At work, from a claim to what it settles; twice, if a job waits for another one."""

    def next(self) -> Ran | None:
        """Run the job whose turn it is; None if none is ready."""
        with self._at_work():
            leases = self._adapter.broker.claim(NAME, (), 1)
            return self._run(leases[0]) if leases else None

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        if (rates := tasks.rates()) != self._rates:
            # As a worker does when it has imported its apps; here they are imported at any time.
            self._adapter.operator.declare(rates)
            self._rates = rates
        self._threads.append(threading.get_ident())
        try:
            yield
        finally:
            self._threads.remove(threading.get_ident())

    def works_elsewhere(self) -> bool:
        """Whether another thread runs a job, or looks for one."""
        me = threading.get_ident()
        return any(thread != me for thread in self._threads)

    def this(self, id: str) -> Ran | None:
        """Run this job, whoever's turn it is; None if it cannot be started now."""
        with self._at_work():
            with self._claiming:
                # A claim cannot choose: all others go back, before another thread looks for its own.
                leases = {lease.id: lease for lease in self._adapter.broker.claim(NAME, (), ALL)}
                mine = leases.pop(id, None)
                now = self._clock.now()
                self._adapter.broker.settle(
                    [decide(each, Snooze(), UNSAID, started_at=now, now=now, random=_most) for each in leases.values()]
                )
            return self._run(mine) if mine is not None else None

    def _run(self, lease: Lease) -> Ran:
        raised: list[BaseException] = []
        started_at = self._clock.now()
        policy = UNSAID
        try:
            own, tags, _ = decode_options(lease.options)
            if lease.task == EXEC:
                raise UnknownTask(task=EXEC, known="tasks only; a command needs qtool.testing.real_worker()")
            task = tasks.find(lease.task)
            policy = own.over(task.policy)
            job = CurrentJob(
                lease.id,
                lease.task,
                lease.queue,
                lease.attempt,
                lease.failures,
                lease.crashes,
                tags,
                partial(self._report, lease),
            )
            outcome = _here(partial(run, task, job, lease.body, policy.timeout, caught=raised.append), task.is_async)
        except (UnknownTask, AppNotImported, Undecodable) as error:
            outcome = refusal_of(error)
        settled = decide(lease, outcome, policy, started_at=started_at, now=self._clock.now(), random=_most)
        self._adapter.broker.settle([settled])
        info = self._adapter.inspector.get([lease.id])[0]
        assert info is not None
        result = json.loads(outcome.result) if isinstance(outcome, Done) and outcome.result is not None else None
        return Ran(job=info, result=result, error=_cause(raised[0]) if raised else None)

    def _report(self, lease: Lease, fraction: float | None, text: str | None) -> None:
        self._adapter.broker.report([Report(lease, fraction, text)])


def _most() -> float:
    """Instead of a random number: waits are the longest they can be, so that a test knows them."""
    return 1.0


def close() -> None:
    """Close the event loop that this thread's coroutines ran on, if it is not that which asks."""
    if not _in_a_loop():
        drop_loop()


def _here(run: Callable[[], Outcome], is_async: bool) -> Outcome:
    """Run it in this thread, or in one of its own if it needs an event loop and this thread is inside of one."""
    if not (is_async and _in_a_loop()):
        return run()
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    def alone() -> Outcome:
        try:
            return run()
        finally:
            drop_loop()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, alone).result()


def _in_a_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _cause(error: BaseException) -> BaseException:
    """What went wrong, where the task raised something else to tell."""
    if isinstance(error, Retry):
        return error.cause or error
    return error.exc or error if isinstance(error, RetriesSpent) else error
