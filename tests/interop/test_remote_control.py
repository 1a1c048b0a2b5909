"""Celery's own client asks and tells a qtool worker what it asks and tells one of Celery's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from qtool.engine.job import Job
from qtool.engine.states import State
from tests.interop.conftest import ROOT, Fleet, until

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = "one@here"
WITHIN = 20.0
"""Seconds that an answer may take; it is there at once, unless the machine is busy."""
QUEUES = "celery,proj.q"


@pytest.fixture(scope="module", autouse=True)
def worker(fleet: Fleet) -> Iterator[subprocess.Popen[bytes]]:
    """One that is there for all tests, with two slots."""
    process = fleet.qtool_worker("-Q", QUEUES, "-j", "2", "-n", NODE)
    until(lambda: listening(fleet) == 1)
    yield process
    assert process.poll() is None, fleet.said("qtool")


def listening(fleet: Fleet) -> int:
    """How many workers hear requests.

    To ask before they do is no way to find out: kombu still waits for that answer when another comes, and drops it.
    """
    client: Any = fleet.app.backend.client
    ((_, count),) = client.pubsub_numsub(f"{fleet.prefix}/0.celery.pidbox")
    return int(count)


def ask(fleet: Fleet, method: str, *, node: str = NODE, timeout: float = WITHIN, **arguments: Any) -> Any:
    """What the worker answers, as ``celery inspect`` and ``celery control`` ask."""
    replies = fleet.app.control.broadcast(method, arguments, destination=[node], reply=True, timeout=timeout)
    assert len(replies) == 1, replies
    assert list(replies[0]) == [node]
    return replies[0][node]


def sleepers(fleet: Fleet, count: int, seconds: float = 60.0) -> list[Any]:
    """So many tasks that sleep, of which two run."""
    sent = [fleet.send("sleep", seconds) for _ in range(count)]
    until(lambda: len(ask(fleet, "active")) == min(2, count))
    return sent


def end(fleet: Fleet, sent: list[Any]) -> None:
    """Away with them, and wait until both slots are free."""
    ids = [each.id for each in sent]
    ask(fleet, "revoke", task_id=ids, terminate=True)
    until(lambda: ask(fleet, "active") == ask(fleet, "reserved") == [])
    until(lambda: all(each.state == "REVOKED" for each in sent))


# --- who is meant ------------------------------------------------------------------------------------


def test_celery_status_lists_the_worker(fleet: Fleet) -> None:
    code = f"from celery import Celery; app = Celery(broker={fleet.server!r}, set_as_current=True)"
    code += f"; app.conf.broker_transport_options = {{'global_keyprefix': {fleet.prefix!r}}}; app.start(['status'])"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert f"{NODE}: OK" in done.stdout, done.stderr
    assert "1 node online" in done.stdout


@pytest.mark.parametrize(
    ("addressed", "meant"),
    [
        ({"pattern": "one@*", "matcher": "glob"}, True),
        ({"pattern": "two@*", "matcher": "glob"}, False),
        ({"pattern": "o.e@h", "matcher": "pcre"}, True),
        ({"pattern": "(o+)+@x", "matcher": "pcre"}, False),
        ({"pattern": "(", "matcher": "pcre"}, False),
        ({"pattern": "one@*", "matcher": "else"}, False),
        ({"destination": ["two@here"]}, False),
    ],
)
def test_a_request_is_for_those_it_names(fleet: Fleet, addressed: dict[str, Any], meant: bool) -> None:
    fleet.app.control.broadcast("add_consumer", {"queue": "meant"}, **addressed)
    # Requests are carried out in their order.
    assert ("meant" in [each["name"] for each in ask(fleet, "active_queues")]) is meant
    ask(fleet, "cancel_consumer", queue="meant")


# --- what can be asked -------------------------------------------------------------------------------


def test_active_and_reserved_and_one_by_its_id(fleet: Fleet) -> None:
    before = time.time()
    sent = sleepers(fleet, 2)
    by_id = {each["id"]: each for each in ask(fleet, "active")}
    assert by_id.keys() == {each.id for each in sent}
    info = by_id[sent[0].id]
    assert (info["name"], info["args"], info["kwargs"]) == ("proj.sleep", [60.0], {})
    assert info["delivery_info"]["routing_key"] == "celery"
    assert before - 1 < info["time_start"] < time.time() + 1
    assert info["worker_pid"] in ask(fleet, "stats")["pool"]["processes"]
    safe = fleet.app.control.inspect([NODE], timeout=WITHIN).active(safe=True)
    assert safe[NODE][0]["args"] in ("(60.0,)", "[60.0]")
    found = ask(fleet, "query_task", ids=[sent[0].id, "unknown"])
    assert {id: state for id, (state, _) in found.items()} == {sent[0].id: "active"}
    end(fleet, sent)


def test_scheduled_are_those_that_are_not_due(fleet: Fleet) -> None:
    sent = fleet.send("add", 1, 2, countdown=3600)
    (found,) = until(lambda: ask(fleet, "scheduled"))
    assert found["request"]["id"] == sent.id
    assert found["eta"] > time.strftime("%Y-%m-%dT%H", time.gmtime())
    assert ask(fleet, "query_task", ids=sent.id)[sent.id][0] == "scheduled"
    later = time.time() + 3600
    other = Job(id=uuid4().hex, task="proj.add", queue="unserved", created_at=0.0, run_at=later)
    fleet.adapter.broker.enqueue([other])
    ask(fleet, "revoke", task_id=sent.id)
    assert ask(fleet, "scheduled") == []
    ask(fleet, "add_consumer", queue="unserved")
    assert [each["request"]["id"] for each in ask(fleet, "scheduled")] == [other.id]
    ask(fleet, "revoke", task_id=other.id)
    ask(fleet, "cancel_consumer", queue="unserved")


def test_what_the_worker_is(fleet: Fleet, worker: subprocess.Popen[bytes]) -> None:
    stats = ask(fleet, "stats")
    assert stats["pid"] == worker.pid
    assert stats["pool"]["max-concurrency"] == 2
    assert stats["broker"]["transport"] == "redis"
    assert stats["rusage"]["utime"] > 0
    queues = ask(fleet, "active_queues")
    assert [each["name"] for each in queues] == QUEUES.split(",")
    assert queues[0]["exchange"]["type"] == "direct"
    tasks = ask(fleet, "registered")
    assert {"proj.add", "proj.boom", "proj.flaky"} <= set(tasks)
    assert not [name for name in tasks if name.startswith(("celery.", "qtool."))]
    assert ask(fleet, "conf")["worker_concurrency"] == 2
    assert "qtool" in ask(fleet, "report")["ok"]
    before = ask(fleet, "clock")["clock"]
    assert ask(fleet, "clock")["clock"] > before
    assert "cannot 'memdump'" in ask(fleet, "memdump")["error"]


def test_a_worker_of_celerys_that_starts_is_told_what_was_revoked(fleet: Fleet) -> None:
    ours, theirs = uuid4().hex, uuid4().hex
    ask(fleet, "revoke", task_id=ours)
    told = ask(fleet, "hello", from_node="celery@there", revoked=[theirs])
    assert ours in told["revoked"]
    assert told["clock"] > 0
    assert theirs in ask(fleet, "revoked")
    assert ask(fleet, "hello", from_node=NODE) is None


# --- jobs --------------------------------------------------------------------------------------------


def test_a_revoked_task_does_not_start(fleet: Fleet) -> None:
    running = sleepers(fleet, 2)
    waiting = fleet.send("add", 1, 2)
    assert ask(fleet, "revoke", task_id=waiting.id) == {"ok": f"tasks {{'{waiting.id}'}} flagged as revoked"}
    until(lambda: waiting.state == "REVOKED")
    assert ask(fleet, "revoke", task_id=[each.id for each in running])["ok"]
    assert len(ask(fleet, "active")) == 2, "what runs goes on"
    assert waiting.id in ask(fleet, "revoked")
    end(fleet, running)


def test_a_task_that_is_revoked_before_it_is_sent(fleet: Fleet) -> None:
    id = uuid4().hex
    ask(fleet, "revoke", task_id=id)
    sent = fleet.send("add", 1, 2, task_id=id)
    until(lambda: sent.state == "REVOKED")
    (job,) = fleet.adapter.inspector.get([id])
    assert job is not None
    assert job.state is State.CANCELLED


@pytest.mark.parametrize("by", ["revoke", "terminate"])
def test_a_task_that_runs_is_terminated(fleet: Fleet, by: str) -> None:
    (sent,) = sleepers(fleet, 1)
    arguments = {"terminate": True} if by == "revoke" else {"signal": "KILL"}
    assert ask(fleet, by, task_id=sent.id, **arguments) == {"ok": f"terminate: {sent.id}"}
    until(lambda: sent.state == "REVOKED")
    until(lambda: ask(fleet, "active") == [])
    assert ask(fleet, by, task_id=sent.id, **arguments) == {"ok": "terminate: tasks unknown"}
    assert fleet.send("add", 1, 2).get(WITHIN) == 3


def test_a_rate_limit_is_the_tasks(fleet: Fleet) -> None:
    def limited() -> float | None:
        return next((each.rate for each in fleet.adapter.inspector.limits() if each.name == "proj.add"), None)

    def set_to(rate: object) -> Any:
        return ask(fleet, "rate_limit", task_name="proj.add", rate_limit=rate)

    assert set_to("90/m") == {"ok": "new rate limit set successfully"}
    assert limited() == 1.5
    assert "proj.add [rate_limit=90/m]" in ask(fleet, "registered")
    assert set_to("often")["error"].startswith("Invalid rate limit")
    assert set_to(0) == {"ok": "rate limit disabled successfully"}
    assert limited() is None
    assert ask(fleet, "rate_limit", task_name="proj.none", rate_limit="1/s") == {"error": "unknown task"}


def test_a_time_limit_is_the_tasks(fleet: Fleet) -> None:
    done = {"ok": "time limits set successfully"}
    assert ask(fleet, "time_limit", task_name="proj.sleep", soft=0.2, hard=1.0) == done
    sent = fleet.send("sleep", 60)
    until(lambda: sent.state == "FAILURE")
    assert "TimeLimitExceeded" in type(sent.result).__name__
    assert ask(fleet, "time_limit", task_name="proj.sleep", soft=None, hard=None) == done
    assert fleet.send("sleep", 0.4).get(WITHIN) == 0.4
    assert ask(fleet, "time_limit", task_name="proj.none", soft=1) == {"error": "unknown task"}


# --- the worker --------------------------------------------------------------------------------------


def test_queues_come_and_go(fleet: Fleet) -> None:
    assert ask(fleet, "add_consumer", queue="late") == {"ok": "add consumer late"}
    assert fleet.send("add", 1, 2, queue="late").get(WITHIN) == 3
    assert ask(fleet, "cancel_consumer", queue="late") == {"ok": "no longer consuming from late"}
    assert [each["name"] for each in ask(fleet, "active_queues")] == QUEUES.split(",")
    left = fleet.send("add", 1, 2, queue="late")
    assert fleet.send("add", 1, 2).get(WITHIN) == 3
    assert left.state == "PENDING"
    ask(fleet, "cancel_consumer", queue="proj.q")
    assert "the only queue" in ask(fleet, "cancel_consumer", queue="celery")["error"]
    ask(fleet, "add_consumer", queue="proj.q")
    assert "empty" in ask(fleet, "add_consumer", queue="")["error"]


def test_slots_come_and_go(fleet: Fleet) -> None:
    def slots() -> int:
        return int(ask(fleet, "stats")["pool"]["max-concurrency"])

    assert ask(fleet, "pool_grow", n=2) == {"ok": "pool will grow"}
    assert slots() == 4
    assert ask(fleet, "pool_shrink", n=3) == {"ok": "pool will shrink"}
    assert slots() == 1
    assert "slots" in ask(fleet, "pool_shrink", n=1)["error"]
    assert ask(fleet, "autoscale", max=6, min=2) == {"ok": "autoscale now max=6 min=2"}
    assert ask(fleet, "stats")["autoscaler"]["max"] == 6
    assert "autoscale" in ask(fleet, "pool_grow", n=1)["error"]
    ask(fleet, "autoscale", max=2, min=2)
    assert slots() == 2
    (shown,) = json.loads(fleet.qtool("workers", "-o", "json").stdout)
    assert shown["slots"] == 2


def test_what_makes_no_sense_changes_nothing(fleet: Fleet) -> None:
    client: Any = fleet.app.backend.client
    channel = f"{fleet.prefix}/0.celery.pidbox"
    envelope = {"content-type": "application/json", "headers": {}, "properties": {"body_encoding": "base64"}}

    def body(said: object) -> str:
        return json.dumps(envelope | {"body": b64encode(json.dumps(said).encode()).decode()})

    to_a_queue = {"exchange": "", "routing_key": "celery"}
    nonsense = [
        "",
        "x",
        "[]",
        "{}",
        json.dumps(envelope | {"body": "%"}),
        json.dumps(envelope | {"content-type": "application/x-python-serialize"}),
        json.dumps(envelope | {"headers": 1}),
        *map(body, [None, 1, {}, {"method": 1}, {"method": "ping", "arguments": 1}, {"method": "x" * 100_000}]),
        body({"method": "ping", "reply_to": to_a_queue, "ticket": "t"}),
        body({"method": "ping", "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": 1}}),
        body({"method": "ping", "pattern": "x", "matcher": "pcre", "destination": 7}),
        "[" * 100_000,
    ]
    for each in nonsense:
        assert client.publish(channel, each) == 1
    for arguments in ({"task_id": 7}, {"task_id": [7]}, {"task_id": None}):
        assert "revoked" in ask(fleet, "revoke", **arguments)["error"]
    assert "slots" in ask(fleet, "pool_grow", n="many")["error"] or "many" in ask(fleet, "pool_grow", n="many")["error"]
    assert ask(fleet, "ping", nonsense=1) == {"ok": "pong"}
    assert client.llen(f"{fleet.prefix}celery") == 0, "a reply on a queue of tasks would end a worker of Celery's"


def test_what_nobody_waits_for_any_more_is_not_done(fleet: Fleet) -> None:
    # A minute is left to the clocks of two hosts.
    for seconds, done in ((-3600, False), (-1, True)):
        fleet.app.control.broadcast("add_consumer", {"queue": "late"}, destination=[NODE], timeout=seconds)
        assert ("late" in [each["name"] for each in ask(fleet, "active_queues")]) is done
    ask(fleet, "cancel_consumer", queue="late")


def test_a_connection_that_breaks_is_made_again(fleet: Fleet) -> None:
    client: Any = fleet.app.backend.client
    client.client_kill_filter(_type="pubsub")
    until(lambda: listening(fleet) == 1)
    assert ask(fleet, "ping") == {"ok": "pong"}


def test_shutdown_lets_what_runs_end(fleet: Fleet) -> None:
    process = fleet.qtool_worker("-Q", "elsewhere", "-j", "1", "-n", "two@here")
    until(lambda: listening(fleet) == 2)
    sent = fleet.send("sleep", 1.0, queue="elsewhere")
    until(lambda: ask(fleet, "active", node="two@here"))
    fleet.app.control.shutdown(destination=["two@here"])
    assert sent.get(WITHIN) == 1.0
    assert process.wait(WITHIN) == 0
    assert "remote control" in fleet.said("qtool")


def test_a_worker_that_takes_no_orders(fleet: Fleet) -> None:
    """By its own option, and by the settings of its Celery application."""
    ours = fleet.qtool_worker("-Q", "ours", "-j", "1", "--no-remote-control", "-n", "three@here")
    theirs = fleet.qtool_worker("-Q", "theirs", "-j", "1", "-n", "four@here", app="tests.interop.proj")
    for queue in ("ours", "theirs"):
        # Their code is known by then: that is when they would have begun to listen.
        assert fleet.send("add", 1, 2, queue=queue).get(WITHIN) == 3
    fleet.app.control.shutdown(destination=["three@here", "four@here"])
    for queue in ("ours", "theirs"):
        assert fleet.send("add", 1, 2, queue=queue).get(WITHIN) == 3
        assert fleet.send("sleep", 0.2, queue=queue).get(WITHIN) == 0.2
    for each in (ours, theirs):
        assert each.poll() is None
        each.terminate()
        assert each.wait(WITHIN) == 0
