"""The Operator side: a person's changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtool.engine.broker import ASKED_TO_STOP, TO_BE_KILLED, Change
from qtool.engine.brokers.redis.writing import afresh
from qtool.engine.limits import check_limit
from qtool.engine.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.brokers.redis.strangers import Strangers
    from qtool.engine.limits import Scope

AT_ONCE = 256
"""Jobs in one script: nothing holds the server for long."""

UNKNOWN = "no such job"


class RedisOperator:
    """Changes what stands on one server."""

    def __init__(self, store: Store, strangers: Strangers) -> None:
        self._store = store
        self._strangers = strangers

    def retry(self, ids: Sequence[str]) -> list[Change]:
        return self._each("retry", ids)

    def cancel(self, ids: Sequence[str]) -> list[Change]:
        return self._each("cancel", ids)

    def kill(self, ids: Sequence[str]) -> list[Change]:
        return self._each("kill", ids)

    def revoke(self, ids: Sequence[str]) -> list[Change]:
        """As :meth:`cancel`, but for what runs: see :meth:`qtool.engine.remote.Remote.revoke`."""
        return self._each("revoke", ids)

    def delete(self, ids: Sequence[str]) -> list[Change]:
        return self._each("delete", ids)

    def _each(self, verb: str, ids: Sequence[str]) -> list[Change]:
        changes = []
        for first in range(0, len(ids), AT_ONCE):
            some = [_sendable(id) for id in ids[first : first + AT_ONCE]]
            raw = self._anew(some) if verb == "retry" else ()
            for id, (before, after, note) in zip(some, self._store.call("operate", verb, some, raw=raw), strict=True):
                changes.append(_change(id, before, after, note.decode()))
        if unknown := [change.id for change in changes if change.before is None]:
            others = self._strangers.change("cancel" if verb == "revoke" else verb, unknown)
            changes = [change if change.before is not None else others.get(change.id, change) for change in changes]
        return changes

    def _anew(self, ids: Sequence[str]) -> list[bytes]:
        """Their messages as if nothing had happened yet; empty where they stay as they are."""
        store = self._store
        with store.translated():
            found: Any = store.client.mget([store.layout.messages + id for id in ids])
        return [afresh(message) or b"" for message in found]

    # --- queues and workers --------------------------------------------------------------------------

    def pause(self, queue: str) -> bool:
        with self._store.translated():
            return bool(self._store.client.sadd(self._store.layout.paused, queue))

    def resume(self, queue: str) -> bool:
        store = self._store
        with store.translated():
            resumed = bool(store.client.srem(store.layout.paused, queue))
            if resumed:
                store.client.publish(store.layout.channel("ready"), "")
        return resumed

    def scale(self, worker: str, least: int, most: int) -> bool:
        return bool(self._store.call("scale", worker, f"{least} {most}"))

    # --- limits --------------------------------------------------------------------------------------

    def limit(
        self,
        scope: Scope,
        name: str,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        burst: int | None = None,
    ) -> None:
        check_limit(scope, concurrency, rate, burst)
        said: dict[str, Any] = {"explicit": True, "concurrency": concurrency, "rate": rate, "burst": burst}
        self._store.call("limit", f"{scope}:{name}", json.dumps(said), [])

    def unlimit(self, scope: Scope, name: str) -> bool:
        return bool(self._store.call("limit", f"{scope}:{name}", False, []))

    def declare(self, rates: Mapping[str, float | None]) -> None:
        if rates:
            declared = [(f"task:{task}", rate if rate is not None else False) for task, rate in rates.items()]
            self._store.call("limit", False, False, declared)


def _sendable(id: str) -> str:
    """An id from outside: what is no text names no job."""
    return id.encode("utf-8", "replace").decode()


def _change(id: str, before: bytes | None, after: bytes | None, note: str) -> Change:
    if before is None:
        return Change(id, None, None, UNKNOWN)
    state = State(before.decode())
    what, _, whose = note.partition(" ")
    said = {
        "": None,
        "unfinished": f"it is {state}, not finished",
        "finished": f"it is {state} already",
        "running": "it is running; cancel it first",
        "held": f"job {whose} holds its unique key",
        "cancel": ASKED_TO_STOP,
        "kill": TO_BE_KILLED,
    }[what]
    return Change(id, state, State(after.decode()) if after is not None else None, said)
