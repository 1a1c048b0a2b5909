"""Jobs in memory: what is enqueued, and a worker that the test turns by hand."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import qtool
from qtool import CurrentJob, Discard, JobFailed, Retry, Snooze, Task, before_enqueue, current_job, middleware, task
from qtool.client import default_client
from qtool.engine.states import State
from qtool.errors import NotSerialisable, TimeStandsStill, WaitTimedOut
from qtool.testing import Jobs, in_memory
from qtool.testing import jobs as module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    with in_memory() as jobs:
        yield jobs


def failing(times: int, error: Exception, **options: Any) -> Task[[], int, int]:
    """A task whose first starts raise."""
    starts = 0

    def function() -> int:
        nonlocal starts
        starts += 1
        if starts <= times:
            raise error
        return starts

    made: Task[[], int, int] = task(name="failing", **options)(function)
    return made


# --- what is enqueued --------------------------------------------------------------------------------


def test_nothing_runs_until_it_is_told_to(jobs: Jobs) -> None:
    seen: list[str] = []
    send = task(name="send")(seen.append)
    handle = send.delay("ann")
    assert (seen, handle.state) == ([], State.READY)
    assert [ran.state for ran in jobs.run()] == [State.SUCCEEDED]
    assert (seen, handle.successful()) == (["ann"], True)
    assert jobs.run() == []


def test_whatever_names_no_broker_enqueues_here(jobs: Jobs) -> None:
    @task(name="send")
    def send(to: str) -> None: ...

    send.delay("ann")
    send.map(["bob", "eve"])
    with qtool.connect() as client:
        client.enqueue("absent", 3)
    default_client().enqueue(send, "dan")
    assert [(job.task, job.args) for job in jobs.enqueued] == [
        ("send", ("ann",)),
        ("send", ("bob",)),
        ("send", ("eve",)),
        ("absent", (3,)),
        ("send", ("dan",)),
    ]


def test_a_broker_that_is_named_is_used(jobs: Jobs) -> None:
    with qtool.connect("memory:") as client:
        client.enqueue("send")
    assert jobs.all == []


def test_blocks_nest_and_end() -> None:
    @task(name="send")
    def send() -> None: ...

    with in_memory() as outer:
        with in_memory() as inner:
            send.delay()
        send.delay()
        send.delay()
    assert (len(inner.all), len(outer.all)) == (1, 2)


def test_arguments_make_the_way_through_json(jobs: Jobs) -> None:
    @task(name="send")
    def send(to: Any) -> Any:
        assert to == ["ann", {"1": 2}]
        return (to, 3)

    handle = send.delay(("ann", {1: 2}))
    (ran,) = jobs.run()
    assert ran.result == handle.result() == [["ann", {"1": 2}], 3]
    with pytest.raises(NotSerialisable):
        send.delay({3})
    with pytest.raises(TypeError, match="missing a required argument"):
        jobs.client.enqueue(send)


def test_finding_what_is_enqueued(jobs: Jobs) -> None:
    @task(name="send")
    def send(to: Any, *, copy: bool = False, bcc: Any = None) -> None: ...

    send.delay("ann")
    send.apply_async(["bob"], {"copy": True, "bcc": ("x",)}, queue="bulk", tags={"team": "a", "kind": "b"})
    assert len(jobs.find()) == len(jobs.find(send)) == len(jobs.find("send")) == 2
    assert jobs.find(send, args=["bob"]) == jobs.find(queue="bulk") == jobs.find(kwargs={"copy": True})
    assert jobs.find(send, kwargs={"bcc": ("x",)}) == jobs.find(tags={"team": "a"}) == jobs.find(queue="bulk")
    assert jobs.find(send, args=[]) == jobs.find("other") == jobs.find(tags={"team": "b"}) == []
    assert jobs.assert_enqueued(send, args=("ann",)).args == ("ann",)
    assert jobs.assert_enqueued(send, count=2).args == ("ann",)
    jobs.assert_not_enqueued(send, args=["eve"])
    jobs.run()
    jobs.assert_not_enqueued()
    assert len(jobs.all) == 2


def test_an_assertion_that_fails_says_what_there_is(jobs: Jobs) -> None:
    @task(name="send")
    def send(to: str) -> None: ...

    with pytest.raises(AssertionError, match=r"(?s)0 of 1 wanted jobs.*send\('ann', copy=True\).*\n  nothing"):
        jobs.assert_enqueued(send, args=["ann"], kwargs={"copy": True})
    send.delay("bob")
    with pytest.raises(AssertionError, match=r'send\("bob"\) in default, ready'):
        jobs.assert_enqueued(send, args=["ann"])
    with pytest.raises(AssertionError, match="1 of 2 wanted jobs"):
        jobs.assert_enqueued(send, count=2)
    with pytest.raises(AssertionError, match=r"1 unwanted jobs are enqueued: any task\(\)"):
        jobs.assert_not_enqueued()


# --- running -----------------------------------------------------------------------------------------


def test_priorities_and_age_decide_whose_turn_it_is(jobs: Jobs) -> None:
    seen: list[int] = []
    note = task(name="note")(seen.append)
    for number, priority in enumerate([0, 5, 0, 9, 5]):
        note.apply_async([number], priority=priority)
    jobs.run()
    assert seen == [3, 1, 4, 0, 2]


def test_what_jobs_enqueue_runs_too(jobs: Jobs) -> None:
    @task(name="count")
    def count(down: int) -> int:
        if down:
            count.delay(down - 1)
        return down

    count.delay(3)
    assert [ran.result for ran in jobs.run()] == [3, 2, 1, 0]


def test_an_end_that_is_dead_raises_the_very_error(jobs: Jobs) -> None:
    error = ConnectionError("reset")
    handle = failing(9, error).delay()
    later = task(name="later")(lambda: None).delay()
    with pytest.raises(ConnectionError) as caught:
        jobs.run()
    assert caught.value is error
    assert error.__notes__ == [f"Job {handle.id} of failing is dead (failed) after 1 attempts."]
    assert (handle.state, later.state) == (State.DEAD, State.READY)
    assert len(jobs.run()) == 1


def test_or_everything_is_listed(jobs: Jobs) -> None:
    failing(9, ConnectionError("reset")).delay()
    task(name="later")(lambda: 5).delay()
    first, second = jobs.run(raises=False)
    assert (first.state, first.failed, str(first.error), first.result) == (State.DEAD, True, "reset", None)
    assert (second.state, second.failed, second.error, second.result) == (State.SUCCEEDED, False, None, 5)
    assert repr(first) == "<ran failing, attempt 1: dead (ConnectionError: reset)>"


def test_what_is_discarded_is_foreseen(jobs: Jobs) -> None:
    failing(9, Discard("stale")).delay()
    (ran,) = jobs.run()
    assert (ran.state, ran.job.reason, ran.failed) == (State.DEAD, "discarded", False)


def test_what_is_no_exception_is_told_by_one(jobs: Jobs) -> None:
    @task(name="leaves")
    def leaves() -> None:
        raise SystemExit(3)

    leaves.delay()
    with pytest.raises(JobFailed, match="SystemExit: 3"):
        jobs.run()
    task(name="set")(lambda: {1}).delay()
    with pytest.raises(JobFailed, match=r"The result \(set\) cannot be written as JSON"):
        jobs.run()
    jobs.client.enqueue("nowhere.send")
    with pytest.raises(JobFailed, match=r"dead \(unknown-task\)"):
        jobs.run()
    jobs.client.enqueue("qtool.exec", "true")
    with pytest.raises(JobFailed, match=r"a command needs qtool\.testing\.real_worker"):
        jobs.run()


def test_a_task_that_asks_itself_to_run_again_shows_what_went_wrong(jobs: Jobs) -> None:
    cause = OSError("busy")

    @task(name="asks", bind=True, max_retries=1)
    def asks(self: CurrentJob) -> None:
        raise self.retry(exc=cause, countdown=5)

    asks.delay()
    (first,) = jobs.run()
    assert (first.state, first.error) == (State.RETRY, cause)
    with pytest.raises(OSError, match="busy") as caught:
        jobs.advance(5)
    assert caught.value is cause


def test_middleware_and_hooks_are_called(jobs: Jobs) -> None:
    seen: list[str] = []

    @middleware
    def around(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        seen.append(job.task)
        return call_next()

    @before_enqueue
    def producer(job: qtool.Job) -> qtool.Job:
        seen.append("sent")
        return job

    task(name="send")(lambda: None).delay()
    jobs.run()
    assert seen == ["sent", "send"]


def test_progress_is_seen(jobs: Jobs) -> None:
    @task(name="works")
    def works() -> None:
        current_job().progress(0.5, "half way")
        assert (jobs.all[0].progress, jobs.all[0].message) == (0.5, "half way")

    works.delay()
    jobs.run()


def test_a_job_that_never_ends_is_noticed(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 20)
    failing(999, Snooze(0)).delay()
    with pytest.raises(RuntimeError, match="20 attempts were run and there is no end; the last was of failing"):
        jobs.run()
    failing(999, Snooze(60))
    with pytest.raises(RuntimeError, match="there is no end"):
        jobs.drain()


def test_an_interrupt_is_the_testers(jobs: Jobs) -> None:
    @task(name="stop")
    def stop() -> None:
        raise KeyboardInterrupt

    stop.delay()
    with pytest.raises(KeyboardInterrupt):
        jobs.run()


def test_one_job_alone_is_run_to_its_end(jobs: Jobs) -> None:
    before = task(name="before")(lambda: None).apply_async(priority=9)
    mine = failing(2, ConnectionError("reset"), retries=2).delay()
    after = task(name="after")(lambda: None).delay()
    ran = jobs.finish(mine)
    assert ran is not None
    assert (ran.result, ran.job.attempt) == (3, 3)
    assert [job.id for job in jobs.enqueued] == [before.id, after.id]
    assert jobs.finish(mine.id) is None
    assert [ran.job.attempt for ran in jobs.run()] == [1, 1]


# --- time --------------------------------------------------------------------------------------------


def test_the_clock_stands_still_until_it_is_moved(jobs: Jobs) -> None:
    began = jobs.now
    assert abs(began - time.time()) < 5
    handle = task(name="send")(lambda: None).apply_async(countdown=3600)
    assert jobs.run() == []
    assert jobs.advance(3599) == []
    (ran,) = jobs.advance(1)
    assert ran.job.started_at == began + 3600 == jobs.now
    assert handle.successful()


def test_a_countdown_counts_from_the_clock_of_the_test(jobs: Jobs) -> None:
    send = task(name="send")(lambda: None)
    jobs.advance(timedelta(days=1))
    handle = send.apply_async(countdown=60)
    assert handle.state is State.SCHEDULED
    assert handle.info().due_at == jobs.now + 60
    at = datetime.fromtimestamp(jobs.now + 30, UTC)
    assert send.apply_async(eta=at).info().due_at == pytest.approx(jobs.now + 30)
    assert len(jobs.advance(60)) == 2


def test_what_becomes_due_on_the_way_runs_at_its_time(jobs: Jobs) -> None:
    times: list[float] = []
    began = jobs.now

    @task(name="tick")
    def tick(left: int) -> None:
        times.append(jobs.now - began)
        if left:
            tick.apply_async([left - 1], countdown=60)

    tick.delay(5)
    jobs.advance(150)
    assert times == pytest.approx([0, 60, 120])
    jobs.drain()
    assert times == pytest.approx([0, 60, 120, 180, 240, 300])


def test_retries_wait_the_whole_backoff(jobs: Jobs) -> None:
    handle = failing(3, ConnectionError("reset"), retries=3, backoff=10).delay()
    assert [ran.state for ran in jobs.run()] == [State.RETRY]
    assert jobs.advance(9.9) == []
    assert [ran.state for ran in jobs.advance(0.1)] == [State.RETRY]
    assert jobs.advance(19.9) == []
    assert [ran.state for ran in jobs.advance(0.1)] == [State.RETRY]
    assert [ran.result for ran in jobs.drain()] == [4]
    assert handle.info().attempt == 4
    errors = jobs.client.adapter().inspector.attempts(handle.id)
    assert [str(each.error) for each in errors] == ["ConnectionError: reset"] * 3


def test_snoozes_give_the_attempt_back(jobs: Jobs) -> None:
    handle = failing(2, Snooze(30)).delay()
    assert [ran.state for ran in jobs.run()] == [State.SCHEDULED]
    assert [ran.state for ran in jobs.advance(60)] == [State.SCHEDULED, State.SUCCEEDED]
    assert (handle.info().attempt, handle.info().failures) == (1, 0)


def test_the_policy_by_class_counts(jobs: Jobs) -> None:
    failing(1, ConnectionError("reset"), on_error={ConnectionError: Retry(in_=7)}).delay()
    jobs.run()
    assert [ran.result for ran in jobs.advance(7)] == [2]


def test_rates_are_kept(jobs: Jobs) -> None:
    times: list[float] = []
    began = jobs.now
    note = task(name="note")(lambda _: times.append(jobs.now - began))
    jobs.client.adapter().operator.limit("queue", "default", rate=0.5, burst=2)
    note.map(range(6))
    assert len(jobs.run()) == 2
    assert len(jobs.advance(4)) == 2
    assert len(jobs.drain()) == 2
    assert times == pytest.approx([0, 0, 2, 4, 6, 8])


def test_what_a_task_says_of_its_rate_and_key_counts(jobs: Jobs) -> None:
    note = task(name="note", rate_limit="30/m")(lambda _: None)
    began = jobs.now
    note.map(range(3))
    assert len(jobs.run()) == 1
    assert len(jobs.advance(2)) == 1
    assert len(jobs.drain()) == 1
    assert jobs.now - began == pytest.approx(4)

    @task(name="alone", key="one")
    def alone(depth: int) -> None:
        if depth:
            alone.delay(depth - 1).result()

    alone.delay(1)
    with pytest.raises(TimeStandsStill):
        jobs.run()


def test_a_fast_rate_is_kept_too(jobs: Jobs) -> None:
    note = task(name="note")(lambda _: None)
    jobs.client.adapter().operator.limit("queue", "default", rate=3000, burst=1)
    note.map(range(600))
    began = jobs.now
    assert len(jobs.drain()) == 600
    assert jobs.now - began == pytest.approx(0.2, rel=0.02)


def test_what_is_too_late_expires(jobs: Jobs) -> None:
    handle = task(name="send")(lambda: None).apply_async(countdown=60, expires=30)
    assert jobs.drain() == []
    assert handle.state is State.EXPIRED


def test_a_coroutine_has_its_time_limit(jobs: Jobs) -> None:
    @task(name="sleeps", timeout=0.01)
    async def sleeps() -> None:
        await asyncio.sleep(60)

    sleeps.delay()
    with pytest.raises(qtool.JobTimeout, match=r"ran longer than 0\.01 s"):
        jobs.run()


# --- waiting -----------------------------------------------------------------------------------------


def test_whoever_waits_lets_the_worker_run(jobs: Jobs) -> None:
    @task(name="double")
    def double(x: int) -> int:
        return 2 * x

    @task(name="outer")
    def outer(x: int) -> int:
        return double.delay(x).result(timeout=5) + 1

    assert outer.delay(4).result() == 9
    assert list(double.map([1, 2, 3]).results()) == [2, 4, 6]


def test_waiting_for_what_is_not_due_is_told_at_once(jobs: Jobs) -> None:
    handle = task(name="send")(lambda: None).apply_async(countdown=60)
    with pytest.raises(TimeStandsStill, match=r"Nothing is due now.*advance\(seconds\)"):
        handle.result()
    assert issubclass(TimeStandsStill, WaitTimedOut)


def test_a_failure_waits_in_the_handle(jobs: Jobs) -> None:
    with pytest.raises(JobFailed, match="ConnectionError: reset"):
        failing(9, ConnectionError("reset")).delay().result()


# --- coroutines and threads --------------------------------------------------------------------------


def test_coroutines_run_also_inside_of_a_loop(jobs: Jobs) -> None:
    @task(name="fetch")
    async def fetch(x: int) -> int:
        await asyncio.sleep(0)
        return x + (await fetch(x - 1) if x else 0)

    async def suite() -> int:
        handle = fetch.delay(3)
        jobs.run()
        return handle.result()

    assert asyncio.run(suite()) == 6
    assert fetch.delay(2).result() == 3


def test_a_thread_waits_for_what_another_one_runs(jobs: Jobs) -> None:
    began, go_on = threading.Event(), threading.Event()

    @task(name="slow")
    def slow() -> int:
        began.set()
        assert go_on.wait(20)
        return 3

    handle = slow.delay()
    runner = threading.Thread(target=jobs.run)
    runner.start()
    assert began.wait(20)
    found: list[int] = []
    waiter = threading.Thread(target=lambda: found.append(handle.result(timeout=20)))
    waiter.start()
    go_on.set()
    runner.join(20)
    waiter.join(20)
    assert found == [3]


def test_a_job_that_waits_for_what_cannot_start_is_told(jobs: Jobs) -> None:
    other = task(name="other")(lambda: None)

    @task(name="outer")
    def outer() -> None:
        other.apply_async(countdown=60).result()

    outer.delay()
    with pytest.raises(TimeStandsStill):
        jobs.run()


def test_threads_may_enqueue_and_wait(jobs: Jobs) -> None:
    echo = task(name="echo")(lambda x: x)
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(echo.delay(n).result())) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(found) == list(range(8))
