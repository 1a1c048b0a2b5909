"""Who gets what: slots, workers and readers that share."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from qtool.engine.states import State
from tests.worker.conftest import PATIENCE, ROOT, Shop, eventually

pytestmark = pytest.mark.slow


def test_commands_and_tasks_together_never_take_more_than_the_slots(shop: Shop) -> None:
    log = shop.directory / "log"
    script = f"echo + >> {log}; echo - >> {log}"
    # All of them short, so that more is claimed ahead than there are slots.
    shop.add_many("echo", 200)
    for _ in range(40):
        shop.add("between", str(log), 0.0005)
        shop.command(script, shell=True)
    assert shop.burst("-j", "3") == 0
    assert shop.count(State.SUCCEEDED) == 280
    running = most = 0
    for line in log.read_text().split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    assert running == 0
    assert 2 <= most <= 3


def test_a_command_that_was_claimed_ahead_waits_until_a_task_leaves_its_slot(shop: Shop) -> None:
    gate = shop.directory / "gate"
    task = shop.add("gate", str(gate))
    shop.patched(slots=1, ahead=32, burst=True)
    eventually(gate.exists)
    command = shop.command("true")
    eventually(lambda: shop.job(command).state is State.RUNNING)
    gate.rmdir()
    started, ended = shop.until(command).started_at, shop.until(task).finished_at
    assert started is not None
    assert ended is not None
    assert started >= ended


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_one_long_job_does_not_hold_up_a_thousand_short_ones(shop: Shop, pool: str) -> None:
    shop.add_many("echo", 500)
    gate = shop.gate()
    shop.add_many("echo", 500)
    worker = shop.start("--burst", "-j", "2", "--pool", pool)
    eventually(lambda: shop.count(State.SUCCEEDED) == 1000)
    assert gate.exists()
    gate.rmdir()
    assert worker.wait(PATIENCE) == 0


def test_what_waits_behind_a_long_job_goes_to_another_worker(shop: Shop) -> None:
    shop.add_many("echo", 300)
    gate = shop.gate()
    first = shop.start("--burst", "-j", "1")
    eventually(gate.exists)
    rest = shop.add_many("echo", 300)
    second = shop.start("--burst", "-j", "1")
    eventually(lambda: shop.count(State.SUCCEEDED) == 600)
    assert gate.exists()
    gate.rmdir()
    assert [first.wait(PATIENCE), second.wait(PATIENCE)] == [0, 0]
    assert all(info is not None and info.attempt == 1 for info in shop.adapter.inspector.get(rest))


def test_a_command_that_waits_behind_a_long_one_goes_to_another_worker(shop: Shop) -> None:
    gate = shop.directory / "gate"
    for _ in range(100):
        shop.command("true")
    shop.command(f"mkdir {gate}; while [ -e {gate} ]; do sleep 0.01; done", shell=True)
    for _ in range(100):
        shop.command("true")
    first = shop.start("--burst", "-j", "1", apps=False)
    eventually(gate.exists)
    second = shop.start("--burst", "-j", "1", apps=False)
    eventually(lambda: shop.count(State.SUCCEEDED) == 200)
    assert gate.exists()
    gate.rmdir()
    assert [first.wait(PATIENCE), second.wait(PATIENCE)] == [0, 0]


def test_a_burst_of_two_workers_ends_in_both(shop: Shop) -> None:
    """Neither before the last job has ended, wherever that runs."""
    shop.add_many("echo", 2000)
    gate = shop.gate()
    workers = [shop.start("--burst", "-j", "1") for _ in range(2)]
    eventually(lambda: shop.count(State.SUCCEEDED) == 2000)
    # One of them has nothing to do; it looks every 0.2 s whether that is the end.
    deadline = time.monotonic() + 0.7
    while time.monotonic() < deadline:
        assert [worker.poll() for worker in workers] == [None, None]
        time.sleep(0.02)
    gate.rmdir()
    assert [worker.wait(PATIENCE) for worker in workers] == [0, 0]
    assert shop.count(State.SUCCEEDED) == 2001


def test_a_reader_of_the_events_that_stalls_holds_up_nothing(shop: Shop) -> None:
    shop.add_many("echo", 5000)
    words = [sys.executable, "-m", "qtool", "worker", "-b", shop.url, "-A", "tests.worker.app", "--burst", "-j", "2"]
    with (shop.directory / "err").open("ab") as err:
        worker = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err)
    shop.workers.append(worker)
    assert worker.stdout is not None
    eventually(lambda: shop.count(State.SUCCEEDED) == 5000)
    # Nobody has read a byte of what is far more than a pipe holds; and it ends all the same.
    began = time.monotonic()
    assert worker.wait(PATIENCE) == 0
    assert time.monotonic() - began < 15
    assert worker.stdout.read(1) == b"{"
    worker.stdout.close()
    assert "Traceback" not in shop.stderr


def test_a_worker_tells_within_a_moment_that_it_is_busy_and_that_it_is_not(shop: Shop) -> None:
    def told() -> tuple[int, int]:
        (worker,) = shop.adapter.inspector.snapshot().workers
        return worker.busy, worker.succeeded

    shop.start("-j", "2")
    eventually(lambda: shop.adapter.inspector.snapshot().workers)
    sleeper = shop.command("sleep", "2")
    # Its heartbeat alone would take ten seconds.
    eventually(lambda: told() == (1, 0), within=4)
    shop.until(sleeper, State.SUCCEEDED)
    eventually(lambda: told() == (0, 1), within=4)
