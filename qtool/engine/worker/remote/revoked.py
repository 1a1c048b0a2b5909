"""Ids of jobs that must not start here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 50_000
"""Ids that are remembered, as Celery's workers do; the oldest is forgotten first."""


class Revoked:
    """Jobs that somebody has revoked: those the broker could not cancel yet are met, and cancelled then."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self.wanted: set[str] = set()
        """Those of them that may still be met."""

    def add(self, ids: Iterable[str], *, done: bool) -> None:
        """These are revoked; ``done``: they are cancelled already."""
        for id in ids:
            self._ids.pop(id, None)
            self._ids[id] = None
            (self.wanted.discard if done else self.wanted.add)(id)
        while len(self._ids) > MOST:
            oldest = next(iter(self._ids))
            del self._ids[oldest]
            self.wanted.discard(oldest)

    def __contains__(self, id: str) -> bool:
        return id in self._ids

    def all(self) -> list[str]:
        """All of them, the oldest first."""
        return [*self._ids]
