"""What the sides of one open broker share: the client, the names of the keys, the clock, the scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.brokers.redis.connecting import Place, connect
from qtool.engine.brokers.redis.layout import Layout
from qtool.engine.brokers.redis.scripts import Scripts

if TYPE_CHECKING:
    from redis import Redis

    from qtool.engine.clock import Clock
    from qtool.engine.policy import Retention


class Store:
    """One server's database, as all sides of the adapter see it."""

    def __init__(self, place: Place, clock: Clock, retention: Retention, patience: float | None = None) -> None:
        """Connects only when something is asked. ``patience``: seconds to wait for the server, each time."""
        self.place = place
        self.url = place.shown
        self.clock = clock
        self.retention = retention
        self.layout = Layout(place.prefix, place.db)
        self.client: Redis = connect(place, patience)
        """Answers in bytes. Use it within :meth:`translated`."""
        self.scripts = Scripts(self.client, self.layout)
        self.translated = place.translated

    def close(self) -> None:
        """Hang up."""
        self.client.close()
