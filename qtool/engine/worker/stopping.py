"""How a worker is stopped."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.worker.runs import Why
from qtool.engine.worker.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.worker.claimer import Claimer
    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.runners import Runners


class Stopping:
    """Ends the worker in stages: the first signal drains, the second stops what runs, the third kills it."""

    def __init__(
        self,
        patience: float | None,
        floor: Floor,
        claimer: Claimer,
        runners: Runners,
        announce: Callable[[], object],
    ) -> None:
        """``patience``: how long the first stage may last; ``announce``: tell the broker of it."""
        self._patience = patience
        self._floor = floor
        self._claimer = claimer
        self._runners = runners
        self._announce = announce
        self.signals = Signals()
        self.stage = 0

    def on_signal(self) -> None:
        """Go one stage on for each signal that has come."""
        for _ in range(self.signals.take()):
            self._next()

    def _next(self) -> None:
        self.stage += 1
        if self.stage == 1:
            self._drain()
        elif self.stage == 2:
            self._stop()
        elif self.stage == 3:
            self._runners.kill_all(Why.SHUTDOWN)

    def _drain(self) -> None:
        self._runners.pool.children.closing = True
        self._claimer.closed = True
        self._claimer.give_back()
        patience, running = self._patience, self._runners.active
        if running:
            limit = f" for at most {patience:g} s" if patience is not None else ""
            self._floor.say(f"Stopping: {running} running, waiting for the end{limit}. Once more stops them.")
        if patience is not None:
            self._floor.reactor.after(patience, partial(self._hurry, 2))
        self._announce()

    def _stop(self) -> None:
        running = self._runners.active
        if running:
            self._floor.say(f"Stopping {running} running; they go back to their queues. Once more kills them.")
            self._runners.stop_all(Why.SHUTDOWN)
            self._floor.reactor.after(2 * self._floor.grace, partial(self._hurry, 3))

    def _hurry(self, stage: int) -> None:
        if self.stage < stage:
            self._next()
