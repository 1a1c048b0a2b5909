"""Ends that nobody told qtool: of jobs that a worker of Celery's took, and of which only Celery's result tells.

Where there is none nobody knows. Such a job is lost when its message has been in none of Celery's places for as long as
Celery itself waits for a worker: one that acknowledges early (its default) leaves no trace while it runs. It is dead if
Celery's workers have kept the result of a success of its task before; where they keep none (``ignore_result``, no
result backend) it has expired: most likely all is well. Queues of ten thousand messages and more are not gone through.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.records import taken, text
from qtool.engine.brokers.redis.writing import error_text
from qtool.engine.celery.results import decode_result
from qtool.engine.job import Failure
from qtool.engine.states import FINAL, Reason, State
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qtool.engine.brokers.redis.store import Store

STRETCH = 512
"""Records that a round of upkeep looks at, and jobs that are settled at once: half a millisecond of the server."""

HURRY = 4096
"""Those that it looks at while a queue has fewer messages than records that say they are ready."""

THOROUGH = 60.0
"""Seconds between two times that all records are compared with the messages there are."""


class Elsewhere:
    """Goes over the records, a stretch at each round, and brings up to date what has ended elsewhere."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at = "-inf"
        """The key of the record that was looked at last."""
        self._thorough = False
        self._thorough_at = -math.inf

    def settle(self) -> int:
        """One round: how many jobs have ended since their records were written. Raises BrokerError and its kin."""
        store = self._store
        if self._at == "-inf":
            seen = store.clock.monotonic()
            self._thorough = seen >= self._thorough_at
            if self._thorough:
                self._thorough_at = seen + THOROUGH
        patience = store.place.visibility
        last, flat, lost, silent = store.call("taken", self._at, STRETCH, HURRY, self._thorough, patience)
        self._at = text(last) if last else "-inf"
        now = store.clock.now()
        items = list(_ends(flat, now))
        items += [(text(id), State.DEAD, now, Reason.LOST, _NOBODY_KNOWS) for id in lost]
        items += [(text(id), State.EXPIRED, now, Reason.LOST, _NOBODY_ASKED) for id in silent]
        return sum(
            int(self._store.call("elsewhere", items[first : first + STRETCH]))
            for first in range(0, len(items), STRETCH)
        )


def _lost(message: str) -> str:
    return error_text(Failure(type="Lost", message=message))


_NOBODY_KNOWS = _lost(
    "a worker of Celery's took it, and there is no result as there was of others of its task: how it ended nobody knows"
)
_NOBODY_ASKED = _lost("a worker of Celery's took it, and keeps no results of its task: whether it ran nobody knows")


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
