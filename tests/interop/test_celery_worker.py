"""A real Celery worker, and qtool's client, which has none of the tasks' code."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.conftest import Fleet, until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def worker(fleet: Fleet) -> Any:
    return fleet.celery_worker("-P", "prefork", "-c", "2", "-Q", "celery,other")


def test_a_task_is_run_and_waited_for(fleet: Fleet) -> None:
    done = fleet.qtool("enqueue", "proj.add", ":=2", ":=3", "--wait")
    assert done.returncode == 0, done.stderr
    id = done.stdout.split()[0]
    assert fleet.qtool("result", id).stdout.strip() == "5"
    shown = fleet.shown(id)
    assert (shown["state"], shown["task"], shown["queue"]) == ("succeeded", "proj.add", "celery")


def test_arguments_of_every_kind(fleet: Fleet) -> None:
    words = ("proj.same", "é\udcff", "a=b", 'c:={"d":[1,null]}', ':="\\u0000"', "--wait", "-o", "ids")
    done = fleet.qtool("enqueue", *words)
    assert done.returncode == 0, done.stderr
    value = json.loads(fleet.qtool("result", done.stdout.split()[0]).stdout)
    assert value == [["é\udcff", "\0"], {"a": "b", "c": {"d": [1, None]}}]


def test_a_failure_is_shown(fleet: Fleet) -> None:
    done = fleet.qtool("enqueue", "proj.boom", "--wait")
    assert done.returncode != 0
    assert "boom" in done.stderr
    shown = fleet.shown(done.stdout.split()[0])
    assert shown["state"] == "dead"
    assert shown["error"]["type"] == "ValueError"
    assert "raise ValueError" in shown["error"]["traceback"]


def test_a_task_that_nobody_has(fleet: Fleet) -> None:
    done = fleet.qtool("enqueue", "proj.nobody", "--wait")
    assert done.returncode != 0
    shown = fleet.shown(done.stdout.split()[0])
    assert (shown["state"], shown["reason"]) == ("dead", "unknown-task")


def test_not_before_its_time(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "ran"
    before = time.time()
    # Nobody of qtool's is here to bring it back: whoever waits for it sees to that.
    done = fleet.qtool("enqueue", "proj.mark", str(file), "later", "--in", "1.5s", "--wait", "--wait-timeout", "20s")
    assert done.returncode == 0, done.stderr
    assert before + 1.5 <= file.stat().st_mtime < before + 8


def test_what_is_too_late_does_not_run(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "ran"
    done = fleet.qtool("enqueue", "proj.mark", str(file), "late", "--expires", "1ms", "--wait", "--wait-timeout", "20s")
    assert done.returncode != 0
    assert fleet.shown(done.stdout.split()[0])["state"] == "expired"
    assert not file.exists()


def test_queues_and_priorities(fleet: Fleet) -> None:
    for words in (("-Q", "other"), ("-p", "9"), ("-p", "5"), ("-p", "0")):
        done = fleet.qtool("enqueue", "proj.add", ":=1", ":=1", *words, "--wait", "--wait-timeout", "20s")
        assert done.returncode == 0, done.stderr


def test_routes(fleet: Fleet, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[routes]\n"proj.*" = {queue = "other"}\n')
    done = fleet.qtool("enqueue", "proj.add", ":=1", ":=1", "--wait", env={**os.environ, "QTOOL_CONFIG": str(config)})
    assert done.returncode == 0, done.stderr
    assert fleet.shown(done.stdout.split()[0])["queue"] == "other"


def test_many_at_once(fleet: Fleet) -> None:
    done = fleet.qtool("enqueue", "--lines", "proj.same", input="\n".join(map(str, range(500))))
    ids = done.stdout.split()
    assert len(ids) == 500
    results = until(lambda: _all(fleet, ids))
    assert sorted(int(json.loads(each.value)[0][0]) for each in results) == list(range(500))


def _all(fleet: Fleet, ids: list[str]) -> Any:
    results = fleet.adapter.results.results(ids)
    return results if all(each is not None and each.state == "succeeded" for each in results) else None


def test_time_limits(fleet: Fleet) -> None:
    words = ("proj.sleep", ":=30", "--timeout", "500ms", "--grace", "5s", "--wait", "--wait-timeout", "20s")
    done = fleet.qtool("enqueue", *words)
    assert done.returncode != 0
    shown = fleet.shown(done.stdout.split()[0])
    assert (shown["state"], shown["reason"]) == ("dead", "timeout")


def test_nothing_that_qtool_publishes_ends_the_worker(fleet: Fleet, worker: Any) -> None:
    """Odd but legal jobs of every kind, and then it still works."""
    from qtool.engine.ids import new_id
    from qtool.engine.job import Job, Policy

    now = time.time()
    odd: list[dict[str, Any]] = [
        {"args": ({"__type__": "datetime", "__value__": "never"},)},
        {"args": ("\ud800", "\0" * 99)},
        {"args": tuple(json.loads("[" * 300 + "]" * 300))},
        {"args": (10**300, 1e308, -0.0)},
        {"kwargs": {"": 1, "self": 2, "\ud800": 3}},
        {"task": "proj.nobody"},
        {"task": "ünï.cödé"},
        {"expires_at": now - 99999},
        {"expires_at": 1e15},
        {"policy": Policy(timeout=1e-9, grace=0.0)},
        {"policy": Policy(timeout=1e200)},
        {"unique": "ü", "key": "\ud7ff", "tags": {"a": "b"}},
        {"priority": 9, "queue": "other"},
    ]
    jobs = [
        Job(**{"id": new_id(), "task": "proj.same", "queue": "celery", "created_at": now, **fields}) for fields in odd
    ]
    fleet.adapter.broker.enqueue(jobs)
    last = fleet.qtool("enqueue", "proj.add", ":=1", ":=1", "-p", "0", "--wait", "--wait-timeout", "30s")
    assert last.returncode == 0, last.stderr
    assert worker.poll() is None
    assert "Unrecoverable error" not in fleet.said("celery")
