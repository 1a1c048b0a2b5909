"""What people wrote down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.journal import NOTES, Note
from qtool.engine.notes import check_note

if TYPE_CHECKING:
    from qtool.engine.brokers.memory.store import Store


class MemoryJournal:
    """See :class:`qtool.engine.broker.Journal`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(self, text: str, at: float | None = None) -> Note:
        text = check_note(text)
        with self._store.lock:
            self._store.noted += 1
            made = Note(self._store.noted, self._store.clock.now() if at is None else at, text)
            self._store.notes[made.id] = made
        return made

    def notes(self, since: float, until: float, *, limit: int = NOTES) -> list[Note]:
        with self._store.lock:
            found = [note for note in self._store.notes.values() if since <= note.at < until]
        found.sort(key=lambda note: (note.at, note.id))
        return found[max(0, len(found) - max(0, limit)) :]

    def forget(self, id: int) -> Note | None:
        with self._store.lock:
            return self._store.notes.pop(id, None)
