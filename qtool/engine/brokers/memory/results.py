"""What jobs ended as, and what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.job import Chunk, Result
from qtool.engine.output import since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.brokers.memory.store import Store


class MemoryResults:
    """See :class:`qtool.engine.broker.ResultStore`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def results(self, ids: Sequence[str]) -> list[Result | None]:
        with self._store.lock:
            rows = [self._store.by_id.get(each) for each in ids]
            return [
                Result(id=row.job.id, state=row.state, value=row.result, reason=row.reason, error=row.error)
                if row is not None
                else None
                for row in rows
            ]

    def output(self, id: str, *, attempt: int | None = None, after: int = 0) -> list[Chunk]:
        with self._store.lock:
            row = self._store.by_id.get(id)
            if row is None:
                return []
            return since(row.output.get(row.attempt if attempt is None else attempt, ()), after)
