"""What a run makes of what a task returns and raises."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from qtool import CurrentJob, Discard, JobCancelled, JobTimeout, Retry, Snooze, current_job
from qtool.engine import job as outcomes
from qtool.engine.run import MAX_MESSAGE, MAX_TRACEBACK, run, run_async
from qtool.engine.states import Reason
from qtool.engine.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.job import Fail, Outcome


def outcome(
    function: Callable[..., Any], *args: Any, job: CurrentJob | None = None, bind: bool = False, **options: Any
) -> Outcome:
    made: Task[..., Any, Any] = Task(function, "shop.send", bind=bind, options=options)
    return run(made, job or a_job(), json.dumps([args, {}]))


def failure(function: Callable[..., Any], *args: Any, **options: Any) -> Fail:
    ended = outcome(function, *args, **options)
    assert isinstance(ended, outcomes.Fail)
    return ended


def a_job(**fields: Any) -> CurrentJob:
    return CurrentJob("019a", "shop.send", "mail", **fields)


def raises(error: BaseException) -> Callable[[], None]:
    def send() -> None:
        raise error

    return send


# --- results -----------------------------------------------------------------------------------------


def test_what_it_returns_is_the_result() -> None:
    assert outcome(lambda x, y: {"sum": [x + y, None, "é\ud800"]}, 1, 2) == outcomes.Done(
        '{"sum":[3,null,"\\u00e9\\ud800"]}'
    )
    assert outcome(lambda: None) == outcomes.Done(None)
    assert outcome(lambda: 0) == outcomes.Done("0")
    assert outcome(lambda: 5, ignore_result=True) == outcomes.Done(None, kept=False)


@pytest.mark.parametrize(
    ("value", "name"), [(object(), "object"), ({1, 2}, "set"), (float("nan"), "float"), (b"x", "bytes")]
)
def test_a_result_that_is_not_json_is_final_and_names_its_type(value: object, name: str) -> None:
    ended = failure(lambda: value, retries=5)
    assert ended.final
    assert ended.failure.type == "NotSerialisable"
    assert f"The result ({name}) cannot be written as JSON" in ended.failure.message


def test_a_result_that_is_too_large_is_final() -> None:
    ended = failure(lambda: "x" * (17 * 1024 * 1024))
    assert ended.final
    assert ended.failure.type == "PayloadTooLarge"


@pytest.mark.parametrize("body", ["", "{}", "[1]", "[{}, []]", "nonsense", "[[1], {}] x"])
def test_arguments_that_cannot_be_read_are_final(body: str) -> None:
    ended = run(Task(print, "print"), a_job(), body)
    assert isinstance(ended, outcomes.Fail)
    assert ended.reason is Reason.UNDECODABLE
    assert ended.final


# --- errors ------------------------------------------------------------------------------------------


def _inner() -> None:
    raise ValueError("no such address")


def _outer() -> None:
    try:
        _inner()
    except ValueError as error:
        raise ConnectionError("cannot send") from error


def test_the_traceback_starts_in_the_users_code() -> None:
    ended = failure(_outer)
    assert (ended.reason, ended.final) == (Reason.FAILED, False)
    assert str(ended.failure) == "ConnectionError: cannot send"
    text = ended.failure.traceback or ""
    assert "in _inner" in text
    assert "in _outer" in text
    assert "direct cause" in text
    assert "engine/run.py" not in text


def test_other_modules_errors_are_named_in_full() -> None:
    assert failure(lambda: json.loads("{")).failure.type == "json.decoder.JSONDecodeError"


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError()])
def test_nothing_a_task_raises_ends_the_pool(error: BaseException) -> None:
    assert type(error).__name__ in failure(raises(error)).failure.type


def test_an_interrupt_is_the_pools() -> None:
    with pytest.raises(KeyboardInterrupt):
        outcome(raises(KeyboardInterrupt()))
    with pytest.raises(RuntimeError):
        current_job()


def test_errors_are_bounded_and_always_text() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert "its text cannot be had" in failure(raises(Broken())).failure.message
    ended = failure(raises(ValueError("x" * 1_000_000 + "\ud800")))
    assert len(ended.failure.message) < MAX_MESSAGE + 100
    assert len(ended.failure.traceback or "") < MAX_TRACEBACK + 100
    ended.failure.message.encode()
    (ended.failure.traceback or "").encode()

    def deep() -> None:
        deep()

    assert failure(deep).failure.type == "RecursionError"


def test_arguments_that_do_not_fit_are_final() -> None:
    def send(to: str) -> None: ...

    def confused() -> None:
        raise TypeError("inside")

    assert failure(send, retries=5).final
    assert failure(send, 1, 2).final
    assert "positional argument" in failure(send).failure.message
    assert not failure(confused, retries=5).final
    assert not failure(lambda: int([]), retries=5).final  # type: ignore[call-overload]


# --- what a task can ask for -------------------------------------------------------------------------


def test_retry() -> None:
    assert outcome(raises(Retry(in_=5))) == outcomes.Retry(
        outcomes.Failure(type="Retry", message="the task asked for it"), 5
    )

    def caused() -> None:
        try:
            _inner()
        except ValueError:
            raise Retry from None

    def chained() -> None:
        try:
            _inner()
        except ValueError as error:
            raise Retry(in_=1) from error

    ended = outcome(chained)
    assert isinstance(ended, outcomes.Retry)
    assert (ended.failure.type, ended.in_) == ("ValueError", 1)
    assert "in _inner" in (ended.failure.traceback or "")
    assert isinstance(outcome(caused), outcomes.Retry)


def test_snooze_discard_cancel_and_timeout() -> None:
    assert outcome(raises(Snooze(in_=60))) == outcomes.Snooze(60)
    assert outcome(raises(JobCancelled())) == outcomes.Cancel()
    ended = failure(raises(Discard("the account is closed")), retries=5)
    assert (ended.reason, ended.final) == (Reason.DISCARDED, True)
    assert str(ended.failure) == "Discard: the account is closed"
    late = failure(raises(JobTimeout("ran longer than 5 s")), retries=5)
    assert (late.reason, late.final) == (Reason.TIMEOUT, False)


def test_only_the_named_errors_are_retried() -> None:
    assert not failure(raises(ConnectionError()), autoretry_for=(OSError,)).final
    assert failure(raises(ValueError()), autoretry_for=(OSError,)).final
    waits = outcome(raises(OSError()), autoretry_for=(OSError,), default_retry_delay=7)
    assert isinstance(waits, outcomes.Retry)
    assert waits.in_ == 7


def test_celerys_bound_task() -> None:
    seen: list[object] = []

    def send(self: CurrentJob, to: str) -> None:
        seen.extend((self.request.id, self.request.retries, self.request.args, to))
        try:
            _inner()
        except ValueError as error:
            raise self.retry(exc=error, countdown=9)  # noqa: B904 - as Celery's documentation writes it

    ended = outcome(send, "ann", job=a_job(attempt=3, failures=2), bind=True)
    assert seen == ["019a", 2, ("ann",), "ann"]
    assert isinstance(ended, outcomes.Retry)
    assert (ended.failure.type, ended.in_) == ("ValueError", 9)


def test_a_bound_task_waits_its_own_delay_and_gives_up_when_told() -> None:
    def send(self: CurrentJob) -> None:
        self.retry(max_retries=2, exc=ValueError("no such address"))

    ended = outcome(send, bind=True, default_retry_delay=30)
    assert isinstance(ended, outcomes.Retry)
    assert ended.in_ == 30
    given_up = outcome(send, job=a_job(failures=2), bind=True)
    assert isinstance(given_up, outcomes.Fail)
    assert given_up.final
    assert given_up.reason is Reason.FAILED
    assert str(given_up.failure) == "ValueError: no such address"


# --- the running job ---------------------------------------------------------------------------------


def test_a_task_knows_its_job(caplog: pytest.LogCaptureFixture) -> None:
    news: list[tuple[float | None, str | None]] = []

    def send() -> dict[str, object]:
        job = current_job()
        job.progress(0.5, "half way")
        job.progress(text="on")
        with caplog.at_level(logging.INFO):
            job.log.info("sending")
        return {"id": job.id, "attempt": job.attempt, "tags": dict(job.tags), "task": job.task, "queue": job.queue}

    job = a_job(attempt=2, crashes=1, tags={"team": "billing"}, report=lambda *said: news.append(said))
    ended = outcome(send, job=job)
    assert ended == outcomes.Done(
        '{"id":"019a","attempt":2,"tags":{"team":"billing"},"task":"shop.send","queue":"mail"}'
    )
    assert job.previous_crash
    assert news == [(0.5, "half way"), (None, "on")]
    assert caplog.records[0].name == "shop.send"


def test_outside_a_job_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="inside a running task only"):
        current_job()


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_progress_is_a_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        a_job().progress(fraction)


def test_a_bound_task_can_be_called_directly() -> None:
    def send(self: CurrentJob, to: str) -> str:
        self.progress(1.0)
        return f"{to} {self.request.retries}"

    made: Task[[str], str, str] = Task(send, "shop.send", bind=True)
    assert made("ann") == "ann 0"


# --- async -------------------------------------------------------------------------------------------


async def _asynchronous(seconds: float) -> str:
    before = current_job()
    await asyncio.sleep(seconds)
    assert current_job() is before
    return before.id


def test_an_async_task_runs_in_a_plain_pool_on_a_kept_loop() -> None:
    loops: list[object] = []

    async def send() -> None:
        loops.append(asyncio.get_running_loop())

    assert outcome(_asynchronous, 0) == outcomes.Done('"019a"')
    outcome(send)
    outcome(send)
    assert loops[0] is loops[1]


def test_a_loop_that_was_broken_into_is_not_used_again() -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    cleaned: list[bool] = []

    def interrupt(*_: object) -> None:
        raise JobCancelled

    before = signal.signal(signal.SIGALRM, interrupt)

    async def send() -> None:
        loops.append(asyncio.get_running_loop())
        if len(loops) == 1:
            # While the loop waits for something to happen, a signal handler's error leaves it at once.
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            try:
                await asyncio.sleep(60)
            finally:
                cleaned.append(True)

    try:
        assert outcome(send) == outcomes.Cancel()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert cleaned == [True]
    assert outcome(send) == outcomes.Done(None)
    assert loops[0].is_closed()
    assert loops[0] is not loops[1]


def test_each_async_task_in_a_thread_knows_its_own_job() -> None:
    async def which() -> str:
        return current_job().id

    for id in ("019a", "019b"):
        made: Task[..., Any, Any] = Task(which, "shop.send")
        assert run(made, CurrentJob(id, "shop.send", "mail"), "[[], {}]") == outcomes.Done(json.dumps(id))


def test_an_async_task_times_out() -> None:
    made: Task[..., Any, Any] = Task(_asynchronous, "shop.send")
    ended = run(made, a_job(), "[[60], {}]", timeout=0.01)
    assert isinstance(ended, outcomes.Fail)
    assert ended.reason is Reason.TIMEOUT
    assert str(ended.failure) == "JobTimeout: the attempt ran longer than 0.01 s"

    async def own() -> None:
        raise TimeoutError("the server is slow")

    assert failure(own).failure.type == "TimeoutError"


def test_many_at_once_on_one_loop() -> None:
    made: Task[..., Any, Any] = Task(_asynchronous, "shop.send")

    async def pool() -> list[Outcome]:
        jobs = [CurrentJob(str(number), "shop.send", "mail") for number in range(50)]
        return await asyncio.gather(*(run_async(made, job, "[[0.001], {}]") for job in jobs))

    assert asyncio.run(pool()) == [outcomes.Done(f'"{number}"') for number in range(50)]


def test_cancelling_is_told_from_a_cancelled_error_of_the_tasks_own() -> None:
    async def own() -> None:
        raise asyncio.CancelledError

    async def pool() -> tuple[Outcome, Outcome]:
        waits = asyncio.ensure_future(run_async(Task(_asynchronous, "a"), a_job(), "[[60], {}]"))
        await asyncio.sleep(0)
        waits.cancel()
        return await waits, await run_async(Task(own, "b"), a_job(), "[[], {}]")

    cancelled, failed = asyncio.run(pool())
    assert cancelled == outcomes.Cancel()
    assert isinstance(failed, outcomes.Fail)


def test_a_plain_function_in_the_async_pool_leaves_the_loop_free() -> None:
    freed = threading.Event()

    def blocks() -> str:
        assert freed.wait(10)
        return current_job().id

    async def pool() -> Outcome:
        waits = asyncio.ensure_future(run_async(Task(blocks, "shop.send"), a_job(), "[[], {}]"))
        await asyncio.sleep(0)
        freed.set()
        return await waits

    assert asyncio.run(pool()) == outcomes.Done('"019a"')
