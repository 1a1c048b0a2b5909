"""The rates that the code of tasks declares, on their way to the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.errors import BrokerError

if TYPE_CHECKING:
    from qtool.engine.broker import Operator
    from qtool.engine.worker.health import Health
    from qtool.engine.worker.reactor import Reactor

RETRY = 1.0
"""Seconds between two tries while the broker fails."""


class Rates:
    """Tells the broker what the pool's processes say, once: each of them says the same when it starts."""

    def __init__(self, operator: Operator, reactor: Reactor, health: Health) -> None:
        self._operator = operator
        self._reactor = reactor
        self._health = health
        self._told: dict[str, float | None] = {}
        self._waiting: dict[str, float | None] = {}

    def __call__(self, rates: dict[str, float | None]) -> None:
        """These tasks start so many jobs a second; None where their code does not say."""
        if rates == self._told:
            return
        self._told = rates
        self._waiting |= rates
        self._tell()

    def _tell(self) -> None:
        if not self._waiting:
            return
        try:
            self._operator.declare(self._waiting)
        except BrokerError as error:
            self._health.failed(error)
            self._reactor.after(RETRY, self._tell)
        else:
            self._waiting = {}
