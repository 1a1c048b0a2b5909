"""The ResultStore side: what jobs ended as, and what they wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.records import failure, taken, text
from qtool.engine.job import Chunk, Result
from qtool.engine.output import since
from qtool.engine.states import Reason, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtool.engine.brokers.redis.foreign import Foreign, Found
    from qtool.engine.brokers.redis.listing import Listing
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.celery.results import Meta


class RedisResults:
    """See :class:`qtool.engine.broker.ResultStore`. Values stand where Celery keeps them, states in the records."""

    def __init__(self, store: Store, listing: Listing, foreign: Foreign) -> None:
        self._store = store
        self._listing = listing
        self._foreign = foreign

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        with self._store.translated():
            metas = dict(zip(ids, self._listing.metas(ids), strict=True))
            states = dict(zip(ids, self._listing.states(ids), strict=True))
            strange = [id for id in metas if metas[id] is None and states[id] is None]
            sought = self._foreign.seek(strange) if strange else {}
        return [_of_message(sought[id]) if id in sought else _result(id, states[id], metas[id]) for id in ids]

    def output(self, id: str, *, attempt: int | None = None, after: int = 0) -> list[Chunk]:
        client, layout = self._store.client, self._store.layout
        with self._store.translated():
            which = int(client.hget(layout.records + id, "a") or 0) if attempt is None else attempt
            pieces = client.lrange(layout.output(id, which), 0, -1) + client.lrange(layout.tail(id, which), 0, -1)
        return since((_chunk(piece) for piece in pieces), after)


def _result(id: str, fields: Mapping[str, bytes] | None, meta: Meta | None) -> Result | None:
    """From the record and from what Celery keeps; a job that Celery's worker ended is there only."""
    elsewhere = meta if fields is None else taken(fields["s"], meta)
    if elsewhere is not None or fields is None:
        return replace(elsewhere.result, id=id) if elsewhere is not None else None
    state = State(text(fields["s"]))
    why, kept = fields.get("why"), fields.get("r")
    value = text(kept) if kept is not None else meta.value if meta is not None else None
    return Result(
        id=id,
        state=state,
        value=value if state is State.SUCCEEDED else None,
        reason=Reason(text(why)) if why else None,
        error=failure(fields.get("e")),
    )


def _of_message(found: Found) -> Result:
    return Result(id=found.seen.id, state=found.seen.state, value=None, reason=None, error=found.seen.error)


def _chunk(piece: Any) -> Chunk:
    head, _, data = piece.partition(b"\n")
    stream, _, offset = head.partition(b" ")
    return Chunk(text(stream), int(offset), data)
