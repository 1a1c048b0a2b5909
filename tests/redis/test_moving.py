"""Moving to and from a server: commands signed and vouched for, jobs claimed in the middle, answers that are lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from qtool.engine.brokers.redis.freight import CHANGED, RedisFreight
from qtool.engine.brokers.redis.store import Store
from qtool.engine.freight import Moved
from qtool.engine.ids import new_id
from qtool.engine.job import EXEC, Job
from qtool.engine.moving import Mover
from qtool.engine.registry import open_broker
from qtool.engine.signing import Guard
from qtool.engine.states import FINAL, PENDING, State
from qtool.errors import BrokerUnreachable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from qtool.engine.broker import Adapter
    from qtool.engine.brokers.redis.records import Record
    from qtool.engine.freight import Moved

KEY = "a secret"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Adapter]:
    with open_broker(str(tmp_path / "jobs.db")) as adapter:
        yield adapter


def move(source: Adapter, target: Adapter, id: str) -> Moved:
    mover = Mover(source, target)
    mover.begin()
    ((moved,),) = mover.move([id], PENDING | FINAL)
    return moved


def put(adapter: Adapter) -> str:
    job = Job(id=new_id(), task=EXEC, args=("true",), created_at=time.time(), tags={"a": "b"})
    (id,) = adapter.broker.enqueue([job]).ids
    return id


def test_a_command_is_signed_on_its_way_to_a_server_and_bears_no_signature_back(file: Adapter, redis_url: str) -> None:
    id = put(file)
    before = file.inspector.get([id])
    with open_broker(redis_url, key=KEY) as server:
        assert move(file, server, id).moved
        (lease,) = server.broker.claim("w", (), 1)
        assert Guard(url=redis_url, allowed=True, key=KEY).refusal(lease) is None
        server.broker.leave("w")
        assert move(server, file, id).moved
    (after,) = file.inspector.get([id])
    assert after is not None
    assert before[0] is not None
    assert (after.args, after.tags, after.state) == (before[0].args, before[0].tags, before[0].state)
    (lease,) = file.broker.claim("w", (), 1)
    assert "signature" not in (lease.options or "")


def test_without_a_key_no_command_goes_to_a_server(file: Adapter, redis_url: str) -> None:
    id = put(file)
    with open_broker(redis_url) as server:
        moved = move(file, server, id)
        assert (moved.moved, moved.note and "QTOOL_KEY" in moved.note) == (False, True)
        assert server.inspector.count() == 0
    assert file.inspector.get([id])[0] is not None


@pytest.mark.parametrize(("key", "why"), [(None, "no key"), ("another", "signature is wrong")])
def test_a_command_that_nobody_vouches_for_stays_on_the_server(
    file: Adapter, redis_url: str, key: str | None, why: str
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(open_broker(redis_url, key=KEY))
        id = put(server)
        moved = move(stack.enter_context(open_broker(redis_url, key=key)), file, id)
        assert not moved.moved
        assert why in (moved.note or "")
        assert file.inspector.count() == 0
        assert move(server, file, id).moved


@pytest.mark.parametrize("into", [None, "elsewhere"])
def test_a_job_that_is_claimed_while_it_is_looked_at_stays(
    file: Adapter, redis_url: str, monkeypatch: pytest.MonkeyPatch, into: str | None
) -> None:
    """On Redis a look and the taking are two steps; the second one sees whether the first still holds."""
    look = RedisFreight._look
    with open_broker(redis_url) as server:
        job = Job(id=new_id(), task="t", created_at=time.time())
        server.broker.enqueue([job])

        def and_claims(self: RedisFreight, ids: Sequence[str], states: Collection[State]) -> list[Record | Moved]:
            found = look(self, ids, states)
            assert len(server.broker.claim("w", (), 1)) == 1
            return found

        monkeypatch.setattr(RedisFreight, "_look", and_claims)
        if into is None:
            moved = move(server, file, job.id)
        else:
            assert server.freight is not None
            (moved,) = server.freight.transfer([job.id], into, PENDING)
        assert (moved.moved, moved.note) == (False, CHANGED)
        assert file.inspector.count() == 0
        (info,) = server.inspector.get([job.id])
        assert info is not None
        assert (info.state, info.queue) == (State.RUNNING, "default")
        assert server.inspector.check() == []


@pytest.mark.parametrize(("script", "way"), [("depart", "out"), ("trips", "out"), ("arrive", "in"), ("trips", "in")])
def test_an_answer_that_is_lost_on_its_way_loses_and_doubles_nothing(
    file: Adapter, redis_url: str, monkeypatch: pytest.MonkeyPatch, script: str, way: str
) -> None:
    """The server has done it, and nobody is told: the next mover goes on, wherever that was."""
    call = Store.call
    with open_broker(redis_url) as server:
        source, target = (server, file) if way == "out" else (file, server)
        ids = [new_id() for _ in range(3)]
        source.broker.enqueue([Job(id=id, task="t", created_at=time.time()) for id in ids])
        mover = Mover(source, target)
        mover.begin()

        def and_cuts(self: Store, name: str, *arguments: object, raw: Sequence[bytes] = ()) -> object:
            answer = call(self, name, *arguments, raw=raw)
            if name == script:
                raise BrokerUnreachable(url=redis_url, why="the connection was cut")
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(Store, "call", and_cuts)
            with pytest.raises(BrokerUnreachable):
                list(mover.move(ids, PENDING))
        again = Mover(source, target)
        again.begin()
        for _ in again.finish():
            pass
        for _ in again.move(ids, PENDING):
            pass
        assert source.inspector.get(ids) == [None] * 3
        assert [lease.id for lease in target.broker.claim("w", (), 9)] == ids
        for end in (source, target):
            assert end.freight is not None
            assert end.freight.transits() == []
            assert end.inspector.check() == []
