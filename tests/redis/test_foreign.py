"""A Redis with no qtool in it: what Celery's clients and workers keep there, seen without being touched."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from qtool.engine.brokers.redis import discovery, open_redis
from qtool.engine.brokers.redis.discovery import Discovery
from qtool.engine.filter import parse
from qtool.engine.ids import new_id
from qtool.engine.job import Job, Policy
from qtool.engine.states import Reason, State
from qtool.errors import AmbiguousJob, UnknownJob
from tests.redis.conftest import until

if TYPE_CHECKING:
    from qtool.engine.broker import QueueStats
    from qtool.engine.job import JobInfo
    from tests.redis.conftest import Deployment


def queues(celery: Deployment) -> dict[str, QueueStats]:
    return {each.name: each for each in celery.inspector.snapshot().queues}


def get(celery: Deployment, id: str) -> JobInfo:
    (found,) = celery.inspector.get([id])
    assert found is not None
    return found


def everything(celery: Deployment) -> dict[bytes, bytes]:
    """Every key of the deployment with all it holds."""
    keys = sorted(celery.server.scan_iter(f"{celery.prefix}*"))
    return {key: celery.server.dump(key) for key in keys}  # type: ignore[misc]


# --- queues ------------------------------------------------------------------------------------------


def test_a_server_with_nothing_on_it(celery: Deployment) -> None:
    assert celery.inspector.snapshot().queues == ()
    assert celery.inspector.browse().jobs == ()
    assert celery.inspector.count() == 0
    assert celery.inspector.get(["no-such"]) == [None]
    assert celery.results.results(["no-such"]) == [None]
    with pytest.raises(UnknownJob):
        celery.inspector.find("no-such")


def test_queues_are_found_by_their_bindings_and_counted_over_all_priorities(celery: Deployment) -> None:
    for priority in (0, 1, 3, 6, 9, 9):
        celery.send("proj.add", 1, 2, priority=priority)
    celery.send("proj.add", 1, 2, queue="mail")
    found = queues(celery)
    assert {name: each.counts[State.READY] for name, each in found.items()} == {"celery": 6, "mail": 1}
    assert celery.inspector.count() == 7
    assert celery.inspector.count(parse("queue:mail")) == 1
    assert celery.inspector.count(parse("state:running")) == 0
    assert found["mail"].oldest_ready_at is None, "Celery's messages do not say when they were published"


def test_a_queue_that_is_empty_is_there_and_those_of_control_are_not(celery: Deployment) -> None:
    celery.send("proj.add", 1, 2)
    celery.server.delete(f"{celery.prefix}celery")
    binding = "\x06\x16\x06\x16"
    for name in ("w1@host.celery.pidbox", "celeryev.0815"):
        celery.server.sadd(f"{celery.prefix}_kombu.binding.{name}", f"{binding}{name}")
        celery.server.lpush(f"{celery.prefix}{name}", "x")
    assert {name: sum(each.counts.values()) for name, each in queues(celery).items()} == {"celery": 0}


def test_a_list_of_messages_that_nothing_binds_is_a_queue_and_another_list_is_not(celery: Deployment) -> None:
    celery.send("proj.add", 1, 2, queue="bound")
    celery.server.rename(f"{celery.prefix}bound", f"{celery.prefix}loose\x06\x163")
    others = ["bread", "[]", "{}", '{"body": "", "properties": {}}', '{"properties": {"delivery_tag": "1"}}']
    for number, item in enumerate(others):
        celery.server.lpush(f"{celery.prefix}shopping-{number}", item)
    assert sorted(queues(celery)) == ["bound", "loose"]
    assert queues(celery)["loose"].counts[State.READY] == 1


def test_in_a_large_keyspace_of_qtools_own_celerys_queues_are_found_by_and_by(
    celery: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No look takes long for it, and the default one is there at once."""
    monkeypatch.setattr(Discovery, "_mostly_ours", lambda _: True)
    monkeypatch.setattr(discovery, "SMALL", 0)
    monkeypatch.setattr(discovery, "STRETCH", 10)
    for number in range(40):
        celery.server.set(f"{celery.prefix}filler-{number}", "")
    for name in ("celery", "mail", "sms"):
        celery.send("proj.add", 1, 2, queue=name)
    assert "celery" in queues(celery)
    until(lambda: set(queues(celery)) == {"celery", "mail", "sms"})
    assert set(queues(celery)) == {"celery", "mail", "sms"}


