"""The Inspector side: snapshots, listings and history, none of which costs more when the file holds more jobs."""

from __future__ import annotations

import heapq
import json
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from qtool.engine.broker import Bucket, Page, QueueStats, Snapshot
from qtool.engine.brokers.sqlite.ledger import RUN, WAIT
from qtool.engine.brokers.sqlite.limits import Said, said
from qtool.engine.brokers.sqlite.recent import Recent
from qtool.engine.brokers.sqlite.rows import JOB_BYTES, JOB_COLUMNS, failure, job_info, worker_from_json
from qtool.engine.brokers.sqlite.store import SQL, Row, Store, rows, text_key
from qtool.engine.brokers.sqlite.unreadable import is_no_text
from qtool.engine.job import Attempt, JobInfo
from qtool.engine.limits import Limit
from qtool.engine.rollup import LATENCY_WINDOW, RATE_WINDOW, Tally
from qtool.engine.slate import is_abandoned
from qtool.engine.states import Event, State
from qtool.errors import AmbiguousJob, BrokerCorrupt, UnknownJob

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import apsw

    from qtool.engine.clock import Clock
    from qtool.engine.filter import Filter

T = TypeVar("T")

AT_A_TIME = 200
"""How many runs of (queue, state) a listing merges at once: each is an open statement."""

RUN_COST = 50
"""What opening a run costs, in rows walked over."""


