"""How many jobs there are, by queue and state: from counters and lengths, so that it costs nothing to have many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.layout import SEPARATOR
from qtool.engine.brokers.redis.records import pairs, text
from qtool.engine.states import State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtool.engine.brokers.redis.discovery import Discovery
    from qtool.engine.brokers.redis.foreign import Foreign
    from qtool.engine.brokers.redis.store import Store

SAMPLE = 1000
"""Claimed messages that are looked at; of more it is assumed that they are alike."""


class Standing(Value, kw_only=True):
    """One queue."""

    counts: Mapping[State, int]
    held: int
    oldest_ready_at: float | None
    foreign: bool
    """Celery's clients have bound it and qtool never used it: it is there also when it is empty."""


class Standings:
    """Counts, with a memory of which claimed messages belong where."""

    def __init__(self, store: Store, discovery: Discovery, foreign: Foreign) -> None:
        self._store = store
        self._discovery = discovery
        self._foreign = foreign
        self._belongs: dict[str, tuple[str, str, float | None]] = {}
        """The id, queue and time of a claimed message whose tag is no job's id, by its tag."""

    def read(self) -> dict[str, Standing]:
        """Every queue. What Celery's workers hold is exact up to :data:`SAMPLE` messages, and estimated beyond."""
        store = self._store
        names = sorted(self._discovery.queues())
        used = {text(name) for name in store.client.smembers(store.layout.queues)}
        rows = store.scripts.run("standing", (), (store.layout.prefix, SEPARATOR, *names)) if names else []
        found: dict[str, dict[State, int]] = {}
        held: dict[str, int] = {}
        oldest: dict[str, float | None] = {}
        for name, (ready, parked, flat, since) in zip(names, rows, strict=True):
            counted = {text(state): int(n) for state, n in pairs(flat).items()}
            held[name] = counted.pop("held", 0)
            found[name] = dict.fromkeys(State, 0) | {State(state): n for state, n in counted.items()}
            found[name][State.READY] = ready + held[name]
            found[name][State.DEAD] += parked
            oldest[name] = min((float(each) for each in since if each), default=None)
        ours = sum(counts[State.RUNNING] for counts in found.values())
        for (queue, state), n in self._claimed(ours).items():
            found.setdefault(queue, dict.fromkeys(State, 0))[state] += n
        return {
            name: Standing(
                counts=counts, held=held.get(name, 0), oldest_ready_at=oldest.get(name), foreign=name not in used
            )
            for name, counts in sorted(found.items())
        }

    def _claimed(self, ours: int) -> dict[tuple[str, State], int]:
        """What others than qtool's workers hold, of which ``ours`` are theirs: by queue and state."""
        client, layout = self._store.client, self._store.layout
        total = client.hlen(layout.unacked) - ours
        if total <= 0:
            self._belongs.clear()
            return {}
        # Theirs come first: the scores of ours lie ahead by a lease.
        first: Any = client.zrange(layout.unacked_index, 0, SAMPLE - 1)
        tags = [text(tag) for tag in first]
        sampled = self._sorted(tags)
        found: dict[tuple[str, State], int] = {}
        for queue, state in sampled:
            found[queue, state] = found.get((queue, state), 0) + 1
        if len(tags) == SAMPLE and sampled:
            found = {each: round(n * max(1.0, total / len(sampled))) for each, n in found.items()}
        return found

    def _sorted(self, tags: Iterable[str]) -> list[tuple[str, State]]:
        """The queue and the state of each that qtool's workers do not hold."""
        client, layout, now = self._store.client, self._store.layout, self._store.clock.now()
        tags = list(tags)
        with client.pipeline(transaction=False) as pipe:
            for tag in tags:
                pipe.hmget(layout.records + tag, "s", "q")
            records = dict(zip(tags, pipe.execute(), strict=True))
        found = [
            (text(queue), State.RUNNING) for state, queue in records.values() if state == b"ready" and queue is not None
        ]
        strange = [tag for tag, (state, _) in records.items() if state is None]
        self._belongs = {tag: self._belongs[tag] for tag in strange if tag in self._belongs}
        unread = [tag for tag in strange if tag not in self._belongs]
        if unread:
            for tag, entry in zip(unread, client.hmget(layout.unacked, unread), strict=True):
                if entry is not None:
                    seen = self._foreign.claimed_seen(entry)
                    eta = seen.message.eta if seen.message is not None else None
                    self._belongs[tag] = seen.id, seen.queue, eta
        # One of Celery's that a worker of ours took has kept its tag; it is among the records that run.
        known = self._foreign.recorded([id for id, _, _ in self._belongs.values()])
        for (_, queue, eta), ours in zip(self._belongs.values(), known, strict=True):
            if not ours:
                found.append((queue, State.SCHEDULED if eta is not None and eta > now else State.RUNNING))
        return found
