"""A job that Celery's own code publishes again, as ``self.retry()`` does: on Redis its record goes on."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import redis

from qtool.engine.brokers.redis import open_redis
from qtool.engine.clock import ManualClock
from qtool.engine.job import Cancel, Done, Fail, Failure, Lease, Outcome, Policy, Snooze, Told
from qtool.engine.policy import decide
from qtool.engine.states import Reason, State

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED = Failure(type="Odd", message="again")


class Line:
    """A queue on a server, a Celery client, and a worker of qtool's."""

    def __init__(self, url: str) -> None:
        self.server, _, self.prefix = url.partition("?prefix=")
        self.clock = ManualClock()
        self.adapter = open_redis(url, clock=self.clock)
        self.client: Any = redis.Redis.from_url(self.server)

    def publish(self, id: str, queue: str = "work", **headers: Any) -> None:
        """As kombu does: with a delivery tag of its own."""
        info = {"exchange": "", "routing_key": queue}
        properties = {"correlation_id": id, "reply_to": "r", "delivery_info": info, "priority": 0}
        properties |= {"delivery_tag": str(uuid.uuid4()), "body_encoding": "base64"}
        body = base64.b64encode(b'[[1], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]')
        message = {
            "body": body.decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"id": id, "task": "t", "retries": 0, "root_id": id, **headers},
            "properties": properties,
        }
        self.client.lpush(f"{self.prefix}{queue}", json.dumps(message))

    def later(self, seconds: float) -> str:
        """A time, as Celery writes one."""
        from qtool.engine.celery.times import to_text

        return to_text(self.clock.now() + seconds)

    def claim(self) -> list[Lease]:
        return self.adapter.broker.claim("w", ("work", "slow"), 10)

    def settle(self, lease: Lease, outcome: Outcome) -> State | None:
        now = self.clock.now()
        end = decide(lease, outcome, Policy(retries=5), started_at=now, now=now, random=lambda: 0.5)
        return self.adapter.broker.settle([end])[0]

    def state(self, id: str) -> State:
        (job,) = self.adapter.inspector.get([id])
        assert job is not None
        return job.state

    def left(self) -> list[str]:
        """Keys of what waits or is claimed."""
        return sorted(
            key.decode().removeprefix(self.prefix)
            for key in self.client.scan_iter(f"{self.prefix}*")
            if b"qtool:" not in key
        )


@pytest.fixture
def line(redis_url: str) -> Iterator[Line]:
    made = Line(redis_url)
    yield made
    assert made.adapter.inspector.check() == []
    counts = {name: int(n) for name, n in made.client.hgetall(f"{made.prefix}qtool:counts:work").items()}
    assert not [name for name, n in counts.items() if n < 0]
    made.adapter.close()
    made.client.close()


def start(line: Line, id: str, **headers: Any) -> Lease:
    line.publish(id, **headers)
    (lease,) = line.claim()
    assert lease.id == id
    return lease


RETRY = Told(state=State.RETRY, failure=FAILED, due_at=None)


def test_the_worker_is_given_what_came_with_the_message(line: Line) -> None:
    lease = start(line, "a", tenant="x")
    assert json.loads(lease.body)[:2] == [[1], {}]
    came = json.loads(lease.options or "")["celery"]
    assert came["headers"]["tenant"] == "x"
    assert came["properties"]["reply_to"] == "r"
    assert came["properties"]["delivery_info"] == {"exchange": "", "routing_key": "work"}


@pytest.mark.parametrize(
    "outcome", [Told(state=State.SUCCEEDED, result="2"), Told(state=State.DEAD, failure=FAILED, reason=Reason.FAILED)]
)
def test_what_was_told_is_told_once(line: Line, outcome: Told) -> None:
    lease = start(line, "a")
    assert line.settle(lease, outcome) is outcome.state
    assert line.state("a") is outcome.state
    assert line.left() == []


def test_a_retry_that_is_not_due_waits_on_the_server(line: Line) -> None:
    lease = start(line, "a")
    line.publish("a", retries=1, eta=line.later(60))
    assert line.settle(lease, RETRY) is State.RETRY
    assert line.claim() == []
    assert line.state("a") is State.RETRY
    assert line.left() == []
    line.clock.advance(61)
    (again,) = line.claim()
    assert (again.attempt, again.failures) == (2, 1)
    assert line.settle(again, Told(state=State.SUCCEEDED)) is State.SUCCEEDED
    assert [each.error for each in line.adapter.inspector.attempts("a")] == [FAILED]


