"""Listings: records by key, in bounded pieces, and behind them what has no record."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.records import Record, job_info, literal, pairs, text
from qtool.engine.brokers.redis.seen import info
from qtool.engine.celery.results import decode_result
from qtool.engine.states import State
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from qtool.engine.brokers.redis.foreign import Foreign
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.celery.results import Meta
    from qtool.engine.filter import Filter
    from qtool.engine.job import JobInfo

INDEXED = frozenset(
    {State.RUNNING, State.SCHEDULED, State.RETRY, State.DEAD, State.CANCELLED, State.EXPIRED},
)
"""States whose records have an index of their own."""

PIECE = 500
"""Records that are read in one go…"""

LOOKED_AT = 5000
"""… looked at for their state and queue…"""

PIECE_BYTES = 4 << 20
"""… and bytes of messages read in one go."""


class Listing:
    """Reads jobs, and goes over them."""

    def __init__(self, store: Store, foreign: Foreign) -> None:
        self._store = store
        self._foreign = foreign

    # --- by id ---------------------------------------------------------------------------------------

    def records(self, ids: Sequence[str]) -> list[Record | None]:
        """What stands of each; None for an id without a record."""
        layout, found = self._store.layout, list[Record | None]()
        while len(found) < len(ids):
            piece = ids[len(found) : len(found) + PIECE]
            said = (layout.records, layout.messages, layout.results, layout.unacked, PIECE_BYTES)
            rows = self._store.scripts.run("read", (), (*said, *piece))
            found += [_record(id, row) for id, row in zip(piece, rows, strict=False)]
        return found

    def states(self, ids: Sequence[str]) -> list[Mapping[str, bytes] | None]:
        """The state (``s``) of each and what belongs to it (``why``, ``e``, ``r``); None for an id without a record."""
        if not ids:
            return []
        fields = ("s", "why", "e", "r")
        with self._store.client.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.hmget(self._store.layout.records + id, *fields)
            rows = pipe.execute()
        said = [{name: value for name, value in zip(fields, row, strict=True) if value is not None} for row in rows]
        return [each if "s" in each else None for each in said]

    def metas(self, ids: Sequence[str]) -> list[Meta | None]:
        """What Celery's result backend has of each."""
        if not ids:
            return []
        return [_meta(raw) for raw in self._store.client.mget([self._store.layout.results + id for id in ids])]

    def beginning(self, prefix: str) -> Iterator[str]:
        """Ids of records and of Celery's results that begin so; one may come twice."""
        client, layout = self._store.client, self._store.layout
        for id, _ in client.zscan_iter(layout.jobs, f"{literal(prefix)}*", LOOKED_AT):
            yield text(id)
        for key in client.scan_iter(f"{literal(layout.results + prefix)}*", LOOKED_AT):
            yield text(key).removeprefix(layout.results)

    # --- by key --------------------------------------------------------------------------------------

    def walk(
        self, where: Filter | None = None, *, after: int | None = None, oldest_first: bool = False, piece: int = PIECE
    ) -> Iterator[tuple[int, JobInfo]]:
        """The jobs that match, by key. ``piece``: how many somebody wants, as far as one knows."""
        queues, states = (where.queues(), where.states()) if where is not None else (None, None)
        piece = min(max(piece, 1), PIECE)
        now = self._store.clock.now()
        parts = [
            self._recorded(queues, states, after, oldest_first, piece),
            self._strange(queues, states, after, oldest_first, piece),
        ]
        for part in reversed(parts) if oldest_first else parts:
            for key, job in part:
                if where is None or where.matches(job, now):
                    yield key, job

    def _recorded(
        self,
        queues: Collection[str] | None,
        states: Collection[State] | None,
        after: int | None,
        oldest_first: bool,
        piece: int,
    ) -> Iterator[tuple[int, JobInfo]]:
        if after is not None and after <= 0 and not oldest_first:
            return
        layout = self._store.layout
        if states is not None and INDEXED.issuperset(states):
            walks = [
                self._along(layout.inside(state), None, queues, after, oldest_first, piece) for state in sorted(states)
            ]
        else:
            walks = [self._along(layout.jobs, states, queues, after, oldest_first, piece)]
        merged = walks[0] if len(walks) == 1 else heapq.merge(*walks, reverse=not oldest_first)
        keys: list[int] = []
        ids: list[str] = []
        for key, id in merged:
            keys.append(key)
            ids.append(id)
            if len(ids) == piece:
                yield from self._read(keys, ids)
                keys, ids, piece = [], [], PIECE
        yield from self._read(keys, ids)

    def _read(self, keys: list[int], ids: list[str]) -> Iterator[tuple[int, JobInfo]]:
        for key, record in zip(keys, self.records(ids), strict=True):
            if record is not None:
                yield key, job_info(record)

    def _along(
        self,
        index: str,
        states: Collection[State] | None,
        queues: Collection[str] | None,
        after: int | None,
        oldest_first: bool,
        piece: int,
    ) -> Iterator[tuple[int, str]]:
        """Keys and ids along an index."""
        layout = self._store.layout
        way, start = ("old", "-inf") if oldest_first else ("new", "+inf")
        at = str(after) if after is not None else start
        chosen = ["\n".join(each) if each is not None else "" for each in (states, queues)]
        if any(each is not None and not each for each in (states, queues)):
            return
        while True:
            count = piece if states is None and queues is None else LOOKED_AT
            last, flat = self._store.scripts.run("pick", (index,), (at, way, count, piece, layout.records, *chosen))
            for n in range(0, len(flat), 2):
                yield int(float(flat[n])), text(flat[n + 1])
            if not last:
                return
            at, piece = text(last), PIECE

    def _strange(
        self,
        queues: Collection[str] | None,
        states: Collection[State] | None,
        after: int | None,
        oldest_first: bool,
        piece: int,
    ) -> Iterator[tuple[int, JobInfo]]:
        if after is not None and after >= 0:
            if oldest_first:
                return
            after = None
        for each in self._foreign.walk(queues, states, after=after, oldest_first=oldest_first, piece=piece):
            yield each.key, info(each.seen)


def _record(id: str, row: list[Any] | None) -> Record | None:
    if not row:
        return None
    fields, message, claimed, result = row
    return Record(id, pairs(fields), message, bool(claimed), _meta(result))


def _meta(raw: bytes | str | None) -> Meta | None:
    """What cannot be read (a pickled result) says nothing."""
    if raw is None:
        return None
    try:
        return decode_result(raw)
    except Undecodable:
        return None
