"""Bells that others than qtool ring, and bells whose connection breaks."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from qtool.engine.job import Job
from qtool.engine.registry import open_broker

if TYPE_CHECKING:
    from redis import Redis

    from tests.redis.conftest import Deployment

AT_ONCE = 5.0


@pytest.mark.parametrize("queues", [("celery",), ()], ids=["named", "all"])
def test_a_message_of_a_celery_client_wakes_who_serves_its_queue(celery: Deployment, queues: tuple[str, ...]) -> None:
    broker = celery.adapter.broker
    celery.send("proj.add", 1, 1)
    broker.claim("w1", ("celery",), 5)
    with closing(broker.listen("ready")) as bell:
        broker.claim("w1", queues, 5)
        while bell.wait(0.1):
            continue
        for _ in range(3):
            celery.send("proj.add", 2, 3)
            assert bell.wait(AT_ONCE)
            # Taking it is a change, too, that the server tells of.
            assert len(broker.claim("w1", queues, 5)) == 1
            while bell.wait(0.1):
                continue


def _drop_all_others(server: Redis) -> None:
    server.client_kill_filter(_type="pubsub")


def test_a_bell_whose_connection_broke_rings_and_is_mended(celery: Deployment) -> None:
    with open_broker(celery.url) as other, closing(celery.adapter.broker.listen("finished")) as bell:
        descriptor = bell.fileno()
        _drop_all_others(celery.server)
        assert bell.wait(AT_ONCE), "what was missed meanwhile has to be looked for"
        assert bell.wait(AT_ONCE), "and once more when the connection stands again"
        assert bell.fileno() == descriptor
        while bell.wait(0):
            continue
        job = Job(id="a", task="t", created_at=0.0)
        other.operator.cancel(other.broker.enqueue([job]).ids)
        assert bell.wait(AT_ONCE)
