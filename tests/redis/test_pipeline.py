"""Claims and settlements whose answers nobody waits for: in order, and none lost with its connection."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

import pytest

from qtool.engine.brokers.redis import open_redis
from qtool.engine.ids import new_id
from qtool.engine.job import Job, Lease, Settlement
from qtool.engine.states import Event, State
from qtool.errors import BrokerError, BrokerUnreachable
from tests.redis.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.redis import RedisServer

    from qtool.engine.broker import Adapter
    from qtool.engine.pipeline import Answer, Pipeline
    from tests.services import MakeRedis

T = TypeVar("T")


@pytest.fixture
def adapter(redis_url: str) -> Iterator[Adapter]:
    with open_redis(redis_url) as adapter:
        yield adapter


@pytest.fixture
def pipeline(adapter: Adapter) -> Iterator[Pipeline]:
    assert adapter.pipeline is not None
    with closing(adapter.pipeline()) as pipeline:
        yield pipeline


def enqueue(adapter: Adapter, count: int) -> None:
    now = time.time()
    adapter.broker.enqueue([Job(id=new_id(), task="t", created_at=now) for _ in range(count)])


def success(lease: Lease) -> Settlement:
    now = time.time()
    return Settlement(lease, Event.SUCCESS, State.SUCCEEDED, now, now, "1")


def come(pipeline: Pipeline, answer: Answer[T]) -> T:
    def here() -> bool:
        pipeline.receive()
        return answer.here

    until(here)
    return answer.take()


def counts(adapter: Adapter) -> dict[State, int]:
    (queue,) = adapter.inspector.snapshot().queues
    return {state: count for state, count in queue.counts.items() if count}


def test_answers_come_in_the_order_of_the_questions(adapter: Adapter, pipeline: Pipeline) -> None:
    enqueue(adapter, 30)
    first, second = pipeline.claim("w", (), 10, 30.0), pipeline.claim("w", (), 10, 30.0)
    leases = come(pipeline, first)
    ended = pipeline.settle([success(lease) for lease in leases])
    third = pipeline.claim("w", (), 20, 30.0)
    others = [*come(pipeline, second), *come(pipeline, third)]
    assert ended.here
    assert ended.take() == [State.SUCCEEDED] * 10
    assert (len(leases), len(others)) == (10, 20)
    assert counts(adapter) == {State.RUNNING: 20, State.SUCCEEDED: 10}


def test_its_descriptor_wakes_whoever_waits(adapter: Adapter, pipeline: Pipeline) -> None:
    enqueue(adapter, 1)
    answer = pipeline.claim("w", (), 1, 30.0)
    assert select.select([pipeline.fileno()], [], [], 10)[0]
    pipeline.receive()
    assert answer.here
    assert not select.select([pipeline.fileno()], [], [], 0)[0]


def test_more_outcomes_than_go_into_one_script(adapter: Adapter, pipeline: Pipeline) -> None:
    enqueue(adapter, 1200)
    leases = come(pipeline, pipeline.claim("w", (), 1200, 30.0))
    late = leases[7]._replace(token=1)
    ends = come(pipeline, pipeline.settle([success(lease) for lease in (*leases, late)]))
    assert ends == [*[State.SUCCEEDED] * 1200, None]


def test_a_script_that_the_server_has_forgotten_is_sent_anew(adapter: Adapter, pipeline: Pipeline) -> None:
    enqueue(adapter, 2)
    assert len(come(pipeline, pipeline.claim("w", (), 1, 30.0))) == 1
    adapter.broker._store.client.script_flush()  # type: ignore[attr-defined]
    assert len(come(pipeline, pipeline.claim("w", (), 1, 30.0))) == 1


def test_an_error_is_that_of_one_question(adapter: Adapter, pipeline: Pipeline) -> None:
    enqueue(adapter, 3)
    client = adapter.broker._store.client  # type: ignore[attr-defined]
    leases = come(pipeline, pipeline.claim("w", (), 1, 30.0))
    running = f"{adapter.broker._store.layout.own}in:running"  # type: ignore[attr-defined]
    kept = client.dump(running)
    client.set(running, "of another kind")
    broken = pipeline.settle([success(lease) for lease in leases])
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        come(pipeline, broken)
    client.restore(running, 0, kept, replace=True)
    assert len(come(pipeline, pipeline.claim("w", (), 2, 30.0))) == 2


def test_what_a_lost_connection_had_claimed_goes_back(adapter: Adapter, pipeline: Pipeline) -> None:
    enqueue(adapter, 3)
    client = adapter.broker._store.client  # type: ignore[attr-defined]
    come(pipeline, pipeline.claim("w", (), 1, 30.0))
    answers = [pipeline.claim("w", (), 1, 30.0) for _ in range(2)]
    until(lambda: counts(adapter)[State.RUNNING] == 3)
    client.client_kill_filter(_type="normal", skipme=True)
    assert select.select([pipeline.fileno()], [], [], 10)[0]
    # What was answered before it was cut off may still be read.
    found = 0
    for answer in answers:
        try:
            found += len(come(pipeline, answer))
        except BrokerUnreachable:
            continue
    assert len(come(pipeline, pipeline.claim("w", (), 3, 30.0))) == 2 - found
    assert counts(adapter) == {State.RUNNING: 3}


def test_a_quiet_connection_that_is_closed_is_made_anew(adapter: Adapter, pipeline: Pipeline) -> None:
    enqueue(adapter, 2)
    come(pipeline, pipeline.claim("w", (), 1, 30.0))
    adapter.broker._store.client.client_kill_filter(_type="normal", skipme=True)  # type: ignore[attr-defined]
    assert select.select([pipeline.fileno()], [], [], 10)[0]
    pipeline.receive()
    assert not select.select([pipeline.fileno()], [], [], 0)[0], "nobody is woken again and again"
    assert len(come(pipeline, pipeline.claim("w", (), 1, 30.0))) == 1


@pytest.fixture
def frozen(redis_servers: MakeRedis) -> Iterator[RedisServer]:
    server = redis_servers()
    yield server
    signal_to(server, signal.SIGCONT)


def signal_to(server: RedisServer, number: int) -> None:
    assert server.process is not None
    os.kill(server.process.pid, number)


def test_an_answer_that_does_not_come_is_an_error(frozen: RedisServer) -> None:
    with open_redis(f"{frozen.url}/0?timeout=0.3") as adapter:
        assert adapter.pipeline is not None
        with closing(adapter.pipeline()) as pipeline:
            enqueue(adapter, 4)
            leases = come(pipeline, pipeline.claim("w", (), 2, 30.0))
            signal_to(frozen, signal.SIGSTOP)
            ended, more = pipeline.settle([success(lease) for lease in leases]), pipeline.claim("w", (), 2, 30.0)
            for answer in (ended, more):
                with pytest.raises(BrokerUnreachable, match=r"no answer within 0\.3 s"):
                    come(pipeline, answer)
            signal_to(frozen, signal.SIGCONT)
            # The server did both in the meantime, or will not: either way there are two to be had, and two that ended.
            assert come(pipeline, pipeline.settle([success(lease) for lease in leases])) in (
                [None, None],
                [State.SUCCEEDED] * 2,
            )
            assert len(come(pipeline, pipeline.claim("w", (), 2, 30.0))) == 2
            assert counts(adapter) == {State.RUNNING: 2, State.SUCCEEDED: 2}
