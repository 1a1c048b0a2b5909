"""The ResultStore side: what jobs ended as, and what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.rows import failure
from qtool.engine.brokers.sqlite.store import Store, first, rows, text_key
from qtool.engine.job import Chunk, Result
from qtool.engine.output import since
from qtool.engine.states import Reason, State

if TYPE_CHECKING:
    from collections.abc import Sequence


class SqliteResults:
    """Results and output in one embedded file."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        with self._store.read() as db:
            found = [first(db, "result", (text_key(id),)) for id in ids]
        return [
            None
            if row is None
            else Result(
                id=row[0],
                state=State(row[1]),
                value=row[2],
                reason=Reason(row[3]) if row[3] else None,
                error=failure(*row[4:7]),
            )
            for row in found
        ]

    def output(self, id: str, *, attempt: int | None = None, after: int = 0) -> list[Chunk]:
        with self._store.read() as db:
            row = first(db, "find_job", (text_key(id),))
            if row is None:
                return []
            wanted = {"seq": row[0], "attempt": attempt, "after": after}
            chunks = [Chunk(*each) for each in rows(db, "output", wanted)]
        return since(chunks, after)
