"""SIGSTOP of supervisors and of whole workers, past their leases and not: no second outcome, and nobody is blamed.

``QTOOL_SEED`` repeats a run's choices.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from qtool.engine.states import State
from tests.worker.conftest import Shop, alive, children_of, eventually

from .tools import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
LEASE = 2.0


@pytest.fixture
def shop(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("QTOOL_EFFECTS", str(tmp_path / "effects"))
    print(f"QTOOL_SEED={SEED}")
    shop = Shop(tmp_path, broker)
    yield shop
    for worker in shop.workers:
        if worker.poll() is None:
            thaw(family(worker))
    shop.close()


def hire(shop: Shop, **options: Any) -> subprocess.Popen[bytes]:
    return shop.patched(apps=["tests.worker.app", "tests.faults.spells"], lease=LEASE, **options)


def family(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The supervisor, its launcher, its pool and all that they started; the supervisor first."""
    here = psutil.Process(worker.pid)
    return [here, *here.children(recursive=True)]


def freeze(processes: list[psutil.Process]) -> None:
    for each in processes:
        each.suspend()


def thaw(processes: list[psutil.Process]) -> None:
    for each in processes:
        if each.is_running():
            each.resume()


def pid_in(path: Path) -> int:
    return int(eventually(lambda: path.exists() and path.read_text().strip()))


def test_what_a_frozen_supervisor_runs_is_killed_before_its_lease_ends_and_nobody_is_blamed(shop: Shop) -> None:
    pids = [shop.directory / name for name in ("task", "command")]
    log = shop.directory / "log"
    task = shop.add("spawn", str(pids[0]))
    command = shop.command(f"echo $$ > {pids[1]}; exec sleep 600", shell=True)
    worker = hire(shop, slots=3)
    first = [pid_in(path) for path in pids]
    pool = [pid for pid in children_of(worker.pid) if b"worker.child" in psutil.Process(pid).cmdline()[3].encode()]
    frozen_at = time.monotonic()
    os.kill(worker.pid, signal.SIGSTOP)
    until(lambda: not any(alive(pid) for pid in [*first, *pool]), "the end of all that ran")
    assert time.monotonic() - frozen_at < LEASE
    for path in pids:
        path.unlink()
    # Still within the lease: nobody has taken the jobs.
    os.kill(worker.pid, signal.SIGCONT)
    again = [pid_in(path) for path in pids]
    assert not set(first) & set(again)
    for id in (task, command):
        info = shop.job(id)
        assert (info.state, info.attempt, info.crashes, info.error) == (State.RUNNING, 1, 0, None)
    assert shop.until(shop.add("note", str(log), "alive")).state is State.SUCCEEDED
    shop.adapter.operator.kill([task, command])
    shop.until(task)
    shop.until(command)
    worker.terminate()
    assert worker.wait(20) == 0
    told = json.loads((shop.directory / "out").read_text().splitlines()[-1])
    assert (told["claimed"], told["stopped"], told["cancelled"], told["succeeded"]) == (5, 2, 2, 1)


def test_an_idle_worker_that_was_frozen_goes_on_with_the_processes_it_had(shop: Shop) -> None:
    worker = hire(shop, slots=2)
    shop.until(shop.add("echo", 1))
    before = children_of(worker.pid)
    # A heartbeat that began after that knows that it holds nothing: the second that is seen.
    beats = {eventually(lambda: shop.adapter.inspector.snapshot().workers)[0].seen_at}
    eventually(lambda: beats.add(shop.adapter.inspector.snapshot().workers[0].seen_at) or len(beats) > 2)  # type: ignore[func-returns-value]
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(LEASE)
    os.kill(worker.pid, signal.SIGCONT)
    assert shop.until(shop.add("echo", 2)).state is State.SUCCEEDED
    assert children_of(worker.pid) == before


def test_a_worker_that_was_frozen_whole_goes_on_with_what_nobody_has_taken(shop: Shop) -> None:
    """As a container that was paused for longer than a lease, with no other worker about."""
    pids = [shop.directory / name for name in ("task", "command")]
    task = shop.add("spawn", str(pids[0]))
    command = shop.command(f"echo $$ > {pids[1]}; exec sleep 600", shell=True)
    worker = hire(shop, slots=2)
    first = [pid_in(path) for path in pids]
    frozen = family(worker)
    freeze(frozen)
    time.sleep(1.5 * LEASE)
    thaw(frozen)
    assert shop.until(shop.add("echo", 1), State.READY, State.RUNNING).crashes == 0
    time.sleep(1.5 * LEASE)
    assert all(alive(pid) for pid in first)
    assert [(shop.job(id).state, shop.job(id).attempt) for id in (task, command)] == [(State.RUNNING, 1)] * 2
    shop.adapter.operator.kill([task, command])
    assert shop.until(task).state is shop.until(command).state is State.CANCELLED
    worker.terminate()
    assert worker.wait(20) == 0


