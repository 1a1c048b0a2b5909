"""A wait outlasts the restart of its server, and says so; it does not outlast one that stays away."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from qtool import connect
from qtool.engine import waiting
from qtool.engine.brokers.redis import open_redis
from qtool.engine.ids import new_id
from qtool.engine.job import Job, Settlement
from qtool.engine.states import Event, State
from qtool.engine.waiting import as_they_end
from qtool.errors import BrokerUnreachable
from tests.redis.conftest import until

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from tests.services import MakeRedis

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def enqueue(adapter: Adapter) -> str:
    job = Job(id=new_id(), task="t", created_at=time.time())
    adapter.broker.enqueue([job])
    return job.id


def test_a_wait_goes_on_when_the_server_is_back(redis_servers: MakeRedis) -> None:
    server = redis_servers(*DURABLE)
    said: list[str] = []
    with open_redis(f"{server.url}/0") as waits, open_redis(f"{server.url}/0") as works:
        id = enqueue(works)
        ends: list[object] = []
        looked = threading.Event()

        def wait() -> None:
            ends.extend(as_they_end(waits, [id], timeout=60, tick=looked.set, say=said.append))

        thread = threading.Thread(target=wait)
        thread.start()
        assert looked.wait(20)
        server.kill()
        until(lambda: said)
        server.start()
        (lease,) = works.broker.claim("w", (), 1)
        works.broker.settle([Settlement(lease, Event.SUCCESS, State.SUCCEEDED, time.time(), time.time(), "1")])
        thread.join(30)
        assert [end.id for end in ends] == [id]  # type: ignore[attr-defined]
    (line,) = said
    assert "cannot be reached" in line
    assert line.endswith("Waiting for it.")


def test_a_wait_for_a_server_that_stays_away_ends(redis_servers: MakeRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "OUTAGE", 0.5)
    server = redis_servers()
    with open_redis(f"{server.url}/0") as adapter:
        id = enqueue(adapter)
        with pytest.raises(BrokerUnreachable):
            next(as_they_end(adapter, [id], tick=server.kill))


def test_a_server_that_was_never_there_is_an_error_at_once(redis_servers: MakeRedis) -> None:
    server = redis_servers()
    server.kill()
    began = time.monotonic()
    with open_redis(f"{server.url}/0") as adapter, pytest.raises(BrokerUnreachable):
        next(as_they_end(adapter, ["nothing"]))
    assert time.monotonic() - began < waiting.OUTAGE / 2


def test_the_command_says_so_and_goes_on(redis_servers: MakeRedis) -> None:
    server = redis_servers(*DURABLE)
    url = f"{server.url}/0"
    with open_redis(url) as adapter:
        id = enqueue(adapter)
        command = [sys.executable, "-m", "qtool", "wait", "-b", url, id, "-o", "json", "--timeout", "60s"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            # Its bell hangs there as soon as it waits.
            until(lambda: adapter.broker._store.client.pubsub_numsub("qtool:/0.finished")[0][1])  # type: ignore[attr-defined]
            server.kill()
            assert process.stderr is not None
            assert "Waiting for it." in process.stderr.readline()
            server.start()
            until(lambda: adapter.operator.cancel([id])[0].after is State.CANCELLED)
            out, _ = process.communicate(timeout=30)
    (row,) = json.loads(out)
    assert (row["id"], row["state"]) == (id, "cancelled")


def test_a_handle_waits_on_too(redis_servers: MakeRedis) -> None:
    server = redis_servers(*DURABLE)
    with connect(f"{server.url}/0") as client, open_redis(f"{server.url}/0") as works:
        job = client.send("t")
        got: list[object] = []
        thread = threading.Thread(target=lambda: got.append(job.get(timeout=60)))
        thread.start()
        until(lambda: works.broker._store.client.pubsub_numsub("qtool:/0.finished")[0][1])  # type: ignore[attr-defined]
        server.kill()
        # It looks once a second, and asks again until the server is there.
        thread.join(1.5)
        assert thread.is_alive()
        server.start()
        (lease,) = works.broker.claim("w", (), 1)
        works.broker.settle([Settlement(lease, Event.SUCCESS, State.SUCCEEDED, time.time(), time.time(), "7")])
        thread.join(30)
    assert got == [7]
