"""What a worker takes from a Celery application where nobody says otherwise, and where it will not start."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.interop.application.conftest import HERE, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving.redis import RedisServer


@pytest.fixture
def idle(redis_server: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    """A client, and no worker."""
    made = Fleet("qtool", f"{redis_server.url}/3", tmp_path / "worker.log")
    made.redis.flushdb()
    yield made
    made.close()


def worker(url: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a worker to its end."""
    here = {name: value for name, value in os.environ.items() if not name.startswith("QTOOL_")}
    here |= {"PROJ_BROKER": url, "PYTHONWARNINGS": "ignore", **environ}
    command = [sys.executable, "-m", "qtool", "worker", "--burst", "-j1", *words]
    return subprocess.run(command, cwd=HERE, env=here, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("place", ["proj", "proj.celery", "proj.celery:app", "proj.tasks"])
def test_it_serves_the_application_s_broker_and_queues(idle: Fleet, place: str) -> None:
    result = idle.task("add", 2, 3).apply_async(queue="mine")
    other = idle.task("add", 2, 3).apply_async(queue="others")
    done = worker(idle.url, "-A", place, PROJ_QUEUE="mine")
    assert done.returncode == 0, done.stderr
    assert "serves mine" in done.stderr
    assert result.get(timeout=5) == 5
    assert other.state == "PENDING"
    idle.redis.delete("others")


def test_what_is_said_wins(idle: Fleet) -> None:
    result = idle.task("add", 2, 3).apply_async(queue="mine")
    done = worker(idle.url, "-A", "proj", "-Q", "mine")
    assert done.returncode == 0, done.stderr
    assert result.get(timeout=5) == 5
    elsewhere = worker("redis://127.0.0.1:1/0", "-A", "proj", QTOOL_BROKER=idle.url)
    assert "serves celery" in elsewhere.stderr


def test_one_that_publishes_elsewhere_is_pointed_out_once(idle: Fleet) -> None:
    """A broker that somebody names wins; what the tasks send goes on to their own."""
    other = idle.url.replace("redis://", "redis://:s3cret@").removesuffix("/3") + "/5"
    away = worker(idle.url, "-A", "proj", "-b", idle.url, "-j2", PROJ_BROKER=other)
    shown = other.replace(":s3cret@", "")
    assert away.returncode == 0, away.stderr
    assert away.stderr.count("names another broker") == 1
    assert (
        f"proj names another broker, {shown}: what its tasks send (retries, chains, others' calls) goes there, "
        f"and this worker serves {idle.url}." in away.stderr
    )
    assert "s3cret" not in away.stderr
    # However the same place is written.
    for same in (idle.url, idle.url.replace("127.0.0.1", "localhost"), idle.url + "?timeout=4"):
        assert "another broker" not in worker(idle.url, "-A", "proj", "-b", same, PROJ_BROKER=idle.url).stderr


def test_on_a_file_it_does_not_start(idle: Fleet, tmp_path: Path) -> None:
    from qtool.engine.job import Job
    from qtool.engine.registry import open_broker

    with open_broker(f"sqlite://{tmp_path}/jobs.db") as adapter:
        adapter.broker.enqueue([Job(id="a", task="proj.tasks.add", created_at=0.0)])
    done = worker(idle.url, "-A", "proj", "-b", f"{tmp_path}/jobs.db")
    assert done.returncode == 2
    assert "it is a Celery application" in done.stderr
    assert "leave -b out" in done.stderr
