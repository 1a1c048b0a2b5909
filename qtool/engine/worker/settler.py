"""When outcomes are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.worker.health import Health
    from qtool.engine.worker.outbox import Outbox
    from qtool.engine.worker.reactor import Reactor

GATHER = 0.010
"""Seconds that outcomes wait for company while the slots have other work at hand."""

GATHER_MOST = 64
"""Outcomes that wait for no more company."""


class Settler:
    """Stores outcomes at once, or a few milliseconds later where that holds up nobody and saves commits."""

    def __init__(self, outbox: Outbox, reactor: Reactor, health: Health) -> None:
        self._outbox = outbox
        self._reactor = reactor
        self._health = health
        self._at: float | None = None

    @property
    def pressing(self) -> bool:
        """Whether something is to be stored that waits neither for company nor for the broker."""
        outbox = self._outbox
        if outbox.answered:
            return True
        return bool(outbox.waiting) and self._at is None and self._health.failing_since is None and not self._full

    @property
    def _full(self) -> bool:
        """Whether as much is under way as is of use: what ends meanwhile goes out together."""
        return self._outbox.underway >= self._outbox.pipeline.depth

    def settle(self, now: float, *, busy: bool) -> float | None:
        """Store what ended, or let it wait while ``busy``; when the first of it will be due again, if any will."""
        waiting = self._outbox.waiting
        if now < self._health.retry_at or self._full:
            return None
        if busy and len(waiting) < GATHER_MOST:
            if self._at is None:
                self._at = now + GATHER
                self._reactor.at(self._at)
            if now < self._at:
                return None
        self._at = None
        return self._tried(self._outbox.flush)

    def collect(self) -> float | None:
        """Take in what the broker has answered; when the first of what was stored will be due again, if any will."""
        return self._tried(self._outbox.collect)

    def _tried(self, verb: Callable[[], float | None]) -> float | None:
        before = self._outbox.batches
        try:
            due = verb()
        except BrokerError as error:
            self._health.failed(error)
            return None
        if self._outbox.batches > before:
            self._health.answered()
        return due