def test_what_upkeep_has_found_a_single_look_shows_at_once(celery: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Discovery, "_mostly_ours", lambda _: True)
    monkeypatch.setattr(discovery, "SMALL", 0)
    monkeypatch.setattr(discovery, "KEEPING", 0.0)
    for number in range(300):
        celery.server.set(f"{celery.prefix}filler-{number}", "")
    for name in ("celery", "mail", "sms"):
        celery.send("proj.add", 1, 2, queue=name)
    celery.server.sadd(f"{celery.prefix}_kombu.binding.celeryev", "\x06\x16\x06\x16celeryev.0815")

    def bound() -> set[bytes]:
        return celery.server.smembers(f"{celery.prefix}qtool:bound")  # type: ignore[return-value]

    def kept(names: set[bytes]) -> bool:
        celery.adapter.broker.maintain()
        return bound() == names

    until(lambda: kept({b"celery", b"mail", b"sms"}))
    monkeypatch.setattr(discovery, "STRETCH", 1)
    with open_redis(celery.url) as once:
        before = everything(celery)
        assert {each.name for each in once.inspector.snapshot().queues} == {"celery", "mail", "sms"}
        assert everything(celery) == before
    monkeypatch.undo()
    monkeypatch.setattr(discovery, "KEEPING", 0.0)
    celery.server.delete(f"{celery.prefix}_kombu.binding.sms", f"{celery.prefix}sms")
    until(lambda: kept({b"celery", b"mail"}))


def test_a_worker_of_all_queues_serves_those_that_celerys_clients_bound(celery: Deployment) -> None:
    broker = celery.adapter.broker
    assert broker.claim("w", (), 5) == []
    id = celery.send("proj.add", 1, 2, queue="mail")
    with closing(broker.listen("ready")) as bell:
        while bell.wait(0.1):
            continue

        def rings() -> bool:
            broker.maintain()
            return bell.wait(0.1)

        until(rings)
        assert [lease.id for lease in broker.claim("w", (), 5)] == [id]
        while bell.wait(0.1):
            continue
        next_one = celery.send("proj.add", 1, 2, queue="mail")
        assert bell.wait(10), "its lists are watched, too"
        assert [lease.id for lease in broker.claim("w", (), 5)] == [next_one]


# --- messages ----------------------------------------------------------------------------------------


def test_a_worker_of_all_queues_serves_the_default_one_of_clients_that_bound_it_before_the_server_was_emptied(
    celery: Deployment,
) -> None:
    """They publish on as before, and bind nothing again."""
    celery.send("proj.add", 1, 1)
    for key in celery.server.keys(f"{celery.prefix}*"):
        celery.server.delete(key)
    id = celery.send("proj.add", 2, 2)
    assert not celery.server.keys(f"{celery.prefix}_kombu*")
    assert celery.adapter.broker.claim("w", (), 5) == []
    celery.adapter.broker.maintain()
    assert [lease.id for lease in celery.adapter.broker.claim("w", (), 5)] == [id]


def test_qtools_own_jobs_in_the_default_queue_are_nobody_elses(celery: Deployment) -> None:
    celery.adapter.broker.enqueue([Job(id=new_id(), task="t", queue="celery", created_at=time.time())])
    celery.adapter.broker.maintain()
    assert [*celery.adapter.capabilities.others] == []


def test_a_message_is_shown_as_a_job(celery: Deployment) -> None:
    before = time.time()
    id = celery.send(
        "proj.add",
        1,
        "zwölf",
        kwargs={"note": "n"},
        queue="mail",
        priority=6,
        countdown=600,
        expires=1200,
        time_limit=60,
        soft_time_limit=50,
        retries=2,
    )
    job = get(celery, id)
    assert (job.id, job.task, job.queue, job.state) == (id, "proj.add", "mail", State.READY)
    assert (job.args, dict(job.kwargs)) == ((1, "zwölf"), {"note": "n"})
    assert job.priority == 3, "of two messages Redis serves the one with the smaller number first"
    assert job.policy == Policy(timeout=50, grace=10)
    assert job.due_at is not None
    assert job.expires_at is not None
    assert 599 < job.due_at - before < 620
    assert 1199 < job.expires_at - before < 1220
    assert job.created_at is None, "nobody has written it down"
    assert (job.failures, job.error, job.worker) == (2, None, None)
    assert celery.inspector.find(id[:8]) == id