# Elsewhere a call that gets no answer ends, and gives back what it claimed: see test_redis.
@pytest.mark.parametrize("broker", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["task", "command"])
def test_what_a_stuck_claim_brings_home_too_late_is_not_started(shop: Shop, kind: str) -> None:
    """The supervisor is stuck in a call that has done its work, for longer than the lease of what it claimed."""
    log = shop.directory / "log"
    stuck = hire(shop, slots=1)
    shop.until(shop.add("echo", 1))
    with shop.failing("claim", "hang"):
        late = (
            shop.command(f"echo ran >> {log}", shell=True) if kind == "command" else shop.add("note", str(log), "ran")
        )
        shop.until(late, State.RUNNING)
        eventually(lambda: shop.adapter.broker.maintain().rescued)
    assert shop.until(late).state is State.SUCCEEDED
    stuck.terminate()
    assert stuck.wait(20) == 0
    assert log.read_text() == "ran\n"
    told = json.loads((shop.directory / "out").read_text().splitlines()[-1])
    assert told["late"] == 1
    assert told["claimed"] == sum(told[name] for name in BECAME)


@pytest.mark.parametrize("who", ["supervisor", "everything"])
@pytest.mark.timeout(180)
def test_workers_that_freeze_at_any_moment_leave_one_outcome_for_each_job(shop: Shop, who: str) -> None:
    draw = random.Random(f"{SEED} {who}")
    now = time.time()
    jobs = [shop.add("tests.faults.spells.spell", draw.choice((0.0, 0.01, 0.3))) for _ in range(160)]
    jobs += [shop.command("sleep", draw.choice(("0", "0.05", "0.3"))) for _ in range(20)]
    workers = [hire(shop, slots=2) for _ in range(2)]
    eventually(lambda: len(shop.adapter.inspector.snapshot().workers) == 2)
    while shop.count(State.READY) > 20:
        victim = draw.choice(workers)
        time.sleep(draw.random() * 0.3)
        frozen = family(victim)[: 1 if who == "supervisor" else None]
        freeze(frozen)
        time.sleep(draw.choice((0.2, 0.9, 1.5)) * LEASE)
        thaw(frozen)
    eventually(lambda: all(shop.job(id).finished_at for id in jobs), within=60)
    for worker in workers:
        worker.terminate()
    assert [worker.wait(20) for worker in workers] == [0, 0], shop.stderr
    assert "Traceback" not in shop.stderr
    infos = [shop.job(id) for id in jobs]
    assert all(info.state is State.SUCCEEDED or (info.reason, info.crashes) == ("crashed", 3) for info in infos)
    history = shop.adapter.inspector.history(now - 1, time.time() + 1, seconds=3600)
    ends = Counter(info.state for info in infos)
    assert sum(bucket.succeeded for bucket in history) == ends[State.SUCCEEDED]
    assert sum(bucket.dead for bucket in history) == ends[State.DEAD]
    assert shop.adapter.inspector.check() == []
    told = [json.loads(line) for line in (shop.directory / "out").read_text().splitlines() if line.startswith("{")]
    assert len(told) == 2
    for each in told:
        assert each["claimed"] == sum(each[name] for name in BECAME), each
    assert sum(each["succeeded"] for each in told) == ends[State.SUCCEEDED]
    if who == "supervisor":
        assert_no_overlap((shop.directory / "effects").read_text().splitlines())


BECAME = (
    "succeeded",
    "dead",
    "retried",
    "cancelled",
    "snoozed",
    "unstarted",
    "stopped",
    "killed",
    "late",
    "abandoned",
)


def assert_no_overlap(lines: list[str]) -> None:
    """No run of a job ends after a later one of it has begun: its lease outlived it."""
    began: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        sign, job, run = line.split()
        if sign == "+":
            began[job] = {run}
        else:
            assert run in began[job], f"two runs of {job} overlapped"
