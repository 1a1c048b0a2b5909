"""The Broker side: how jobs come in, are claimed and are settled. Each method is one short transaction."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import apsw

from qtool.engine.broker import LEASE_SECONDS, Maintenance, Receipt, Renewal, Topic, WorkerInfo
from qtool.engine.brokers.sqlite import upkeep
from qtool.engine.brokers.sqlite.doorbell import FifoBell, ring
from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.rescue import Rescuer
from qtool.engine.brokers.sqlite.rows import error_columns, worker_to_json
from qtool.engine.brokers.sqlite.store import SQL, Row, Store, first, rows
from qtool.engine.codec import encode_body, encode_options
from qtool.engine.job import Chunk, Job, Lease, Report, Settlement
from qtool.engine.output import HEAD, TAIL, bound, size
from qtool.engine.slate import FileSlate
from qtool.engine.states import FINAL, Event, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.clock import Clock
    from qtool.engine.policy import Retention


TIDY_SECONDS = 30.0
"""How often a worker looks for jobs to prune and history to thin."""


class _Enqueuing:
    """One caller's batch, waiting for whoever commits next."""

    __slots__ = ("done", "error", "jobs", "receipt", "rows")

    def __init__(self, jobs: Sequence[Job], rows: list[Row]) -> None:
        self.jobs = jobs
        self.rows = rows
        self.done = False
        self.receipt = Receipt(())
        self.error: BaseException | None = None