def test_pages_hold_everything_once_in_both_directions(celery: Deployment) -> None:
    ids = [celery.send("proj.add", n, 0, queue=f"q{n % 3}", priority=n % 10) for n in range(40)]
    whole = celery.inspector.browse(limit=100)
    assert sorted(job.id for job in whole.jobs) == sorted(ids)
    assert list(whole.keys) == sorted(set(whole.keys), reverse=True)
    assert max(whole.keys) < 0
    for oldest_first in (False, True):
        found: list[str] = []
        after = None
        while True:
            page = celery.inspector.browse(limit=7, after=after, oldest_first=oldest_first)
            found += [job.id for job in page.jobs]
            after = page.next
            if after is None:
                break
        assert found == [job.id for job in (reversed(whole.jobs) if oldest_first else whole.jobs)]


def test_within_a_list_the_newest_comes_first(celery: Deployment) -> None:
    ids = [celery.send("proj.add", n, 0) for n in range(5)]
    assert [job.id for job in celery.inspector.browse().jobs] == ids[::-1]
    assert [job.id for job in celery.inspector.browse(oldest_first=True).jobs] == ids


def test_messages_are_filtered(celery: Deployment) -> None:
    celery.send("proj.add", 1, 2)
    mail = celery.send("proj.add", "a@example.com", 2, queue="mail")
    slow = celery.send("proj.sleep", 1, priority=9)
    for where, expected in {
        "queue:mail": {mail},
        "task:*sleep": {slow},
        'args~"@EXAMPLE"': {mail},
        "priority:0": {slow},
        "state:running": set(),
        "queue:mail task:*sleep": set(),
        "age>1s": set(),
        "not age>1s queue:mail": {mail},
    }.items():
        assert {job.id for job in celery.inspector.browse(parse(where)).jobs} == expected, where
        assert celery.inspector.count(parse(where)) == len(expected)


def test_a_prefix_is_looked_for_among_messages_and_results(celery: Deployment) -> None:
    for id in ("abc-1", "abd-2", "b", "bc"):
        celery.send("proj.add", 1, 2, task_id=id)
    meta = {"status": "SUCCESS", "result": 1, "task_id": "xyz-9", "traceback": None, "children": []}
    celery.server.set(f"{celery.prefix}celery-task-meta-xyz-9", json.dumps(meta))
    assert celery.inspector.find("abc") == "abc-1"
    assert celery.inspector.find("b") == "b"
    assert celery.inspector.find("xy") == "xyz-9"
    with pytest.raises(AmbiguousJob):
        celery.inspector.find("ab")
    for unknown in ("a*", "zz", "abc-1-", "["):
        with pytest.raises(UnknownJob):
            celery.inspector.find(unknown)


# --- what cannot be read -----------------------------------------------------------------------------


def test_pickled_and_broken_messages_are_shown_and_stay(celery: Deployment) -> None:
    pickled = celery.send("proj.add", 1, 2, serializer="pickle")
    celery.server.lpush(f"{celery.prefix}celery", "this is no JSON", b"\xff\x00", '{"body": 1}', "[]")
    before = everything(celery)
    jobs = celery.inspector.browse().jobs
    assert [job.state for job in jobs] == [State.READY] * 5
    job = get(celery, pickled)
    assert (job.task, job.args) == ("proj.add", ())
    assert job.error is not None
    assert job.error.type == "ContentRefused"
    assert "pickle" in job.error.message or "python-serialize" in job.error.message
    others = [job for job in jobs if job.id != pickled]
    assert len({job.id for job in others}) == 4
    for job in others:
        assert job.id.startswith("unreadable-")
        assert job.error is not None
        assert job.error.type == "Undecodable"
        assert get(celery, job.id) == job
        assert celery.inspector.find(job.id[:-2]) == job.id
    assert "this is no JSON" in {job.error.traceback for job in others if job.error}
    assert everything(celery) == before