class SqliteInspector:
    """Looks at one embedded file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._recent = Recent()

    # --- the whole -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        now = self._clock.now()
        with self._store.read() as db:
            counts: dict[str, dict[State, int]] = {}
            for queue, state, n in rows(db, "counters"):
                counts.setdefault(queue, dict.fromkeys(State, 0))[State(state)] = n
            paused = {queue for (queue,) in rows(db, "paused")}
            for queue in paused:
                counts.setdefault(queue, dict.fromkeys(State, 0))
            recent = _tallies(self._recent.rows(db, int(now) - LATENCY_WINDOW, int(now)), LATENCY_WINDOW)
            rates = _tallies(rows(db, "recent", (int(now) - RATE_WINDOW, int(now))), RATE_WINDOW)
            oldest = {
                queue: db.execute(SQL["oldest_ready"], {"queue": queue}).get
                for queue, states in counts.items()
                if states[State.READY]
            }
            held: dict[str, int] = dict(rows(db, "held_counts"))
            limits = {each.name: each for each in said(db) if each.scope == "queue"}
            here = [(id, info) for id, _, _, info in rows(db, "workers") if info]
        slates = f"{self._store.directory}/workers"
        workers = tuple(worker_from_json(info, gone=is_abandoned(f"{slates}/{id}")) for id, info in here)
        queues = tuple(
            _stats(
                queue,
                states,
                queue in paused,
                held.get(queue, 0),
                limits.get(queue),
                oldest.get(queue),
                rates.get(queue),
                recent.get(queue),
            )
            for queue, states in sorted(counts.items())
            if any(states.values()) or queue in paused
        )
        return Snapshot(now, queues, workers)

    def history(
        self, since: float, until: float, *, seconds: int, queues: Collection[str] = (), together: bool = False
    ) -> list[Bucket]:
        wanted = {
            "since": int(since),
            "until": until,
            "seconds": max(1, seconds),
            "together": together,
            "queues": json.dumps(list(queues)) if queues else None,
        }
        tallies: dict[tuple[int, int, str], Tally] = {}
        with self._store.read() as db:
            for span, at, queue, series, bucket, n, total in rows(db, "history", wanted):
                key = (at, span, queue)
                _add(tallies.setdefault(key, Tally(*key)), series, bucket, n, total)
        return [tallies[key].bucket() for key in sorted(tallies)]

    def limits(self) -> list[Limit]:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        with self._store.read() as db:
            return [_limit(db, each, now, monotonic) for each in said(db)]

    def check(self) -> list[str]:
        wrong: list[str] = []
        try:
            wrong += self._store.integrity()
            with self._store.read() as db:
                for queue, state, said, found in rows(db, "miscounted"):
                    wrong.append(f"the counter of {state} jobs in queue {queue} says {said}, the file holds {found}")
        except BrokerCorrupt as damage:
            # Damage can be such that even the checks break off: that is a finding too.
            wrong.append(str(damage))
        return wrong

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
        return _legibly(lambda columns: self._browse(columns, where, after, limit, oldest_first))

    def _browse(self, columns: str, where: Filter | None, after: int | None, limit: int, oldest_first: bool) -> Page:
        condition, values = where.sql(self._clock.now()) if where is not None else ("", [])

        def stretch(run: tuple[str, str, int] | None) -> apsw.Cursor:
            return db.execute(*_stretch(columns, run, condition, values, after, limit + 1, oldest_first))

        found: list[Row] = []
        with self._store.read() as db:
            runs = _runs(db, where)
            if runs is None or _scan_is_cheaper(db, runs):
                found = db.execute(
                    *_stretch(columns, None, condition, values, after, limit + 1, oldest_first)
                ).fetchall()
            else:
                for start in range(0, len(runs), AT_A_TIME):
                    walks = [stretch(run) for run in runs[start : start + AT_A_TIME]]
                    merged = heapq.merge(found, *walks, key=_key, reverse=not oldest_first)
                    found = list(islice(merged, limit + 1))
                    for walk in walks:
                        # An open one would hold on to this view of the file beyond the transaction.
                        walk.close()
        with self._store.translated():
            jobs = tuple(job_info(row) for row in found[:limit])
        keys = tuple(int(row[0]) for row in found[:limit])
        return Page(jobs, keys[-1] if len(found) > limit else None, keys)

    def count(self, where: Filter | None = None) -> int:
        with self._store.read() as db:
            runs = _runs(db, where)
            if where is None or where.only_queues_and_states:
                return sum(n for _, _, n in (runs if runs is not None else _counted(db)))
            condition, values = where.sql(self._clock.now())
            if runs is None:
                return int(db.execute(f"SELECT count(*) FROM jobs WHERE {condition}", values).get)
            total = 0
            for run in runs:
                index, term, whose = _run(*run)
                counting = f"SELECT count(*) FROM jobs {index} WHERE {term} AND ({condition})"
                total += int(db.execute(counting, (*whose, *values)).get)
            return total

    def get(self, ids: Sequence[str]) -> list[JobInfo | None]:
        return _legibly(lambda columns: self._get(columns, ids))

    def _get(self, columns: str, ids: Sequence[str]) -> list[JobInfo | None]:
        with self._store.read() as db:
            found = [db.execute(f"SELECT {columns} FROM jobs WHERE id = ?", (text_key(id),)).fetchone() for id in ids]
        with self._store.translated():
            return [job_info(row) if row is not None else None for row in found]

    def find(self, prefix: str) -> str:
        with self._store.read() as db:
            found = [str(id) for (id,) in rows(db, "prefix", (text_key(prefix), text_key(prefix + "\U0010ffff")))]
        if not found or not prefix:
            raise UnknownJob(id=prefix)
        if len(found) > 1 and found[0] != prefix:
            raise AmbiguousJob(id=prefix)
        return found[0]

    def attempts(self, id: str) -> list[Attempt]:
        with self._store.read() as db:
            found = rows(db, "attempts", (text_key(id),))
        return [
            Attempt(
                attempt=attempt,
                worker=worker,
                started_at=started_at,
                finished_at=finished_at,
                event=Event(event),
                state=State(state),
                error=failure(kind, message, detail),
            )
            for attempt, worker, started_at, finished_at, event, state, kind, message, detail in found
        ]


def _limit(db: apsw.Connection, each: Said, now: float, monotonic: float) -> Limit:
    of_queue = each.scope == "queue"
    wait = each.rate.opens_in(monotonic) if each.rate is not None else 0.0
    return Limit(
        scope="queue" if of_queue else "task",
        name=each.name,
        concurrency=each.concurrency,
        rate=each.rate.per_second if each.rate is not None else None,
        burst=each.rate.burst if each.rate is not None else None,
        declared=not each.explicit,
        running=(db.execute(SQL["running_in"], (each.name,)).get or 0) if of_queue else None,
        held=0 if of_queue else db.execute(SQL["held_of_task"], (each.name,)).get,
        opens_at=now + wait if wait else None,
    )


# --- listings: a merge of the runs that the counters say are not empty ---------------------------------


def _counted(db: apsw.Connection) -> list[tuple[str, str, int]]:
    return [(queue, state, n) for queue, state, n in rows(db, "counters") if n]


def _runs(db: apsw.Connection, where: Filter | None) -> list[tuple[str, str, int]] | None:
    """The (queue, state, count) runs that ``where`` confines itself to; None where it does not."""
    if where is None:
        return None
    queues, states = where.queues(), where.possible()
    if queues is None and states is None:
        return None
    counted = _counted(db)
    runs = [
        (queue, state, n)
        for queue, state, n in counted
        if (queues is None or queue in queues) and (states is None or state in states)
    ]
    only_follows = queues is None and where.states() is None
    # A walk along the index costs about twice as much a row as one over the whole file.
    return None if only_follows and 2 * _sum(runs) > _sum(counted) else runs


def _sum(runs: list[tuple[str, str, int]]) -> int:
    return sum(n for _, _, n in runs)


def _legibly(look: Callable[[str], T]) -> T:
    """What ``look`` finds with these columns of a job, also where somebody wrote what is no text into one of them."""
    try:
        return look(JOB_COLUMNS)
    except BrokerCorrupt as error:
        if not is_no_text(error):
            raise
    return look(JOB_BYTES)


def _scan_is_cheaper(db: apsw.Connection, runs: list[tuple[str, str, int]]) -> bool:
    """Whether the whole file is less to walk over than so many runs are to open."""
    return len(runs) > AT_A_TIME and sum(n for _, _, n in _counted(db)) < len(runs) * RUN_COST


def _stretch(
    columns: str,
    run: tuple[str, str, int] | None,
    condition: str,
    values: Sequence[Any],
    after: int | None,
    limit: int,
    oldest_first: bool,
) -> tuple[str, list[Any]]:
    """One walk along an index, and its values."""
    terms: list[str] = []
    bound: list[Any] = []
    index = "NOT INDEXED"
    if run is not None:
        index, term, whose = _run(*run)
        terms.append(term)
        bound += whose
    if after is not None:
        terms.append("seq > ?" if oldest_first else "seq < ?")
        bound.append(after)
    if condition:
        terms.append(f"({condition})")
        bound += values
    text = (
        f"SELECT {columns} FROM jobs {index} {'WHERE ' + ' AND '.join(terms) if terms else ''} "
        f"ORDER BY seq {'ASC' if oldest_first else 'DESC'} LIMIT {int(limit)}"
    )
    return text, bound


def _run(queue: str, state: str, _: int = 0) -> tuple[str, str, tuple[str, ...]]:
    """Where the jobs of a queue in a state stand in the order of enqueueing: index, condition, its values."""
    if state == State.RUNNING:
        return "INDEXED BY jobs_running", "queue = ? AND token IS NOT NULL", (queue,)
    return "INDEXED BY jobs_state", "queue = ? AND state = ? AND token IS NULL", (queue, state)


def _key(row: Row) -> int:
    return int(row[0])


# --- history -----------------------------------------------------------------------------------------


def _add(tally: Tally, series: str, bucket: int, n: int, total: float) -> None:
    if series == WAIT:
        tally.wait[bucket] = tally.wait.get(bucket, 0) + n
        tally.wait_total += total
    elif series == RUN:
        tally.run[bucket] = tally.run.get(bucket, 0) + n
        tally.run_total += total
    else:
        tally.count(series, n)


def _tallies(found: Iterable[Row], seconds: int) -> dict[str, Tally]:
    """What the last ``seconds`` saw, by queue."""
    tallies: dict[str, Tally] = {}
    for queue, series, bucket, n, total in found:
        if queue not in tallies:
            tallies[queue] = Tally(0, seconds, queue)
        _add(tallies[queue], series, bucket, n, total)
    return tallies


def _stats(
    queue: str,
    counts: dict[State, int],
    paused: bool,
    held: int,
    limit: Said | None,
    oldest: float | None,
    rates: Tally | None,
    recent: Tally | None,
) -> QueueStats:
    counted = rates.counters if rates is not None else {}
    ended = sum(counted.get(name, 0) for name in ("succeeded", "dead", "cancelled", "expired"))
    seen = recent.bucket() if recent is not None else None
    return QueueStats(
        name=queue,
        paused=paused,
        counts=counts,
        held=held,
        concurrency=limit.concurrency if limit is not None else None,
        rate=limit.rate.per_second if limit is not None and limit.rate is not None else None,
        oldest_ready_at=oldest,
        in_rate=counted.get("enqueued", 0) / RATE_WINDOW,
        out_rate=ended / RATE_WINDOW,
        failed_rate=counted.get("dead", 0) / RATE_WINDOW,
        wait=seen.wait if seen is not None else None,
        run=seen.run if seen is not None else None,
    )
