"""Jobs of qtool's that a worker of Celery's took, and of which nothing is left: nobody knows how they ended."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from qtool.engine.brokers.redis import open_redis
from qtool.engine.clock import ManualClock
from qtool.engine.job import Job
from qtool.engine.states import Reason, State
from tests.redis.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.broker import Adapter
    from tests.redis.conftest import Deployment

QUIET = Job(id="quiet", task="proj.quiet", args=(1, 2), queue="celery", unique="k", created_at=time.time())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())


@pytest.fixture
def upkeep(celery: Deployment, clock: ManualClock) -> Iterator[Adapter]:
    with open_redis(celery.url, clock=clock) as adapter:
        yield adapter


def pass_by(upkeep: Adapter, clock: ManualClock, seconds: float) -> None:
    """Time passes, and upkeep goes on every minute of it."""
    for _ in range(round(seconds / 60)):
        clock.advance(60)
        upkeep.broker.maintain()


def states(celery: Deployment) -> dict[str, State]:
    return {job.id: job.state for job in celery.inspector.browse(limit=100).jobs}


def lists(celery: Deployment) -> list[bytes | str]:
    return celery.server.keys(f"{celery.prefix}celery") + celery.server.keys(f"{celery.prefix}celery\x06*")


def test_where_no_results_are_kept_it_expires_after_an_hour_and_its_unique_key_is_free(
    celery: Deployment, upkeep: Adapter, clock: ManualClock
) -> None:
    celery.adapter.broker.enqueue([QUIET])
    with celery.worker():
        until(lambda: not lists(celery) and not celery.server.hlen(f"{celery.prefix}unacked"))
    assert celery.adapter.broker.enqueue([replace(QUIET, id="twin")]).existing == {"quiet"}
    pass_by(upkeep, clock, 3540)
    assert states(celery) == {"quiet": State.READY}
    pass_by(upkeep, clock, 240)
    (job,) = celery.inspector.get(["quiet"])
    assert job is not None
    assert (job.state, job.reason, job.attempt) == (State.EXPIRED, Reason.LOST, 1)
    assert "keeps no results of its task: whether it ran nobody knows" in str(job.error)
    assert celery.adapter.broker.enqueue([replace(QUIET, id="twin")]).existing == frozenset()
    celery.adapter.operator.delete(["twin"])
    (change,) = celery.adapter.operator.retry(["quiet"])
    assert change.after is State.READY
    assert len(lists(celery)) == 1
    assert celery.inspector.check() == []
    pass_by(upkeep, clock, 7200)
    assert states(celery) == {"quiet": State.READY}


def test_where_others_of_its_task_have_left_results_it_is_dead(
    celery: Deployment, upkeep: Adapter, clock: ManualClock
) -> None:
    kept = replace(QUIET, id="kept", task="proj.add", unique=None)
    celery.adapter.broker.enqueue([kept])
    with celery.worker():
        until(lambda: not lists(celery) and not celery.server.hlen(f"{celery.prefix}unacked"))
    upkeep.broker.maintain()
    assert states(celery) == {"kept": State.SUCCEEDED}
    celery.adapter.broker.enqueue([QUIET, replace(kept, id="gone"), replace(kept, id="asked")])
    key = f"{celery.prefix}qtool:message:asked"
    said = celery.server.get(key)
    assert isinstance(said, bytes)
    # As of a Celery client's that has asked for no result.
    celery.server.set(key, said.replace(b'"headers":{', b'"headers":{"ignore_result":true,'))
    celery.server.delete(*lists(celery))
    pass_by(upkeep, clock, 3780)
    found = {job.id: (job.state, job.reason) for job in celery.inspector.browse(limit=100).jobs}
    assert found == {
        "kept": (State.SUCCEEDED, None),
        "gone": (State.DEAD, Reason.LOST),
        "quiet": (State.EXPIRED, Reason.LOST),
        "asked": (State.EXPIRED, Reason.LOST),
    }
    (gone,) = celery.inspector.get(["gone"])
    assert gone is not None
    assert "no result as there was of others of its task" in str(gone.error)


def test_what_waits_or_is_held_is_not_lost(celery: Deployment, upkeep: Adapter, clock: ManualClock) -> None:
    runs = replace(QUIET, id="runs", task="proj.sleep", args=(60,), unique=None)
    celery.adapter.broker.enqueue([runs])
    with celery.worker():
        until(lambda: celery.server.hexists(f"{celery.prefix}unacked", "runs"))
    for n in range(1100):
        celery.send("proj.add", n, 1)
    celery.adapter.broker.enqueue([replace(QUIET, id=f"mine-{n}", unique=None, priority=n) for n in range(5)])
    pass_by(upkeep, clock, 3000)
    assert celery.server.hexists(f"{celery.prefix}unacked", "runs")
    pass_by(upkeep, clock, 6000)
    assert [each for each in celery.inspector.browse(limit=2000).jobs if each.state is not State.READY] == []


def test_what_was_put_back_in_other_words_is_not_lost(celery: Deployment, upkeep: Adapter, clock: ManualClock) -> None:
    celery.adapter.broker.enqueue([QUIET])
    (list_,) = lists(celery)
    raw = str(celery.server.rpop(list_), "ascii")  # type: ignore[arg-type]
    pass_by(upkeep, clock, 1800)
    celery.server.lpush(list_, '{"headers": {}, ' + raw[1:].replace('":"', '": "'))
    pass_by(upkeep, clock, 120)
    celery.server.delete(list_)
    pass_by(upkeep, clock, 3540)
    assert states(celery) == {"quiet": State.READY}
    pass_by(upkeep, clock, 240)
    assert states(celery) == {"quiet": State.EXPIRED}
