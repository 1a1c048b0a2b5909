"""A worker does not grow with the jobs that it has run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
from qtool.engine.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from qtool.engine.broker import Adapter

BATCH = 10_000
EARLY = 10_000
"""Jobs after which a worker has everything that it needs."""
GROWTH = 1.10


def succeeded(adapter: Adapter) -> int:
    return sum(queue.counts[State.SUCCEEDED] for queue in adapter.inspector.snapshot().queues)


def resident(supervisor: psutil.Process) -> dict[int, int]:
    """Bytes by process."""
    return {each.pid: each.memory_info().rss for each in (supervisor, *supervisor.children(recursive=True))}


def grown(path: Path, total: int) -> tuple[dict[int, int], dict[int, int]]:
    """What each of a worker's processes holds after the first jobs, and after ``total``; the next are at hand then."""
    with open_broker(str(path / "q.db")) as adapter:
        for _ in range(0, total + BATCH, BATCH):
            now = time.time()
            adapter.broker.enqueue(
                [Job(id=id, task="examples.tasks.noop", args=(1,), created_at=now) for id in new_id.batch(BATCH)]
            )
        command = [sys.executable, "-m", "qtool", "worker", "-b", str(path / "q.db"), "-A", "examples.tasks"]
        worker = subprocess.Popen([*command, "-j", "2", "-q"])
        try:
            process = psutil.Process(worker.pid)
            early: dict[int, int] = {}
            while (done := succeeded(adapter)) < total:
                assert worker.poll() is None
                if done >= EARLY and not early:
                    early = resident(process)
                time.sleep(0.02)
            return early, resident(process)
        finally:
            worker.terminate()
            worker.wait(timeout=20)


def judge(early: dict[int, int], late: dict[int, int]) -> None:
    assert early.keys() == late.keys(), "the same processes ran from start to end"
    told = {pid: f"{early[pid] / 1e6:.1f} -> {late[pid] / 1e6:.1f} MB" for pid in early}
    print(told)
    assert sum(late.values()) <= GROWTH * sum(early.values()), told
    assert all(late[pid] <= GROWTH * early[pid] for pid in early), told


@pytest.mark.slow
def test_a_worker_is_as_large_after_sixty_thousand_jobs_as_after_ten(tmp_path: Path) -> None:
    judge(*grown(tmp_path, 60_000))


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("QTOOL_SOAK"), reason="takes a minute: scripts/test --soak")
@pytest.mark.timeout(600)
def test_a_worker_is_as_large_after_a_million_jobs_as_after_ten_thousand(tmp_path: Path) -> None:
    judge(*grown(tmp_path, 1_000_000))
