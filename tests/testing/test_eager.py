"""Jobs that run where they are enqueued."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import qtool
from qtool import Discard, JobFailed, Snooze, current_job, task
from qtool.engine.states import State
from qtool.errors import NotSerialisable
from qtool.testing import eager, in_memory
from qtool.testing import jobs as module


def test_a_job_has_run_when_it_is_enqueued() -> None:
    @task(name="double")
    def double(x: int) -> int:
        return 2 * x

    with eager():
        handle = double.delay(4)
        assert (handle.state, handle.result(timeout=0)) == (State.SUCCEEDED, 8)
        assert list(double.map([1, 2, 3]).results()) == [2, 4, 6]
        assert qtool.connect().enqueue("double", 5).result() == 10
    assert handle.result() == 8


def test_arguments_and_options_are_those_of_a_real_job() -> None:
    @task(name="tell", queue="slow")
    def tell(x: Any) -> Any:
        job = current_job()
        return [x, job.queue, dict(job.tags), job.attempt]

    with eager():
        assert tell.apply_async([(1, 2)], tags={"a": "b"}).result() == [[1, 2], "slow", {"a": "b"}, 1]
        with pytest.raises(NotSerialisable):
            tell.delay({1})
        with pytest.raises(TypeError, match="unknown option retires"):
            tell.apply_async([1], retires=3)  # type: ignore[call-arg]


def test_retries_and_snoozes_happen_at_once() -> None:
    seen: list[tuple[int, int]] = []

    @task(name="flaky", retries=2)
    def flaky() -> str:
        job = current_job()
        seen.append((job.attempt, job.failures))
        if len(seen) == 1:
            raise ConnectionError
        if len(seen) == 2:
            raise Snooze(3600)
        return "ok"

    with eager():
        assert flaky.delay().result() == "ok"
    assert seen == [(1, 0), (2, 1), (2, 1)]


def test_a_job_for_later_runs_at_once() -> None:
    send = task(name="send")(lambda: 1)
    with eager():
        assert send.apply_async(countdown=3600).result() == 1
        assert send.apply_async(countdown=60, expires=30).state is State.EXPIRED


def test_an_error_is_raised_where_the_job_is_enqueued() -> None:
    error = ConnectionError("reset")

    @task(name="inner")
    def inner() -> None:
        raise error

    @task(name="outer", retries=5)
    def outer() -> None:
        inner.delay()

    with eager() as jobs:
        with pytest.raises(ConnectionError) as caught:
            outer.delay()
        assert caught.value is error
        assert {job.task: job.attempt for job in jobs.all}["outer"] == 6


def test_or_waits_in_the_handle() -> None:
    @task(name="fails")
    def fails() -> None:
        raise ConnectionError("reset")

    with eager(raises=False):
        handle = fails.delay()
    assert handle.failed()
    with pytest.raises(JobFailed, match="ConnectionError: reset"):
        handle.result()


def test_a_discarded_job_raises_nothing() -> None:
    @task(name="stale")
    def stale() -> None:
        raise Discard("gone")

    with eager():
        assert stale.delay().info().reason == "discarded"


def test_a_job_with_a_key_runs_once() -> None:
    runs: list[int] = []
    send = task(name="send", unique=True)(runs.append)
    with eager():
        one = send.apply_async([1], task_id="one")
        assert send.apply_async([1], task_id="one").existing
        assert one.successful()
    assert runs == [1]


def test_jobs_enqueue_jobs_and_wait_for_them() -> None:
    @task(name="sum")
    def total(x: int) -> int:
        return x + (total.delay(x - 1).result() if x else 0)

    with eager():
        assert total.delay(5).result() == 15


def test_threads_run_their_own_jobs() -> None:
    @task(name="who")
    def who() -> int:
        return threading.get_ident()

    def mine() -> None:
        same.append(who.delay().result() == threading.get_ident())

    @task(name="outer")
    def outer() -> None:
        threads = [threading.Thread(target=mine) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    same: list[bool] = []
    with eager():
        outer.delay()
    assert same == [True] * 4


def test_a_job_that_cannot_run_or_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 20)

    @task(name="later")
    def later() -> None:
        raise Snooze(1)

    with eager() as jobs:
        with pytest.raises(RuntimeError, match=r"20 attempts of job .* there is no end"):
            later.delay()
        jobs.client.adapter().operator.pause("default")
        with pytest.raises(RuntimeError, match=r"of send cannot be run: its queue is paused"):
            task(name="send")(lambda: None).delay()


def test_a_rate_holds_nothing_up() -> None:
    with eager() as jobs:
        jobs.client.adapter().operator.limit("queue", "default", rate=0.1, burst=1)
        assert list(task(name="echo")(lambda x: x).map(range(5)).results()) == [0, 1, 2, 3, 4]


def test_it_goes_around_a_function_too() -> None:
    send = task(name="send")(lambda: 3)

    @eager()
    def suite() -> int:
        return send.delay().result()

    assert suite() == 3


# --- apply -------------------------------------------------------------------------------------------


def test_apply_runs_one_job_without_any_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    @task(name="send", bind=True, retries=1)
    def send(self: qtool.CurrentJob, x: int) -> list[int]:
        if self.attempt == 1:
            raise ConnectionError
        return [x, self.request.retries]

    with in_memory() as jobs:
        handle = send.apply([4])
        assert jobs.all == []
    assert handle.get() == [4, 1]
    assert handle.successful()


def test_apply_raises_no_error_of_the_task() -> None:
    @task(name="fails")
    def fails() -> None:
        raise ConnectionError("reset")

    with in_memory():
        handle = fails.apply()
    assert handle.failed()
    with pytest.raises(JobFailed, match="ConnectionError: reset"):
        handle.get()
