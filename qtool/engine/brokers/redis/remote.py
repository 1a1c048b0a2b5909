"""Celery's remote control and events on Redis: a fanout is PUBLISH, a reply goes on a list (WIRE.md section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.bells import RedisBell
from qtool.engine.brokers.redis.records import text
from qtool.errors import BrokerDenied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtool.engine.broker import Change
    from qtool.engine.brokers.redis.bells import Belfry
    from qtool.engine.brokers.redis.operate import RedisOperator
    from qtool.engine.brokers.redis.store import Store

REPLY_SECONDS = 60
"""How long a reply is kept: who asked has given up long before, and a list that nobody reads must not stay."""

MOST = 500
"""Messages that wait to be taken; what comes while there are so many is dropped."""

READS = 64
"""Times that one look reads from the connection: whoever floods it must not keep the worker from its work."""


class RedisMailbox(RedisBell):
    """A channel's listener that keeps what it hears."""

    def __init__(self, belfry: Belfry, channel: str) -> None:
        """Raises BrokerError."""
        self._came: list[bytes] = []
        super().__init__(belfry, channel)

    def take(self) -> list[bytes]:
        with self._lock:
            for _ in range(READS):
                if self._receive() is None:
                    break
            self._rang = False
            came, self._came = self._came, []
        return came

    def _note(self, pushed: Any) -> None:
        super()._note(pushed)
        if pushed[0] == b"message" and len(self._came) < MOST:
            self._came.append(pushed[2])

    def _denied(self, error: Exception) -> None:
        self._hang_up()
        raise BrokerDenied(url=self._store.url, why=str(error))


class RedisRemote:
    """How Celery's tools reach the workers of one database."""

    def __init__(self, store: Store, belfry: Belfry, operator: RedisOperator) -> None:
        self._store = store
        self._belfry = belfry
        self._operator = operator

    def listen(self, exchange: str) -> RedisMailbox:
        mailbox = RedisMailbox(self._belfry, self._store.layout.fanout(exchange))
        self._belfry.bells.add(mailbox)
        return mailbox

    def publish(self, exchange: str, routing_key: str, message: bytes) -> None:
        store = self._store
        with store.translated():
            store.client.publish(store.layout.fanout(exchange, routing_key), message)

    def reply(self, queue: str, message: bytes) -> None:
        store = self._store
        key = store.layout.ready(queue)
        with store.translated():
            pipe = store.client.pipeline(transaction=False)
            pipe.lpush(key, message)
            pipe.expire(key, REPLY_SECONDS)
            pipe.execute()

    def revoke(self, ids: Sequence[str]) -> list[Change]:
        return self._operator.revoke(ids)

    def due(self, count: int) -> list[str]:
        store = self._store
        with store.translated():
            found: Any = store.client.zrange(store.layout.delayed, 0, count - 1)
        return [text(id) for id in found]

    def queues(self) -> list[str]:
        store = self._store
        with store.translated():
            found: Any = store.client.sunion([store.layout.queues, store.layout.bound])
        return sorted(map(text, found))

    def place(self) -> Mapping[str, Any]:
        place = self._store.place
        host, port = place.hosts[0] if place.hosts else (place.path, None)
        return {
            "hostname": host,
            "port": port,
            "userid": place.username,
            "virtual_host": str(place.db),
            "transport": "redis",
            "ssl": place.tls,
            "connect_timeout": place.timeout,
        }
