"""Messages of a real Celery client are moved like any job: to a file and back, to another server, to another queue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from celery.result import AsyncResult

from qtool.engine.freight import MORE_THAN_A_JOB
from qtool.engine.registry import open_broker
from tests.interop.conftest import PATIENCE, Fleet, until
from tests.services import place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving.redis import RedisServer


@pytest.fixture(scope="module")
def far(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Another place, where only Celery's workers are."""
    made = Fleet(place(redis_server), tmp_path_factory.mktemp("far"))
    made.celery_worker("-P", "prefork", "-c", "2", "-Q", "celery,urgent")
    try:
        yield made
    finally:
        made.close()


def move(fleet: Fleet, *words: str) -> Any:
    done = fleet.qtool("move", *words, "-y", "-o", "json")
    return json.loads(done.stdout), done


def answer(fleet: Fleet, id: str) -> Any:
    """What Celery's worker has made of it; read, not heard, because Celery's client may miss what it is told."""
    return until(lambda: AsyncResult(id, app=fleet.app).ready()) and AsyncResult(id, app=fleet.app).get(
        timeout=PATIENCE
    )


def test_to_a_file_and_from_there_to_celerys_worker(fleet: Fleet, far: Fleet, tmp_path: Path) -> None:
    sent = [fleet.send("add", n, 1).id for n in range(3)]
    later = fleet.send("add", 9, 1, countdown=4, retries=1).id
    path = str(tmp_path / "jobs.db")
    rows, done = move(fleet, "--to", path)
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in rows] == [*sent, later]
    with open_broker(path) as adapter:
        kept = adapter.inspector.get([*sent, later])
        assert [job.args for job in kept if job] == [(0, 1), (1, 1), (2, 1), (9, 1)]
    assert fleet.adapter.inspector.count() == 0
    done = fleet.qtool("move", "-b", path, "--to", far.url, "-y")
    assert done.returncode == 0, done.stderr
    assert [answer(far, id) for id in (*sent, later)] == [1, 2, 3, 10]


def test_what_only_redis_can_hold_goes_to_redis_only(fleet: Fleet, far: Fleet, tmp_path: Path) -> None:
    linked = fleet.sig("add", 1, 2).apply_async(link=fleet.sig("add", 10))
    rows, done = move(fleet, "--to", str(tmp_path / "jobs.db"))
    assert done.returncode == 3
    assert [(row["moved"], row["note"]) for row in rows] == [(False, MORE_THAN_A_JOB)]
    assert fleet.shown(linked.id)["state"] == "ready"
    rows, done = move(fleet, "--to", far.url)
    assert done.returncode == 0, done.stderr
    assert answer(far, linked.id) == 3
    children = until(lambda: AsyncResult(linked.id, app=far.app).children)
    assert [child.get(timeout=PATIENCE) for child in children] == [13]


def test_into_another_queue_for_celerys_worker(far: Fleet) -> None:
    sent = far.sig("add", 2, 2).apply_async(queue="nobody", priority=3)
    (row,), done = move(far, sent.id, "--into", "urgent")
    assert done.returncode == 0, done.stderr
    assert (row["queue"], row["into"], row["moved"]) == ("nobody", "urgent", True)
    assert answer(far, sent.id) == 4


def test_what_celerys_worker_has_stays(far: Fleet, tmp_path: Path) -> None:
    sent = far.send("sleep", 6.0)
    until(lambda: far.shown(sent.id)["state"] == "running")
    (row,), done = move(far, sent.id, "--into", "elsewhere")
    assert done.returncode == 3
    assert (row["state"], row["moved"]) == ("running", False)
    sent.get(timeout=PATIENCE)
    (row,), done = move(far, sent.id, "--into", "elsewhere", "--all")
    assert (row["state"], row["moved"]) == ("succeeded", False)
