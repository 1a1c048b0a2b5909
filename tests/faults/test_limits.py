"""Whoever holds a slot is killed, at any moment: never do more run than a limit allows, and every slot comes back."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from qtool.engine.filter import parse
from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
from qtool.engine.states import UNFINISHED, Reason, State

from .tools import counts, hired, until

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from qtool.engine.broker import Adapter

TASK = "tests.faults.exclusive.alone"
APP = "tests.faults.exclusive"
KEYS = {"one": 1, "two": 2}
"""How many jobs of each key may run at once."""

pytestmark = pytest.mark.slow


def add(adapter: Adapter, name: str, count: int, seconds: float, places: int, **said: object) -> list[str]:
    """Jobs of about so many seconds that mind so many places."""
    now = time.time()
    jobs = [
        Job(id=id, task=TASK, args=(name, places, seconds), created_at=now, **said)  # type: ignore[arg-type]
        for id in new_id.batch(count)
    ]
    return list(adapter.broker.enqueue(jobs).ids)


def log_of(directory: Path) -> list[list[str]]:
    path = directory / "log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def kill(worker: subprocess.Popen[bytes], what: str, chance: random.Random) -> None:
    """kill -9 the supervisor, one of its processes, or all of them at once."""
    if what == "worker":
        worker.kill()
    elif what == "group":
        os.killpg(worker.pid, signal.SIGKILL)
    elif children := psutil.Process(worker.pid).children(recursive=True):
        # It may have ended since.
        with suppress(psutil.NoSuchProcess):
            chance.choice(children).kill()
    if what != "child":
        worker.wait()


@pytest.mark.parametrize("limit", ["key", "queue"])
def test_no_kill_lets_more_run_than_a_limit_allows_and_none_costs_a_slot(
    broker: str, tmp_path: Path, limit: str
) -> None:
    chance = random.Random(os.environ.get("QTOOL_SEED"))
    kills = int(os.environ.get("QTOOL_KILLS", "8"))
    with open_broker(broker) as adapter, ExitStack() as stack:
        if limit == "key":
            for key, places in KEYS.items():
                add(adapter, key, 12 * kills, 0.01, places, key=key, key_limit=places)
        else:
            adapter.operator.limit("queue", "default", concurrency=3)
            add(adapter, "queue", 30 * kills, 0.01, 3)

        def hire() -> subprocess.Popen[bytes]:
            options = ("-A", APP, "-j", "3")
            return stack.enter_context(
                hired(broker, *options, log=tmp_path / "workers.log", QTOOL_EFFECTS=str(tmp_path))
            )

        workers = [hire(), hire()]
        until(lambda: len(log_of(tmp_path)) > 4, "the first runs")
        for _ in range(kills):
            time.sleep(chance.random() * 0.3)
            victim = chance.choice(workers)
            what = chance.choice(("worker", "child", "group"))
            kill(victim, what, chance)
            if what != "child":
                workers.remove(victim)
                workers.append(hire())
        until(lambda: not any(counts(adapter)[state] for state in UNFINISHED), "the end of all jobs", limit=90)
        assert not [line for line in log_of(tmp_path) if line[0] == "TOO-MANY"]
        dead = adapter.inspector.browse(parse("state:dead"), limit=1000).jobs
        assert {job.reason for job in dead} <= {Reason.CRASHED}
        (queue,) = adapter.inspector.snapshot().queues
        assert queue.held == 0
        assert queue.counts[State.SUCCEEDED] + len(dead) == (24 if limit == "key" else 30) * kills
        assert adapter.inspector.check() == []


@pytest.mark.parametrize("what", ["worker", "child", "group"])
@pytest.mark.parametrize("limit", ["key", "queue"])
def test_the_slot_of_a_killed_holder_is_back_within_five_seconds(
    broker: str, tmp_path: Path, limit: str, what: str
) -> None:
    chance = random.Random(os.environ.get("QTOOL_SEED"))
    log = tmp_path / "workers.log"
    with open_broker(broker) as adapter:
        if limit == "queue":
            adapter.operator.limit("queue", "default", concurrency=1)
        said = {"key": "k"} if limit == "key" else {}
        (long,) = add(adapter, "long", 1, 3600.0, 1, **said)
        env = {"QTOOL_EFFECTS": str(tmp_path)}
        with hired(broker, "-A", APP, "-j", "2", log=log, **env) as holder:
            until(lambda: ["start", "long", long] in log_of(tmp_path), "the start of the holder")
            (next_,) = add(adapter, "next", 1, 0.0, 1, **said)
            with hired(broker, "-A", APP, "-j", "2", log=log, **env):
                until(lambda: len(adapter.inspector.snapshot().workers) == 2, "a second worker")
                time.sleep(chance.random() * 0.5)
                assert ["start", "next", next_] not in log_of(tmp_path)
                if what == "child":
                    # The one that runs it: nothing else would leave the slot.
                    here = psutil.Process(holder.pid).children()
                    (running,) = [each for each in here if holds(each, tmp_path / "long.0")]
                    running.kill()
                else:
                    kill(holder, what, chance)
                took = until(lambda: ["start", "next", next_] in log_of(tmp_path), "the next run", limit=5.0)
                assert took < 5.0
                assert not [line for line in log_of(tmp_path) if line[0] == "TOO-MANY"]


def holds(process: psutil.Process, path: Path) -> bool:
    """Whether the process has the file open."""
    return any(file.path == str(path) for file in process.open_files())
