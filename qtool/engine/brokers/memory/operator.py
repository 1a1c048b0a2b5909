"""Changes that a person makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.broker import ASKED_TO_STOP, TO_BE_KILLED, Change
from qtool.engine.limits import check_limit
from qtool.engine.states import FINAL, Event, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qtool.engine.brokers.memory.store import Row, Store
    from qtool.engine.limits import Scope

UNKNOWN = "no such job"


class MemoryOperator:
    """See :class:`qtool.engine.broker.Operator`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def retry(self, ids: Sequence[str]) -> list[Change]:
        return self._each(ids, self._retry)

    def cancel(self, ids: Sequence[str]) -> list[Change]:
        return self._each(ids, self._cancel)

    def kill(self, ids: Sequence[str]) -> list[Change]:
        return self._each(ids, self._kill)

    def delete(self, ids: Sequence[str]) -> list[Change]:
        return self._each(ids, self._delete)

    def _each(self, ids: Sequence[str], act: Callable[[Row], tuple[State | None, str | None]]) -> list[Change]:
        changes = []
        with self._store.lock:
            for each in ids:
                row = self._store.by_id.get(each)
                if row is None:
                    changes.append(Change(each, None, None, UNKNOWN))
                    continue
                before = row.state
                changes.append(Change(each, before, *act(row)))
        return changes

    def _retry(self, row: Row) -> tuple[State, str | None]:
        store = self._store
        if row.state not in FINAL:
            return row.state, f"it is {row.state}, not finished"
        if row.job.unique is not None and (holder := store.holders.get(row.job.unique)) is not None:
            return row.state, f"job {holder.job.id} holds its unique key"
        now = store.clock.now()
        row.ready_at = now
        # Its deadline is over or does not count any more: a person wants it run.
        row.expires_at = None
        row.failures = row.crashes = 0
        row.reason = row.error = row.result = row.message = None
        store.move(row, Event.OPERATOR_RETRY, State.READY, now)
        store.bells.ring("ready")
        return row.state, None

    def _kill(self, row: Row) -> tuple[State, str | None]:
        state, note = self._cancel(row)
        row.kill = state is State.RUNNING
        return state, TO_BE_KILLED if row.kill else note

    def _cancel(self, row: Row) -> tuple[State, str | None]:
        store = self._store
        if row.state in FINAL:
            return row.state, f"it is {row.state} already"
        if row.state is State.RUNNING:
            row.cancel = True
            store.bells.ring("control")
            return row.state, ASKED_TO_STOP
        store.move(row, Event.CANCEL, State.CANCELLED, store.clock.now())
        store.bells.ring("finished")
        return row.state, None

    def _delete(self, row: Row) -> tuple[State | None, str | None]:
        if row.state is State.RUNNING:
            return row.state, "it is running; cancel it first"
        self._store.drop(row)
        return None, None

    def pause(self, queue: str) -> bool:
        with self._store.lock:
            before = queue in self._store.paused
            self._store.paused.add(queue)
            return not before

    def resume(self, queue: str) -> bool:
        with self._store.lock:
            before = queue in self._store.paused
            self._store.paused.discard(queue)
            if before:
                self._store.bells.ring("ready")
            return before

    def scale(self, worker: str, least: int, most: int) -> bool:
        with self._store.lock:
            here = self._store.workers.get(worker)
            if here is None or here.info is None:
                return False
            here.slots = (least, most)
            self._store.bells.ring("control")
            return True

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
        with self._store.lock:
            self._store.limits.limit(scope, name, concurrency, rate, burst)

    def unlimit(self, scope: Scope, name: str) -> bool:
        with self._store.lock:
            return self._store.limits.unlimit(scope, name)

    def declare(self, rates: Mapping[str, float | None]) -> None:
        with self._store.lock:
            self._store.limits.declare(rates)
