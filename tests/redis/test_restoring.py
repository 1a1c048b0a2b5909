"""What dead workers of Celery's left claimed: taken back after the visibility timeout, and nothing else is."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from celery.result import AsyncResult

from qtool.engine.brokers.redis import open_redis
from qtool.engine.brokers.redis.connecting import place_of
from qtool.engine.clock import ManualClock
from qtool.engine.job import Job
from qtool.engine.states import State
from qtool.errors import UsageError
from tests.redis.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.broker import Adapter
    from tests.redis.conftest import Deployment

HOUR = 3600.0


@contextmanager
def later(celery: Deployment, seconds: float, url: str | None = None) -> Iterator[Adapter]:
    """Somebody's upkeep at that time from now."""
    clock = ManualClock(time.time() + seconds)
    with open_redis(url or celery.url, clock=clock) as adapter:
        yield adapter


def held(celery: Deployment) -> int:
    return int(celery.server.hlen(f"{celery.prefix}unacked"))


def left_by_a_dead_worker(celery: Deployment, *ids: str) -> None:
    """A worker has taken them and is gone."""
    with celery.worker():
        until(lambda: held(celery) == len(ids))


def test_it_comes_back_after_the_visibility_timeout(celery: Deployment) -> None:
    """A worker with ``acks_late`` died at work: its own job and one of qtool's."""
    theirs = celery.send("proj.sleep", 60, priority=6)
    left_by_a_dead_worker(celery, theirs)
    now = time.time()
    celery.adapter.broker.enqueue([Job(id="ours", task="proj.sleep", args=(60,), queue="celery", created_at=now)])
    with celery.worker():
        until(lambda: held(celery) == 2)
    with later(celery, HOUR - 60) as adapter:
        assert adapter.broker.maintain().rescued == 0
        assert held(celery) == 2
    with later(celery, HOUR + 60) as adapter:
        celery.server.set(f"{celery.prefix}unacked_mutex", "a worker of Celery's", px=60_000)
        assert adapter.broker.maintain().rescued == 0
        celery.server.delete(f"{celery.prefix}unacked_mutex")
    with later(celery, HOUR + 60) as adapter:
        assert adapter.broker.maintain().rescued == 2
        assert held(celery) == celery.server.zcard(f"{celery.prefix}unacked_index") == 0
        (message,) = celery.server.lrange(f"{celery.prefix}celery\x06\x166", 0, -1)
        said = json.loads(message)
        assert (said["headers"]["redelivered"], said["properties"]["delivery_info"]["redelivered"]) == (True, True)
        assert {lease.id for lease in adapter.broker.claim("w", ("celery",), 5)} == {theirs, "ours"}
    assert celery.inspector.check() == []


def test_a_job_of_qtools_that_came_back_is_cancelled_where_it_stands(celery: Deployment) -> None:
    celery.adapter.broker.enqueue([Job(id="ours", task="proj.sleep", args=(60,), queue="celery", created_at=1.0)])
    left_by_a_dead_worker(celery, "ours")
    with later(celery, HOUR + 60) as adapter:
        assert adapter.broker.maintain().rescued == 1
        (change,) = adapter.operator.cancel(["ours"])
        assert change.after is State.CANCELLED
        assert not celery.server.keys(f"{celery.prefix}celery") + celery.server.keys(f"{celery.prefix}celery\x06*")


def test_the_oldest_is_served_next_and_a_tag_without_a_message_goes(celery: Deployment) -> None:
    ids = [celery.send("proj.add", n, 1) for n in range(3)]
    index, unacked = f"{celery.prefix}unacked_index", f"{celery.prefix}unacked"
    for n, id in enumerate(ids):
        raw = celery.server.rpop(f"{celery.prefix}celery")
        tag = f"tag-{2 - n}"
        celery.server.hset(unacked, tag, json.dumps([json.loads(raw), "", "celery"]))  # type: ignore[arg-type]
        celery.server.zadd(index, {tag: 100 + n})
        assert id in str(raw)
    celery.server.zadd(index, {"nothing": 99})
    celery.server.hset(unacked, "odd", "no message")
    celery.server.zadd(index, {"odd": 98})
    assert celery.adapter.broker.maintain().rescued == 3
    assert [lease.id for lease in celery.adapter.broker.claim("w", ("celery",), 5)] == ids
    assert celery.server.zscore(index, "nothing") is None
    assert celery.server.hget(unacked, "odd") == b"no message"


def test_what_a_worker_holds_for_later_is_not_taken_from_it(celery: Deployment) -> None:
    celery.send("proj.add", 1, 1, countdown=10 * HOUR)
    with celery.worker():
        until(lambda: held(celery) == 1)
        for hours in (2, 10.9):
            with later(celery, hours * HOUR) as adapter:
                assert adapter.broker.maintain().rescued == 0
                assert held(celery) == 1
    with later(celery, 11.1 * HOUR) as adapter:
        assert adapter.broker.maintain().rescued == 1


def test_behind_many_that_are_held_for_later_what_was_left_is_found(
    celery: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qtool.engine.brokers.redis.restoring.EVERY", 0.0)
    monkeypatch.setattr("qtool.engine.brokers.redis.restoring.AT_ONCE", 2)
    for _ in range(5):
        celery.send("proj.add", 1, 1, countdown=10 * HOUR)
    with celery.worker():
        until(lambda: held(celery) == 5)
    id = celery.send("proj.sleep", 60)
    left_by_a_dead_worker(celery, id, *"12345")
    with later(celery, HOUR + 60) as adapter:
        assert sum(adapter.broker.maintain().rescued for _ in range(4)) == 1
        assert [lease.id for lease in adapter.broker.claim("w", ("celery",), 5)] == [id]


def test_what_one_of_qtools_workers_runs_stays(celery: Deployment) -> None:
    """Even if nobody has written its lease for long; its worker's own death is noticed otherwise."""
    theirs = celery.send("proj.add", 1, 1)
    celery.adapter.broker.enqueue([Job(id="ours", task="proj.add", args=(1, 1), queue="celery", created_at=1.0)])
    assert len(celery.adapter.broker.claim("w", ("celery",), 2)) == 2
    index = f"{celery.prefix}unacked_index"
    for tag in celery.server.zrange(index, 0, -1):
        celery.server.zincrby(index, -1e9, str(tag, "ascii"))  # type: ignore[arg-type]
    assert celery.adapter.broker.maintain().rescued == 0
    assert held(celery) == 2
    assert {job.id: job.state for job in celery.inspector.browse().jobs} == {
        theirs: State.RUNNING,
        "ours": State.RUNNING,
    }


def test_the_timeout_is_what_the_url_says_and_a_worker_of_celerys_runs_it_again(celery: Deployment) -> None:
    id = celery.send("proj.sleep", 0.5)
    left_by_a_dead_worker(celery, id)
    with later(celery, 60, f"{celery.url}&visibility_timeout=30") as adapter:
        assert adapter.broker.maintain().rescued == 1
    with celery.worker():
        assert AsyncResult(id, app=celery.app).get(timeout=20) == 0.5
    for wrong in ("0", "-1", "inf", "an hour"):
        with pytest.raises(UsageError):
            place_of(f"redis://host/0?visibility_timeout={wrong}")
