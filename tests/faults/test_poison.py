"""A job that takes its process down every time: it ends, and its neighbours do not.

``QTOOL_SEED`` repeats a run's choices.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from qtool.engine.ids import new_id
from qtool.engine.job import Failure, Job
from qtool.engine.policy import MAX_CRASHES
from qtool.engine.registry import open_broker
from qtool.engine.states import FINAL, Reason, State

from .tools import hired, until

if TYPE_CHECKING:
    from pathlib import Path

INNOCENTS = 20
SLOTS = 4

pytestmark = pytest.mark.slow


def _job(task: str, *args: object) -> Job:
    return Job(id=new_id(), task=f"tests.faults.poisons.{task}", args=args, created_at=time.time())


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("pool", "how"), [("process", "exit"), ("process", "segfault"), ("thread", "segfault"), ("async", "kill")]
)
def test_a_poison_job_is_dead_after_three_crashes_and_no_neighbour_is_blamed_twice(
    broker: str, tmp_path: Path, pool: str, how: str
) -> None:
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    draw = random.Random(seed)
    innocent = "dozing" if pool == "async" else "innocent"
    jobs = [_job(innocent, 0.2 + draw.random()) for _ in range(INNOCENTS)]
    poison = _job("poison", how)
    jobs.insert(draw.randrange(len(jobs) + 1), poison)
    effects = tmp_path / "effects"
    with open_broker(broker) as adapter:
        ids = list(adapter.broker.enqueue(jobs).ids)
        options = ("-A", "tests.faults.poisons", "-j", str(SLOTS), "--pool", pool)
        with hired(broker, *options, log=tmp_path / "log", QTOOL_EFFECTS=str(effects)):
            until(
                lambda: all(job is not None and job.state in FINAL for job in adapter.inspector.get(ids)),
                "the last job's end",
                limit=60,
            )
        runs: dict[str, list[tuple[int, bool, int, int]]] = defaultdict(list)
        for line in effects.read_text().splitlines():
            _, id, *seen = line.split()
            runs[id].append((int(seen[0]), seen[1] == "True", int(seen[2]), int(seen[3])))
        for job in adapter.inspector.get(ids):
            assert job is not None
            if job.id == poison.id:
                assert (job.state, job.reason, job.crashes) == (State.DEAD, Reason.CRASHED, MAX_CRASHES)
                _says_how(how, job.error)
                for attempt in adapter.inspector.attempts(job.id):
                    _says_how(how, attempt.error)
            else:
                assert job.state is State.SUCCEEDED, job
                assert job.crashes <= 1, "blamed again for another's crash"
                assert pool != "process" or job.crashes == 0
            # What a run sees of the crashes before it, and that after the first it is alone in a new process.
            assert [crashes for crashes, *_ in runs[job.id]] == list(range(len(runs[job.id])))
            for before, previous, process, number in runs[job.id]:
                assert previous is (before > 0)
                if before:
                    assert number == 1
                    assert sum(run[2] == process for each in runs.values() for run in each) == 1
        assert len(runs[poison.id]) == MAX_CRASHES
        assert adapter.inspector.check() == []


def _says_how(how: str, error: Failure | None) -> None:
    assert error is not None
    expected = {"exit": (7, None), "segfault": (None, signal.SIGSEGV), "kill": (None, signal.SIGKILL)}[how]
    assert (error.exit_code, error.signal) == expected
