"""A person's verbs on what has no record: messages of Celery's clients that wait, and results of what has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.broker import Change
from qtool.engine.states import FINAL, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.brokers.redis.foreign import Foreign, Found
    from qtool.engine.brokers.redis.listing import Listing
    from qtool.engine.brokers.redis.store import Store

UNKNOWN = "no such job"
TAKEN = "a worker of Celery's has it"
MOVED = "somebody else took it meanwhile"
UNREADABLE = "nobody can read it; it can only be deleted"
NO_MESSAGE = "there is only its result: Celery keeps no message of what has ended"


class Strangers:
    """Acts on messages where they lie, each only if it is still there."""

    def __init__(self, store: Store, foreign: Foreign, listing: Listing) -> None:
        self._store = store
        self._foreign = foreign
        self._listing = listing

    def change(self, verb: str, ids: Sequence[str]) -> dict[str, Change]:
        """Apply a verb (retry, cancel, kill, delete) to ids without a record. Raises BrokerError and its kin."""
        with self._store.translated():
            metas = dict(zip(ids, self._listing.metas(ids), strict=True))
            ended = {id: meta.state for id, meta in metas.items() if meta is not None and meta.state in FINAL}
            sought = self._foreign.seek([id for id in ids if id not in ended])
        found = {id: self._of_result(verb, id, state) for id, state in ended.items()}
        found |= {id: change for id, each in sought.items() if (change := _refused(verb, each)) is not None}
        found |= self._dismiss(verb, [each for id, each in sought.items() if id not in found])
        return {id: found.get(id) or Change(id, None, None, UNKNOWN) for id in ids}

    def adopt(self, ids: Sequence[str]) -> dict[str, Change]:
        """Give waiting messages a record, so that they are jobs as any; on the others, why they stay without."""
        with self._store.translated():
            metas = dict(zip(ids, self._listing.metas(ids), strict=True))
            ended = {id: meta.state for id, meta in metas.items() if meta is not None and meta.state in FINAL}
            sought = self._foreign.seek([id for id in ids if id not in ended])
        found = {id: Change(id, state, state, NO_MESSAGE) for id, state in ended.items()}
        found |= {id: change for id, each in sought.items() if (change := _refused("adopt", each)) is not None}
        left = [each for id, each in sought.items() if id not in found]
        if left:
            with self._store.translated():
                items = [self._item(each) for each in left]
            done = self._store.call("adopt", items, raw=[each.seen.raw for each in left])
            found |= {
                each.seen.id: Change(each.seen.id, each.seen.state, each.seen.state, MOVED)
                for each, yes in zip(left, done, strict=True)
                if not yes
            }
        adopted = {each.seen.id for each in left} - found.keys()
        return {id: found.get(id) or Change(id, None, None, UNKNOWN) for id in ids if id not in adopted}

    def _of_result(self, verb: str, id: str, state: State) -> Change:
        if verb == "delete":
            with self._store.translated():
                self._store.client.delete(self._store.layout.results + id)
            return Change(id, state, None)
        return Change(id, state, state, NO_MESSAGE if verb == "retry" else f"it is {state} already")

    def _dismiss(self, verb: str, which: Sequence[Found]) -> dict[str, Change]:
        if not which:
            return {}
        with self._store.translated():
            items = [self._item(each) for each in which]
        said = self._store.call("dismiss", verb, items, raw=[each.seen.raw for each in which])
        return {
            each.seen.id: Change(each.seen.id, each.seen.state, State(after.decode()) if after else None)
            if there
            else Change(each.seen.id, None, None, MOVED)
            for each, (there, after) in zip(which, said, strict=True)
        }

    def _item(self, found: Found) -> tuple[str, str, int, bool]:
        place, layout = found.place, self._store.layout
        lists = layout.lists(place.queue)
        step = lists.index(place.key) + 1 if place.key in lists else 1
        head = 2 * (found.key - place.first) > int(self._store.client.llen(place.key))
        return place.key, place.queue, step, head


def _refused(verb: str, found: Found) -> Change | None:
    """Why a message stays as it is; None where the verb applies."""
    seen = found.seen
    if found.tag is not None:
        return Change(seen.id, seen.state, seen.state, TAKEN)
    if verb == "delete":
        return None
    if verb == "retry":
        return Change(seen.id, seen.state, seen.state, f"it is {seen.state}, not finished")
    if seen.message is None:
        return Change(seen.id, seen.state, seen.state, UNREADABLE)
    return None
