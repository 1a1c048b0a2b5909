"""When somebody should look: thresholds, held against a snapshot.

Pure: the screen draws the alerts, and whoever wants an exit code can make one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.states import State
from qtool.engine.times import format_duration
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.broker import QueueStats, Snapshot, WorkerInfo


class Thresholds(Value, kw_only=True):
    """What is still well. What is not said is never an alert."""

    queues: tuple[str, ...] = ()
    """Only these queues; all of them where none is named."""
    max_age: float | None = None
    """How long the oldest ready job of a queue may have been waiting."""
    max_depth: int | None = None
    """How many jobs of a queue may be ready."""
    min_workers: int | None = None
    """How many workers there must be; where queues are named, for each of them."""
    drain_within: float | None = None
    """How long the ready jobs of a queue may take at the present rates."""
    max_failures_per_minute: int | None = None
    """How many jobs of a queue may die in a minute."""
    max_dead: int | None = None
    """How many dead jobs a queue may hold."""
    bell: bool = False
    """Ring the terminal's bell when an alert begins."""


class Alert(Value):
    """One thing that is not well."""

    threshold: str
    """The name of the threshold that is passed."""
    queue: str | None
    """None: it is about all of them."""
    text: str
    """For people: ``email: the oldest has been waiting 12m00s, over 5m00s``."""

    @property
    def key(self) -> tuple[str, str | None]:
        """What tells it from others while its numbers change."""
        return self.threshold, self.queue


def evaluate(snapshot: Snapshot, thresholds: Thresholds) -> tuple[Alert, ...]:
    """What is not well, by queue in the order of the snapshot; then what concerns workers."""
    wanted = thresholds.queues
    stats = [queue for queue in snapshot.queues if not wanted or queue.name in wanted]
    return (
        *(alert for queue in stats for alert in _of_queue(queue, thresholds, snapshot.at)),
        *_of_workers(snapshot.workers, thresholds),
    )


def _of_queue(queue: QueueStats, limits: Thresholds, now: float) -> Iterator[Alert]:
    name, ready = queue.name, queue.counts.get(State.READY, 0)
    if limits.max_age is not None and queue.oldest_ready_at is not None:
        age = now - queue.oldest_ready_at
        if age > limits.max_age:
            over = f"{format_duration(age)}, over {format_duration(limits.max_age)}"
            yield Alert("max_age", name, f"{name}: the oldest has been waiting {over}")
    if limits.max_depth is not None and ready > limits.max_depth:
        yield Alert("max_depth", name, f"{name}: {ready:,} ready, over {limits.max_depth:,}")
    if limits.drain_within is not None:
        takes = queue.drain_seconds
        within = format_duration(limits.drain_within)
        if takes is None:
            yield Alert("drain_within", name, f"{name}: does not drain; it should within {within}")
        elif takes > limits.drain_within:
            yield Alert("drain_within", name, f"{name}: drains in {format_duration(takes)}, over {within}")
    if limits.max_failures_per_minute is not None:
        failures = round(60 * queue.failed_rate)
        if failures > limits.max_failures_per_minute:
            over = f"{failures:,} died in the last minute, over {limits.max_failures_per_minute:,}"
            yield Alert("max_failures_per_minute", name, f"{name}: {over}")
    dead = queue.counts.get(State.DEAD, 0)
    if limits.max_dead is not None and dead > limits.max_dead:
        yield Alert("max_dead", name, f"{name}: {dead:,} dead, over {limits.max_dead:,}")


def _of_workers(workers: tuple[WorkerInfo, ...], limits: Thresholds) -> Iterator[Alert]:
    if limits.min_workers is None:
        return
    able = [worker for worker in workers if not worker.gone and not worker.stopping]
    if not limits.queues and len(able) < limits.min_workers:
        yield Alert("min_workers", None, f"{_workers(len(able))}, under {limits.min_workers}")
    for name in limits.queues:
        serving = sum(not worker.queues or name in worker.queues for worker in able)
        if serving < limits.min_workers:
            yield Alert("min_workers", name, f"{name}: {_workers(serving)}, under {limits.min_workers}")


def _workers(count: int) -> str:
    return "no worker" if count == 0 else "1 worker" if count == 1 else f"{count} workers"
