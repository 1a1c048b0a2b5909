"""What limits queues and tasks, as it stands in the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qtool.engine.brokers.redis.records import text
from qtool.engine.limits import Limit, Rate, default_burst
from qtool.engine.states import State

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.store import Store


def listed(store: Store) -> list[Limit]:
    """Every limit, by scope and name. Raises redis-py's errors."""
    client, layout = store.client, store.layout
    said = {text(name): json.loads(raw) for name, raw in client.hgetall(layout.limits).items()}
    if not said:
        return []
    rates = {text(name): raw.split() for name, raw in client.hgetall(layout.rates).items()}
    now, tick = store.clock.now(), store.tick()
    found = []
    for whose in sorted(said):
        scope, _, name = whose.partition(":")
        each = said[whose]
        explicit = bool(each.get("explicit"))
        per_second = each.get("rate") if explicit else each.get("declared")
        used, used_at = map(float, rates.get(whose, (0, 0)))
        rate = None
        if per_second is not None:
            rate = Rate(per_second, each.get("burst") or default_burst(per_second), used, used_at)
        wait = rate.opens_in(tick) if rate is not None else 0.0
        found.append(
            Limit(
                scope="queue" if scope == "queue" else "task",
                name=name,
                concurrency=each.get("concurrency"),
                rate=rate.per_second if rate is not None else None,
                burst=rate.burst if rate is not None else None,
                declared=not explicit,
                running=int(client.hget(layout.counts(name), State.RUNNING) or 0) if scope == "queue" else None,
                held=_held(store, whose) if scope == "task" else 0,
                opens_at=now + wait if wait else None,
            )
        )
    return found


def _held(store: Store, limit: str) -> int:
    """How many ready jobs wait for a task's rate."""
    queues = [text(name) for name in store.client.smembers(store.layout.holding(limit))]
    return sum(int(store.client.zcard(store.layout.held(limit, queue))) for queue in queues)
