"""A person's verbs on what Celery's clients and workers have left: cancelled and deleted where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult

from qtool.engine.filter import parse
from qtool.engine.states import State
from tests.redis.conftest import until

if TYPE_CHECKING:
    from qtool.engine.broker import Change
    from tests.redis.conftest import Deployment


def told(changes: list[Change]) -> list[tuple[State | None, State | None]]:
    return [(change.before, change.after) for change in changes]


def test_a_message_that_waits_is_cancelled_and_its_client_hears_of_it(celery: Deployment) -> None:
    first, second, third = (celery.send("proj.add", n, 1, priority=n) for n in (0, 3, 9))
    assert told(celery.adapter.operator.cancel([second, first])) == [(State.READY, State.CANCELLED)] * 2
    assert celery.inspector.count(parse("state:ready")) == 1
    assert celery.inspector.count(parse("state:cancelled")) == 2
    with pytest.raises(TaskRevokedError):
        AsyncResult(first, app=celery.app).get(timeout=5)
    assert [job.state if job else None for job in celery.inspector.get([first, second, third])] == [
        State.CANCELLED,
        State.CANCELLED,
        State.READY,
    ]
    assert celery.inspector.check() == []
    with celery.worker():
        assert AsyncResult(third, app=celery.app).get(timeout=20) == 10
        assert celery.server.llen(f"{celery.prefix}celery") == 0


def test_what_was_cancelled_runs_again_on_a_worker_of_celerys(celery: Deployment) -> None:
    id = celery.send("proj.add", 1, 2, priority=5)
    celery.adapter.operator.cancel([id])
    assert told(celery.adapter.operator.retry([id])) == [(State.CANCELLED, State.READY)]
    with celery.worker():
        assert AsyncResult(id, app=celery.app).get(timeout=20) == 3


def test_a_message_for_later_is_cancelled(celery: Deployment) -> None:
    id = celery.send("proj.add", 1, 2, countdown=3600)
    assert told(celery.adapter.operator.cancel([id])) == [(State.READY, State.CANCELLED)]
    assert celery.adapter.broker.maintain().next_due is None
    assert celery.inspector.check() == []


def test_deleted_messages_are_gone_and_the_others_stay(celery: Deployment) -> None:
    ids = [celery.send("proj.add", n, 1, queue="mail", priority=n % 10) for n in range(30)]
    doomed = ids[::3]
    assert told(celery.adapter.operator.delete([*doomed, "no-such"])) == [(State.READY, None)] * 10 + [(None, None)]
    left = [job.id for job in celery.inspector.browse(parse("queue:mail"), limit=100).jobs]
    assert sorted(left) == sorted(set(ids) - set(doomed))
    assert celery.inspector.get(doomed) == [None] * 10


def test_what_nobody_can_read_is_only_deleted(celery: Deployment) -> None:
    celery.send("proj.add", 1, 2)
    raw = b"\xff this is no JSON"
    celery.server.rpush(f"{celery.prefix}celery", raw)
    pickled = celery.send("proj.add", 1, 2, serializer="pickle")
    (broken,) = celery.inspector.browse(parse("id:unreadable-*")).jobs
    for verb in ("cancel", "kill", "retry"):
        changes = getattr(celery.adapter.operator, verb)([broken.id, pickled])
        assert told(changes) == [(State.READY, State.READY)] * 2
        assert not any(change.changed for change in changes)
    assert celery.server.lindex(f"{celery.prefix}celery", -1) == raw
    assert told(celery.adapter.operator.delete([broken.id, pickled])) == [(State.READY, None)] * 2
    assert celery.server.llen(f"{celery.prefix}celery") == 1


def test_what_a_worker_of_celerys_holds_stays_with_it(celery: Deployment) -> None:
    with celery.worker():
        id = celery.send("proj.add", 1, 2, countdown=3600)
        until(lambda: celery.server.hlen(f"{celery.prefix}unacked") == 1)
        for verb in ("cancel", "delete", "retry"):
            (change,) = getattr(celery.adapter.operator, verb)([id])
            assert (change.before, change.after, change.changed) == (State.SCHEDULED, State.SCHEDULED, False)
            assert "Celery" in (change.note or "")
        assert celery.server.hlen(f"{celery.prefix}unacked") == 1


def test_the_result_of_what_has_ended_is_deleted_and_cannot_be_run_again(celery: Deployment) -> None:
    with celery.worker():
        result = celery.app.send_task("proj.boom")
        until(result.failed)
        # Acknowledged after its end.
        until(lambda: celery.server.hlen(f"{celery.prefix}unacked") == 0)
    assert told(celery.adapter.operator.retry([result.id])) == [(State.DEAD, State.DEAD)]
    assert told(celery.adapter.operator.cancel([result.id])) == [(State.DEAD, State.DEAD)]
    assert told(celery.adapter.operator.delete([result.id])) == [(State.DEAD, None)]
    assert celery.results.results([result.id]) == [None]
