"""Where a message goes: by the bindings of its exchange, as kombu's clients do it (WIRE.md section 2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.layout import SEPARATOR

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.store import Store


def queue_of(store: Store, exchange: str, routing_key: str) -> str:
    """The queue bound there, or, on the default exchange and where nothing is, the key itself.

    Raises BrokerError and its kin.
    """
    if not exchange:
        return routing_key
    with store.translated():
        bound: Any = store.client.smembers(store.layout.bindings + exchange)
    split: list[list[str]] = sorted(each.decode("utf-8", "replace").split(SEPARATOR) for each in bound)
    bindings = [each for each in split if len(each) == 3]
    exact = [queue for key, _, queue in bindings if key == routing_key]
    alike = [queue for _, pattern, queue in bindings if pattern and re.match(pattern, routing_key)]
    return next(iter(exact + alike), routing_key)
