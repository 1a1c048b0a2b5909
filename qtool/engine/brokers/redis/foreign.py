"""What lies in Redis without a record of qtool's: the messages of Celery's clients, found and read where they are.

Looking is pure: LRANGE, HMGET and SCAN, in pieces; nothing is moved, marked or decoded that is not JSON. A message has
no key of its own, so it is known by its position: the lists stand in the order of their names, and a message's key is
negative and counts from the tail of its list, where the next one is taken. Positions shift when messages are taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.records import text
from qtool.engine.brokers.redis.seen import NAMELESS, Seen, see, unwrap
from qtool.engine.states import State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from qtool.engine.brokers.redis.discovery import Discovery
    from qtool.engine.brokers.redis.store import Store

STRIDE = 1 << 40
"""Keys that a place has: more messages than a list can hold."""

PIECE = 500
"""Messages that are read in one go…"""

PIECE_BYTES = 4 << 20
"""… and bytes of them."""

SOUGHT = 2000
"""Messages that are gone over for an id in one go."""


LOOKED_FOR = 10_000
"""Pieces that are gone over for an id: twenty million messages."""


class Place(Value):
    """A list of messages, or the hash of those that are claimed."""

    slot: int
    key: str
    queue: str
    """Empty for the hash: there each message says where it came from."""
    state: State

    @property
    def first(self) -> int:
        """The key of the message at its tail."""
        return -(self.slot + 1) * STRIDE


class Found(Value):
    """A message without a record."""

    key: int
    """In listings."""
    place: Place
    tag: str | None
    """What it is claimed under."""
    seen: Seen


class Foreign:
    """Goes over the places where Celery keeps messages."""

    def __init__(self, store: Store, discovery: Discovery) -> None:
        self._store = store
        self._discovery = discovery

    def places(self, queues: Collection[str] | None = None, states: Collection[State] | None = None) -> list[Place]:
        """Where messages lie, by key, the greatest first; of these queues and states only."""
        layout, names = self._store.layout, sorted(self._discovery.queues())
        every = [(key, name, State.READY) for name in names for key in layout.lists(name)]
        every.append((layout.unacked, "", State.RUNNING))
        every += [(layout.parked(name), name, State.DEAD) for name in names]
        found = [Place(slot, *each) for slot, each in enumerate(every)]
        return [
            place
            for place in found
            if (queues is None or not place.queue or place.queue in queues)
            and (states is None or place.state in states or (not place.queue and State.SCHEDULED in states))
        ]

    # --- going over them -----------------------------------------------------------------------------

    def walk(
        self,
        queues: Collection[str] | None = None,
        states: Collection[State] | None = None,
        *,
        after: int | None = None,
        oldest_first: bool = False,
        piece: int = PIECE,
    ) -> Iterator[Found]:
        """The messages without a record, by key; those behind ``after``. Read piece by piece, as far as one goes."""
        places = self.places(queues, states)
        ours: dict[str, bool] = {}
        for place in reversed(places) if oldest_first else places:
            if place.state is State.READY and place.queue not in ours:
                ours[place.queue] = self._ours_only(place.queue)
            if ours.get(place.queue):
                continue
            start = 0 if oldest_first else STRIDE - 1
            if after is not None:
                # Keys grow from the tail of a place to its head.
                start = after - place.first + (1 if oldest_first else -1)
                if not 0 <= start < STRIDE and oldest_first is (start >= STRIDE):
                    continue
                start = min(max(start, 0), STRIDE - 1)
            read = self._list if place.queue else self._claimed
            yield from read(place, start, oldest_first, piece)

    def _ours_only(self, queue: str) -> bool:
        """Whether a long queue has no messages but of records, as far as its counters and its ends tell."""
        client, layout = self._store.client, self._store.layout
        lists = layout.lists(queue)
        with client.pipeline(transaction=False) as pipe:
            for key in lists:
                pipe.llen(key)
            pipe.hmget(layout.counts(queue), "ready", "held")
            *lengths, (ready, held) = pipe.execute()
        if sum(lengths) <= 2 * PIECE or sum(lengths) > int(ready or 0) - int(held or 0):
            return False
        ends = (
            (key, at, way) for key, n in zip(lists, lengths, strict=True) for at, way in ((n - 1, "new"), (0, "old"))
        )
        return not any(self._sift(key, at, PIECE // 4, way)[1] for key, at, way in ends if at >= 0)

    def _sift(self, key: str, at: int, count: int, way: str) -> tuple[int, list[Any]]:
        """A stretch of a list: how many messages it had, and those that are not plainly of records."""
        gone, flat = self._store.scripts.run("sift", (key,), (at, count, way, PIECE_BYTES, self._store.layout.records))
        return gone, flat

    def _list(self, place: Place, start: int, oldest_first: bool, piece: int) -> Iterator[Found]:
        length = int(self._store.client.llen(place.key))
        at = start if oldest_first else min(start, length - 1)
        while 0 <= at < length:
            gone, flat = self._sift(place.key, at, piece, "old" if oldest_first else "new")
            sights = [(flat[n], None, see(flat[n + 1], place.queue, place.state)) for n in range(0, len(flat), 2)]
            yield from self._strays(place, sights)
            if not gone:
                return
            at += gone if oldest_first else -gone
            # What has a record costs little to pass over.
            piece = PIECE if flat else min(4 * piece, 40 * PIECE)

    def _claimed(self, place: Place, start: int, oldest_first: bool, piece: int) -> Iterator[Found]:
        client, layout = self._store.client, self._store.layout
        length = int(client.zcard(layout.unacked_index))
        at = start if oldest_first else min(start, length - 1)
        while 0 <= at < length:
            low, high = (at, at + piece - 1) if oldest_first else (max(0, at - piece + 1), at)
            tags: Sequence[Any] = client.zrange(layout.unacked_index, low, high)
            if not tags:
                return
            ranked = list(enumerate(tags, low))
            yield from self._strays(place, self._entries(ranked if oldest_first else ranked[::-1]))
            at = high + 1 if oldest_first else low - 1
            piece = PIECE

    def _entries(self, ranked: Sequence[tuple[int, bytes]]) -> list[tuple[int, str | None, Seen]]:
        """What is claimed under these tags, without what qtool claimed: there the tag is a job's id."""
        client, layout = self._store.client, self._store.layout
        ours = self.recorded([text(tag) for _, tag in ranked])
        left = [each for each, known in zip(ranked, ours, strict=True) if not known]
        if not left:
            return []
        found: list[tuple[int, str | None, Seen]] = []
        for (rank, tag), entry in zip(left, client.hmget(layout.unacked, [tag for _, tag in left]), strict=True):
            if entry is not None:
                found.append((rank, text(tag), self.claimed_seen(entry)))
        return found

    def claimed_seen(self, entry: bytes | str) -> Seen:
        """What stands in ``unacked``: it runs, or is held by a worker until its time comes."""
        raw, exchange, routing_key = unwrap(entry)
        seen = see(raw, self._discovery.queue_of(exchange, routing_key), State.RUNNING)
        eta = seen.message.eta if seen.message is not None else None
        if eta is not None and eta > self._store.clock.now():
            return Seen(seen.raw, seen.queue, State.SCHEDULED, seen.id, seen.task, seen.message)
        return seen

    def _strays(self, place: Place, sights: Sequence[tuple[int, str | None, Seen]]) -> Iterator[Found]:
        """Those without a record."""
        if not sights:
            return
        known = self.recorded([seen.id for _, _, seen in sights])
        for (at, tag, seen), recorded in zip(sights, known, strict=True):
            if not recorded:
                yield Found(place.first + at, place, tag, seen)

    def recorded(self, ids: Sequence[str]) -> list[bool]:
        """Whether each has a record."""
        client, records = self._store.client, self._store.layout.records
        # Mostly none has.
        if not ids or not client.exists(*(records + id for id in ids)):
            return [False] * len(ids)
        with client.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.exists(records + id)
            return [bool(each) for each in pipe.execute()]

    # --- looking for ids -----------------------------------------------------------------------------

    def seek(self, wanted: Collection[str], *, prefix: bool = False) -> dict[str, Found]:
        """The messages with these ids, or, with ``prefix``, those that begin so: two at most."""
        found: dict[str, Found] = {}
        for each in self._candidates(wanted, prefix):
            found.setdefault(each.seen.id, each)
            if each.seen.id in wanted if prefix else len(found) == len(wanted):
                break
            if prefix and len(found) > 1:
                break
        return found

    def _candidates(self, wanted: Collection[str], prefix: bool) -> Iterator[Found]:
        if any(NAMELESS.startswith(each[: len(NAMELESS)]) for each in wanted):
            # Such an id is made of the message: no search in the server finds it.
            yield from (each for each in self.walk() if _fits(each.seen.id, wanted, prefix))
            return
        ours: dict[str, bool] = {}
        for place in self.places():
            if place.state is State.READY and place.queue not in ours:
                ours[place.queue] = self._ours_only(place.queue)
            if not ours.get(place.queue):
                yield from self._sought(place, wanted, prefix)

    def _sought(self, place: Place, wanted: Collection[str], prefix: bool) -> Iterator[Found]:
        if not place.queue:
            yield from (each for each in self._claimed(place, 0, True, PIECE) if _fits(each.seen.id, wanted, prefix))
            return
        # From both ends inward: what people look for is about to run, or was just published.
        low, high = 0, int(self._store.client.llen(place.key))
        for turn in range(LOOKED_FOR):
            if low >= high:
                return
            count = min(SOUGHT, high - low)
            at = high - count if turn % 2 else low
            low, high = (low, at) if turn % 2 else (at + count, high)
            _, flat = self._store.scripts.run(
                "seek", (place.key,), (at, count, "prefix" if prefix else "whole", *wanted)
            )
            sights = [(flat[n], None, see(flat[n + 1], place.queue, place.state)) for n in range(0, len(flat), 2)]
            yield from self._strays(place, [each for each in sights if _fits(each[2].id, wanted, prefix)])


def _fits(id: str, wanted: Collection[str], prefix: bool) -> bool:
    return id.startswith(tuple(wanted)) if prefix else id in wanted
