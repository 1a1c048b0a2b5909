"""kill -9 of workers, of their children and of whole process groups while jobs run: nothing is lost or ends twice.

The long run is marked soak; ``QTOOL_KILLS`` and ``QTOOL_JOBS`` set its size, ``QTOOL_SEED`` repeats its choices.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import pytest

from qtool.engine.filter import parse
from qtool.engine.job import EXEC, Job
from qtool.engine.registry import open_broker
from qtool.engine.states import UNFINISHED, State

from .tools import QTOOL, ROOT, counts, jobs, judge, until

if TYPE_CHECKING:
    from pathlib import Path

    from qtool.engine.broker import Adapter

TASK = "tests.faults.effects.effect"
SLOTS = 2
BATCH = 500
COMMAND = 'sleep 0.002; echo "$QTOOL_JOB_ID $QTOOL_ATTEMPT" >>"$QTOOL_EFFECTS"'
RUNNING = parse("state:running")


@dataclass
class Storm:
    """Two workers on one file, one of which is always about to be killed."""

    adapter: Adapter
    path: str
    effects: Path
    random: random.Random
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    rescues: list[float] = field(default_factory=list)

    def hire(self) -> None:
        """Start one more worker."""
        command = [str(QTOOL), "worker", "-b", self.path, "-A", "tests.faults.effects", "-j", str(SLOTS)]
        command += ["-q", "--allow-exec"]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "QTOOL_EFFECTS": str(self.effects)}
        with (self.effects.parent / "workers.log").open("ab") as log:
            self.workers.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
                )
            )

    def ready(self) -> None:
        """Wait until every worker serves."""
        pids = {worker.pid for worker in self.workers}
        until(lambda: pids <= {info.pid for info in self.adapter.inspector.snapshot().workers}, "a worker's first beat")

    def strike(self) -> None:
        """Kill something at a random moment; if a worker died, see its jobs come back and hire another."""
        time.sleep(self.random.random() * 0.3)
        victim = self.random.choice(self.workers)
        what = self.random.choice(("worker", "child", "launcher", "group"))
        if what in ("child", "launcher"):
            children = [
                each
                for each in psutil.Process(victim.pid).children()
                if any(word.endswith(f".{what}") for word in each.cmdline())
            ]
            if children:
                self.killed[what] += 1
                self.random.choice(children).kill()
            return
        id = next(info.id for info in self.adapter.inspector.snapshot().workers if info.pid == victim.pid)
        self.killed[what] += 1
        if what == "worker":
            victim.kill()
        else:
            os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        self.workers.remove(victim)
        self.rescues.append(until(lambda: not self.holds(id), f"the rescue of what {id} held"))
        self.hire()
        self.ready()

    def holds(self, worker: str) -> bool:
        """Whether any job is still running under the worker's name."""
        page = self.adapter.inspector.browse(RUNNING, limit=1000)
        return any(job.worker == worker for job in page.jobs)

    def dismiss(self) -> None:
        """End every worker, whatever it does."""
        for worker in self.workers:
            try:
                os.killpg(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            worker.wait()


def batch() -> list[Job]:
    """Tasks, and one command to nine of them; each leaves one line for every run."""
    made = jobs(BATCH, TASK)
    commands = [
        Job(id=job.id, task=EXEC, args=(COMMAND,), kwargs={"shell": True}, created_at=job.created_at)
        for job in made[::10]
    ]
    return [job for number, job in enumerate(made) if number % 10] + commands


def storm(path: str, tmp_path: Path, *, total: int, kills: int, within: float) -> None:
    """Run at least ``total`` jobs through ``kills`` kills, then hold the file against the effects.

    ``within`` is how many seconds the jobs of a dead worker may take to be back.
    """
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    with ExitStack() as stack:
        adapter = stack.enter_context(open_broker(path, key=os.environ.get("QTOOL_KEY")))
        run = Storm(adapter, path, tmp_path / "effects", random.Random(seed))
        stack.callback(run.dismiss)
        sent = [id for _ in range(0, total, BATCH) for id in adapter.broker.enqueue(batch()).ids]
        for _ in range(2):
            run.hire()
        run.ready()
        while run.killed.total() < kills:
            if counts(adapter)[State.READY] < BATCH:
                # A fast machine needs more of them: every kill has to find workers that are busy.
                sent += adapter.broker.enqueue(batch()).ids
            run.strike()
        until(lambda: not any(counts(adapter)[state] for state in UNFINISHED), "the last job", limit=300)
        for worker in run.workers:
            worker.terminate()
        assert [worker.wait(timeout=20) for worker in run.workers] == [0, 0]
        print(f"killed {dict(run.killed)}; jobs back after at most {max(run.rescues, default=0):.2f} s")
        judge(adapter, sent, run.effects.read_text().split("\n")[:-1])
        assert max(run.rescues, default=0) <= within


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_few_kills(broker: str, tmp_path: Path) -> None:
    # A machine that runs other tests too is given five seconds; the lease would take thirty.
    storm(broker, tmp_path, total=2000, kills=5, within=5.0)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_kills(broker: str, tmp_path: Path) -> None:
    kills, total = int(os.environ.get("QTOOL_KILLS", "50")), int(os.environ.get("QTOOL_JOBS", "20000"))
    storm(broker, tmp_path, total=total, kills=kills, within=1.0)
