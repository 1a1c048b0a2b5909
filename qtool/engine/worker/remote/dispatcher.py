"""What a worker tells whoever listens: of itself always, of its tasks while somebody wants it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from qtool.engine.celery import events
from qtool.engine.ids import new_id
from qtool.errors import BrokerDenied, BrokerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtool.engine.job import Lease, Settlement
    from qtool.engine.remote import Remote
    from qtool.engine.worker.remote.reach import Reach

GATHER = 0.1
"""Seconds that events of tasks wait for company."""

AT_ONCE = 200
"""Events that wait for no more."""

LOOK = 0.2
"""Seconds between two looks at which jobs have started."""

MOST_TASKS = 1000
"""Names that are counted; they come from outside."""


class Dispatcher:
    """Sends events, and drops what the broker does not take: they are news, and outcomes are kept elsewhere."""

    def __init__(self, remote: Remote, source: events.Source, reach: Reach) -> None:
        self._remote = remote
        self._source = source
        self._reach = reach
        self._clock = reach.floor.clock
        self.exchange = "celeryev"
        self.wanted = False
        """Whether tasks are told of."""
        self.totals: Counter[str] = Counter()
        """How many runs of each task have ended."""
        self._waiting: list[events.TaskEvent] = []
        self._begun: set[tuple[int, int]] = set()
        """Jobs whose start was told, by their lease's key and token."""
        self._looking = False
        self._mute = False

    # --- the worker ----------------------------------------------------------------------------------

    def tell(self, kind: type[events.WorkerEvent], about: Mapping[str, Any]) -> None:
        """A sign of life."""
        event = self._source.worker(kind, self._clock.now(), about)
        self._publish(*self._source.message(event, self.exchange, new_id()))

    def _publish(self, routing_key: str, message: bytes) -> None:
        health = self._reach.health
        if self._mute or health.resting:
            return
        try:
            self._remote.publish(self.exchange, routing_key, message)
        except BrokerDenied as error:
            self._mute = True
            self._reach.floor.say(f"Celery's tools do not see this worker: {error}")
        except BrokerError as error:
            health.failed(error)

    def enable(self) -> None:
        """Tell of tasks from now on; first of those that run already."""
        self.wanted = True
        self._watch()

    def disable(self) -> None:
        """Tell of the worker alone from now on."""
        self.flush()
        self.wanted = False

    # --- its tasks -----------------------------------------------------------------------------------

    def received(self, leases: list[Lease]) -> None:
        """These are here to be run."""
        now = self._clock.now()
        received = self._source.received
        self._add([received(lease, now) for lease in leases])
        self._watch()

    def revoked(self, ids: list[str]) -> None:
        """These were cancelled where they waited."""
        if self.wanted:
            now = self._clock.now()
            self._add([self._source.revoked(id, now) for id in ids])

    def settled(self, batch: list[Settlement]) -> None:
        """These have ended."""
        self.totals.update([settlement.lease.task for settlement in batch])
        while len(self.totals) > MOST_TASKS:
            self.totals.popitem()
        if self.wanted:
            self._add(self._ends(batch))

    def _ends(self, batch: list[Settlement]) -> list[events.TaskEvent]:
        told: list[events.TaskEvent] = []
        source, begun = self._source, self._begun
        for settlement in batch:
            lease = settlement.lease
            if begun and (key := (lease.key, lease.token)) in begun:
                begun.discard(key)
            elif events.began(settlement):
                told.append(source.started(lease.id, settlement.started_at))
            if events.ends(settlement):
                told.append(source.ended(settlement))
        return told

    def _watch(self) -> None:
        if not self._looking:
            self._looking = True
            self._reach.floor.reactor.after(LOOK, self._look)

    def _look(self) -> None:
        """Tell of what has started and goes on: what is quicker is told of when it has ended."""
        self._looking = False
        if not self.wanted:
            self._begun.clear()
            return
        running = {(lease.key, lease.token): (lease.id, at) for lease, _, at in self._reach.runners.running()}
        ended = {(each.lease.key, each.lease.token) for each in self._reach.floor.outbox.waiting}
        now, before = self._clock.now(), self._begun
        self._begun = {key for key in before if key in ended} | running.keys()
        new = [each for key, each in running.items() if key not in before]
        self._add([self._source.started(id, at if at is not None else now) for id, at in new])
        if running or self._reach.runners.active:
            self._watch()

    def _add(self, told: Sequence[events.TaskEvent]) -> None:
        if told and not self._waiting:
            self._reach.floor.reactor.after(GATHER, self.flush)
        self._waiting += told
        if len(self._waiting) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            told, self._waiting = self._waiting, []
            self._publish(*self._source.messages(told, self.exchange, new_id()))
