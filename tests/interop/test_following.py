"""What follows a Celery client's tasks, when workers die at the worst moment or a task never runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from celery import chain, chord

from qtool.engine.brokers.redis import open_redis
from qtool.engine.brokers.redis.broker import RedisBroker
from qtool.engine.clock import ManualClock
from qtool.engine.job import UNSAID, Done, Fail, Failure, Lease, Outcome, Policy, Retry
from qtool.engine.policy import decide
from qtool.engine.states import State
from qtool.errors import BrokerUnreachable
from tests.interop.conftest import Fleet
from tests.services import place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving.redis import RedisServer

    from qtool.engine.broker import Adapter

BOOM = Fail(Failure(type="ValueError", message="boom"), final=True)


class Hand:
    """Works by hand, one job at a time, on a clock of its own."""

    def __init__(self, fleet: Fleet, clock: ManualClock) -> None:
        self.fleet = fleet
        self.clock = clock
        self.adapter: Adapter = open_redis(fleet.url, clock=clock)

    def claim(self, worker: str = "w") -> Lease:
        (lease,) = self.adapter.broker.claim(worker, ["celery"], 1, 5.0)
        return lease

    def end(self, lease: Lease, outcome: Outcome, policy: Policy = UNSAID) -> State | None:
        now = self.clock.now()
        settlement = decide(lease, outcome, policy, started_at=now, now=now, random=lambda: 0.5)
        (state,) = self.adapter.broker.settle([settlement])
        return state

    def work(self) -> list[str]:
        """Add and total what is there, to the end: the tasks in order."""
        ran = []
        while leases := self.adapter.broker.claim("w", ["celery"], 1):
            (lease,) = leases
            args = json.loads(lease.body)[0]
            ran.append(lease.task.removeprefix("proj."))
            value = sum(args[0] if isinstance(args[0], list) else args)
            self.end(lease, Done(json.dumps(value)))
        return ran

    def meta(self, result: Any) -> dict[str, Any]:
        meta: dict[str, Any] = self.fleet.app.backend.get_task_meta(result.id)
        return meta

    def sent(self) -> int:
        return int(self.fleet.app.backend.client.llen(f"{self.fleet.prefix}celery"))


@pytest.fixture
def hand(redis_server: RedisServer, tmp_path: Path) -> Iterator[Hand]:
    fleet = Fleet(place(redis_server), tmp_path)
    # Celery's client says times by the real clock.
    clock = ManualClock(1_900_000_000.0)
    made = Hand(fleet, clock)
    try:
        yield made
    finally:
        made.adapter.close()
        fleet.close()


def cut(adapter: Adapter, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next answer of a script never arrives."""
    assert isinstance(adapter.broker, RedisBroker)
    store = adapter.broker._store
    real = store.call

    def call(script: str, *arguments: Any, **more: Any) -> Any:
        answer = real(script, *arguments, **more)
        if script == name:
            monkeypatch.undo()
            raise BrokerUnreachable(url=store.url, why="the connection was cut")
        return answer

    monkeypatch.setattr(store, "call", call)


