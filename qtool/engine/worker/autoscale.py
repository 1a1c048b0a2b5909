"""Grows and shrinks a worker with its load, and as it is told from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.sizes import MOST_SLOTS
from qtool.engine.states import State
from qtool.engine.worker.scale import LOOK, Pressure, rescale
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from qtool.engine.broker import Inspector, QueueStats
    from qtool.engine.worker.claimer import Claimer
    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.health import Health
    from qtool.engine.worker.runners import Runners
    from qtool.engine.worker.scale import Size
    from qtool.engine.worker.served import Served


class Autoscale:
    """Looks at the load a few times a second, where the number of slots may move at all."""

    def __init__(
        self,
        inspector: Inspector,
        served: Served,
        floor: Floor,
        health: Health,
        claimer: Claimer,
        runners: Runners,
        size: Size,
    ) -> None:
        self._inspector = inspector
        self._served = served
        self._floor = floor
        self._health = health
        self._claimer = claimer
        self._runners = runners
        self._size = size
        self._seen = Pressure(since=floor.clock.monotonic())
        self._looking = False
        self._told: tuple[int, int] | None = None

    def open(self) -> None:
        """Begin to look, if there is anything to decide."""
        if self._size.least < self._size.most and not self._looking:
            self._looking = True
            self._seen = Pressure(since=self._floor.clock.monotonic())
            self._floor.reactor.after(LOOK, self._look)

    def told(self, least: int, most: int) -> None:
        """Somebody has asked for so many slots; heard again with every heartbeat."""
        if (least, most) == self._told:
            return
        self._told = least, most
        self._size.bound(min(least, MOST_SLOTS), min(most, MOST_SLOTS))
        self._floor.say(f"{said(self._size.least, self._size.most)} from now on, as somebody has asked.")
        self._claimer.look()
        self.open()

    def _look(self) -> None:
        size = self._size
        self._looking = size.least < size.most and not self._claimer.closed
        if not self._looking:
            return
        self._floor.reactor.after(LOOK, self._look)
        active = self._runners.active
        waiting = self._waiting() if active >= size.now < size.most else 0
        slots, self._seen = rescale(
            self._seen,
            now=self._floor.clock.monotonic(),
            slots=size.now,
            least=size.least,
            most=size.most,
            active=active,
            waiting=waiting,
        )
        if slots > size.now:
            self._claimer.look()
        size.set(slots)

    def _waiting(self) -> int:
        """Jobs that could start if there were a slot: here, and in the queues."""
        here = len(self._claimer.waiting) + self._runners.pool.waiting
        if self._claimer.paused or self._floor.clock.monotonic() < self._health.retry_at:
            return here
        try:
            queues = self._inspector.snapshot().queues
        except BrokerError as error:
            self._health.failed(error)
            return here
        mine = [queue for queue in queues if not queue.paused and self._served.include(queue.name)]
        return here + sum(map(_startable, mine))


def _startable(queue: QueueStats) -> int:
    """Ready jobs that no limit keeps from starting, but for want of a slot."""
    free = queue.counts[State.READY] - queue.held
    if queue.concurrency is None:
        return free
    return max(0, min(free, queue.concurrency - queue.counts[State.RUNNING]))


def said(least: int, most: int) -> str:
    """``4 slots``, or ``2 to 8 slots``."""
    if least == most:
        return f"{most} slot{'s' if most != 1 else ''}"
    return f"{least} to {most} slots"