# --- workers -----------------------------------------------------------------------------------------


def test_what_a_worker_holds_is_shown_apart(celery: Deployment) -> None:
    with celery.worker("-Q", "celery,mail"):
        running = celery.send("proj.sleep", 60)
        until(lambda: celery.server.hlen(f"{celery.prefix}unacked") == 1)
        waiting = celery.send("proj.add", 1, 2)
        assert queues(celery)["celery"].counts[State.RUNNING] == 1
    assert {id: get(celery, id).state for id in (running, waiting)} == {running: State.RUNNING, waiting: State.READY}
    (job,) = celery.inspector.browse(parse("state:running")).jobs
    assert (job.id, job.task, job.queue, job.args) == (running, "proj.sleep", "celery", (60,))


def test_what_a_worker_holds_until_its_time_is_scheduled(celery: Deployment) -> None:
    with celery.worker("-Q", "mail"):
        held = [celery.send("proj.add", n, 2, queue="mail", countdown=3600) for n in range(3)]
        until(lambda: celery.server.hlen(f"{celery.prefix}unacked") == 3)
        assert {str(s): n for s, n in queues(celery)["mail"].counts.items() if n} == {"scheduled": 3}
        jobs = celery.inspector.browse(parse("state:scheduled")).jobs
        assert {job.id for job in jobs} == set(held)
        assert all(job.due_at is not None and job.due_at > time.time() + 3000 for job in jobs)
        assert celery.inspector.count(parse("state:scheduled queue:mail")) == 3
        assert celery.inspector.browse(parse("state:running")).jobs == ()
        assert celery.inspector.find(held[1][:10]) == held[1]


def test_results_are_read_by_their_ids(celery: Deployment) -> None:
    with celery.worker():
        good, bad = celery.app.send_task("proj.add", (2, 3)), celery.app.send_task("proj.boom")
        assert good.get(timeout=20) == 5
        until(bad.failed)
    fine, broken, unknown = celery.results.results([good.id, bad.id, "no-such"])
    assert fine is not None
    assert (fine.id, fine.state, fine.value, fine.error) == (good.id, State.SUCCEEDED, "5", None)
    assert broken is not None
    assert broken.error is not None
    assert (broken.state, broken.reason, str(broken.error)) == (State.DEAD, Reason.FAILED, "ValueError: boom")
    assert 'raise ValueError("boom")' in (broken.error.traceback or "")
    assert unknown is None
    job = get(celery, bad.id)
    assert (job.state, job.reason, job.error) == (State.DEAD, Reason.FAILED, broken.error)
    assert job.finished_at is not None
    assert celery.inspector.find(good.id[:12]) == good.id


# --- looking changes nothing -------------------------------------------------------------------------


def test_no_look_changes_anything(celery: Deployment) -> None:
    with celery.worker("-Q", "mail"):
        held = celery.send("proj.add", 1, 2, queue="mail", countdown=3600)
        until(lambda: celery.server.hlen(f"{celery.prefix}unacked") == 1)
    ids = [celery.send("proj.add", n, 0, queue=f"q{n % 3}", priority=n % 10) for n in range(20)]
    celery.server.lpush(f"{celery.prefix}celery", "this is no JSON")
    before = everything(celery)
    changes = celery.server.info("persistence")["rdb_changes_since_last_save"]
    inspector = celery.inspector
    inspector.snapshot()
    inspector.browse(limit=5)
    inspector.browse(parse("args~x"), oldest_first=True)
    inspector.count()
    inspector.count(parse("args~x"))
    inspector.get([*ids, held, "no-such"])
    inspector.find(ids[0][:13])
    inspector.attempts(ids[0])
    inspector.history(0, time.time(), seconds=60)
    inspector.limits()
    inspector.check()
    celery.results.results([*ids, held, "no-such"])
    celery.results.output(ids[0])
    assert celery.server.info("persistence")["rdb_changes_since_last_save"] == changes
    assert everything(celery) == before
