"""The Freight side: taking whole jobs out of one database, and into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.packing import Packed, coming, pack, seen_as, without_signature
from qtool.engine.brokers.redis.records import text
from qtool.engine.celery.message import decode_message, reissue
from qtool.engine.freight import (
    BATCH,
    BATCH_BYTES,
    SAME_QUEUE,
    THERE_ALREADY,
    UNDERWAY,
    UNKNOWN,
    Moved,
    Parcel,
    Transit,
    Trip,
    batched,
    decode_parcel,
    encode_parcel,
    key_held,
    stays,
)
from qtool.engine.states import State
from qtool.errors import MoveSuperseded, QtoolError, Undecodable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from qtool.engine.broker import Change, ResultStore
    from qtool.engine.brokers.redis.listing import Listing
    from qtool.engine.brokers.redis.records import Record
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.brokers.redis.strangers import Strangers

CHANGED = "somebody else was at it just now"
"""Why a job stays that was claimed, or otherwise changed, between a look at it and the taking."""

LATE = -1
"""What a script says to a trip that is not the last."""


class RedisFreight:
    """See :class:`qtool.engine.freight.Freight`."""

    def __init__(self, store: Store, listing: Listing, results: ResultStore, strangers: Strangers) -> None:
        self._store = store
        self._listing = listing
        self._strangers = strangers
        self._results = results

    def identity(self) -> str:
        return self._store.identity()

    def begin(self, destination: str, url: str) -> Trip:
        number = self._store.call("trips", "begin", destination, int(self._store.clock.now() * 1000), url, [])
        return Trip(number=number, origin=self.identity(), origin_url=self._store.url, destination=destination)

    # --- out -----------------------------------------------------------------------------------------

    def load(
        self, trip: Trip, ids: Sequence[str], states: Collection[State], into: str | None = None
    ) -> list[Parcel | Moved]:
        taken: list[Parcel | Moved] = []
        leaving: list[tuple[str, str, str]] = []
        size = 0
        looked = self._look(ids, states)
        values = self._values([each for each in looked if not isinstance(each, Moved)])
        for found in looked:
            if size >= BATCH_BYTES:
                break
            if isinstance(found, Moved):
                taken.append(found)
                continue
            try:
                packed = without_signature(
                    pack(found, self._beside(found, values), into), self._store.key, self._store.url
                )
            except QtoolError as error:
                taken.append(Moved(id=found.id, state=found.state, queue=found.said(b"q"), note=str(error)))
                continue
            whole = encode_parcel(packed)
            size += len(whole)
            leaving.append((found.id, seen_as(found), whole))
            taken.append(packed)
        left = self._answer("depart", trip.destination, trip.number, leaving)
        gone = {job[0] for job, yes in zip(leaving, left, strict=True) if yes}
        return [each if isinstance(each, Moved) or each.id in gone else _missed(each) for each in taken]

    def _look(self, ids: Sequence[str], states: Collection[State]) -> list[Record | Moved]:
        """The record of each that may go; why it may not, of the others."""
        if not ids:
            return []
        store = self._store
        with store.translated():
            records = dict(zip(ids, self._listing.records(ids), strict=True))
            away: list[Any] = store.client.hmget(store.layout.departed, list(ids))
        underway = {id for id, where in zip(ids, away, strict=True) if where is not None}
        strange = [id for id, record in records.items() if record is None and id not in underway]
        stay = {id: Moved(id=id, note=UNDERWAY) for id in underway if records[id] is None}
        if strange:
            stay |= {id: _left(change) for id, change in self._strangers.adopt(strange).items()}
            adopted = [id for id in strange if id not in stay]
            with store.translated():
                records |= dict(zip(adopted, self._listing.records(adopted), strict=True))
        return [stay[id] if id in stay else _may_go(id, records[id], states) for id in ids]

    def _values(self, records: Sequence[Record]) -> dict[str, str | None]:
        """What those that succeeded have returned."""
        ids = [each.id for each in records if each.state is State.SUCCEEDED]
        found = self._results.results(ids) if ids else []
        return {each.id: each.value for each in found if each is not None}

    def _beside(self, record: Record, values: Mapping[str, str | None]) -> Packed:
        if not record.number(b"a") and not record.said(b"o"):
            return Packed()
        store, id = self._store, record.id
        with store.translated():
            attempts: Any = store.client.lrange(store.layout.attempts(id), 0, -1)
        wrote = range(1, record.number(b"o") + 1)
        output = ((attempt, chunk) for attempt in wrote for chunk in self._results.output(id, attempt=attempt))
        return Packed(attempts=tuple(attempts), value=values.get(id), output=tuple(output))

    def loaded(self, trip: Trip, after: str = "") -> list[Parcel]:
        client, layout = self._store.client, self._store.layout
        with self._store.translated():
            last: Any = client.hget(layout.trips, f"o:{trip.destination}")
            if last is None or int(last.partition(b" ")[0]) != trip.number:
                raise MoveSuperseded(url=self._store.url)
            key = layout.departures(trip.destination)
            ids = sorted(id for id in map(text, client.hkeys(key)) if id > after)[:BATCH]
            texts: list[Any] = [client.hget(key, id) for id in ids]
        return batched(each for each in texts if each is not None)

    def drop(self, trip: Trip, ids: Sequence[str]) -> None:
        self._answer("trips", "drop", trip.destination, trip.number, "", list(ids))

    # --- in ------------------------------------------------------------------------------------------

    def unload(self, trip: Trip, parcels: Sequence[Parcel]) -> list[str | None]:
        return self._come("i:", trip.origin, trip, [(parcel, parcel.at) for parcel in parcels])

    def put_back(self, trip: Trip, ids: Sequence[str]) -> list[str | None]:
        store = self._store
        with store.translated():
            texts: list[Any] = store.client.hmget(store.layout.departures(trip.destination), list(ids)) if ids else []
        parcels = {id: decode_parcel(whole) for id, whole in zip(ids, texts, strict=True) if whole is not None}
        whys = self._come("o:", trip.destination, trip, [(parcel, parcel.queue) for parcel in parcels.values()])
        told = dict(zip(parcels, whys, strict=True))
        return [told.get(id) for id in ids]

    def _come(self, way: str, store: str, trip: Trip, parcels: Sequence[tuple[Parcel, str]]) -> list[str | None]:
        """Why each stays outside."""
        raw: list[bytes] = []
        rows: dict[str, tuple[Any, ...]] = {}
        whys: dict[str, str | None] = {}
        for parcel, queue in parcels:
            try:
                rows[parcel.id] = coming(parcel, queue, self._store.key, self._store.url, raw)
            except QtoolError as error:
                whys[parcel.id] = str(error)
        said = self._answer("arrive", way, store, trip.number, trip.origin_url, list(rows.values()), raw=raw)
        whys |= {id: _why(text(each)) for id, each in zip(rows, said, strict=True)}
        return [whys[parcel.id] for parcel, _ in parcels]

    def clear(self, trip: Trip) -> None:
        # A trip after this one clears up itself.
        self._store.call("trips", "clear", trip.origin, trip.number, "", [])

    def transits(self) -> list[Transit]:
        client, layout = self._store.client, self._store.layout
        found: list[Transit] = []
        with self._store.translated():
            trips: dict[Any, Any] = client.hgetall(layout.trips)
            for which, said in trips.items():
                way, _, peer = text(which).partition(":")
                key = layout.departures(peer) if way == "o" else layout.arrivals(peer)
                if jobs := int(client.hlen(key)):
                    url = text(said).partition(" ")[2]
                    found.append(Transit(peer=peer, url=url, outward=way == "o", jobs=jobs))
        return sorted(found, key=lambda each: (each.url, each.outward))

    # --- to another queue ----------------------------------------------------------------------------

    def transfer(self, ids: Sequence[str], into: str, states: Collection[State]) -> list[Moved]:
        going: dict[str, tuple[str, str, str]] = {}
        done: dict[str, Moved] = {}
        looked = self._look(ids, states)
        for found in looked:
            if isinstance(found, Moved):
                done[found.id] = found
                continue
            queue = found.said(b"q")
            done[found.id] = Moved(id=found.id, state=found.state, queue=queue, into=into, note=SAME_QUEUE)
            if queue != into:
                try:
                    message = reissue(decode_message(found.message or b""), queue=into)
                except Undecodable as error:
                    done[found.id] = Moved(id=found.id, state=found.state, queue=queue, note=str(error))
                else:
                    going[found.id] = (found.id, seen_as(found), message.decode())
        for id, yes in zip(going, self._answer("transfer", into, list(going.values())), strict=True):
            before = done[id]
            done[id] = Moved(
                id=id,
                state=before.state,
                queue=before.queue,
                into=into if yes else None,
                moved=bool(yes),
                note=None if yes else CHANGED,
            )
        return [done[each.id] for each in looked]

    def _answer(self, script: str, *arguments: Any, raw: Sequence[bytes] = ()) -> Any:
        """What a script answers. Raises MoveSuperseded, BrokerError."""
        answer = self._store.call(script, *arguments, raw=raw)
        if answer == LATE:
            raise MoveSuperseded(url=self._store.url)
        return answer


def _may_go(id: str, record: Record | None, states: Collection[State]) -> Record | Moved:
    if record is None:
        return Moved(id=id, note=UNKNOWN)
    why = None
    if record.state is State.RUNNING or record.state not in states:
        why = stays(record.state)
    elif record.fields[b"s"] != record.state.encode():
        # A worker of Celery's has ended it, and upkeep has not written that down yet.
        why = CHANGED
    return Moved(id=id, state=record.state, queue=record.said(b"q"), note=why) if why is not None else record


def _left(change: Change) -> Moved:
    return Moved(id=change.id, state=change.before, note=change.note)


def _missed(parcel: Parcel) -> Moved:
    return Moved(id=parcel.id, state=parcel.state, queue=parcel.queue, note=CHANGED)


def _why(said: str) -> str | None:
    what, _, holder = said.partition(" ")
    return {"": None, "there": THERE_ALREADY, "underway": UNDERWAY, "held": key_held(holder)}[what]
