"""What the pool's processes say of the code they run, when they start: the supervisor itself imports none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Rates = dict[str, float | None]
"""Tasks, and how many of each start a second; None where their code does not say."""


class Catalogue:
    """The tasks, and the settings of a Celery application if they are one's."""

    def __init__(self, declare: Callable[[Rates], object]) -> None:
        """``declare`` takes the rates to the broker."""
        self._declare = declare
        self.tasks: Mapping[str, float | None] = {}
        self.application: Mapping[str, Any] = {}
        """See :func:`qtool.engine.worker.celery.app.settings`; empty without one."""
        self.on_known: Callable[[], object] = _nothing
        """Called when something is known."""

    def learn(self, rates: Rates, application: Mapping[str, Any] | None) -> None:
        """A process is ready; each of them says the same."""
        self.tasks = rates
        self.application = application or {}
        self._declare(rates)
        self.on_known()


def _nothing() -> None:
    """Nobody wants to know."""
