"""The seam beside the queues: Celery's remote control and events, where the broker has a way for them.

Requests go to every worker at once, replies to a list of whoever asks, and events to whoever listens (WIRE.md sections
5 and 6). What is said there is :mod:`qtool.engine.celery.control` and :mod:`qtool.engine.celery.events`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtool.engine.broker import Change


class Mailbox(Protocol):
    """Where one worker hears requests."""

    def fileno(self) -> int:
        """Readable when something may have come; for ``select``."""
        ...

    def take(self) -> list[bytes]:
        """The messages that have come since the last time, as they were published; never waits."""
        ...

    def close(self) -> None: ...


class Remote(Protocol):
    """How Celery's tools and workers reach ours. Everything raises BrokerError and its kin."""

    def listen(self, exchange: str) -> Mailbox:
        """Hear what is published to this exchange from now on."""
        ...

    def publish(self, exchange: str, routing_key: str, message: bytes) -> None:
        """Tell whoever listens now; nobody else ever hears of it."""
        ...

    def reply(self, queue: str, message: bytes) -> None:
        """Put a reply where somebody waits for it, for as long as anybody might."""
        ...

    def revoke(self, ids: Sequence[str]) -> list[Change]:
        """Cancel these jobs wherever they wait; what runs goes on."""
        ...

    def due(self, count: int) -> list[str]:
        """The ids of the jobs that are due next, of those that are not due yet."""
        ...

    def queues(self) -> list[str]:
        """All queues that a worker of all queues serves."""
        ...

    def place(self) -> Mapping[str, Any]:
        """Where the broker is, in the words of ``celery inspect stats``, without its password."""
        ...
