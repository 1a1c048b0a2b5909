"""Which queues there are: those that qtool knows, those that Celery's clients bound, and lists that hold messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qtool.engine.brokers.redis.layout import SEPARATOR
from qtool.engine.brokers.redis.records import literal, text

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.store import Store

STRETCH = 2000
"""Keys that are gone over in one go: some milliseconds of the server."""

FIRST = 10_000
"""Goes of the first sweep: twenty million keys."""

LATER = 5
"""Goes of a look once there was a whole sweep: it goes on at the next one."""

EVERY = 10.0
"""Seconds between two sweeps of a keyspace that takes more than one go."""

KEEPING = 60.0
"""Seconds between two sweeps of upkeep."""

DEFAULT = "celery"
"""The queue of a Celery application that says nothing of queues."""

SMALL = 100_000
"""Keys up to which lists are looked at that nothing binds: what kind each key is has to be asked."""


class Discovery:
    """Remembers what it found between two looks: sweeping a large keyspace takes its time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursor = 0
        self._small = True
        self._gone = self._length = 0
        """How many goes this sweep has had, and the last one took."""
        self._swept_at: float | None = None
        """When the last sweep ended; monotonic."""
        self._routes: dict[tuple[str, str], str] = {}
        self._lists: set[str] = set()
        self._coming_routes: dict[tuple[str, str], str] = {}
        self._coming_lists: set[str] = set()
        self._missed: set[str] = set()
        """Those written down that the last sweep did not meet."""

    def queues(self) -> set[str]:
        """The names of all queues."""
        self._sweep()
        client, layout = self._store.client, self._store.layout
        if self._swept_at is None:
            # Where tasks go by default is looked at without a sweep.
            self._bindings([f"{layout.bindings}{DEFAULT}"])
        known = client.smembers(layout.queues) | client.smembers(layout.paused) | client.smembers(layout.bound)
        found = {*self._routes.values(), *self._coming_routes.values(), *self._lists, *self._coming_lists}
        return {text(name) for name in known} | found

    def keep(self) -> None:
        """Write down what Celery's clients bound: a stretch of the keyspace a call, and a while between two sweeps."""
        client, layout = self._store.client, self._store.layout
        now = self._store.clock.monotonic()
        if self._swept_at is not None and not self._cursor and 0 <= now - self._swept_at < KEEPING:
            return
        if self._swept_at is None and not self._cursor:
            self._bindings([f"{layout.bindings}{DEFAULT}"])
        for _ in range(LATER):
            self._go(lists=False)
            if not self._cursor:
                self._swept_at = now
                break
        known = {text(name) for name in client.smembers(layout.bound)}
        found = {*self._routes.values(), *self._coming_routes.values(), *self._default()}
        if came := found - known:
            client.sadd(layout.bound, *came)
            # Who serves all queues watches these lists, too.
            client.publish(layout.channel("ready"), "")
        if not self._cursor:
            # What somebody bound behind the back of one sweep is there at the next.
            if gone := (known - found) & self._missed:
                client.srem(layout.bound, *gone)
            self._missed = known - found

    def _default(self) -> set[str]:
        """Where tasks go by default, if others' messages lie there. Clients that bound it before the server was emptied
        (or another took its place) do not bind it again."""
        layout = self._store.layout
        with self._store.client.pipeline(transaction=False) as pipe:
            for key in layout.lists(DEFAULT):
                pipe.lindex(key, -1)
            pipe.sismember(layout.queues, DEFAULT)
            *last, ours = pipe.execute(raise_on_error=False)
        theirs = not ours and any(isinstance(item, bytes) and _is_message(item) for item in last)
        return {DEFAULT} if theirs else set()

    def queue_of(self, exchange: str, routing_key: str) -> str:
        """Where a message published so lies: the queue bound there, or, on the default exchange, the key itself."""
        if not exchange:
            return routing_key
        where = (exchange, routing_key)
        return self._routes.get(where) or self._coming_routes.get(where) or routing_key

    # --- sweeping ------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Go over the keyspace: all of it at first, later a stretch at each look."""
        now = self._store.clock.monotonic()
        goes = LATER
        if self._swept_at is None:
            goes = LATER if self._mostly_ours() else FIRST
        elif not self._cursor:
            rested = self._length <= LATER or not 0 <= now - self._swept_at < EVERY
            goes = LATER if rested else 0
        for _ in range(goes):
            self._go()
            if not self._cursor:
                self._swept_at = now
                break

    def _mostly_ours(self) -> bool:
        """Whether the keyspace is large for qtool's own jobs: then Celery's queues are found by and by."""
        client, layout = self._store.client, self._store.layout
        keys = int(client.dbsize())
        # A job has two keys at least, and a third with its result.
        return keys > SMALL and 4 * int(client.zcard(layout.jobs)) > keys

    def _go(self, *, lists: bool = True) -> None:
        client, layout = self._store.client, self._store.layout
        if self._cursor == 0:
            self._small = lists and int(client.dbsize()) <= SMALL
        if self._small:
            said = (self._cursor, STRETCH, layout.prefix)
            cursor, bound, others = self._store.scripts.run("discover", (), said)
            self._unbound([text(key) for key in others])
        else:
            cursor, bound = client.scan(self._cursor, f"{literal(layout.bindings)}*", STRETCH)
        self._bindings([text(key) for key in bound])
        self._cursor = int(cursor)
        self._gone += 1
        if not self._cursor:
            self._routes, self._coming_routes = self._coming_routes, {}
            self._lists, self._coming_lists = self._coming_lists, set()
            self._length, self._gone = self._gone, 0

    def _bindings(self, bound: list[str]) -> None:
        if not bound:
            return
        with self._store.client.pipeline(transaction=False) as pipe:
            for key in bound:
                pipe.smembers(key)
            every = pipe.execute()
        for key, members in zip(bound, every, strict=True):
            exchange = key.removeprefix(self._store.layout.bindings)
            for member in members:
                routing_key, _, queue = text(member).rsplit(SEPARATOR, 2)
                if not _is_control(queue):
                    self._coming_routes[exchange, routing_key] = queue

    def _unbound(self, lists: list[str]) -> None:
        names = {key: key.removeprefix(self._store.layout.prefix).partition(SEPARATOR)[0] for key in lists}
        asked = [key for key in lists if not _is_control(names[key])]
        if not asked:
            return
        with self._store.client.pipeline(transaction=False) as pipe:
            for key in asked:
                pipe.lindex(key, -1)
            last = pipe.execute()
        self._coming_lists |= {
            names[key] for key, item in zip(asked, last, strict=True) if item is not None and _is_message(item)
        }


def _is_control(queue: str) -> bool:
    """Whether it is one of those through which Celery's workers are asked and speak, and holds no jobs."""
    return queue.startswith("celeryev") or queue.endswith(".pidbox")


def _is_message(item: bytes) -> bool:
    """Whether it is an envelope of kombu's (WIRE.md section 8)."""
    try:
        envelope = json.loads(item)
    except (ValueError, RecursionError):
        return False
    properties = envelope.get("properties") if isinstance(envelope, dict) else None
    return isinstance(properties, dict) and "delivery_tag" in properties and "body" in envelope
