"""What every worker does for the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Broker
    from qtool.engine.worker.claimer import Claimer
    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.health import Health

EVERY = 0.5
"""Seconds between two looks for due jobs and dead workers; half of what a dead worker's jobs may take to be back."""

NAP = 1.0
"""Seconds of suspension after which the leases are renewed at once."""


class Upkeep:
    """Has due jobs promoted and the jobs of dead workers taken back, twice a second."""

    def __init__(
        self, broker: Broker, floor: Floor, health: Health, claimer: Claimer, renew: Callable[[], object]
    ) -> None:
        self._broker = broker
        self._floor = floor
        self._health = health
        self._claimer = claimer
        self._renew = renew
        self._suspended = floor.clock.suspended()
        self.rescued = 0
        """Jobs of dead workers that were taken back."""

    def run(self) -> None:
        """Do it, and again later."""
        self._floor.reactor.after(EVERY, self.run)
        self._claimer.look()
        suspended = self._floor.clock.suspended()
        if suspended > self._suspended + NAP:
            # To this machine's monotonic clock no time has passed; to a broker elsewhere it has.
            self._suspended = suspended
            self._renew()
        if self._floor.clock.monotonic() < self._health.retry_at:
            return
        try:
            done = self._broker.maintain()
        except BrokerError as error:
            self._health.failed(error)
            return
        if self._floor.outbox.empty:
            self._health.answered()
        self.rescued += done.rescued
        self._claimer.expect(done.next_due)
