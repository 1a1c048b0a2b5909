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
    """Ends the worker in stages: the first signal drains, the second stops what runs, the third (or QUIT) kills it."""

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
        """Go as many stages on as the signals that have come stand for."""
        self._reach(self.stage + self.signals.take())

    def drain(self) -> None:
        """As after the first signal."""
        self._reach(1)

    def _reach(self, stage: int) -> None:
        """Go on to this stage, if it is not reached yet; only the last of those on the way is spoken of."""
        before, self.stage = self.stage, max(self.stage, stage)
        if before < 1 <= stage:
            self._drain()
        if before < 2 <= stage:
            self._stop()
        if before < 3 <= stage:
            self._kill()

    def _drain(self) -> None:
        self._runners.pool.children.closing = True
        self._claimer.closed = True
        self._claimer.give_back()
        patience, running = self._patience, self._runners.active
        if running and self.stage == 1:
            limit = f" for at most {patience:g} s" if patience is not None else ""
            self._floor.say(f"Stopping: {running} running, waiting for the end{limit}. Once more stops them.")
        if patience is not None:
            self._floor.reactor.after(patience, partial(self._reach, 2))
        self._announce()

    def _stop(self) -> None:
        running = self._runners.active
        if running and self.stage == 2:
            self._floor.say(f"Stopping {running} running; they go back to their queues. Once more kills them.")
        self._runners.stop_all(Why.SHUTDOWN)
        self._floor.reactor.after(2 * self._floor.grace, partial(self._reach, 3))

    def _kill(self) -> None:
        if running := self._runners.active:
            self._floor.say(f"Killing {running} running; they go back to their queues.")
        self._runners.kill_all(Why.SHUTDOWN)
