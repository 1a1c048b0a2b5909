"""A broker, watched: what a live view shows at each of its refreshes.

::

    watch = Watch(seconds=60)
    while True:
        sight = watch.look(adapter)        # raises BrokerError; the next one catches up

It costs the same whatever the broker holds: a snapshot, the rollups since the last look, and what runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtool.engine.broker import Adapter, Bucket, Snapshot
from qtool.engine.filter import parse
from qtool.engine.job import JobInfo
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

RUNNING = 500
"""Running jobs that are looked at in detail; what a screen of workers can hold."""

_SETTLING = 2
"""Seconds of the recent past that are looked at again: what ends in a second may be stored in the next one."""


class Flow(Value):
    """What happened in one queue in one second."""

    enqueued: int = 0
    ended: int = 0
    dead: int = 0


class Sight(Value):
    """What one look has seen."""

    snapshot: Snapshot
    flows: Mapping[str, tuple[Flow, ...]]
    """By queue, one a second, the last one complete; a queue in which nothing happened is left out."""
    running: tuple[JobInfo, ...]
    """The newest of them."""
    unseen: str | None = None
    """What no look shows: see :class:`~qtool.engine.broker.Capabilities`."""


class Watch:
    """Looks again and again, and remembers the last seconds."""

    def __init__(self, seconds: int = 60) -> None:
        """``seconds``: how many it remembers."""
        self._seconds = seconds
        self._running = parse("state:running")
        self._known: dict[int, dict[str, Flow]] = {}
        """By second."""
        self._until = 0

    def look(self, adapter: Adapter) -> Sight:
        """What there is now. Raises BrokerError."""
        inspector = adapter.inspector
        snapshot = inspector.snapshot()
        now = int(snapshot.at)
        first = max(now - self._seconds, self._until - _SETTLING)
        if not 0 <= now - self._until <= self._seconds:
            # The first look, or the clock was set.
            first, self._known = now - self._seconds, {}
        for second in [each for each in self._known if each >= first or each < now - self._seconds]:
            del self._known[second]
        for bucket in inspector.history(first, now, seconds=1):
            if bucket.seconds == 1:
                self._known.setdefault(int(bucket.at), {})[bucket.queue] = _flow(bucket)
        self._until = now
        busy = any(worker.busy for worker in snapshot.workers)
        running = inspector.browse(self._running, limit=RUNNING).jobs if busy else ()
        flows = self._flows(range(now - self._seconds, now))
        return Sight(snapshot, flows, running, adapter.capabilities.unseen)

    def _flows(self, seconds: Iterable[int]) -> dict[str, tuple[Flow, ...]]:
        flows: dict[str, deque[Flow]] = {}
        names = {name for queues in self._known.values() for name in queues}
        for second in seconds:
            here = self._known.get(second, {})
            for name in names:
                flows.setdefault(name, deque()).append(here.get(name, _STILL))
        return {name: tuple(each) for name, each in flows.items()}


_STILL = Flow()


def _flow(bucket: Bucket) -> Flow:
    ended = bucket.succeeded + bucket.dead + bucket.cancelled + bucket.expired
    return Flow(bucket.enqueued, ended, bucket.dead)
