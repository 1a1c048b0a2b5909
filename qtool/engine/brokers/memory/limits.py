"""What may start now: the limits of queues, tasks and keys. Its callers hold the store's lock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtool.engine.limits import Limit, Rate, Scope, default_burst
from qtool.engine.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtool.engine.brokers.memory.store import Row, Store


@dataclass(slots=True)
class Said:
    """What limits a queue or a task, by whom, and how far its rate is used up."""

    concurrency: int | None = None
    rate: float | None = None
    burst: int | None = None
    explicit: bool = False
    """An operator said so."""
    declared: float | None = None
    """The rate that the task's code asks for."""
    used: float = 0.0
    used_at: float = 0.0

    @property
    def now(self) -> Rate | None:
        """The rate that counts."""
        rate = self.rate if self.explicit else self.declared
        return Rate(rate, self.burst or default_burst(rate), self.used, self.used_at) if rate is not None else None


class Limits:
    """Nothing here is acquired or released: what runs is counted, so that no slot can be lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.said: dict[tuple[Scope, str], Said] = {}
        self.running: Counter[str] = Counter()
        """Jobs that run, by key."""

    def note(self, row: Row, state: State) -> None:
        """A row is about to go to another state."""
        key = row.job.key
        if row.state is State.RUNNING:
            if key is not None:
                self.running[key] -= 1
            if key is not None or ("queue", row.job.queue) in self.said:
                # It may leave a slot that others wait for.
                self._store.bells.ring("ready")
        if state is State.RUNNING and key is not None:
            self.running[key] += 1

    # --- what may start ------------------------------------------------------------------------------

    def opens_in(self, queue: str) -> float | None:
        """Seconds until the queue itself lets a job start, 0 for now; None when one that runs has to end first."""
        said = self.said.get(("queue", queue))
        if said is None:
            return 0.0
        if said.concurrency is not None and self._store.counts[queue, State.RUNNING] >= said.concurrency:
            return None
        return self._rate_opens_in(said)

    def holds(self, row: Row) -> str | None:
        """The limit that holds back a ready row, whatever its queue allows."""
        if self._key_is_full(row):
            return f"key:{row.job.key}"
        return f"task:{row.job.task}" if self._task_opens_in(row.job.task) else None

    def spend(self, row: Row) -> None:
        """A row starts: its rates are used up by so much."""
        for which in self._whose(row):
            said = self.said.get(which)
            if said is not None and (rate := said.now) is not None:
                spent = rate.after(1, self._store.clock.monotonic())
                said.used, said.used_at = spent.used, spent.used_at

    def waits(self, queue: str) -> float | None:
        """Seconds until the first ready row of a queue may start; None where no rate keeps it from that."""
        if not any(said.now for said in self.said.values()):
            return None
        opens = self.opens_in(queue)
        if opens is None:
            return None
        rows = (self._store.rows.get(key) for _, _, key in self._store.ready.get(queue, ()))
        ready = [row for row in rows if row is not None and row.state is State.READY and not self._key_is_full(row)]
        tasks = {row.job.task for row in ready}
        return min((max(opens, self._task_opens_in(task)) for task in tasks), default=None)

    def _key_is_full(self, row: Row) -> bool:
        return row.job.key is not None and self.running[row.job.key] >= row.job.key_limit

    def _task_opens_in(self, task: str) -> float:
        said = self.said.get(("task", task))
        return self._rate_opens_in(said) if said is not None else 0.0

    def _rate_opens_in(self, said: Said) -> float:
        rate = said.now
        return rate.opens_in(self._store.clock.monotonic()) if rate is not None else 0.0

    @staticmethod
    def _whose(row: Row) -> tuple[tuple[Scope, str], tuple[Scope, str]]:
        return ("queue", row.job.queue), ("task", row.job.task)

    # --- what is said --------------------------------------------------------------------------------

    def limit(self, scope: Scope, name: str, concurrency: int | None, rate: float | None, burst: int | None) -> None:
        """See :meth:`qtool.engine.broker.Operator.limit`."""
        said = self.said.setdefault((scope, name), Said())
        said.concurrency, said.rate, said.burst, said.explicit = concurrency, rate, burst, True
        self._store.bells.ring("ready")

    def unlimit(self, scope: Scope, name: str) -> bool:
        """See :meth:`qtool.engine.broker.Operator.unlimit`."""
        said = self.said.get((scope, name))
        if said is None or not said.explicit:
            return False
        said.concurrency = said.rate = said.burst = None
        said.explicit = False
        if said.declared is None:
            del self.said[scope, name]
        self._store.bells.ring("ready")
        return True

    def declare(self, rates: Mapping[str, float | None]) -> None:
        """See :meth:`qtool.engine.broker.Operator.declare`."""
        for task, rate in rates.items():
            said = self.said.get(("task", task))
            if rate is not None:
                said = self.said.setdefault(("task", task), Said())
                said.declared = rate
            elif said is not None:
                said.declared = None
                if not said.explicit:
                    del self.said["task", task]
        self._store.bells.ring("ready")

    def listed(self) -> list[Limit]:
        """See :meth:`qtool.engine.broker.Inspector.limits`."""
        store, now = self._store, self._store.clock.now()
        found = []
        for (scope, name), said in sorted(self.said.items()):
            rate = said.now
            wait = self._rate_opens_in(said)
            held = sum(row.state is State.READY and self.holds(row) == f"task:{name}" for row in store.rows.values())
            found.append(
                Limit(
                    scope=scope,
                    name=name,
                    concurrency=said.concurrency,
                    rate=rate.per_second if rate is not None else None,
                    burst=rate.burst if rate is not None else None,
                    declared=not said.explicit,
                    running=store.counts[name, State.RUNNING] if scope == "queue" else None,
                    held=held if scope == "task" else 0,
                    opens_at=now + wait if wait else None,
                )
            )
        return found