@pytest.mark.parametrize("settled_first", [False, True])
def test_a_retry_never_runs_beside_the_attempt_before_it(line: Line, settled_first: bool) -> None:
    lease = start(line, "a")
    if settled_first:
        assert line.settle(lease, RETRY) is State.RETRY
        line.publish("a", retries=1)
    else:
        line.publish("a", retries=1)
        assert line.claim() == []
        assert line.state("a") is State.RUNNING
        assert line.settle(lease, RETRY) is State.RETRY
    (again,) = line.claim()
    assert (again.id, again.attempt, again.failures) == ("a", 2, 1)
    assert line.settle(lease, Done()) is None
    assert line.settle(again, Told(state=State.SUCCEEDED)) is State.SUCCEEDED
    assert line.left() == []


def test_a_replacement_is_another_task_of_the_same_id(line: Line) -> None:
    lease = start(line, "a")
    assert line.settle(lease, Told(state=State.READY)) is State.READY
    assert line.claim() == []
    line.publish("a", task="other", replaced_task_nesting=1)
    (again,) = line.claim()
    assert (again.task, again.attempt) == ("other", 2)
    assert line.settle(again, Told(state=State.SUCCEEDED)) is State.SUCCEEDED


def test_a_retry_may_go_to_another_queue(line: Line) -> None:
    lease = start(line, "a")
    line.publish("a", queue="slow", retries=1, eta=line.later(60))
    line.settle(lease, RETRY)
    assert line.claim() == []
    line.clock.advance(61)
    (again,) = line.claim()
    assert again.queue == "slow"
    line.settle(again, Told(state=State.SUCCEEDED))
    stats = {each.name: each.counts for each in line.adapter.inspector.snapshot().queues}
    assert {name: counts[State.SUCCEEDED] for name, counts in stats.items() if any(counts.values())} == {"slow": 1}


def test_a_retry_outlives_the_worker_that_published_it(line: Line) -> None:
    """It had not come to settling: the attempt counts as lost, and the message that it had sent is the next one."""
    lease = start(line, "a")
    line.publish("a", retries=1)
    assert line.claim() == []
    assert line.settle(lease, Fail(FAILED, crashed=True)) is State.RETRY
    (again,) = line.claim()
    assert (again.failures, again.crashes) == (1, 1)
    line.settle(again, Told(state=State.SUCCEEDED))
    line.clock.advance(3600)
    assert line.claim() == []
    # That it is retried was told.
    assert line.left() == ["celery-task-meta-a"]


@pytest.mark.parametrize("when", ["while it runs", "while it waits", "while it waits on the server"])
def test_a_retry_of_what_was_cancelled_is_dropped(line: Line, when: str) -> None:
    lease = start(line, "a")
    eta = line.later(60) if when == "while it waits on the server" else None
    if when == "while it runs":
        line.adapter.operator.cancel(["a"])
    line.publish("a", retries=1, eta=eta)
    assert line.settle(lease, RETRY) is (State.CANCELLED if when == "while it runs" else State.RETRY)
    if eta is not None:
        assert line.claim() == []
    if when != "while it runs":
        (change,) = line.adapter.operator.cancel(["a"])
        assert change.after is State.CANCELLED
    line.clock.advance(61)
    assert line.claim() == []
    assert line.state("a") is State.CANCELLED
    assert line.left() == ["celery-task-meta-a"]


def test_a_retry_that_is_too_late_expires(line: Line) -> None:
    lease = start(line, "a", expires=line.later(30))
    line.publish("a", retries=1, expires=line.later(30), eta=line.later(60))
    line.settle(lease, RETRY)
    line.claim()
    line.clock.advance(61)
    assert line.claim() == []
    assert line.state("a") is State.EXPIRED


@pytest.mark.parametrize("left", [RETRY, Told(state=State.READY)], ids=["retried", "replaced"])
def test_a_worker_of_celery_s_may_end_it(line: Line, left: Told) -> None:
    assert line.settle(start(line, "a"), left) is left.state
    for status, state in (("RETRY", left.state), ("SUCCESS", State.SUCCEEDED)):
        meta: dict[str, Any] = {"status": status, "result": None, "traceback": None, "children": [], "task_id": "a"}
        line.client.set(f"{line.prefix}celery-task-meta-a", json.dumps(meta))
        line.adapter.broker.maintain()
        assert line.state("a") is state
    assert line.left() == ["celery-task-meta-a"]


def test_one_that_was_given_back_is_not_doubled(line: Line) -> None:
    lease = start(line, "a")
    line.publish("a", retries=1)
    assert line.claim() == []
    assert line.settle(lease, Snooze()) is State.READY
    (again,) = line.claim()
    line.settle(again, Told(state=State.SUCCEEDED))
    assert line.claim() == []
    assert line.left() == []


def test_a_second_one_while_it_runs_is_kept_where_it_is_seen(line: Line) -> None:
    lease = start(line, "a")
    for _ in range(2):
        line.publish("a", retries=1)
    assert line.claim() == []
    assert line.client.llen(f"{line.prefix}qtool:parked:work") == 1
    assert line.settle(lease, Cancel()) is State.CANCELLED
