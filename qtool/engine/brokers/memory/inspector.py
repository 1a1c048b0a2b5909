"""Looking at queues without moving anything."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from typing import TYPE_CHECKING

from qtool.engine.broker import Bucket, Page, QueueStats, Snapshot
from qtool.engine.rollup import LATENCY_WINDOW, RATE_WINDOW, Tally, gather
from qtool.engine.states import FINAL, UNFINISHED, State
from qtool.errors import AmbiguousJob, UnknownJob

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from qtool.engine.brokers.memory.store import Row, Store
    from qtool.engine.filter import Filter
    from qtool.engine.job import Attempt, JobInfo
    from qtool.engine.limits import Limit


class MemoryInspector:
    """See :class:`qtool.engine.broker.Inspector`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def snapshot(self) -> Snapshot:
        store = self._store
        with store.lock:
            now = store.clock.now()
            names = sorted({queue for (queue, _), n in store.counts.items() if n} | store.paused)
            workers = sorted(
                (here.info for here in store.workers.values() if here.info is not None), key=lambda info: info.id
            )
            return Snapshot(now, tuple(self._stats(name, now) for name in names), tuple(workers))

    def _stats(self, name: str, now: float) -> QueueStats:
        store = self._store
        minute, window = self._recent(name, now, RATE_WINDOW), self._recent(name, now, LATENCY_WINDOW).bucket()
        ended = ("succeeded", "dead", "cancelled", "expired")
        listed = (store.rows.get(key) for _, _, key in store.ready.get(name, ()))
        ready = [row for row in listed if row is not None and row.state is State.READY]
        free = [row for row in ready if store.limits.holds(row) is None]
        said = store.limits.said.get(("queue", name))
        return QueueStats(
            name=name,
            paused=name in store.paused,
            counts={state: store.counts[name, state] for state in State},
            held=len({row.key for row in ready}) - len({row.key for row in free}),
            concurrency=said.concurrency if said is not None else None,
            rate=said.rate if said is not None else None,
            oldest_ready_at=min(
                (row.ready_at for row in free if row.ready_at is not None),
                default=None,
            ),
            in_rate=minute.counters.get("enqueued", 0) / RATE_WINDOW,
            out_rate=sum(minute.counters.get(counter, 0) for counter in ended) / RATE_WINDOW,
            failed_rate=minute.counters.get("dead", 0) / RATE_WINDOW,
            wait=window.wait,
            run=window.run,
        )

    def _recent(self, name: str, now: float, seconds: int) -> Tally:
        total = Tally(0, seconds, name)
        for tally in self._store.tallies.values():
            if tally.queue == name and now - seconds < tally.at <= now:
                total.add(tally)
        return total

    def browse(
        self,
        where: Filter | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> Page:
        limit = max(1, limit)
        found: list[JobInfo] = []
        keys: list[int] = []
        with self._store.lock:
            for row, info in self._matching(where, after, oldest_first=oldest_first):
                if len(found) == limit:
                    return Page(tuple(found), keys[-1], tuple(keys))
                found.append(info)
                keys.append(row.key)
        return Page(tuple(found), None, tuple(keys))

    def _matching(
        self, where: Filter | None, after: int | None = None, *, oldest_first: bool = True
    ) -> Iterator[tuple[Row, JobInfo]]:
        rows, now = self._store.rows, self._store.clock.now()
        keys = list(rows)
        if oldest_first:
            keys = keys[bisect_right(keys, after) if after is not None else 0 :]
        else:
            keys = keys[: bisect_left(keys, after) if after is not None else None][::-1]
        for key in keys:
            info = self._info(rows[key])
            if where is None or where.matches(info, now):
                yield rows[key], info

    def count(self, where: Filter | None = None) -> int:
        with self._store.lock:
            if where is None:
                return len(self._store.rows)
            return sum(1 for _ in self._matching(where))

    def get(self, ids: Sequence[str]) -> list[JobInfo | None]:
        with self._store.lock:
            rows = [self._store.by_id.get(each) for each in ids]
            return [self._info(row) if row is not None else None for row in rows]

    def _info(self, row: Row) -> JobInfo:
        return row.info(self._store.limits.holds(row) if row.state is State.READY else None)

    def find(self, prefix: str) -> str:
        with self._store.lock:
            if prefix in self._store.by_id:
                return prefix
            found = [each for each in self._store.by_id if each.startswith(prefix)]
        if not found or not prefix:
            raise UnknownJob(id=prefix)
        if len(found) > 1:
            raise AmbiguousJob(id=prefix)
        return found[0]

    def attempts(self, id: str) -> list[Attempt]:
        with self._store.lock:
            row = self._store.by_id.get(id)
            return list(row.attempts) if row is not None else []

    def history(
        self, since: float, until: float, *, seconds: int, queues: Collection[str] = (), together: bool = False
    ) -> list[Bucket]:
        with self._store.lock:
            tallies = [
                tally
                for tally in self._store.tallies.values()
                if tally.at + tally.seconds > since and tally.at < until and (not queues or tally.queue in queues)
            ]
        return [tally.bucket() for tally in gather(tallies, seconds, together=together)]

    def limits(self) -> list[Limit]:
        with self._store.lock:
            return self._store.limits.listed()

    def check(self) -> list[str]:
        """What the rows say against what is kept beside them."""
        store = self._store
        wrong: list[str] = []
        with store.lock:
            rows = store.rows.values()
            counted = Counter((row.job.queue, row.state) for row in rows)
            wrong += [
                f"the counter of {state} jobs in queue {queue} says {store.counts[queue, state]}, "
                f"there are {counted[queue, state]}"
                for queue, state in sorted(set(store.counts) | set(counted))
                if store.counts[queue, state] != counted[queue, state]
            ]
            for row in rows:
                if (row.state is State.RUNNING) != (row.token is not None):
                    wrong.append(f"job {row.job.id} is {row.state} and its token is {row.token}")
                if (row.state in FINAL) != (row.finished_at is not None):
                    wrong.append(f"job {row.job.id} is {row.state} and its end is {row.finished_at}")
            running = Counter(row.job.key for row in rows if row.job.key is not None and row.state is State.RUNNING)
            wrong += [
                f"the count of running jobs with key {key!r} says {store.limits.running[key]}, there are {running[key]}"
                for key in sorted(set(running) | set(store.limits.running))
                if running[key] != store.limits.running[key]
            ]
            keys = Counter(row.job.unique for row in rows if row.job.unique is not None and row.state in UNFINISHED)
            wrong += [f"{n} unfinished jobs hold the unique key {key!r}" for key, n in keys.items() if n > 1]
        return wrong
