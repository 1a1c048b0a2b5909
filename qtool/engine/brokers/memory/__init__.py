"""Queues in this process's memory: the reference for what every adapter does, and a broker for tests.

Each :func:`open_memory` is a store of its own. Threads may share it; processes cannot, and it dies with its process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.broker import NO_SCHEDULES, Adapter, Capabilities
from qtool.engine.brokers.memory.broker import MemoryBroker
from qtool.engine.brokers.memory.freight import MemoryFreight
from qtool.engine.brokers.memory.inspector import MemoryInspector
from qtool.engine.brokers.memory.journal import MemoryJournal
from qtool.engine.brokers.memory.operator import MemoryOperator
from qtool.engine.brokers.memory.results import MemoryResults
from qtool.engine.brokers.memory.store import Store
from qtool.engine.clock import Clock, SystemClock
from qtool.engine.policy import KEEP, Retention

if TYPE_CHECKING:
    from collections.abc import Callable

CAPABILITIES = Capabilities(
    name="memory",
    shared=False,
    durable=False,
    weakened={
        1: "the jobs lie in this process's memory and die with it",
        2: "only workers in this process see the jobs",
        5: NO_SCHEDULES,
        6: "there is no store to fail but this process, and all ends with it",
    },
)


def open_memory(
    url: str = "memory:",
    *,
    clock: Clock | None = None,
    retention: Retention = KEEP,
    patience: float | None = None,  # noqa: ARG001 - nobody else can hold it for long
    broker: Callable[[Store], MemoryBroker] = MemoryBroker,
) -> Adapter:
    """A new, empty store in memory; ``url`` only names it. ``broker`` makes the side that moves jobs."""
    store = Store(clock or SystemClock(), retention)
    return Adapter(
        url=url,
        capabilities=CAPABILITIES,
        broker=broker(store),
        operator=MemoryOperator(store),
        inspector=MemoryInspector(store),
        results=MemoryResults(store),
        journal=MemoryJournal(store),
        close=store.close,
        freight=MemoryFreight(store, url),
    )
