"""What dead workers of Celery's left in ``unacked`` goes back into its list, as by kombu's sweep (WIRE.md section 2).

Nobody tells whether such a worker lives: what it has not acknowledged for the visibility timeout counts as left. kombu
also takes back what a living worker holds until its time comes; here the timeout begins at that time.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.layout import step_of
from qtool.engine.brokers.redis.records import text
from qtool.engine.brokers.redis.routing import queue_of
from qtool.engine.celery.message import decode_message
from qtool.engine.celery.times import from_text
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.store import Store

EVERY = 10.0
"""Seconds between two looks. kombu's workers have 100 s between theirs."""

AT_ONCE = 64
"""Entries that one look goes over."""


class Restorer:
    """Looks through what has been claimed for long, a stretch at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._again_at = -math.inf
        self._passed = 0
        """Entries at the old end that may not go back yet."""

    def restore(self) -> int:
        """How many messages went back. Raises BrokerError and its kin."""
        store, layout = self._store, self._store.layout
        seen = store.clock.monotonic()
        if seen < self._again_at:
            return 0
        self._again_at = seen + EVERY
        before = store.clock.now() - store.place.visibility
        with store.translated():
            old: Any = store.client.zrangebyscore(
                layout.unacked_index, "-inf", before, start=self._passed, num=AT_ONCE, withscores=True
            )
            entries: Any = store.client.hmget(layout.unacked, [tag for tag, _ in old]) if old else []
        items: list[tuple[str, float, str | bool, str | bool]] = []
        raw: list[bytes] = []
        # The youngest first, so that the oldest is the next to be taken.
        for (tag, score), entry in zip(reversed(old), reversed(entries), strict=True):
            if entry is None:
                items.append((text(tag), score, False, False))
                raw += [b"", b""]
            elif (found := self._message(entry, before)) is not None:
                list_, id, message = found
                items.append((text(tag), score, list_, id))
                raw += [entry, message]
        gone: Any = store.call("restore", items, raw=raw) if items else []
        self._passed = self._passed + len(old) - sum(gone) if len(old) == AT_ONCE else 0
        return sum(1 for item, went in zip(items, gone, strict=True) if went and item[2])

    def _message(self, entry: bytes, before: float) -> tuple[str, str | bool, bytes] | None:
        """The list that a message goes back to, its id, and itself; None for what stays where it is."""
        try:
            envelope, exchange, routing_key = json.loads(entry)
            headers, properties = envelope["headers"], envelope["properties"]
            raw = json.dumps(envelope).encode()
            eta = _eta(raw, headers)
            if eta is not None and eta > before:
                return None
            headers["redelivered"] = properties["delivery_info"]["redelivered"] = True
            priority = properties.get("priority")
            step = step_of(priority if type(priority) is int else 0)
            said = headers.get("id")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        queue = queue_of(self._store, str(exchange or ""), str(routing_key or ""))
        message = json.dumps(envelope, separators=(",", ":")).encode("ascii")
        return self._store.layout.ready(queue, step), said if isinstance(said, str) and said else False, message


def _eta(raw: bytes, headers: dict[str, Any]) -> float | None:
    """When a message is due. Raises ValueError where nobody can tell."""
    try:
        return decode_message(raw).eta
    except Undecodable:
        said = headers.get("eta")
        return from_text(said) if said else None
