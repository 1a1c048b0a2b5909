"""Middleware: what goes around a run, in which order, and what it may make of it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from qtool import CurrentJob, Discard, JobCancelled, JobTimeout, Retry, Snooze, current_job
from qtool.engine import job as outcomes
from qtool.engine import middleware as room
from qtool.engine.middleware import middleware
from qtool.engine.run import run, run_async
from qtool.engine.states import Reason
from qtool.engine.tasks import Task
from qtool.errors import AppNotImported

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.job import Outcome


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "registered", [])
    monkeypatch.setattr(room, "_composed", {})
    monkeypatch.setattr(room, "_loaded", [])


def made(function: Callable[..., Any], name: str = "shop.send", **options: Any) -> Task[..., Any, Any]:
    return Task(function, name, options=options)


def a_job(**fields: Any) -> CurrentJob:
    return CurrentJob("019a", "shop.send", "mail", **fields)


def outcome(function: Callable[..., Any], *args: Any, name: str = "shop.send", timeout: float | None = None) -> Outcome:
    return run(made(function, name), a_job(), json.dumps([args, {}]), timeout)


def outcome_on_a_loop(function: Callable[..., Any], *args: Any, timeout: float | None = None) -> Outcome:
    return asyncio.run(run_async(made(function), a_job(), json.dumps([args, {}]), timeout))


def noting(log: list[str], word: str) -> Callable[[CurrentJob, Callable[[], Any]], Any]:
    def note(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        log.append(f"{word}+")
        try:
            return call_next()
        finally:
            log.append(f"{word}-")

    return note


def noting_async(log: list[str], word: str) -> Callable[[CurrentJob, Callable[[], Any]], Any]:
    async def note(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        log.append(f"{word}+")
        try:
            return await call_next()
        finally:
            log.append(f"{word}-")

    return note


async def double(value: int) -> int:
    await asyncio.sleep(0)
    return 2 * value


BOTH = pytest.mark.parametrize("outcome_of", [outcome, outcome_on_a_loop])
"""In a thread of its own, as in the process and thread pools; and on a loop that others share."""


# --- order -------------------------------------------------------------------------------------------


def test_the_first_registered_is_outermost() -> None:
    log: list[str] = []
    for word in "ab":
        middleware(noting(log, word))
    assert outcome(lambda x: log.append("task") or x, 7) == outcomes.Done("7")  # type: ignore[func-returns-value]
    assert log == ["a+", "b+", "task", "b-", "a-"]


@BOTH
def test_around_a_coroutine_plain_ones_are_outside_of_those_that_await(outcome_of: Callable[..., Outcome]) -> None:
    log: list[str] = []
    for layer in (noting_async(log, "1"), noting(log, "a"), noting_async(log, "2"), noting(log, "b")):
        middleware(layer)
    assert outcome_of(double, 21) == outcomes.Done("42")
    assert log == ["a+", "b+", "1+", "2+", "2-", "1-", "b-", "a-"]


@BOTH
def test_an_async_one_leaves_plain_tasks_alone(outcome_of: Callable[..., Outcome]) -> None:
    log: list[str] = []
    middleware(noting_async(log, "1"))
    assert outcome_of(lambda: 3) == outcomes.Done("3")
    assert log == []


def test_it_may_be_for_some_tasks_only() -> None:
    log: list[str] = []
    middleware(tasks="mail.*")(noting(log, "mail"))
    middleware(tasks=["shop.*", "mail.send"])(noting(log, "both"))
    outcome(lambda: None, name="mail.send")
    outcome(lambda: None, name="shop.send")
    outcome(lambda: None, name="other.send")
    assert log == ["mail+", "both+", "both-", "mail-", "both+", "both-"]


def test_one_that_is_registered_later_goes_around_a_task_that_has_run_already() -> None:
    log: list[str] = []
    task = made(lambda: None)
    middleware(noting(log, "a"))
    run(task, a_job(), "[[],{}]")
    middleware(noting(log, "b"))
    run(task, a_job(), "[[],{}]")
    assert log == ["a+", "a-", "a+", "b+", "b-", "a-"]


def test_nothing_is_composed_where_none_is_registered() -> None:
    assert outcome(lambda: 1) == outcomes.Done("1")
    assert room._composed == {}


# --- what it may do ----------------------------------------------------------------------------------


@BOTH
def test_what_it_returns_is_the_result(outcome_of: Callable[..., Outcome]) -> None:
    middleware(lambda job, call_next: {"inner": call_next()})
    assert outcome_of(double, 4) == outcomes.Done('{"inner":8}')


def test_it_need_not_run_the_task() -> None:
    middleware(lambda job, call_next: "from a cache")
    assert outcome(lambda: pytest.fail("it ran")) == outcomes.Done('"from a cache"')


def test_it_may_run_the_task_again() -> None:
    tries: list[int] = []

    @middleware
    def twice(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        try:
            return call_next()
        except OSError:
            return call_next()

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 2:
            raise OSError
        return len(tries)

    assert outcome(flaky) == outcomes.Done("2")


def test_it_sees_the_job_and_so_does_the_task() -> None:
    seen: list[Any] = []

    @middleware
    def look(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        seen.extend([job is current_job(), job.args, job.kwargs])
        return call_next()

    outcome(lambda *args: seen.append(current_job().id), 1, 2)
    assert seen == [True, (1, 2), {}, "019a"]


@BOTH
@pytest.mark.parametrize(
    ("asked", "expected"),
    [(Retry(in_=3), outcomes.Retry), (Snooze(5), outcomes.Snooze), (Discard("no"), outcomes.Fail)],
)
def test_it_decides_how_the_run_ends(
    outcome_of: Callable[..., Outcome], asked: Exception, expected: type[object]
) -> None:
    @middleware
    def decide(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        try:
            return call_next()
        except ConnectionError as error:
            raise asked from error

    async def broken() -> None:
        raise ConnectionError("gone")

    ended = outcome_of(broken)
    assert isinstance(ended, expected)
    if isinstance(ended, outcomes.Retry):
        assert (ended.in_, ended.failure.type) == (3, "ConnectionError")
    if isinstance(ended, outcomes.Fail):
        assert ended.final


@BOTH
def test_what_it_sets_in_the_context_the_task_finds(outcome_of: Callable[..., Outcome]) -> None:
    trace: ContextVar[str] = ContextVar("trace", default="none")

    @middleware
    def traced(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        trace.set(job.id)
        return call_next()

    async def told() -> str:
        return trace.get()

    assert outcome_of(told) == outcomes.Done('"019a"')
    assert trace.get() == "none" or outcome_of is outcome


def test_arguments_that_do_not_fit_end_the_job_inside_middleware_too() -> None:
    middleware(lambda job, call_next: call_next())
    ended = outcome(lambda one: one)
    assert isinstance(ended, outcomes.Fail)
    assert ended.final


def test_a_type_error_of_its_own_is_an_error_like_any_other() -> None:
    @middleware
    def broken(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        return call_next() + None

    ended = outcome(lambda: 1)
    assert isinstance(ended, outcomes.Fail)
    assert not ended.final
    assert ended.failure.traceback is not None
    assert "in broken" in ended.failure.traceback


# --- time limits and cancelling, on a loop that others share -------------------------------------------


@BOTH
@pytest.mark.parametrize("kind", [noting, noting_async])
def test_a_coroutine_over_its_limit_ends_as_a_time_out(
    outcome_of: Callable[..., Outcome], kind: Callable[..., Any]
) -> None:
    log: list[str] = []
    middleware(kind(log, "a"))
    ended = outcome_of(asyncio.sleep, 60, timeout=0.01)
    assert isinstance(ended, outcomes.Fail)
    assert ended.reason is Reason.TIMEOUT
    assert log == ["a+", "a-"]


def test_plain_middleware_sees_the_time_out() -> None:
    seen: list[type[BaseException]] = []

    @middleware
    def look(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        try:
            return call_next()
        except BaseException as error:
            seen.append(type(error))
            raise

    for each in (outcome, outcome_on_a_loop):
        each(asyncio.sleep, 60, timeout=0.01)
    assert seen == [JobTimeout, JobTimeout]


def test_cancelling_reaches_the_coroutine_and_then_the_middleware() -> None:
    log: list[str] = []

    @middleware
    def look(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        try:
            return call_next()
        except JobCancelled:
            log.append("middleware")
            raise

    async def cancelled() -> Outcome:
        entered = asyncio.Event()

        async def endless() -> None:
            entered.set()
            try:
                await asyncio.sleep(60)
            finally:
                log.append("task")

        run = asyncio.create_task(run_async(made(endless), a_job(), "[[],{}]"))
        await entered.wait()
        run.cancel()
        return await run

    assert asyncio.run(cancelled()) == outcomes.Cancel()
    assert log == ["task", "middleware"]


def test_a_run_that_is_cancelled_before_it_called_next_never_starts_its_task() -> None:
    reached, go_on = threading.Event(), threading.Event()

    @middleware
    def slow(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        reached.set()
        go_on.wait(10)
        return call_next()

    ran: list[str] = []

    async def never() -> None:
        ran.append("it")

    async def cancelled() -> Outcome:
        run = asyncio.create_task(run_async(made(never), a_job(), "[[],{}]"))
        await asyncio.to_thread(reached.wait, 10)
        run.cancel()
        await asyncio.sleep(0)
        go_on.set()
        return await run

    assert asyncio.run(cancelled()) == outcomes.Cancel()
    assert ran == []


def test_plain_middleware_does_not_hold_up_the_loop() -> None:
    """A hundred at once, each asleep in its middleware for a while, take about as long as one."""

    @middleware
    def slow(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        time.sleep(0.05)
        return call_next()

    async def many() -> list[Outcome]:
        task = made(double)
        return await asyncio.gather(*(run_async(task, a_job(), f"[[{n}],{{}}]") for n in range(100)))

    began = time.monotonic()
    assert asyncio.run(many()) == [outcomes.Done(str(2 * n)) for n in range(100)]
    assert time.monotonic() - began < 2.5


@BOTH
def test_sys_exit_in_a_coroutine_is_an_error_and_ends_no_process(outcome_of: Callable[..., Outcome]) -> None:
    middleware(lambda job, call_next: call_next())

    async def leaves() -> None:
        raise SystemExit(3)

    ended = outcome_of(leaves)
    assert isinstance(ended, outcomes.Fail)
    assert ended.failure.type == "SystemExit"


# --- registering -------------------------------------------------------------------------------------


def test_what_cannot_be_middleware_is_refused() -> None:
    def yields(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
        yield call_next()

    with pytest.raises(TypeError, match=r"\(job, call_next\)"):
        middleware(yields)
    with pytest.raises(TypeError):
        middleware(3)  # type: ignore[call-overload]


def test_what_an_operator_names_is_outside_of_what_apps_register() -> None:
    log: list[str] = []
    middleware(noting(log, "app"))
    room.load("tests.unit.test_middleware:placed")
    room.load("tests.unit.test_middleware:placed_too")
    names = [layer.function for layer in room.registered]
    assert names[:2] == [placed, placed_too]


def test_it_is_loaded_by_its_place_and_once() -> None:
    room.load("tests.unit.test_middleware:placed")
    room.load("tests.unit.test_middleware:placed")
    assert [layer.function for layer in room.registered] == [placed]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("tests.unit.test_middleware", "module:function"),
        ("tests.unit.nowhere:x", "no module"),
        ("tests.unit.test_middleware:nothing", "nothing"),
        ("tests.unit.test_middleware:PLACE", "call_next"),
    ],
)
def test_a_place_that_leads_nowhere_is_said(place: str, why: str) -> None:
    with pytest.raises(AppNotImported, match=why):
        room.load(place)


PLACE = 3


def placed(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
    return call_next()


def placed_too(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
    return call_next()
