"""The Journal side: notes in one hash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qtool.engine.journal import NOTES, Note
from qtool.engine.notes import NOTES_KEEP, check_note

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.store import Store


class RedisJournal:
    """See :class:`qtool.engine.broker.Journal`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(self, text: str, at: float | None = None) -> Note:
        text = check_note(text)
        client, layout = self._store.client, self._store.layout
        with self._store.translated():
            made = Note(int(client.incr(layout.note)), self._store.clock.now() if at is None else at, text)
            client.hset(layout.notes, str(made.id), json.dumps([made.at, made.text]))
        return made

    def notes(self, since: float, until: float, *, limit: int = NOTES) -> list[Note]:
        with self._store.translated():
            every = self._store.client.hgetall(self._store.layout.notes)
        found = [note for id, raw in every.items() if since <= (note := _note(int(id), raw)).at < until]
        found.sort(key=lambda note: (note.at, note.id))
        return found[max(0, len(found) - max(0, limit)) :]

    def forget(self, id: int) -> Note | None:
        with self._store.translated(), self._store.client.pipeline() as pipe:
            pipe.hget(self._store.layout.notes, str(id))
            pipe.hdel(self._store.layout.notes, str(id))
            raw, gone = pipe.execute()
        return _note(id, raw) if gone else None

    def prune(self, now: float) -> None:
        """Forget those that are older than the history. Raises redis-py's errors."""
        client, layout = self._store.client, self._store.layout
        old = [
            id for id, raw in client.hscan_iter(layout.notes, count=1000) if _note(int(id), raw).at < now - NOTES_KEEP
        ]
        if old:
            client.hdel(layout.notes, *old)


def _note(id: int, raw: bytes | str) -> Note:
    at, text = json.loads(raw)
    return Note(id, at, text)
