"""What each pool makes of what tasks do."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtool.engine.job import Policy
from qtool.engine.states import Reason, State
from tests.worker.conftest import Shop, alive, eventually

POOLS = ("process", "thread", "async")
pytestmark = pytest.mark.slow


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_results_errors_and_retries(shop: Shop, pool: str) -> None:
    echo, doze = shop.add("echo", {"a": [1, "ü"]}), shop.add("doze", 0.01)
    large, huge = shop.add("length", "y" * 300_000), shop.add("repeat", 300_000)
    fail, flaky = shop.add("fail", "no \udcff"), shop.add("flaky", str(shop.directory / "tries"))
    unknown = shop.add("nosuch.task")
    assert shop.burst("--pool", pool, "-j", "3") == 0
    assert shop.result(echo) == {"a": [1, "ü"]}
    assert shop.result(doze) == 0.01
    assert shop.result(large) == 300_000
    assert shop.result(huge) == "x" * 300_000
    assert shop.result(flaky) == 3
    assert shop.job(flaky).failures == 2
    dead = shop.job(fail)
    assert (dead.state, dead.reason) == (State.DEAD, Reason.FAILED)
    assert dead.error is not None
    assert dead.error.type == "ValueError"
    assert "raise ValueError(message)" in (dead.error.traceback or "")
    assert shop.job(unknown).reason is Reason.UNKNOWN_TASK


def test_prints_and_logs_belong_to_their_job(shop: Shop, pool: str) -> None:
    jobs = {shop.add("say", f"number {n}"): n for n in range(20)}
    raw = shop.add("bytes_out")
    assert shop.burst("--pool", pool, "-j", "4") == 0
    for id, n in jobs.items():
        assert shop.output(id, "stdout") == f"number {n}\n".encode()
        assert shop.output(id, "log") == f"WARNING shop: number {n}\n".encode()
    assert shop.output(raw, "stdout") == b"\xff\x1b[31m\n"


@pytest.mark.parametrize("task", ["spin", "doze"])
def test_a_time_limit_ends_the_attempt(shop: Shop, pool: str, task: str) -> None:
    slow = shop.add(task, 60.0, policy=Policy(timeout=0.2))
    after = shop.add("echo", 1)
    assert shop.burst("--pool", pool, "-j", "1") == 0
    info = shop.job(slow)
    assert (info.state, info.reason) == (State.DEAD, Reason.TIMEOUT)
    assert info.error is not None
    assert info.error.message == "the attempt ran longer than 0.2 s"
    assert shop.result(after) == 1


@pytest.mark.parametrize("task", ["spin", "doze"])
def test_a_running_job_is_cancelled(shop: Shop, pool: str, task: str) -> None:
    job = shop.add(task, 60.0)
    shop.start("--pool", pool, "-j", "2", "--burst")
    shop.until(job, State.RUNNING)
    eventually(lambda: any(event["kind"] == "started" for event in shop.events))
    shop.adapter.operator.cancel([job])
    assert shop.until(job).state is State.CANCELLED


def test_progress_and_output_are_seen_while_it_runs(shop: Shop, pool: str) -> None:
    job = shop.add("advance", 3.0)
    shop.start("--pool", pool, "-j", "1", "--burst")
    eventually(lambda: shop.job(job).progress == 0.5)
    assert shop.job(job).message == "half way"
    eventually(lambda: shop.output(job) == b"working\n")
    assert shop.job(job).state is State.RUNNING


def test_draining_ends_what_runs_and_gives_the_rest_back(shop: Shop, pool: str) -> None:
    first = shop.add("sleep", 1.0)
    worker = shop.start("--pool", pool, "-j", "1")
    shop.until(first, State.RUNNING)
    rest = [shop.add("sleep", 1.0) for _ in range(3)]
    eventually(lambda: any(event["kind"] == "started" for event in shop.events))
    worker.terminate()
    assert worker.wait(20) == 0
    assert shop.job(first).state is State.SUCCEEDED
    for id in rest:
        assert (shop.job(id).state, shop.job(id).attempt) == (State.READY, 0)


def test_a_flood_costs_no_memory_and_keeps_head_and_tail(shop: Shop, pool: str) -> None:
    job = shop.add("flood", 20)
    assert shop.burst("--pool", pool, "-j", "1") == 0
    chunks = shop.adapter.results.output(job)
    assert chunks[0].offset == 0
    assert chunks[-1].offset + len(chunks[-1].data) == 20 * 1024 * 1024
    assert 100_000 < sum(len(chunk.data) for chunk in chunks) <= 132_000


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_wait_that_is_none_fails_its_own_job_alone(shop: Shop, seconds: float) -> None:
    asked = [
        shop.add("tests.worker.app.put_off_for", how, repr(seconds), policy=Policy(retries=1, backoff=0.01))
        for how in ("retry", "snooze", "late retry", "late snooze")
    ]
    others = shop.add_many("echo", 50)
    assert shop.burst("-j", "2") == 0
    for n, id in enumerate(asked):
        info = shop.job(id)
        # An error like any other: it spends the job's retries.
        assert (info.state, info.reason, info.failures) == (State.DEAD, Reason.FAILED, 2)
        assert info.error is not None
        assert (info.error.type, "from 0 to a hundred years" in info.error.message) == ("ValueError", True)
        # Where it is known in time, it points at the line.
        assert ("in put_off_for" in (info.error.traceback or "")) is (n < 2)
    assert all(shop.job(id).state is State.SUCCEEDED for id in others)


# --- processes only ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "error"), [("exit", "exit code 7"), ("kill", "killed by SIGKILL"), ("segfault", "killed by SIGSEGV")]
)
def test_a_crash_is_its_own_job_s_alone(shop: Shop, how: str, error: str) -> None:
    others = [shop.add("echo", n) for n in range(30)]
    bad = shop.add("crash", how)
    others += [shop.add("echo", n) for n in range(30)]
    assert shop.burst("-j", "2") == 0
    info = shop.job(bad)
    assert (info.state, info.reason, info.crashes) == (State.DEAD, Reason.CRASHED, 3)
    assert info.error is not None
    assert error in info.error.message
    for id in others:
        assert (shop.job(id).state, shop.job(id).crashes, shop.job(id).attempt) == (State.SUCCEEDED, 0, 1)


def test_a_task_that_runs_out_of_memory_fails_alone(shop: Shop) -> None:
    hog, after = shop.add("hog", 64), shop.add("echo", 1)
    assert shop.burst("-j", "1") == 0
    info = shop.job(hog)
    assert (info.state, info.reason, info.crashes) == (State.DEAD, Reason.FAILED, 0)
    assert info.error is not None
    assert info.error.type == "MemoryError"
    assert shop.result(after) == 1


def test_what_c_code_and_subprocesses_write_is_captured_in_order(shop: Shop) -> None:
    jobs = [shop.add("talk") for _ in range(10)]
    assert shop.burst("-j", "2") == 0
    for id in jobs:
        assert shop.output(id, "stdout") == b"one\ntwo\nfour\n"
        assert shop.output(id, "stderr") == b"three\n"
        assert shop.output(id, "log") == b"INFO shop: five\n"


def test_a_task_that_ignores_its_limit_is_killed_with_what_it_started(shop: Shop) -> None:
    pid_file = shop.directory / "pid"
    stubborn = shop.add("stubborn", 60.0, policy=Policy(timeout=0.2))
    assert shop.burst("-j", "1") == 0
    info = shop.job(stubborn)
    assert (info.state, info.reason) == (State.DEAD, Reason.TIMEOUT)
    assert info.error is not None
    assert "was killed" in info.error.message
    spawn = shop.add("spawn", str(pid_file), policy=Policy(timeout=0.5))
    assert shop.burst("-j", "1") == 0
    assert shop.job(spawn).reason is Reason.TIMEOUT
    eventually(lambda: not alive(int(Path(pid_file).read_text())))


def test_the_second_signal_gives_running_jobs_back_and_the_third_kills(shop: Shop) -> None:
    soft, hard = shop.add("sleep", 60.0), shop.add("stubborn", 60.0)
    worker = shop.start("-j", "2")
    eventually(lambda: len([event for event in shop.events if event["kind"] == "started"]) == 2)
    worker.terminate()
    eventually(lambda: "waiting for the end" in shop.stderr)
    worker.terminate()
    shop.until(soft, State.READY)
    assert shop.job(hard).state is State.RUNNING
    worker.terminate()
    assert worker.wait(10) == 1
    assert [(shop.job(id).state, shop.job(id).attempt) for id in (soft, hard)] == [(State.READY, 0)] * 2


def test_exactly_so_many_jobs_are_started(shop: Shop) -> None:
    jobs = [shop.add("echo", n) for n in range(300)]
    assert shop.start("-j", "2", "--max-jobs", "150").wait(30) == 0
    states = [shop.job(id).state for id in jobs]
    assert states.count(State.SUCCEEDED) == 150
    assert states.count(State.READY) == 150


def test_an_app_that_does_not_import(shop: Shop) -> None:
    assert shop.start("-A", "tests.worker.nothing_here").wait(20) == 2
    assert "Cannot import 'tests.worker.nothing_here'" in shop.stderr
    assert "Traceback" not in shop.stderr