class SqliteBroker:
    """Moves jobs in one embedded file."""

    def __init__(self, store: Store, clock: Clock, retention: Retention) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._rescuer = Rescuer(store, clock)
        self._bells = f"{store.directory}/bells"
        self._arrivals = threading.Lock()
        self._arrived: list[_Enqueuing] = []
        self._turn = 0
        self._introduced: set[str] = set()
        self._tidy_at = 0.0

    # --- in ------------------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job]) -> Receipt:
        now = self._clock.now()
        mine = _Enqueuing(jobs, [_row(job, now) for job in jobs])
        with self._arrivals:
            self._arrived.append(mine)
        # Threads that arrive while another commits share the next commit: one wait for the disk serves them all.
        with self._store.lock:
            if not mine.done:
                with self._arrivals:
                    group, self._arrived = self._arrived, []
                self._commit(group, now)
        if mine.error is not None:
            raise mine.error
        return mine.receipt

    def _commit(self, group: list[_Enqueuing], now: float) -> None:
        try:
            try:
                self._insert(group, now, one_by_one=any(job.unique for each in group for job in each.jobs))
            except _TakenError:
                # Rare, so only now is each job looked at by itself.
                self._insert(group, now, one_by_one=True)
        except BaseException as error:  # noqa: BLE001 - handed to every caller of the group, who raises it
            for each in group:
                each.error = error
        for each in group:
            each.done = True
        if any(row[3] == "ready" for each in group for row in each.rows):
            ring(self._bells, "ready")

    def _insert(self, group: list[_Enqueuing], now: float, *, one_by_one: bool) -> None:
        ledger = Ledger(now)
        with self._store.write(durable=True) as db:
            for each in group:
                if one_by_one:
                    each.receipt = _insert_each(db, each, ledger)
                else:
                    try:
                        db.executemany(SQL["insert"], each.rows)
                    except apsw.ConstraintError:
                        raise _TakenError from None
                    each.receipt = Receipt(tuple([row[0] for row in each.rows]))
                    _count_in(each.rows, ledger)
            ledger.write(db)

    # --- out -----------------------------------------------------------------------------------------

    def claim(self, worker: str, queues: Sequence[str], count: int, lease: float = LEASE_SECONDS) -> list[Lease]:
        now = self._clock.now()
        if count <= 0 or not upkeep.anything_to_claim(self._store, now):
            return []
        taken: list[Row] = []
        ledger = Ledger(now)
        token = int.from_bytes(os.urandom(8), "big") >> 1
        with self._store.write(durable=False) as db:
            upkeep.expire(db, now, ledger)
            upkeep.promote(db, now, ledger)
            # The queues' counters are read from the table: what was just promoted has to be written first.
            ledger.write(db)
            ledger = Ledger(now)
            if worker not in self._introduced:
                db.execute(SQL["introduce"], (worker, lease))
            claimable = {queue for (queue,) in rows(db, "claimable")}
            serve = [queue for queue in (queues or sorted(claimable)) if queue in claimable]
            self._turn += 1
            first = self._turn % len(serve) if serve else 0
            for queue in serve[first:] + serve[:first]:
                wanted = {"token": token, "worker": worker, "now": now, "queue": queue, "count": count - len(taken)}
                some = rows(db, "claim", wanted)
                # RETURNING gives rows in the order of the file; the claim's order is by priority, then by age.
                some.sort(key=_claim_order)
                _count_out(queue, some, ledger)
                taken += some
                if len(taken) >= count:
                    break
            ledger.write(db)
        self._introduced.add(worker)
        self._rescuer.saw(worker)
        return [Lease._make(row[:11]) for row in taken]

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        if not settlements:
            return []
        now = self._clock.now()
        try:
            applied = self._settle(settlements, now, trusting=True)
        except _LateError:
            applied = self._settle(settlements, now, trusting=False)
        topics: list[Topic] = ["finished"]
        if any(each.state is State.READY for each in settlements):
            topics.append("ready")
        ring(self._bells, *topics)
        return applied

    def _settle(self, settlements: Sequence[Settlement], now: float, *, trusting: bool) -> list[bool]:
        """Apply them in one transaction; ``trusting`` does plain successes in bulk and gives up if one is late."""
        ledger = Ledger(now)
        applied = [True] * len(settlements)
        plain: list[Row] = []
        durations: dict[str, list[float]] = {}
        with self._store.write(durable=False) as db:
            for index, each in enumerate(settlements):
                if trusting and each.state is State.SUCCEEDED and not each.output:
                    lease = each.lease
                    plain.append((each.started_at, each.at, each.result, lease.key, lease.token))
                    durations.setdefault(lease.queue, []).append(each.at - each.started_at)
                elif not _settle_one(db, each, ledger):
                    applied[index] = False
            if plain:
                before = db.total_changes()
                db.executemany(SQL["succeed"], plain)
                if db.total_changes() - before != len(plain):
                    raise _LateError
                for queue, seconds in durations.items():
                    ledger.arrive(queue, State.RUNNING, State.SUCCEEDED, len(seconds))
                    ran = ledger.tally(queue).ran
                    for each_run in seconds:
                        ran(each_run)
            ledger.write(db)
        return applied

    # --- while it runs -------------------------------------------------------------------------------

    def extend(self, worker: WorkerInfo, leases: Sequence[Lease], seconds: float = LEASE_SECONDS) -> Renewal:
        lost, cancelled = set(), set()
        with self._store.write(durable=False) as db:
            db.execute(SQL["beat"], (worker.id, seconds, worker_to_json(worker)))
            for lease in leases:
                row = first(db, "held", (lease.key, lease.token))
                if row is None:
                    lost.add(lease.id)
                elif row[0]:
                    cancelled.add(lease.id)
        self._introduced.add(worker.id)
        self._rescuer.saw(worker.id)
        return Renewal(frozenset(lost), frozenset(cancelled))

    def report(self, reports: Sequence[Report]) -> None:
        with self._store.write(durable=False) as db:
            for each in reports:
                lease = each.lease
                before = db.total_changes()
                db.execute(SQL["report"], (each.progress, each.message, lease.key, lease.token))
                if db.total_changes() != before:
                    store_output(db, lease, each.output)
        ring(self._bells, "finished")

    def maintain(self) -> Maintenance:
        now = self._clock.now()
        rescued = self._rescuer.rescue(now)
        promoted, expired, next_due = upkeep.advance(self._store, now)
        pruned = self._tidy(now)
        if promoted or rescued:
            ring(self._bells, "ready")
        if expired or rescued:
            ring(self._bells, "finished")
        return Maintenance(promoted, expired, rescued, pruned, next_due)

    def _tidy(self, now: float) -> int:
        """Prune and thin now and then: at once while there is more to prune, else every :data:`TIDY_SECONDS`."""
        seen = self._clock.monotonic()
        if seen < self._tidy_at:
            return 0
        pruned = upkeep.prune(self._store, now, self._retention)
        if not pruned:
            upkeep.thin_history(self._store, now)
            self._tidy_at = seen + TIDY_SECONDS
        return pruned

    def listen(self, topic: Topic) -> FifoBell:
        with self._store.translated():
            return FifoBell(self._bells, topic)

    def slate(self, worker: str, slots: int) -> FileSlate:
        with self._store.translated():
            return FileSlate.create(f"{self._store.directory}/workers/{worker}", slots)

    def leave(self, worker: str) -> None:
        now = self._clock.now()
        ledger = Ledger(now)
        with self._store.write(durable=False) as db:
            for seq, queue, attempt, _, _, cancel in rows(db, "held_by", {"worker": worker}):
                state = State.CANCELLED if cancel else State.READY
                back = {"seq": seq, "state": state, "finished_at": now if cancel else None}
                db.execute(SQL["give_back"], back)
                db.execute(SQL["drop_output"], (seq, attempt))
                ledger.arrive(queue, State.RUNNING, state)
            db.execute(SQL["forget"], (worker,))
            ledger.write(db)
        self._introduced.discard(worker)
        ring(self._bells, "ready", "finished")
        # Tidy, not needed: another connection may be reading.
        with suppress(Exception):
            self._store.checkpoint()


