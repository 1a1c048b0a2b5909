"""Moving jobs from one store to another: the steps of :mod:`qtool.engine.freight` in their order."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from qtool.engine.freight import BATCH, Moved, Parcel
from qtool.errors import Unsupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from qtool.engine.broker import Adapter
    from qtool.engine.freight import Freight, Transit, Trip
    from qtool.engine.states import State


class Mover:
    """Takes jobs from one store to another. Each batch is whole before the next begins."""

    def __init__(self, source: Adapter, target: Adapter) -> None:
        """Raises Unsupported, and UsageError where both are the same store."""
        self._out, self._in = freight_of(source), freight_of(target)
        self._url = target.url
        if self._out.identity() == self._in.identity():
            raise UsageError(why=f"{source.url} and {target.url} are the same store, or one is a copy of the other.")
        self._trip: Trip | None = None

    def begin(self) -> None:
        """Set out; a mover between the same two stores that has not ended yet is refused from now on.

        Raises BrokerError while nothing has been taken out yet, should the destination not be writable.
        """
        self._trip = self._out.begin(self._in.identity(), self._url)
        self._in.unload(self._trip, ())

    def finish(self) -> Iterator[list[Moved]]:
        """Go on with what an earlier mover had begun."""
        trip = self._begun()
        after = ""
        while parcels := self._out.loaded(trip, after):
            after = parcels[-1].id
            yield self._deliver(trip, parcels)
        self._in.clear(trip)

    def move(self, ids: Iterable[str], states: Collection[State], into: str | None = None) -> Iterator[list[Moved]]:
        """Move those that are in one of ``states``; what became of each, a batch at a time. Call :meth:`finish` first.

        ``into`` is their queue at the destination, instead of the same.
        """
        source = iter(ids)
        while page := list(dict.fromkeys(islice(source, BATCH))):
            while page:
                done = self._batch(page, states, into)
                page = page[len(done) :]
                yield done

    def _batch(self, ids: Sequence[str], states: Collection[State], into: str | None) -> list[Moved]:
        """The first of ``ids``, as many as are a batch."""
        trip = self._begun()
        loads = self._out.load(trip, ids, states, into)
        parcels = iter(self._deliver(trip, [each for each in loads if isinstance(each, Parcel)]))
        return [next(parcels) if isinstance(each, Parcel) else each for each in loads]

    def _deliver(self, trip: Trip, parcels: Sequence[Parcel]) -> list[Moved]:
        """Unload what was loaded, and clear up behind it."""
        if not parcels:
            return []
        whys = self._in.unload(trip, parcels)
        arrived = [parcel.id for parcel, why in zip(parcels, whys, strict=True) if why is None]
        if arrived:
            self._out.drop(trip, arrived)
        refused = {parcel.id: why for parcel, why in zip(parcels, whys, strict=True) if why is not None}
        if refused:
            for id, stuck in zip(refused, self._out.put_back(trip, list(refused)), strict=True):
                refused[id] += f"; and it cannot go back: {stuck}" if stuck is not None else ""
        self._in.clear(trip)
        return [_delivered(parcel, refused.get(parcel.id)) for parcel in parcels]

    def _begun(self) -> Trip:
        assert self._trip is not None, "begin() was not called"
        return self._trip


def put_back(source: Adapter, transit: Transit) -> Iterator[list[Moved]]:
    """Put what is on its way from here among the jobs again, whatever the destination has of it."""
    freight = freight_of(source)
    trip = freight.begin(transit.peer, transit.url)
    after = ""
    while parcels := freight.loaded(trip, after):
        after = parcels[-1].id
        whys = freight.put_back(trip, [parcel.id for parcel in parcels])
        yield [
            Moved(id=each.id, state=each.state, queue=each.queue, into=each.queue, moved=why is None, note=why)
            for each, why in zip(parcels, whys, strict=True)
        ]


def freight_of(adapter: Adapter) -> Freight:
    """The side that moves whole jobs. Raises Unsupported."""
    if adapter.freight is None:
        raise Unsupported(url=adapter.url, what="have its jobs moved")
    return adapter.freight


def _delivered(parcel: Parcel, why: str | None) -> Moved:
    return Moved(
        id=parcel.id,
        state=parcel.state,
        queue=parcel.queue,
        into=parcel.at if why is None else None,
        moved=why is None,
        note=why,
    )
