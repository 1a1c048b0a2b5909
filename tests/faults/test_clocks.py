"""Wall clocks that jump while jobs run, wait and are due, and machines that sleep: nothing ends twice or is rescued.

``QTOOL_SEED`` repeats a run's choices.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.ids import new_id
from qtool.engine.job import Job, Policy
from qtool.engine.states import FINAL, State
from tests.worker.conftest import ROOT, Shop, eventually

from .skewed import Clocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
HOUR, DAY = 3600.0, 86400.0
LEASE = 3.0


class Skewed(Shop):
    """A shop whose workers' clocks are the test's."""

    def clock(self, name: str = "clocks") -> Clocks:
        return Clocks(self.directory / name)

    def hire(self, clocks: str = "clocks", **options: Any) -> subprocess.Popen[bytes]:
        """A worker that goes by the clocks of this name."""
        self.clock(clocks)
        said = {"apps": ["tests.faults.skewed", "tests.worker.app", "tests.faults.spells"], "lease": LEASE} | options
        words = [sys.executable, "-m", "tests.faults.skewed", self.url, json.dumps(said)]
        env = os.environ | {"QTOOL_CLOCKS": str(self.directory / clocks)}
        with (self.directory / "out").open("ab") as out, (self.directory / "err").open("ab") as err:
            worker = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        self.workers.append(worker)
        return worker

    def due(self, seconds: float) -> str:
        """A job for this many seconds from now, by the true clock."""
        now = time.time()
        job = Job(id=new_id(), task="tests.worker.app.echo", args=(1,), created_at=now, run_at=now + seconds)
        self.adapter.broker.enqueue([job])
        return job.id

    def heard(self) -> None:
        """Wait until a worker serves."""
        self.until(self.add("echo", 0))


def ended(shop: Shop, jobs: list[str]) -> bool:
    return all(job is not None and job.state in FINAL for job in shop.adapter.inspector.get(jobs))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Skewed]:
    monkeypatch.setenv("QTOOL_EFFECTS", str(tmp_path / "effects"))
    print(f"QTOOL_SEED={SEED}")
    shop = Skewed(tmp_path)
    yield shop
    shop.close()


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.timeout(120)
def test_no_jump_of_a_wall_clock_rescues_a_job_or_ends_it_twice(shop: Skewed, apart: bool) -> None:
    """Of the machine's one clock, or of one that each worker has for itself."""
    draw = random.Random(f"{SEED} {apart}")
    names = ["one", "two"] if apart else ["one", "one"]
    spells = [shop.add("tests.faults.spells.spell", draw.choice((0.0, 0.001, 0.05, 0.5))) for _ in range(400)]
    others = [shop.command("sleep", draw.choice(("0", "0.05", "0.5"))) for _ in range(60)]
    others += [shop.add("flaky", str(shop.directory / f"flaky-{n}")) for n in range(20)]
    others += [shop.due(draw.uniform(-10, 10)) for _ in range(20)]
    workers = [shop.hire(name, slots=4) for name in names]
    clocks = [shop.clock(name) for name in dict.fromkeys(names)]
    deadline = time.monotonic() + 3 * LEASE
    while time.monotonic() < deadline:
        draw.choice(clocks).set(draw.choice((0, 1, -1)) * draw.choice((0.01, 2.0, HOUR, DAY)))
        time.sleep(draw.random() * 0.3)
    # What failed while a clock was ahead is due by that clock: no earlier than it says.
    for each in clocks:
        each.set(2 * DAY)
    jobs = [*spells, *others]
    eventually(partial(ended, shop, jobs), within=60)
    for worker in workers:
        worker.terminate()
    assert [worker.wait(20) for worker in workers] == [0, 0], shop.stderr
    assert "Traceback" not in shop.stderr
    assert "renewed" not in shop.stderr
    assert [(shop.job(id).state, shop.job(id).attempt, shop.job(id).crashes) for id in spells] == [
        (State.SUCCEEDED, 1, 0)
    ] * len(spells)
    assert Counter((shop.job(id).state, shop.job(id).crashes) for id in others) == {(State.SUCCEEDED, 0): len(others)}
    began = Counter(line.split()[1] for line in (shop.directory / "effects").read_text().splitlines() if line[0] == "+")
    assert began == dict.fromkeys(spells, 1)
    history = shop.adapter.inspector.history(time.time() - 4 * DAY, time.time() + 4 * DAY, seconds=3600)
    assert sum(bucket.succeeded for bucket in history) == len(jobs)
    assert all(bucket.run is None or bucket.run.mean >= 0 for bucket in history)
    assert shop.adapter.inspector.check() == []
    told = [json.loads(line) for line in (shop.directory / "out").read_text().splitlines()]
    assert sum(each["succeeded"] for each in told) == len(jobs)
    assert [each["late"] for each in told] == [0, 0]


