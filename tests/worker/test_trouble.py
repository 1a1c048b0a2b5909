"""A broker that fails while a worker is at work: nothing is lost, nothing runs twice at once, and it says so once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from qtool.engine.job import Policy
from qtool.engine.states import State
from tests.worker.conftest import ROOT, Shop, alive, children_of, eventually

pytestmark = pytest.mark.slow


def last_words(shop: Shop) -> dict[str, int]:
    said: dict[str, int] = json.loads((shop.directory / "out").read_text().splitlines()[-1])
    return said


@pytest.mark.parametrize("error", ["BrokerFull", "BrokerBusy"])
def test_outcomes_that_cannot_be_stored_are_kept_and_stored_later(shop: Shop, error: str) -> None:
    log = shop.directory / "log"
    with shop.failing("settle", error):
        jobs = [shop.add("note", str(log), str(n)) for n in range(5)]
        worker = shop.patched(slots=2, burst=True)
        # What had been claimed has ended; no more is, for what ends could not be stored either.
        eventually(lambda: log.exists() and len(log.read_text().split()) == 2)
        eventually(lambda: (shop.directory / "out").read_text().count("settle fails") > 3)
        assert [shop.job(id).state for id in jobs] == [State.RUNNING] * 2 + [State.READY] * 3
    assert worker.wait(20) == 0
    assert [shop.job(id).state for id in jobs] == [State.SUCCEEDED] * 5
    assert sorted(log.read_text().split()) == [str(n) for n in range(5)]
    assert (shop.stderr.count("keeps its outcomes"), shop.stderr.count("answers again")) == (1, 1)
    assert last_words(shop)["abandoned"] == 0


def test_a_worker_that_can_never_store_its_outcomes_ends_after_a_lease_and_says_so(shop: Shop) -> None:
    log = shop.directory / "log"
    with shop.failing("settle", "BrokerFull"):
        shop.add("note", str(log), "ran")
        worker = shop.patched(lease=1.0)
        eventually(lambda: "keeps its outcomes" in shop.stderr)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 1
    assert last_words(shop)["abandoned"] == 1


def test_a_worker_that_never_got_through_has_nothing_to_sign_off(shop: Shop) -> None:
    with shop.failing("extend", "BrokerFull"), shop.failing("leave", "BrokerFull"):
        assert shop.patched().wait(20) == 1
    assert "BrokerFull" in shop.stderr
    assert "sign off" not in shop.stderr


def test_what_runs_is_stopped_before_a_lease_that_cannot_be_renewed_runs_out(shop: Shop) -> None:
    """And nothing more is started; what had been claimed ahead runs once the broker answers, and only once."""
    log, pid_file = shop.directory / "log", shop.directory / "pid"
    gates = [shop.gate() for _ in range(2)]
    # Started while the broker answers, so that the worker holds all kinds of jobs.
    worker = shop.patched(slots=3, lease=1.0, ahead=32)
    eventually(lambda: all(gate.exists() for gate in gates))
    command = shop.command(f"echo $$ > {pid_file}; exec sleep 600", shell=True)
    command_pid = int(eventually(lambda: pid_file.exists() and pid_file.read_text().strip()))
    ahead = [shop.add("note", str(log), str(n)) for n in range(20)]
    eventually(lambda: shop.job(ahead[-1]).state is State.RUNNING)
    pool = [pid for pid in children_of(worker.pid) if b"worker.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(pool) == 3
    with shop.failing("extend", "BrokerBusy"):
        eventually(lambda: "could not be renewed" in shop.stderr, within=5)
        eventually(lambda: not alive(command_pid), within=5)
        # The third was idle, for the command has its slot.
        eventually(lambda: sum(map(alive, pool)) == 1, within=5)
        for gate in gates:
            gate.rmdir()
        late = shop.add("note", str(log), "late")
        # It is still there, and lets the job lie.
        eventually(lambda: shop.job(command).state is State.READY)
        assert not log.exists()
        assert shop.job(late).state is State.READY
    for gate in gates:
        eventually(gate.exists)
        gate.rmdir()
    eventually(lambda: shop.count(State.SUCCEEDED) == 2 + 20 + 1)
    assert sorted(log.read_text().split()) == sorted([*map(str, range(20)), "late"])
    assert shop.stderr.count("could not be renewed") == 1
    assert all(shop.job(id).attempt == 1 for id in ahead)
    eventually(lambda: int(pid_file.read_text()) != command_pid)
    assert (shop.job(command).crashes, shop.job(command).attempt) == (0, 1)


def test_a_locked_file_does_not_hold_up_the_worker_s_other_business(shop: Shop) -> None:
    """It answers a signal, ends a run in time, and stores everything when it can."""
    gate = shop.gate()
    pid_file = shop.directory / "pid"
    late = shop.command(f"echo $$ > {pid_file}; exec sleep 600", shell=True, policy=Policy(timeout=2.0))
    worker = shop.start("-j", "2")
    eventually(lambda: gate.exists() and pid_file.exists() and pid_file.read_text().strip())
    lock = apsw.Connection(str(shop.directory / "shop.db"))
    lock.execute("BEGIN IMMEDIATE")
    try:
        began = time.monotonic()
        eventually(lambda: not alive(int(pid_file.read_text())), within=6)
        worker.terminate()
        eventually(lambda: "Stopping: " in shop.stderr, within=4)
        assert time.monotonic() - began < 9
        gate.rmdir()
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    assert worker.wait(20) == 0
    assert shop.count(State.SUCCEEDED) == 1
    assert (shop.job(late).state, shop.job(late).reason) == (State.DEAD, "timeout")
    assert "for 1 s" in shop.stderr


def test_a_worker_starts_and_signs_off_though_the_file_is_locked_for_a_while(shop: Shop) -> None:
    lock = apsw.Connection(str(shop.directory / "shop.db"))
    lock.execute("BEGIN IMMEDIATE")
    worker = shop.start("--burst", apps=False)
    time.sleep(3)
    lock.execute("ROLLBACK")
    lock.close()
    assert worker.wait(20) == 0, shop.stderr
    assert shop.adapter.inspector.snapshot().workers == ()


def test_a_killed_worker_is_shown_as_dead_at_once_and_its_crash_as_a_crash(shop: Shop) -> None:
    shop.add("crash", "segfault", policy=Policy())
    crashed = shop.add("crash", "segfault")
    gate = shop.gate()
    worker = shop.start("-j", "1")
    eventually(gate.exists)
    worker.kill()
    worker.wait()
    shown = eventually(lambda: look(shop, "workers") if '"state":"dead"' in look(shop, "workers") else None, within=2)
    assert '"state":"dead"' in shown
    text = look(shop, "show", crashed, "-o", "table")
    assert "crashed after " in text
    assert "lease lost" not in text


def look(shop: Shop, *words: str) -> str:
    command = [sys.executable, "-m", "qtool", words[0], "-b", shop.url, *words[1:]]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"}
    ).stdout
