"""The embedded engine: one SQLite file, several processes on one host."""

from __future__ import annotations

import os

from qtool.engine.broker import NO_SCHEDULES, Adapter, Capabilities
from qtool.engine.brokers.sqlite.freight import SqliteFreight
from qtool.engine.brokers.sqlite.journal import SqliteJournal
from qtool.engine.brokers.sqlite.look import SqliteInspector
from qtool.engine.brokers.sqlite.moves import SqliteBroker
from qtool.engine.brokers.sqlite.operate import SqliteOperator
from qtool.engine.brokers.sqlite.results import SqliteResults
from qtool.engine.brokers.sqlite.store import Store
from qtool.engine.clock import Clock, SystemClock
from qtool.engine.policy import KEEP, Retention

CAPABILITIES = Capabilities(name="sqlite", shared=True, durable=True, local_rescue=True, weakened={5: NO_SCHEDULES})


def path_of(url: str) -> str:
    """The absolute path in ``sqlite:///abs/file.db``, ``sqlite:rel.db`` or ``sqlite:~/file.db``."""
    path = url.partition(":")[2]
    if path.startswith("//"):
        # The authority part is empty, or the path was written with two slashes: sqlite://file.db.
        path = path[2:]
    return os.path.abspath(os.path.expanduser(path))


def open_sqlite(
    url: str, *, clock: Clock | None = None, retention: Retention = KEEP, patience: float | None = None
) -> Adapter:
    """Open or create the file. Raises BrokerError and its kin."""
    clock = clock or SystemClock()
    path = path_of(url)
    url = f"sqlite://{path}"
    store = Store(path, url, patience)
    return Adapter(
        url=url,
        capabilities=CAPABILITIES,
        broker=SqliteBroker(store, clock, retention),
        operator=SqliteOperator(store, clock),
        inspector=SqliteInspector(store, clock),
        results=SqliteResults(store),
        journal=SqliteJournal(store, clock),
        close=store.close,
        freight=SqliteFreight(store, clock),
    )
