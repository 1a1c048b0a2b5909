"""The Journal side: notes in one embedded file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.store import Store, first, rows
from qtool.engine.journal import NOTES, Note
from qtool.engine.notes import check_note

if TYPE_CHECKING:
    from qtool.engine.clock import Clock


class SqliteJournal:
    """See :class:`qtool.engine.broker.Journal`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def note(self, text: str, at: float | None = None) -> Note:
        text = check_note(text)
        at = self._clock.now() if at is None else at
        with self._store.write(durable=True) as db:
            row = first(db, "note", (at, text))
        assert row is not None
        return Note(*row)

    def notes(self, since: float, until: float, *, limit: int = NOTES) -> list[Note]:
        with self._store.read() as db:
            found = rows(db, "notes", (since, until, max(0, limit)))
        return [Note(*row) for row in reversed(found)]

    def forget(self, id: int) -> Note | None:
        with self._store.write(durable=True) as db:
            row = first(db, "forget_note", (id,))
        return Note(*row) if row is not None else None
