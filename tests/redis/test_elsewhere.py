"""Jobs of qtool's that a worker of Celery's took: seen where they are, though nobody has told their records."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from qtool.engine.filter import parse
from qtool.engine.job import Job
from qtool.engine.states import FINAL, Reason, State
from tests.redis.conftest import until

if TYPE_CHECKING:
    from qtool.engine.job import JobInfo
    from tests.redis.conftest import Deployment


def put(celery: Deployment, id: str, task: str, *args: object) -> None:
    job = Job(id=id, task=task, args=args, queue="celery", created_at=time.time())
    celery.adapter.broker.enqueue([job])


def get(celery: Deployment, id: str) -> JobInfo:
    (found,) = celery.inspector.get([id])
    assert found is not None
    return found


def state_of_result(celery: Deployment, id: str) -> State | None:
    (result,) = celery.results.results([id])
    return result.state if result is not None else None


def test_they_end_where_celery_says(celery: Deployment) -> None:
    put(celery, "good", "proj.add", 2, 3)
    put(celery, "bad", "proj.boom")
    put(celery, "waits", "proj.add", 1, 1)
    assert get(celery, "good").state is State.READY
    with celery.worker():
        until(
            lambda: state_of_result(celery, "bad") is State.DEAD and state_of_result(celery, "good") is not State.READY
        )
    fine, broken = celery.results.results(["good", "bad"])
    assert fine is not None
    assert broken is not None
    assert (fine.state, fine.value, fine.error) == (State.SUCCEEDED, "5", None)
    assert (broken.reason, str(broken.error)) == (Reason.FAILED, "ValueError: boom")
    job = get(celery, "good")
    assert (job.state, job.attempt, job.error) == (State.SUCCEEDED, 1, None)
    assert job.finished_at is not None
    assert get(celery, "bad").error == broken.error
    assert {job.id: job.state for job in celery.inspector.browse().jobs}["bad"] is State.DEAD
    assert "good" not in {job.id for job in celery.inspector.browse(parse("state:ready")).jobs}


def test_upkeep_brings_their_records_up_to_date(celery: Deployment) -> None:
    put(celery, "good", "proj.add", 2, 3)
    put(celery, "bad", "proj.boom")
    holder = Job(id="holder", task="proj.add", args=(1, 1), queue="celery", unique="k", created_at=time.time())
    celery.adapter.broker.enqueue([holder])
    assert celery.adapter.broker.enqueue([replace(holder, id="twin")]).existing == {"holder"}
    with celery.worker():
        ids = ["good", "bad", "holder"]
        until(lambda: all(r is not None and r.state in FINAL for r in celery.results.results(ids)))
    put(celery, "waits", "proj.add", 1, 1)
    before = {job.id: job for job in celery.inspector.browse().jobs}
    celery.adapter.broker.maintain()
    (queue,) = celery.inspector.snapshot().queues
    counts = {state: n for state, n in queue.counts.items() if n}
    assert counts == {State.READY: 1, State.SUCCEEDED: 2, State.DEAD: 1}
    assert {job.id: job.state for job in celery.inspector.browse(parse("state:succeeded,dead")).jobs} == {
        "good": State.SUCCEEDED,
        "bad": State.DEAD,
        "holder": State.SUCCEEDED,
    }
    after = {job.id: job for job in celery.inspector.browse().jobs}
    assert {id: (job.state, job.error, job.attempt) for id, job in after.items()} == {
        id: (job.state, job.error, job.attempt) for id, job in before.items()
    }
    fine, broken, _ = celery.results.results(ids)
    assert fine is not None
    assert broken is not None
    assert (fine.value, str(broken.error)) == ("5", "ValueError: boom")
    assert celery.adapter.broker.enqueue([replace(holder, id="twin")]).existing == frozenset()
    assert celery.inspector.check() == []
    celery.adapter.broker.maintain()
    assert celery.inspector.check() == []
    assert sum(bucket.succeeded for bucket in celery.inspector.history(0, time.time() + 1, seconds=60)) == 2


def test_upkeep_goes_over_all_records_by_and_by(celery: Deployment) -> None:
    celery.adapter.broker.enqueue(
        [Job(id=f"mine-{n}", task="t", queue="celery", created_at=time.time()) for n in range(1300)]
    )
    meta = {"status": "SUCCESS", "result": 1, "traceback": None, "children": [], "date_done": None}
    for n in (0, 600, 1299):
        celery.server.set(f"{celery.prefix}celery-task-meta-mine-{n}", json.dumps(meta | {"task_id": f"mine-{n}"}))
    for _ in range(3):
        celery.adapter.broker.maintain()
    found = celery.inspector.browse(parse("state:succeeded")).jobs
    assert {job.id for job in found} == {"mine-0", "mine-600", "mine-1299"}


def test_while_they_run_they_run(celery: Deployment) -> None:
    with celery.worker():
        put(celery, "long", "proj.sleep", 60)
        until(lambda: celery.server.hlen(f"{celery.prefix}unacked") == 1)
        assert get(celery, "long").state is State.RUNNING
        (queue,) = celery.inspector.snapshot().queues
        assert {state: n for state, n in queue.counts.items() if n} == {State.RUNNING: 1}
        put(celery, "next", "proj.add", 1, 1)
        assert get(celery, "next").state is State.READY
        assert celery.inspector.count() == 2


def test_records_and_messages_are_one_listing(celery: Deployment) -> None:
    mine = [f"mine-{n}" for n in range(5)]
    for id in mine:
        put(celery, id, "proj.add", 1, 1)
    theirs = [celery.send("proj.add", n, 1) for n in range(5)]
    whole = celery.inspector.browse()
    assert [job.id for job in whole.jobs] == mine[::-1] + theirs[::-1]
    oldest = celery.inspector.browse(oldest_first=True)
    assert [job.id for job in oldest.jobs] == theirs + mine
    for oldest_first, expected in ((False, whole.keys), (True, oldest.keys)):
        keys: list[int] = []
        after = None
        while True:
            page = celery.inspector.browse(limit=3, after=after, oldest_first=oldest_first)
            keys += page.keys
            after = page.next
            if after is None:
                break
        assert tuple(keys) == expected
    (queue,) = celery.inspector.snapshot().queues
    assert queue.counts[State.READY] == celery.inspector.count() == 10


def test_a_long_queue_of_records_hides_no_message(celery: Deployment) -> None:
    """Which is not gone through for messages, unless its counters or its ends show that there are some."""
    jobs = [Job(id=f"mine-{n}", task="t", queue="celery", created_at=time.time()) for n in range(1500)]
    celery.adapter.broker.enqueue(jobs[:700])
    strange = celery.send("proj.add", 1, 1)
    celery.adapter.broker.enqueue(jobs[700:])
    assert celery.inspector.browse(oldest_first=True, limit=1).jobs[0].id == strange
    assert celery.inspector.browse(parse("task:proj.add")).jobs[0].id == strange
    assert celery.inspector.find(strange[:9]) == strange
    # So many records have lost their messages to a worker that the counters leave room for the stranger.
    celery.server.rpop(f"{celery.prefix}celery\x06\x169", 20)
    newest = celery.send("proj.add", 2, 2)
    assert celery.inspector.browse(parse("task:proj.add"), limit=1).jobs[0].id == newest


def test_a_message_that_came_back_is_one_job(celery: Deployment) -> None:
    id = celery.send("proj.add", 1, 1)
    assert [lease.id for lease in celery.adapter.broker.claim("w", ("celery",), 1)] == [id]
    assert [job.state for job in celery.inspector.browse().jobs] == [State.RUNNING]
    (queue,) = celery.inspector.snapshot().queues
    assert {state: n for state, n in queue.counts.items() if n} == {State.RUNNING: 1}
    assert celery.inspector.check() == []
    with celery.worker("-Q", "mail"):
        celery.send("proj.add", 1, 1, queue="mail", countdown=3600)
        until(lambda: celery.server.hlen(f"{celery.prefix}unacked") == 2)
        counts = {queue.name: queue.counts for queue in celery.inspector.snapshot().queues}
        assert (counts["celery"][State.RUNNING], counts["mail"][State.SCHEDULED]) == (1, 1)
        celery.server.delete(f"{celery.prefix}unacked", f"{celery.prefix}unacked_index")
    celery.adapter.broker.leave("w")
    assert [(job.id, job.state) for job in celery.inspector.browse().jobs] == [(id, State.READY)]
    assert celery.inspector.count() == celery.inspector.count(parse("task:proj.add")) == 1
