"""The Inspector side: snapshots, listings and history. Nothing here writes, and nothing is read all at once."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from qtool.engine.broker import Bucket, Page, QueueStats, Snapshot
from qtool.engine.brokers.redis.check import check
from qtool.engine.brokers.redis.discovery import Discovery
from qtool.engine.brokers.redis.foreign import Foreign
from qtool.engine.brokers.redis.listing import Listing
from qtool.engine.brokers.redis.records import attempt, job_info, text, worker
from qtool.engine.brokers.redis.rollups import Stretch, stretches, tallies, windows
from qtool.engine.brokers.redis.saying import listed
from qtool.engine.brokers.redis.seen import ended, info
from qtool.engine.brokers.redis.standing import Standing, Standings
from qtool.engine.rollup import RATE_WINDOW, Tally, gather
from qtool.engine.slate import is_abandoned
from qtool.engine.states import FINAL
from qtool.errors import AmbiguousJob, UnknownJob

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from qtool.engine.broker import WorkerInfo
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.filter import Filter
    from qtool.engine.job import Attempt, JobInfo
    from qtool.engine.limits import Limit


class RedisInspector:
    """See :class:`qtool.engine.broker.Inspector`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._discovery = Discovery(store)
        self.foreign = Foreign(store, self._discovery)
        self.listing = Listing(store, self.foreign)
        self._standings = Standings(store, self._discovery, self.foreign)

    # --- the whole -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        store, layout = self._store, self._store.layout
        with store.translated():
            now = store.clock.now()
            standings = self._standings.read()
            paused = {text(name) for name in store.client.smembers(layout.paused)}
            limits = {limit.name: limit for limit in listed(store) if limit.scope == "queue"}
            minute, recent = (self._summed(each) for each in windows(now))
            workers = tuple(self._workers())
        return Snapshot(
            now,
            tuple(
                _stats(name, each, name in paused, limits.get(name), minute.get(name), recent.get(name))
                for name, each in standings.items()
                if any(each.counts.values()) or name in paused or each.foreign
            ),
            workers,
        )

    def _workers(self) -> Iterator[WorkerInfo]:
        client, layout = self._store.client, self._store.layout
        ids = sorted(text(id) for id in client.smembers(layout.workers))
        if not ids:
            return
        slates = self._store.slates_here()
        with client.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.hget(layout.worker(id), "info")
            said = pipe.execute()
        for id, raw in zip(ids, said, strict=True):
            if raw:
                yield worker(raw, gone=slates is not None and is_abandoned(f"{slates}/{id}"))

    # --- history -------------------------------------------------------------------------------------

    def history(
        self, since: float, until: float, *, seconds: int, queues: Collection[str] = (), together: bool = False
    ) -> list[Bucket]:
        seconds = max(1, seconds)
        with self._store.translated():
            found = [
                tally
                for stretch in stretches(since, until, seconds, self._store.clock.now())
                for tally in self._spans(stretch, queues)
            ]
        return [tally.bucket() for tally in gather(found, seconds, together=together)]

    def _spans(self, stretch: Stretch, queues: Collection[str] = ()) -> Iterator[Tally]:
        prefix = self._store.layout.rollup(stretch.width)
        flat = self._store.scripts.run("rollups", (), (prefix, stretch.width, stretch.first, stretch.end, stretch.into))
        for n in range(0, len(flat), 2):
            fields = zip(flat[n + 1][::2], flat[n + 1][1::2], strict=True)
            yield from tallies(flat[n], stretch.into, ((text(field), int(by)) for field, by in fields), queues)

    def _summed(self, window: Sequence[Stretch]) -> dict[str, Tally]:
        """What a window saw, by queue."""
        found: dict[str, Tally] = {}
        for stretch in window:
            for tally in self._spans(stretch):
                found.setdefault(tally.queue, Tally(0, 0, tally.queue)).add(tally)
        return found

    # --- jobs ----------------------------------------------------------------------------------------

    def browse(
        self,
        where: Filter | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> Page:
        limit = max(1, limit)
        with self._store.translated():
            walk = self.listing.walk(where, after=after, oldest_first=oldest_first, piece=limit + 1)
            found = list(islice(walk, limit + 1))
        keys = tuple(key for key, _ in found[:limit])
        return Page(tuple(job for _, job in found[:limit]), keys[-1] if len(found) > limit else None, keys)

    def count(self, where: Filter | None = None) -> int:
        with self._store.translated():
            if where is not None and not where.only_queues_and_states:
                return sum(1 for _ in self.listing.walk(where))
            queues, states = (where.queues(), where.states()) if where is not None else (None, None)
            return sum(
                n
                for name, each in self._standings.read().items()
                if queues is None or name in queues
                for state, n in each.counts.items()
                if states is None or state in states
            )

    def get(self, ids: Sequence[str]) -> list[JobInfo | None]:
        with self._store.translated():
            records = self.listing.records(ids)
            found = {record.id: job_info(record) for record in records if record is not None}
            missing = [id for id in dict.fromkeys(ids) if id not in found]
            metas = {
                id: meta for id, meta in zip(missing, self.listing.metas(missing), strict=True) if meta is not None
            }
            # The message may be there as well, of a job that is retried or that tells how far it is: it says more.
            waiting = [id for id in missing if id not in metas or metas[id].state not in FINAL]
            sought = self.foreign.seek(waiting) if waiting else {}
        found |= {id: ended(id, meta) for id, meta in metas.items()}
        found |= {id: info(each.seen) for id, each in sought.items()}
        return [found.get(id) for id in ids]

    def find(self, prefix: str) -> str:
        if not prefix:
            raise UnknownJob(id=prefix)
        client, layout = self._store.client, self._store.layout
        with self._store.translated():
            if client.exists(layout.records + prefix, layout.results + prefix):
                return prefix
            found = set(islice(self.listing.beginning(prefix), 2))
            if len(found) < 2:
                found |= set(self.foreign.seek([prefix], prefix=True))
        if prefix in found:
            return prefix
        if not found:
            raise UnknownJob(id=prefix)
        if len(found) > 1:
            raise AmbiguousJob(id=prefix)
        return found.pop()

    def attempts(self, id: str) -> list[Attempt]:
        with self._store.translated():
            return [attempt(raw) for raw in self._store.client.lrange(self._store.layout.attempts(id), 0, -1)]

    # --- limits, and whether all is well -------------------------------------------------------------

    def limits(self) -> list[Limit]:
        with self._store.translated():
            return listed(self._store)

    def check(self) -> list[str]:
        with self._store.translated():
            return check(self._store)


def _stats(
    name: str, standing: Standing, paused: bool, limit: Limit | None, minute: Tally | None, recent: Tally | None
) -> QueueStats:
    counted = minute.counters if minute is not None else {}
    out = sum(counted.get(counter, 0) for counter in ("succeeded", "dead", "cancelled", "expired"))
    seen = recent.bucket() if recent is not None else None
    return QueueStats(
        name=name,
        paused=paused,
        counts=standing.counts,
        held=standing.held,
        concurrency=limit.concurrency if limit is not None else None,
        rate=limit.rate if limit is not None else None,
        oldest_ready_at=standing.oldest_ready_at,
        in_rate=counted.get("enqueued", 0) / RATE_WINDOW,
        out_rate=out / RATE_WINDOW,
        failed_rate=counted.get("dead", 0) / RATE_WINDOW,
        wait=seen.wait if seen is not None else None,
        run=seen.run if seen is not None else None,
    )
