"""Messages of version 1, as Celery's clients publish them with ``task_protocol = 1``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from celery.result import AsyncResult

from qtool.engine.codec import decode_body
from qtool.engine.job import Settlement
from qtool.engine.states import Event, State

if TYPE_CHECKING:
    from tests.redis.conftest import Deployment


@pytest.fixture
def old(celery: Deployment) -> Deployment:
    celery.app.conf.task_protocol = 1
    return celery


def test_they_run(old: Deployment) -> None:
    id = old.send("proj.add", 1, 2, priority=3, kwargs={"note": "é" * 100})
    ((raw,),) = [old.server.lrange(f"{old.prefix}celery\x06\x163", 0, -1)]
    assert "task" not in json.loads(raw)["headers"]
    (lease,) = old.adapter.broker.claim("w", ("celery",), 5)
    assert (lease.id, lease.task, lease.queue) == (id, "proj.add", "celery")
    args, kwargs = decode_body(lease.body)
    assert (tuple(args), kwargs) == ((1, 2), {"note": "é" * 100})
    now = time.time()
    end = Settlement(lease, Event.SUCCESS, State.SUCCEEDED, now, now, result="3")
    assert old.adapter.broker.settle([end]) == [State.SUCCEEDED]
    assert AsyncResult(id, app=old.app).get(timeout=5) == 3
    assert old.server.hlen(f"{old.prefix}unacked") == 0
    assert old.adapter.inspector.check() == []


def test_they_wait_for_their_time_and_expire(old: Deployment) -> None:
    later = old.send("proj.add", 1, 2, countdown=3600)
    late = old.send("proj.add", 1, 2, expires=0.001)
    time.sleep(0.002)
    assert old.adapter.broker.claim("w", ("celery",), 5) == []
    found = old.adapter.inspector.get([later, late])
    assert [job.state if job else None for job in found] == [State.SCHEDULED, State.EXPIRED]


@pytest.mark.parametrize("body", ['{"id": "x"}', "{", "[]", "[1]", '"x"', '{"task": 1, "id": 2}', ""])
def test_what_is_none_is_parked(old: Deployment, body: str) -> None:
    old.send("proj.add", 1, 2)
    envelope = json.loads(str(old.server.rpop(f"{old.prefix}celery"), "ascii"))  # type: ignore[arg-type]
    del envelope["properties"]["body_encoding"]
    old.server.lpush(f"{old.prefix}celery", json.dumps(envelope | {"body": body}))
    assert old.adapter.broker.claim("w", ("celery",), 5) == []
    assert old.server.llen(f"{old.prefix}qtool:parked:celery") == 1