class _TakenError(Exception):
    """A batch held an id that is there already."""


class _LateError(Exception):
    """A bulk of successes held one whose lease was lost."""


def _row(job: Job, now: float) -> Row:
    """The columns of ``insert``."""
    due = job.run_at if job.run_at is not None and job.run_at > now else None
    return (
        job.id,
        job.task,
        job.queue,
        "scheduled" if due is not None else "ready",
        job.priority,
        job.created_at,
        None if due is not None else now,
        due,
        job.expires_at,
        job.unique,
        encode_body(job.args, job.kwargs),
        encode_options(job),
    )


def _insert_each(db: apsw.Connection, each: _Enqueuing, ledger: Ledger) -> Receipt:
    """Insert what is not there yet; the holder's id for the rest."""
    ids, existing = [], set()
    for job, row in zip(each.jobs, each.rows, strict=True):
        holder = db.execute(SQL["holder"], {"id": job.id, "unique": job.unique}).get
        if holder is None:
            db.execute(SQL["insert"], row)
            _count_in([row], ledger)
            ids.append(job.id)
        else:
            ids.append(str(holder))
            existing.add(str(holder))
    return Receipt(tuple(ids), frozenset(existing))


def _count_in(inserted: list[Row], ledger: Ledger) -> None:
    queue, state, count = None, None, 0
    for row in inserted:
        if row[2] != queue or row[3] != state:
            if queue is not None:
                _count_run(ledger, queue, state, count)
            queue, state, count = row[2], row[3], 0
        count += 1
    if queue is not None:
        _count_run(ledger, queue, state, count)


def _count_run(ledger: Ledger, queue: str, state: str | None, count: int) -> None:
    ledger.move(queue, None, state, count)
    ledger.tally(queue).count("enqueued", count)


def _claim_order(row: Row) -> tuple[int, float, int]:
    return (-row[11], row[10], row[9])


def _count_out(queue: str, taken: list[Row], ledger: Ledger) -> None:
    if not taken:
        return
    ledger.move(queue, State.READY, State.RUNNING, len(taken))
    tally = ledger.tally(queue)
    tally.count("started", len(taken))
    now, waited = ledger.now, tally.waited
    for row in taken:
        waited(now - row[10])


def _settle_one(db: apsw.Connection, each: Settlement, ledger: Ledger) -> bool:
    lease, state, event = each.lease, each.state, each.event
    held = first(db, "held", (lease.key, lease.token))
    if held is None:
        return False
    cancel, worker = held
    if cancel and state not in FINAL:
        # It was asked to stop: it does not run again.
        state = State.CANCELLED
    kind, message, detail = error_columns(each.failure)
    db.execute(
        SQL["settle"],
        {
            "state": state,
            "started_at": each.started_at,
            "finished_at": each.at if state in FINAL else None,
            "result": each.result,
            "due_at": each.due_at if state not in FINAL else None,
            "ready_at": each.at if state is State.READY else None,
            "reason": each.reason,
            "keep_error": event in (Event.SNOOZE, Event.CANCEL),
            "error_type": kind,
            "error_message": message,
            "error_detail": detail,
            "refund": int(event is Event.SNOOZE),
            "failure": int(event is Event.ERROR),
            "crash": int(each.crash),
            "seq": lease.key,
            "token": lease.token,
        },
    )
    if event is Event.SNOOZE:
        # With the attempt goes its output: the next one bears its number.
        db.execute(SQL["drop_output"], (lease.key, lease.attempt))
    else:
        store_output(db, lease, each.output)
        ledger.tally(lease.queue).ran(each.at - each.started_at)
    if event in (Event.ERROR, Event.LEASE_LOST):
        attempt = (lease.key, lease.attempt, worker, each.started_at, each.at, event, state, kind, message, detail)
        db.execute(SQL["add_attempt"], attempt)
    ledger.arrive(lease.queue, State.RUNNING, state)
    return True


def store_output(db: apsw.Connection, lease: Lease, chunks: Sequence[Chunk]) -> None:
    """Append, keeping the head and the tail of the attempt's output."""
    if not chunks:
        return
    whose = (lease.key, lease.attempt)
    kept: Sequence[Chunk] = chunks
    if size(chunks) > HEAD + TAIL:
        stored = [Chunk(*row) for row in rows(db, "output_of", whose)]
        db.execute(SQL["drop_output"], whose)
        kept = bound([*stored, *chunks])
    db.executemany(SQL["add_output"], [(*whose, chunk.offset, chunk.stream, chunk.data) for chunk in kept])
