"""Taking whole jobs out of this process's memory, and into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from qtool.engine.brokers.memory.store import Row, Store
from qtool.engine.freight import (
    BATCH_BYTES,
    MORE_THAN_A_JOB,
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
from qtool.engine.states import FINAL, State
from qtool.errors import MoveSuperseded

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


@dataclass(slots=True)
class Peer:
    """Another store, and what is known of the last trip to it or from it."""

    url: str
    number: int
    parcels: dict[str, str] = field(default_factory=dict)
    """What has departed there, by id: texts, so that it has gone through the same as with every other adapter."""
    arrived: dict[str, int] = field(default_factory=dict)
    """The trip that brought each job from there."""


class MemoryFreight:
    """See :class:`qtool.engine.freight.Freight`."""

    def __init__(self, store: Store, url: str) -> None:
        self._store = store
        self._url = url
        self._identity = uuid4().hex
        self._outward: dict[str, Peer] = {}
        self._inward: dict[str, Peer] = {}

    def identity(self) -> str:
        return self._identity

    def begin(self, destination: str, url: str) -> Trip:
        with self._store.lock:
            peer = self._outward.setdefault(destination, Peer(url, 0))
            peer.url, peer.number = url, max(peer.number + 1, int(self._store.clock.now() * 1000))
            return Trip(number=peer.number, origin=self._identity, origin_url=self._url, destination=destination)

    def load(
        self, trip: Trip, ids: Sequence[str], states: Collection[State], into: str | None = None
    ) -> list[Parcel | Moved]:
        taken: list[Parcel | Moved] = []
        with self._store.lock:
            peer = self._setting_out(trip)
            size = 0
            for id in ids:
                if size >= BATCH_BYTES:
                    break
                taken.append(self._load(peer, id, states, into))
                size += len(peer.parcels.get(id, ""))
        return taken

    def _load(self, peer: Peer, id: str, states: Collection[State], into: str | None) -> Parcel | Moved:
        row = self._store.by_id.get(id)
        if row is None:
            return Moved(id=id, note=UNDERWAY if self._underway(id) else UNKNOWN)
        if row.state is State.RUNNING or row.state not in states:
            return Moved(id=id, state=row.state, queue=row.job.queue, note=stays(row.state))
        if self._underway(id):
            return Moved(id=id, state=row.state, queue=row.job.queue, note=UNDERWAY)
        text = encode_parcel(_packed(row, into))
        self._store.drop(row)
        self._store.bells.ring("finished")
        peer.parcels[id] = text
        return decode_parcel(text)

    def _underway(self, id: str) -> bool:
        return any(id in peer.parcels for peer in self._outward.values())

    def loaded(self, trip: Trip, after: str = "") -> list[Parcel]:
        with self._store.lock:
            parcels = self._setting_out(trip).parcels
            return batched(parcels[id] for id in sorted(parcels) if id > after)

    def unload(self, trip: Trip, parcels: Sequence[Parcel]) -> list[str | None]:
        with self._store.lock:
            peer = self._inward.setdefault(trip.origin, Peer(trip.origin_url, 0))
            if trip.number < peer.number:
                raise MoveSuperseded(url=self._url)
            peer.url, peer.number = trip.origin_url, trip.number
            whys: list[str | None] = []
            for parcel in parcels:
                why = None
                if parcel.id not in peer.arrived and (why := self._take_in(parcel, parcel.at)) is None:
                    peer.arrived[parcel.id] = trip.number
                whys.append(why)
            return whys

    def _take_in(self, parcel: Parcel, queue: str) -> str | None:
        """Make a job of it; why not, otherwise."""
        store = self._store
        if parcel.redis_only:
            return MORE_THAN_A_JOB
        if parcel.id in store.by_id:
            return THERE_ALREADY
        if self._underway(parcel.id):
            return UNDERWAY
        if parcel.holds is not None and (holder := store.holders.get(parcel.holds)) is not None:
            return key_held(holder.job.id)
        store.place(_row(parcel, queue))
        if parcel.state not in FINAL:
            store.tally(queue).count("enqueued")
        store.bells.ring("ready", "finished")
        return None

    def drop(self, trip: Trip, ids: Sequence[str]) -> None:
        with self._store.lock:
            peer = self._setting_out(trip)
            for id in ids:
                peer.parcels.pop(id, None)

    def put_back(self, trip: Trip, ids: Sequence[str]) -> list[str | None]:
        with self._store.lock:
            return [self._put_back(self._setting_out(trip), id) for id in ids]

    def _put_back(self, peer: Peer, id: str) -> str | None:
        text = peer.parcels.pop(id, None)
        if text is None:
            return None
        parcel = decode_parcel(text)
        if (why := self._take_in(parcel, parcel.queue)) is not None:
            peer.parcels[id] = text
        return why

    def clear(self, trip: Trip) -> None:
        with self._store.lock:
            if (peer := self._inward.get(trip.origin)) is not None:
                peer.arrived = {id: number for id, number in peer.arrived.items() if number > trip.number}

    def transits(self) -> list[Transit]:
        with self._store.lock:
            known = [(name, peer, len(peer.parcels), True) for name, peer in self._outward.items()]
            known += [(name, peer, len(peer.arrived), False) for name, peer in self._inward.items()]
            return [Transit(peer=name, url=peer.url, outward=out, jobs=n) for name, peer, n, out in known if n]

    def transfer(self, ids: Sequence[str], into: str, states: Collection[State]) -> list[Moved]:
        with self._store.lock:
            done = [self._transfer(id, into, states) for id in ids]
            self._store.bells.ring("ready")
            return done

    def _transfer(self, id: str, into: str, states: Collection[State]) -> Moved:
        row = self._store.by_id.get(id)
        if row is None:
            return Moved(id=id, note=UNKNOWN)
        before = row.job.queue
        if row.state is State.RUNNING or row.state not in states:
            return Moved(id=id, state=row.state, queue=before, note=stays(row.state))
        if before == into:
            return Moved(id=id, state=row.state, queue=before, into=into, note=SAME_QUEUE)
        self._store.rehome(row, into)
        return Moved(id=id, state=row.state, queue=before, into=into, moved=True)

    def _setting_out(self, trip: Trip) -> Peer:
        """Where the trip goes. Raises MoveSuperseded."""
        peer = self._outward.get(trip.destination)
        if peer is None or trip.number != peer.number:
            raise MoveSuperseded(url=self._url)
        return peer


def _packed(row: Row, into: str | None) -> Parcel:
    job = row.job
    return Parcel(
        id=job.id,
        task=job.task,
        queue=job.queue,
        into=into,
        state=row.state,
        priority=job.priority,
        created_at=job.created_at,
        ready_at=row.ready_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempt=row.attempt,
        failures=row.failures,
        crashes=row.crashes,
        reason=row.reason,
        error=row.error,
        worker=row.worker,
        message=row.message,
        unique=job.unique,
        key=job.key,
        key_limit=job.key_limit,
        body=row.body,
        options=row.options,
        result=row.result,
        attempts=tuple(row.attempts),
        output=tuple((attempt, chunk) for attempt, chunks in sorted(row.output.items()) for chunk in chunks),
    )


def _row(parcel: Parcel, queue: str) -> Row:
    """The row of a parcel, without a key."""
    row = Row(
        0,
        parcel.job(queue),
        parcel.body,
        parcel.options,
        parcel.state,
        ready_at=parcel.ready_at,
        due_at=parcel.due_at,
        expires_at=parcel.expires_at,
        started_at=parcel.started_at,
        finished_at=parcel.finished_at,
        attempt=parcel.attempt,
        failures=parcel.failures,
        crashes=parcel.crashes,
        worker=parcel.worker,
        reason=parcel.reason,
        error=parcel.error,
        result=parcel.result,
        message=parcel.message,
        attempts=list(parcel.attempts),
    )
    for attempt, chunk in parcel.output:
        row.output.setdefault(attempt, []).append(chunk)
    return row
