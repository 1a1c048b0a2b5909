"""What these tests share."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw

from qtool.engine.brokers.sqlite.moves import SqliteBroker
from qtool.engine.job import Job

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from qtool.engine.brokers.sqlite.store import Store


def query(path: str, text: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ask, or change, a file behind qtool's back."""
    with closing(apsw.Connection(path)) as db:
        db.set_busy_timeout(5000)
        found: list[tuple[Any, ...]] = db.execute(text, values).fetchall()
        return found


def job(id: str = "a", **said: Any) -> Job:
    values: dict[str, Any] = {"id": id, "task": "t", "created_at": 1.0}
    return Job(**(values | said))


def store_of(adapter: Adapter) -> Store:
    assert isinstance(adapter.broker, SqliteBroker)
    return adapter.broker._store
