"""The ResultStore side: what jobs ended as, and what they wrote."""

from __future__ import annotations

from collections.abc import Sequence

from qtool.engine.brokers.sqlite.rows import failure
from qtool.engine.brokers.sqlite.store import SQL, Store
from qtool.engine.job import Chunk, Result
from qtool.engine.output import since
from qtool.engine.states import Reason, State


class SqliteResults:
    """Results and output in one embedded file."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        with self._store.read() as db:
            rows = [db.execute(SQL["result"], (id,)).fetchone() for id in ids]
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
            for row in rows
        ]

    def output(self, id: str, *, attempt: int | None = None, after: int = 0) -> list[Chunk]:
        with self._store.read() as db:
            row = db.execute(SQL["find_job"], (id,)).fetchone()
            if row is None:
                return []
            wanted = {"seq": row[0], "attempt": attempt, "after": after}
            chunks = [Chunk(*each) for each in db.execute(SQL["output"], wanted)]
        return since(chunks, after)
