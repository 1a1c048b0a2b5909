"""A job that failed at qtool's worker and is tried again, perhaps by one of Celery's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.celery.message import decode_message
from qtool.engine.job import Failure, Job, Settlement
from qtool.engine.states import Event, State
from tests.interop.conftest import Fleet, until

if TYPE_CHECKING:
    from qtool.engine.job import Lease


def fail(fleet: Fleet, lease: Lease, seconds: float) -> float:
    """The attempt ends with an error, and the next one is due in so many seconds: when."""
    now = time.time()
    failure = Failure(type="ValueError", message="boom")
    settlement = Settlement(lease, Event.ERROR, State.RETRY, now, now, due_at=now + seconds, failure=failure)
    assert fleet.adapter.broker.settle([settlement]) == [State.RETRY]
    return now + seconds


def message_of(fleet: Fleet, id: str) -> Any:
    raw: Any = fleet.app.backend.client.get(f"{fleet.prefix}qtool:message:{id}")
    return decode_message(raw)


@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_the_next_attempt_is_counted_wherever_it_runs(fleet: Fleet, whose: str) -> None:
    queue = f"again-{whose}"
    if whose == "theirs":
        link = fleet.sig("same", "linked", immutable=True).set(queue="linked")
        id = fleet.send("request", queue=queue, link=link).id
    else:
        id = "ours"
        fleet.adapter.broker.enqueue([Job(id=id, task="proj.request", queue=queue, created_at=time.time())])
    before = message_of(fleet, id) if whose == "ours" else None
    (lease,) = fleet.adapter.broker.claim("w", (queue,), 1)
    due = fail(fleet, lease, 0.05)
    said = message_of(fleet, id)
    assert (said.retries, said.headers["parent_id"]) == (1, id)
    assert said.eta == pytest.approx(due, abs=1e-3)
    assert before is None or (said.content, said.created_at) == (before.content, before.created_at)
    result = fleet.app.AsyncResult(id)
    assert (result.state, repr(result.result)) == ("RETRY", "ValueError('boom')")
    until(lambda: fleet.adapter.broker.maintain() and message_ready(fleet, queue))
    (lease,) = fleet.adapter.broker.claim("w", (queue,), 1)
    assert (lease.attempt, lease.failures) == (2, 1)
    fail(fleet, lease, 0.0)
    assert message_of(fleet, id).retries == 2
    until(lambda: fleet.adapter.broker.maintain() and message_ready(fleet, queue))
    fleet.celery_worker("-P", "solo", "-Q", queue)
    request = result.get(timeout=30)
    assert (request["retries"], request["id"], request["parent_id"]) == (2, id, id)
    (job,) = fleet.adapter.inspector.get([id])
    assert job is not None
    assert job.state is State.SUCCEEDED
    if whose == "theirs":
        client: Any = fleet.app.backend.client
        assert client.llen(f"{fleet.prefix}linked") == 1


def message_ready(fleet: Fleet, queue: str) -> Any:
    client: Any = fleet.app.backend.client
    return client.llen(f"{fleet.prefix}{queue}") or client.llen(f"{fleet.prefix}{queue}\x06\x169")


@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_what_a_person_runs_again_begins_anew(fleet: Fleet, whose: str) -> None:
    """Its errors do not count any more, and no deadline: also not for a worker of Celery's."""
    queue, id = f"anew-{whose}", f"anew-{whose}"
    if whose == "theirs":
        id = fleet.send("request", queue=queue, expires=3600, countdown=0.001).id
    else:
        now = time.time()
        job = Job(id=id, task="proj.request", queue=queue, created_at=now, expires_at=now + 3600)
        fleet.adapter.broker.enqueue([job])
    (lease,) = until(lambda: fleet.adapter.broker.claim("w", (queue,), 1))
    fail(fleet, lease, 3000.0)
    fleet.adapter.operator.cancel([id])
    assert message_of(fleet, id).retries == 1
    (change,) = fleet.adapter.operator.retry([id])
    assert change.after is State.READY
    said = message_of(fleet, id)
    assert (said.retries, said.eta, said.expires) == (0, None, None)
    assert message_ready(fleet, queue) == 1
    fleet.celery_worker("-P", "solo", "-Q", queue)
    assert fleet.app.AsyncResult(id).get(timeout=30)["retries"] == 0
    assert fleet.adapter.inspector.check() == []