@pytest.mark.parametrize("apart", [False, True])
def test_a_quiet_worker_keeps_its_job_through_every_jump(shop: Skewed, apart: bool) -> None:
    """It gives no sign of life but its heartbeats, a third of a lease apart; a jump is longer than a lease."""
    draw = random.Random(f"{SEED} {apart} quiet")
    jobs = [shop.add("tests.faults.spells.spell", 2.5 * LEASE) for _ in range(2)]
    workers = [shop.hire(name, slots=1) for name in (("one", "two") if apart else ("one", "one"))]
    clocks = [shop.clock("one"), shop.clock("two" if apart else "one")]
    while not ended(shop, jobs):
        draw.choice(clocks).set(draw.choice((0, 1, -1)) * draw.choice((LEASE, HOUR, DAY)))
        time.sleep(draw.random() * 0.5)
    for worker in workers:
        worker.terminate()
    assert [worker.wait(20) for worker in workers] == [0, 0], shop.stderr
    assert [(shop.job(id).state, shop.job(id).attempt, shop.job(id).crashes) for id in jobs] == [
        (State.SUCCEEDED, 1, 0)
    ] * 2
    assert len((shop.directory / "effects").read_text().splitlines()) == 4


def test_a_job_is_due_when_the_wall_clock_says_so_wherever_it_was_set_meanwhile(shop: Skewed) -> None:
    clocks = shop.clock()
    worker = shop.hire()
    shop.heard()
    soon = shop.due(HOUR / 2)
    # The worker has been told of it by now: it counts on waking for it in half an hour.
    shop.heard()
    clocks.set(HOUR)
    assert shop.until(soon).state is State.SUCCEEDED
    clocks.set(0)
    later = shop.due(1.0)
    clocks.set(-HOUR)
    time.sleep(2.0)
    assert shop.job(later).state is State.SCHEDULED
    clocks.set(0)
    began = time.monotonic()
    assert shop.until(later).state is State.SUCCEEDED
    assert time.monotonic() - began < 3
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.mark.parametrize("jump", [-DAY, -HOUR, HOUR, DAY])
def test_time_limits_do_not_see_the_wall_clock(shop: Skewed, jump: float) -> None:
    clocks = shop.clock()
    worker = shop.hire(slots=4, grace=0.3)
    shop.heard()
    bounded, generous = Policy(timeout=1.5), Policy(timeout=600)
    over = [shop.add("spin", 600.0, policy=bounded), shop.command("sleep", "600", policy=bounded)]
    within = [shop.add("spin", 2.5, policy=generous), shop.command("sleep", "2.5", policy=generous)]
    eventually(lambda: shop.count(State.RUNNING) == 4)
    began = time.monotonic()
    clocks.set(jump)
    for id in over:
        assert shop.until(id).reason == "timeout"
    assert 1.0 < time.monotonic() - began < 10
    assert [shop.until(id).state for id in within] == [State.SUCCEEDED] * 2
    worker.terminate()
    assert worker.wait(20) == 0


def test_a_worker_that_wakes_from_a_suspension_renews_at_once(shop: Skewed) -> None:
    clocks = shop.clock()
    worker = shop.hire(lease=600.0)
    shop.heard()
    (before,) = shop.adapter.inspector.snapshot().workers
    clocks.set(0, suspended=HOUR)
    eventually(lambda: shop.adapter.inspector.snapshot().workers[0].seen_at > before.seen_at, within=5)
    worker.terminate()
    assert worker.wait(20) == 0
