"""The heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.broker import Renewal
from qtool.engine.worker.health import firmly
from qtool.engine.worker.runs import Why
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Broker, WorkerInfo
    from qtool.engine.job import Lease
    from qtool.engine.worker.claimer import Claimer
    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.health import Health
    from qtool.engine.worker.runners import Runners

TRUST = 0.75
"""The part of a lease after which a worker that could not renew it stops what it runs."""

WATCH = 0.8
"""The part of a lease after which the launcher does so, for a supervisor that cannot: it is stopped, or stuck."""

LATE = 0.5
"""The part of a lease after which a supervisor renews before it does anything else: it was stopped, or stuck."""

NEWS = 1.0
"""Seconds between two looks at whether what the worker says of itself has changed; it is told at once then."""

RETRY = 1.0
"""Seconds between two tries to renew, at most, while the broker fails."""


Self = tuple[int, ...]
"""What of a worker changes as it works."""


class Leases:
    """Renews the worker's leases, and stops what is no longer its own or was asked to stop."""

    def __init__(
        self,
        broker: Broker,
        seconds: float,
        describe: Callable[[], WorkerInfo],
        floor: Floor,
        health: Health,
        claimer: Claimer,
        runners: Runners,
        rescale: Callable[[int, int], None],
    ) -> None:
        """``describe`` tells of the worker; ``rescale`` is told how many slots it should have."""
        self._broker = broker
        self._seconds = seconds
        self._describe = describe
        self._floor = floor
        self._health = health
        self._claimer = claimer
        self._runners = runners
        self._board = runners.commands.keeper.board
        self._rescale = rescale
        self._renewed_at = 0.0
        self._told: Self = ()
        self.introduced = False
        """The broker knows the worker."""

    def open(self) -> None:
        """Introduce the worker. Raises BrokerError."""
        clock = self._floor.clock
        firmly(clock, lambda: self._broker.extend(self._describe(), [], self._seconds))
        started = clock.monotonic()
        self.introduced = True
        self._board.be_patient(WATCH * self._seconds)
        self._renewed(started)
        self._floor.reactor.after(self._seconds / 3, self._heartbeat)
        self._floor.reactor.after(NEWS, self._news)

    def _news(self) -> None:
        """A heartbeat out of turn, for whoever looks at the workers."""
        self._floor.reactor.after(NEWS, self._news)
        if _of_itself(self._describe()) != self._told and self._health.failing_since is None:
            self.beat()

    def _heartbeat(self) -> None:
        self._floor.reactor.after(self._seconds / 3 if self.beat() else self._pause(), self._heartbeat)

    def _pause(self) -> float:
        """Seconds until the next try after one that failed; the last is when the leases are no longer to be trusted."""
        left = self._renewed_at + TRUST * self._seconds - self._floor.clock.monotonic()
        return min(RETRY, self._seconds / 3, left if left > 0 else RETRY)

    def _renewed(self, started: float) -> None:
        """By something that began at this time: everything counts from there."""
        self._renewed_at = started
        self._board.renewed(started)
        self._floor.reactor.alarm(started + LATE * self._seconds, self.beat)

    def beat(self) -> bool:
        """Renew every lease now; False if the broker fails."""
        started = self._floor.clock.monotonic()
        held, worker = self._held(), self._describe()
        try:
            renewal = self._broker.extend(worker, held, self._seconds)
        except BrokerError as error:
            self._health.failed(error)
            self._doubt(started)
            return False
        self._renewed(started)
        self._told = _of_itself(worker)
        self._board.hold(anything=bool(held))
        self._claimer.paused = False
        if self._floor.outbox.empty:
            self._health.answered()
        # What is being settled is not ours any more once that is done, and its answer says whether it was.
        lost = renewal.lost - self._floor.outbox.sent()
        if lost or renewal.cancelled or renewal.killed:
            renewal = Renewal(lost, renewal.cancelled, renewal.killed, renewal.slots)
            self._claimer.withdraw(renewal)
        for ids, why in ((lost, Why.LOST), (renewal.cancelled, Why.CANCEL)):
            if ids:
                self._runners.stop_jobs(ids, why)
        if renewal.killed:
            self._runners.kill_jobs(renewal.killed)
        if renewal.slots is not None:
            self._rescale(*renewal.slots)
        return True

    def _held(self) -> list[Lease]:
        return [*self._runners.leases(), *self._claimer.waiting, *self._floor.outbox.leases()]

    def _doubt(self, started: float) -> None:
        """A try that began at ``started`` has failed: stop everything if the leases may run out before another can.

        What runs must not overlap with its next attempt elsewhere. It is given back, if it is still ours when the
        broker answers again.
        """
        now = self._floor.clock.monotonic()
        # A try that waited for a lock will wait as long again.
        another = now + self._pause() + (now - started)
        trusted = now < self._renewed_at + TRUST * self._seconds
        if trusted and another < self._renewed_at + self._seconds:
            return
        if not self._claimer.paused:
            self._floor.say("The leases could not be renewed: stopping everything that runs until they can.")
        self._claimer.paused = True
        self._claimer.give_back()
        self._runners.kill_all(Why.UNRENEWED)
        # The processes that replace the killed ones have nothing that the launcher would have to end.
        self._board.hold(anything=False)


def _of_itself(worker: WorkerInfo) -> Self:
    return (worker.busy, worker.slots, worker.succeeded, worker.failed)
