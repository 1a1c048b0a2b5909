"""Jobs that have crashed before, and what they, their tasks and their workers make of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from qtool.engine.job import Policy
from qtool.engine.states import Reason, State
from tests.worker.conftest import Shop, children_of, eventually

pytestmark = pytest.mark.slow


def most_at_once(log: Path) -> int:
    """How many runs of ``between`` overlapped at most."""
    now = most = 0
    for sign in log.read_text().split():
        now += 1 if sign == "+" else -1
        most = max(most, now)
    assert now == 0
    return most


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_jobs_that_run_alone_count_against_the_slots(shop: Shop, pool: str) -> None:
    log = shop.directory / "log"
    suspects = [shop.add("crash_once", str(log), 0.2) for _ in range(3)]
    others = [shop.add("between", str(log), 0.1) for _ in range(12)]
    assert shop.burst("-j", "2", "--pool", pool) == 0
    assert [shop.result(id) for id in suspects] == [1, 1, 1]
    assert {shop.job(id).state for id in others} == {State.SUCCEEDED}
    if pool == "process":
        # A thread that its neighbour takes down leaves no minus.
        assert most_at_once(log) == 2


def test_a_quick_queue_does_not_keep_a_suspect_from_its_slot(shop: Shop) -> None:
    log = shop.directory / "log"
    suspect = shop.add("crash_once", str(log), 0.0, queue="other")
    for _ in range(50):
        shop.add_many("echo", 1000)
    shop.start("-j", "1", "-q")
    info = shop.until(suspect)
    assert (info.state, info.crashes) == (State.SUCCEEDED, 1)
    assert shop.count(State.READY) > 0


def test_a_job_that_wants_no_second_try_is_dead_after_its_first_crash(shop: Shop) -> None:
    job = shop.add("crash", "segfault", policy=Policy(on_crash="dead", retries=5))
    assert shop.burst("-j", "1") == 0
    info = shop.job(job)
    assert (info.state, info.reason, info.crashes) == (State.DEAD, Reason.CRASHED, 1)
    assert info.error is not None
    assert info.error.signal == signal.SIGSEGV


@pytest.mark.parametrize("death", ["task", "worker"])
def test_a_task_that_wants_no_second_try_gets_none_whoever_dies(shop: Shop, death: str) -> None:
    gate = shop.directory / "gate"
    job = shop.add("frail", str(gate))
    worker = shop.start("-j", "1", "-q")
    eventually(gate.exists)
    if death == "worker":
        worker.kill()
        worker.wait()
        eventually(lambda: shop.adapter.broker.maintain().rescued)
    else:
        child = next(pid for pid in children_of(worker.pid) if b"worker.child" in _words(pid))
        os.kill(child, signal.SIGKILL)
    info = shop.until(job)
    assert (info.state, info.reason, info.crashes) == (State.DEAD, Reason.CRASHED, 1)


def test_a_job_s_own_grace_is_kept(shop: Shop) -> None:
    job = shop.add("stubborn", 60, policy=Policy(timeout=0.2, grace=0.3))
    script = "trap '' TERM; while :; do sleep 0.05; done"
    command = shop.command(script, shell=True, policy=Policy(timeout=0.2, grace=0.3))
    assert shop.burst("-j", "2", "-q") == 0
    for id in (job, command):
        info = shop.job(id)
        assert (info.state, info.reason) == (State.DEAD, Reason.TIMEOUT)
        assert info.started_at is not None
        assert info.finished_at is not None
        # The worker's own would have been five seconds.
        assert info.finished_at - info.started_at < 3.0


def _words(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
