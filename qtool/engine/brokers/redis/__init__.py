"""Redis, in Celery's own wire format: several hosts, one server, beside Celery's workers and clients."""

from __future__ import annotations

from qtool.engine.broker import Adapter
from qtool.engine.brokers.redis.broker import RedisBroker
from qtool.engine.brokers.redis.capabilities import capabilities
from qtool.engine.brokers.redis.connecting import place_of
from qtool.engine.brokers.redis.freight import RedisFreight
from qtool.engine.brokers.redis.journal import RedisJournal
from qtool.engine.brokers.redis.look import RedisInspector
from qtool.engine.brokers.redis.operate import RedisOperator
from qtool.engine.brokers.redis.remote import RedisRemote
from qtool.engine.brokers.redis.results import RedisResults
from qtool.engine.brokers.redis.store import Store
from qtool.engine.brokers.redis.strangers import Strangers
from qtool.engine.clock import Clock, SystemClock
from qtool.engine.policy import KEEP, Retention


def open_redis(
    url: str,
    *,
    clock: Clock | None = None,
    retention: Retention = KEEP,
    patience: float | None = None,
    key: str | None = None,
) -> Adapter:
    """The broker at ``url`` (:mod:`.connecting`), reached when something is asked of it. Raises UsageError."""
    store = Store(place_of(url), clock or SystemClock(), retention, patience, key)
    inspector = RedisInspector(store)
    journal = RedisJournal(store)
    strangers = Strangers(store, inspector.foreign, inspector.listing)
    results = RedisResults(store, inspector.listing, inspector.foreign)
    broker = RedisBroker(store, journal)
    operator = RedisOperator(store, strangers)
    return Adapter(
        url=store.url,
        capabilities=capabilities(store),
        broker=broker,
        operator=operator,
        inspector=inspector,
        results=results,
        journal=journal,
        close=store.close,
        stream=broker.stream,
        remote=RedisRemote(store, broker.belfry, operator),
        pipeline=broker.pipeline,
        freight=RedisFreight(store, inspector.listing, results, strangers),
    )
