"""A server that comes back with less than it had confirmed: it wrote to disk before, or was a replica that lagged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.broker import WorkerInfo
from qtool.engine.ids import new_id
from qtool.engine.job import UNSAID, Done, Job, Lease, Settlement
from qtool.engine.policy import decide
from qtool.engine.registry import open_broker
from qtool.engine.states import State

if TYPE_CHECKING:
    from tests.services import MakeRedis


def test_an_outcome_that_the_server_has_forgotten_does_not_leave_its_job_running_for_ever(
    redis_servers: MakeRedis,
) -> None:
    server = redis_servers()
    with open_broker(f"{server.url}/0") as adapter:
        broker = adapter.broker
        worker = WorkerInfo(
            id="w", host="h", pid=1, queues=(), pool="thread", slots=3, busy=0, started_at=0.0, seen_at=0.0
        )
        broker.extend(worker, [])
        broker.enqueue([Job(id=new_id(), task="t", created_at=0.0) for _ in range(3)])
        ended, *held = broker.claim("w", (), 3)
        assert server.ask("SAVE") == b"+OK\r\n"
        assert broker.settle([_done(ended)]) == [State.SUCCEEDED]
        server.kill()
        server.start()
        (info,) = adapter.inspector.get([ended.id])
        assert info is not None
        assert (info.state, info.attempt) == (State.RUNNING, 1)

        assert broker.extend(worker, held).lost == frozenset()
        (info,) = adapter.inspector.get([ended.id])
        assert info is not None
        assert (info.state, info.attempt) == (State.READY, 0)
        assert all(
            each is not None and each.state is State.RUNNING for each in adapter.inspector.get([h.id for h in held])
        )
        (again,) = broker.claim("w", (), 3)
        assert again.id == ended.id
        assert broker.settle([_done(each) for each in (*held, again)]) == [State.SUCCEEDED] * 3
        assert adapter.inspector.check() == []


def _done(lease: Lease) -> Settlement:
    return decide(lease, Done(), UNSAID, started_at=0.0, now=0.0, random=lambda: 0.5)
