"""The Operator side: a person's changes, each verb one transaction for all its ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import apsw

from qtool.engine.broker import ASKED_TO_STOP, TO_BE_KILLED, Change
from qtool.engine.brokers.sqlite.doorbell import ring
from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.store import SQL, Store, first, rows, text_key
from qtool.engine.brokers.sqlite.upkeep import forget_job
from qtool.engine.limits import check_limit
from qtool.engine.states import FINAL, State

if TYPE_CHECKING:
    from qtool.engine.clock import Clock
    from qtool.engine.limits import Scope

Verb = Callable[[apsw.Connection, Ledger, str, int, str, State], Change]
"""What to do with one job: database, ledger, id, key, queue, state."""


ASKED, TO_KILL = 1, 2
"""What ``jobs.cancel`` says of a running job."""


class SqliteOperator:
    """Changes what stands in one embedded file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._bells = f"{store.directory}/bells"

    def retry(self, ids: Sequence[str]) -> list[Change]:
        changes = self._each(ids, _retry)
        ring(self._bells, "ready")
        return changes

    def cancel(self, ids: Sequence[str]) -> list[Change]:
        changes = self._each(ids, _cancel)
        ring(self._bells, "finished", "control")
        return changes

    def kill(self, ids: Sequence[str]) -> list[Change]:
        changes = self._each(ids, _kill)
        ring(self._bells, "finished", "control")
        return changes

    def delete(self, ids: Sequence[str]) -> list[Change]:
        changes = self._each(ids, _delete)
        ring(self._bells, "finished")
        return changes

    def pause(self, queue: str) -> bool:
        with self._store.write(durable=True) as db:
            db.execute(SQL["pause"], (queue, self._clock.now()))
            return db.changes() > 0

    def resume(self, queue: str) -> bool:
        with self._store.write(durable=True) as db:
            db.execute(SQL["resume"], (text_key(queue),))
            resumed = db.changes() > 0
        ring(self._bells, "ready")
        return resumed

    def scale(self, worker: str, least: int, most: int) -> bool:
        with self._store.write(durable=True) as db:
            db.execute(SQL["scale"], {"worker": text_key(worker), "least": least, "most": most})
            known = db.changes() > 0
        ring(self._bells, "control")
        return known

    def limit(
        self,
        scope: Scope,
        name: str,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        burst: int | None = None,
    ) -> None:
        check_limit(scope, concurrency, rate, burst)
        with self._store.write(durable=True) as db:
            db.execute(SQL["limit"], (scope, name, concurrency, rate, burst))
        ring(self._bells, "ready")

    def unlimit(self, scope: Scope, name: str) -> bool:
        with self._store.write(durable=True) as db:
            db.execute(SQL["unlimit"], (scope, text_key(name)))
            changed = db.changes() > 0
            db.execute(SQL["drop_limits"])
        ring(self._bells, "ready")
        return changed

    def declare(self, rates: Mapping[str, float | None]) -> None:
        with self._store.read() as db:
            # Every worker says the same at every start: only what is new takes the write lock.
            known = {row[1]: row[6] for row in rows(db, "limits") if row[0] == "task"}
        new = [(task, rate) for task, rate in rates.items() if known.get(task) != rate]
        if new:
            with self._store.write(durable=True) as db:
                db.executemany(SQL["declare"], new)
                db.execute(SQL["drop_limits"])
            ring(self._bells, "ready")

    def _each(self, ids: Sequence[str], verb: Verb) -> list[Change]:
        ledger = Ledger(self._clock.now())
        changes = []
        with self._store.write(durable=True) as db:
            for id in ids:
                row = first(db, "find_job", (text_key(id),))
                if row is None:
                    changes.append(Change(id, None, None))
                else:
                    seq, queue, state, key, held = row
                    change = verb(db, ledger, id, seq, queue, State(state))
                    changes.append(change)
                    if change.after is not change.before:
                        ledger.leave(queue, state, key, held)
            ledger.write(db)
        if ledger.opened:
            ring(self._bells, "ready")
        return changes


def _retry(db: apsw.Connection, ledger: Ledger, id: str, seq: int, queue: str, state: State) -> Change:
    if state not in FINAL:
        return Change(id, state, state, f"it is {state}, not finished")
    try:
        db.execute(SQL["restart"], {"seq": seq, "now": ledger.now})
    except apsw.ConstraintError:
        return Change(id, state, state, "another job holds its unique key now")
    ledger.move(queue, state, State.READY)
    return Change(id, state, State.READY)


def _cancel(db: apsw.Connection, ledger: Ledger, id: str, seq: int, queue: str, state: State) -> Change:
    if state is State.RUNNING:
        db.execute(SQL["ask_to_stop"], (ASKED, seq))
        return Change(id, state, state, ASKED_TO_STOP)
    return _drop(db, ledger, id, seq, queue, state)


def _kill(db: apsw.Connection, ledger: Ledger, id: str, seq: int, queue: str, state: State) -> Change:
    if state is State.RUNNING:
        db.execute(SQL["ask_to_stop"], (TO_KILL, seq))
        return Change(id, state, state, TO_BE_KILLED)
    return _drop(db, ledger, id, seq, queue, state)


def _drop(db: apsw.Connection, ledger: Ledger, id: str, seq: int, queue: str, state: State) -> Change:
    """Cancel a job that is not running."""
    if state in FINAL:
        return Change(id, state, state, f"it is {state} already")
    db.execute(SQL["finish_pending"], {"state": "cancelled", "now": ledger.now, "seq": seq})
    ledger.arrive(queue, state, State.CANCELLED)
    return Change(id, state, State.CANCELLED)


def _delete(db: apsw.Connection, ledger: Ledger, id: str, seq: int, queue: str, state: State) -> Change:
    if state is State.RUNNING:
        return Change(id, state, state, "it is running: cancel it first")
    forget_job(db, seq)
    ledger.move(queue, state, None)
    return Change(id, state, None)
