"""Ends that nobody told qtool: of jobs that a worker of Celery's took, and of which only Celery's result tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.records import taken, text
from qtool.engine.brokers.redis.writing import error_text
from qtool.engine.celery.results import decode_result
from qtool.engine.states import FINAL
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qtool.engine.brokers.redis.store import Store

STRETCH = 512
"""Records that a round of upkeep looks at, and jobs that are settled at once: half a millisecond of the server."""

HURRY = 4096
"""Those that it looks at while a queue has fewer messages than records that say they are ready."""


class Elsewhere:
    """Goes over the records, a stretch at each round, and brings up to date what has ended elsewhere."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at = "-inf"
        """The key of the record that was looked at last."""

    def settle(self) -> int:
        """One round: how many jobs have ended since their records were written. Raises BrokerError and its kin."""
        last, flat = self._store.call("taken", self._at, STRETCH, HURRY)
        self._at = text(last) if last else "-inf"
        items = list(_ends(flat, self._store.clock.now()))
        return sum(
            int(self._store.call("elsewhere", items[first : first + STRETCH]))
            for first in range(0, len(items), STRETCH)
        )


def _ends(flat: Sequence[Any], now: float) -> Iterator[tuple[Any, ...]]:
    """What ``elsewhere.lua`` takes, of ids and results in turn."""
    for id, raw in zip(flat[::2], flat[1::2], strict=True):
        try:
            meta = taken(b"ready", decode_result(raw))
        except Undecodable:
            # A pickled one: how it ended is in there, and nobody looks.
            continue
        if meta is not None and meta.state in FINAL:
            at = meta.done_at if meta.done_at is not None else now
            error = error_text(meta.error) if meta.error is not None else False
            yield text(id), meta.state, at, meta.reason or False, error
