"""kill -9 of a worker at exact moments: before the commit of a claim, after it, before and after that of an outcome.

The other moments, between and during writes, come at random; ``QTOOL_SEED`` repeats them.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import State

from .mortal import MOMENTS, WRITE
from .tools import QTOOL, ROOT, jobs

if TYPE_CHECKING:
    from pathlib import Path

    from qtool.engine.broker import Adapter
    from qtool.engine.job import JobInfo

pytestmark = pytest.mark.slow

TASK = "tests.faults.effects.effect"
JOBS = 40


@pytest.fixture
def choose(request: pytest.FixtureRequest) -> random.Random:
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    return random.Random(f"{seed} {request.node.name}")


class Scene:
    """A file with jobs, a worker that dies at its moment, and one that does what is left."""

    def __init__(self, directory: Path, adapter: Adapter, path: str) -> None:
        self.effects = directory / "effects"
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "QTOOL_EFFECTS": str(self.effects)}
        self.adapter = adapter
        self.path = path
        self.sent = adapter.broker.enqueue(jobs(JOBS, TASK)).ids
        self.settled: frozenset[str] = frozenset()
        """What had ended when the worker died."""
        self.ran: Counter[str] = Counter()
        """How often each had run by then."""

    def die(self, moment: str, number: int) -> None:
        """A worker dies at this moment."""
        words = [sys.executable, "-m", "tests.faults.mortal", self.path, moment, str(number)]
        ended = subprocess.run(words, env=self.env, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == -signal.SIGKILL, f"it lived: {ended.returncode} {ended.stderr}"
        self.settled = frozenset(job.id for job in self.jobs() if job.state is State.SUCCEEDED)
        self.ran = self.runs()

    def finish(self) -> None:
        """Another worker does the rest."""
        words = [str(QTOOL), "worker", "-b", self.path, "-A", "tests.faults.effects", "-j", "2", "--burst", "-q"]
        subprocess.run(words, env=self.env, cwd=ROOT, check=True, timeout=60)

    def jobs(self) -> list[JobInfo]:
        """All of them; none is missing."""
        found = [job for job in self.adapter.inspector.get(self.sent) if job is not None]
        assert len(found) == JOBS
        return found

    def runs(self) -> Counter[str]:
        """How often each has run, by the effects."""
        lines = self.effects.read_text().splitlines() if self.effects.exists() else []
        return Counter(line.split()[0] for line in lines)

    def judge(self) -> None:
        """What had ended ended once; the rest is done, and only what had started is blamed."""
        runs = self.runs()
        for job in self.jobs():
            assert job.state is State.SUCCEEDED
            # What had ended, with an outcome that nobody stored, begins anew as the same attempt: a slate tells only
            # what each slot had started last.
            unsaved = job.id in self.ran and job.id not in self.settled and not job.crashes
            assert runs[job.id] <= job.attempt + unsaved, f"{job.id} ran more often than it was started"
            assert job.attempt == 1 + job.crashes
            if job.id in self.settled:
                assert (runs[job.id], job.attempt) == (1, 1), "it had ended, and ran again"
        history = self.adapter.inspector.history(0, 4e9, seconds=3600)
        assert sum(bucket.succeeded for bucket in history) == JOBS
        assert self.adapter.inspector.check() == []


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    path = str(tmp_path / "q.db")
    with open_broker(path) as adapter:
        return Scene(tmp_path, adapter, path)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_killed_at_an_exact_moment(scene: Scene, moment: str, choose: random.Random) -> None:
    scene.die(moment, choose.randrange(1, 4))
    running = {job.id for job in scene.jobs() if job.state is State.RUNNING}
    if moment == "settle.commit":
        assert running & scene.ran.keys(), "nothing had run whose outcome could be lost"
    scene.finish()
    scene.judge()
    blamed = {job.id for job in scene.jobs() if job.crashes}
    assert blamed <= running
    if moment in ("claim.before", "claim.commit", "claim.after") and not scene.ran:
        assert not blamed, "what had only been claimed is blamed"


@pytest.mark.parametrize("repeat", range(2))
def test_a_worker_killed_in_the_middle_of_a_write(scene: Scene, choose: random.Random, repeat: int) -> None:
    scene.die(WRITE, choose.randrange(1, 60))
    scene.finish()
    scene.judge()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(1, 200))
def test_a_worker_killed_in_the_middle_of_every_write(scene: Scene, number: int) -> None:
    scene.die(WRITE, number)
    scene.finish()
    scene.judge()
