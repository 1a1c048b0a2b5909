"""A broker of the test's own, where ``.delay`` sends, and a way to run what was sent without a worker process."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import qtool.client
from qtool.engine import tasks
from qtool.engine.current import CurrentJob
from qtool.engine.policy import decide
from qtool.engine.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.client import Client

RunAll = Callable[[], int]
"""Runs what is ready; how many jobs that were."""


@pytest.fixture(params=["sqlite", "memory"])
def client(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The process's default client, on a broker of its own; ``config.toml`` is the test's to write before."""
    url = f"sqlite://{tmp_path}/jobs.db" if request.param == "sqlite" else "memory:"
    monkeypatch.setenv("QTOOL_BROKER", url)
    monkeypatch.setenv("QTOOL_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("QTOOL_CONTEXT", raising=False)
    monkeypatch.setattr(qtool.client, "_default", None)
    monkeypatch.setattr(tasks, "_tasks", {})
    client = qtool.client.default_client()
    yield client
    client.close()


@pytest.fixture
def run_all(client: Client) -> RunAll:
    """The smallest worker: it claims, runs and settles in this thread."""

    def run_ready() -> int:
        broker, count = client.adapter().broker, 0
        while leases := broker.claim("test", (), 100):
            settlements = []
            for lease in leases:
                task: Any = tasks.find(lease.task)
                job = CurrentJob(lease.id, lease.task, lease.queue, lease.attempt, lease.failures, lease.crashes)
                ended = run(task, job, lease.body)
                settlements.append(
                    decide(
                        lease, ended, task.policy, started_at=lease.ready_at, now=lease.ready_at, random=random.random
                    )
                )
            assert all(broker.settle(settlements))
            count += len(leases)
        return count

    return run_ready