@pytest.mark.parametrize("script", ["follow", "settle"])
def test_an_answer_that_is_lost_sends_nothing_twice(hand: Hand, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = hand.fleet.send("add", 1, 2, link=hand.fleet.sig("add", 10))
    lease = hand.claim()
    cut(hand.adapter, script, monkeypatch)
    with pytest.raises(BrokerUnreachable):
        hand.end(lease, Done("3"))
    assert hand.end(lease, Done("3")) in (State.SUCCEEDED, None)
    assert hand.sent() == 1
    ((child, _),) = hand.meta(result)["children"]
    assert hand.work() == ["add"]
    assert hand.fleet.app.AsyncResult(child[0]).get(5) == 13


@pytest.mark.parametrize("script", ["follow", "chord", "settle"])
def test_a_chord_goes_on_once_whatever_answer_is_lost(hand: Hand, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = chord([hand.fleet.sig("add", 1, 1), hand.fleet.sig("add", 2, 2)], hand.fleet.sig("total")).apply_async()
    hand.end(hand.claim(), Done("2"))
    last = hand.claim()
    cut(hand.adapter, script, monkeypatch)
    with pytest.raises(BrokerUnreachable):
        hand.end(last, Done("4"))
    hand.end(last, Done("4"))
    assert hand.work() == ["total"]
    assert result.get(5) == 6


@pytest.mark.parametrize("script", ["follow", "chord", "settle"])
def test_a_chord_goes_on_once_though_its_last_worker_dies(
    hand: Hand, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = chord([hand.fleet.sig("add", 1, 1), hand.fleet.sig("add", 2, 2)], hand.fleet.sig("total")).apply_async()
    hand.end(hand.claim(), Done("2"))
    last = hand.claim("dying")
    cut(hand.adapter, script, monkeypatch)
    with pytest.raises(BrokerUnreachable):
        hand.end(last, Done("4"))
    hand.adapter.close()
    hand.adapter = open_redis(hand.fleet.url, clock=hand.clock)
    hand.adapter.broker.maintain()
    hand.clock.advance(60)
    hand.adapter.broker.maintain()
    ran = hand.work()
    assert ran.count("total") == 1
    assert result.get(5) == 6


def two_parts(hand: Hand) -> tuple[Any, bytes]:
    """A chord of two, and the message of its first part, as somebody might publish it again."""
    result = chord([hand.fleet.sig("add", 1, 1), hand.fleet.sig("add", 2, 2)], hand.fleet.sig("total")).apply_async()
    (raw,) = hand.fleet.app.backend.client.lrange(f"{hand.fleet.prefix}celery", -1, -1)
    again = json.loads(raw)
    again["properties"]["delivery_tag"] = "again"
    return result, json.dumps(again).encode()


def test_a_part_that_is_given_twice_counts_once(hand: Hand) -> None:
    """It came to something else."""
    result, raw = two_parts(hand)
    hand.end(hand.claim(), Done("2"))
    hand.fleet.app.backend.client.rpush(f"{hand.fleet.prefix}celery", raw)
    hand.end(hand.claim(), Done("7"))
    assert hand.work() == ["add", "total"]
    assert result.get(5) == 6


def test_a_part_that_is_given_again_does_not_go_on_with_what_another_has_begun(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, raw = two_parts(hand)
    hand.end(hand.claim(), Done("2"))
    last = hand.claim()
    cut(hand.adapter, "follow", monkeypatch)
    with pytest.raises(BrokerUnreachable):
        hand.end(last, Done("4"))
    hand.fleet.app.backend.client.rpush(f"{hand.fleet.prefix}celery", raw)
    assert hand.work() == ["add"]
    hand.end(last, Done("4"))
    assert hand.work() == ["total"]
    assert result.get(5) == 6


def test_whose_claim_on_a_chord_was_lost_leaves_it_to_others(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    two_parts(hand)
    hand.end(hand.claim(), Done("2"))
    assert isinstance(hand.adapter.broker, RedisBroker)
    store = hand.adapter.broker._store
    real, client = store.call, hand.fleet.app.backend.client

    def call(script: str, *arguments: Any, **more: Any) -> Any:
        if script == "chord":
            (key,) = client.keys(f"{hand.fleet.prefix}celery-taskset-meta-*.c")
            client.set(key, "somebody else")
        return real(script, *arguments, **more)

    monkeypatch.setattr(store, "call", call)
    hand.end(hand.claim(), Done("4"))
    assert hand.sent() == 0


def test_a_worker_that_dies_between_sending_and_settling_has_it_sent_again(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.fleet.send("add", 1, 2, link=hand.fleet.sig("add", 10))
    cut(hand.adapter, "follow", monkeypatch)
    with pytest.raises(BrokerUnreachable):
        hand.end(hand.claim("dying"), Done("3"))
    hand.adapter.broker.maintain()
    hand.clock.advance(60)
    hand.adapter.broker.maintain()
    assert sorted(hand.work()) == ["add", "add", "add"]


def test_nothing_is_sent_for_a_claim_that_is_lost(hand: Hand) -> None:
    hand.fleet.send("add", 1, 2, link=hand.fleet.sig("add", 10))
    late = hand.claim("slow")
    other = open_redis(hand.fleet.url, clock=hand.clock)
    other.broker.maintain()
    hand.clock.advance(60)
    other.broker.maintain()
    other.close()
    assert hand.end(late, Done("3")) is None
    assert hand.work() == ["add", "add"]


def test_a_task_whose_workers_die_fails_its_chord_and_its_chain(hand: Hand) -> None:
    """Nobody but the rescuer is there to tell."""
    parts = chain(hand.fleet.sig("add", 1, 1), hand.fleet.sig("add", 1))
    result = chord([parts], hand.fleet.sig("total")).apply_async()
    for _ in range(3):
        hand.claim("dying")
        other = open_redis(hand.fleet.url, clock=hand.clock)
        other.broker.maintain()
        hand.clock.advance(60)
        other.broker.maintain()
        other.close()
    meta = hand.meta(result)
    assert meta["status"] == "FAILURE"
    assert "WorkerLostError" in str(meta["result"])
    assert hand.work() == []


def test_a_part_that_is_cancelled_where_it_waits_breaks_its_chord(hand: Hand) -> None:
    result = chord([hand.fleet.sig("add", 1, 1), hand.fleet.sig("add", 2, 2)], hand.fleet.sig("total")).apply_async()
    first = hand.claim()
    # Known to qtool, and back in its queue.
    hand.adapter.broker.leave("w")
    (change,) = hand.adapter.operator.cancel([first.id])
    assert change.after is State.CANCELLED
    assert hand.work() == ["add"]
    assert hand.meta(result)["status"] == "PENDING"
    hand.adapter.broker.maintain()
    assert hand.meta(result)["status"] == "FAILURE"
    assert "TaskRevokedError('revoked')" in str(hand.meta(result)["result"])
    assert hand.fleet.app.backend.client.llen(f"{hand.fleet.prefix}qtool:owed") == 0


def test_what_is_told_of_a_retry_is_not_kept_for_ever(hand: Hand) -> None:
    result = hand.fleet.send("add", 1, 2)
    assert hand.end(hand.claim(), Retry(BOOM.failure), Policy(retries=1)) is State.RETRY
    assert hand.meta(result)["status"] == "RETRY"
    backend = hand.fleet.app.backend
    assert backend.client.ttl(backend.get_key_for_task(result.id)) > 0


def test_a_signature_that_nobody_can_send_fails_its_task(hand: Hand) -> None:
    result = hand.fleet.send("add", 1, 2, link={"task": 7, "args": [], "kwargs": {}, "options": {}})
    assert hand.end(hand.claim(), Done("3")) is State.DEAD
    meta = hand.meta(result)
    assert meta["status"] == "FAILURE"
    assert "names no task" in str(meta["result"])


def test_an_exchange_leads_to_its_queue(hand: Hand) -> None:
    """By the bindings that kombu's clients and workers wrote down."""
    from kombu import Exchange, Queue

    exchange = Exchange("mails", type="topic")
    with hand.fleet.app.connection_for_write() as connection:
        for name, key in (("celery", "mail.#"), ("unseen", "news.*")):
            Queue(name, exchange, routing_key=key)(connection.default_channel).declare()
    link = hand.fleet.sig("add", 10).set(exchange="mails", routing_key="mail.urgent.now")
    hand.fleet.send("add", 1, 2, link=link)
    assert hand.work() == ["add", "add"]


def test_errors_of_a_task_fail_what_would_have_followed(hand: Hand) -> None:
    result = chain(hand.fleet.sig("add", 1, 1), hand.fleet.sig("add", 1), hand.fleet.sig("add", 2)).apply_async()
    assert hand.end(hand.claim(), BOOM) is State.DEAD
    assert [hand.meta(each)["status"] for each in (result, result.parent, result.parent.parent)] == ["FAILURE"] * 3
    assert hand.work() == []
