"""How jobs come in. Threads that arrive while another commits share the next commit: one wait for the disk for all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import apsw

from qtool.engine.broker import Receipt
from qtool.engine.brokers.sqlite.doorbell import ring
from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.limits import Admission
from qtool.engine.brokers.sqlite.store import SQL, Row, Store
from qtool.engine.codec import encode_body, encode_options
from qtool.engine.job import PRIORITIES, Job
from qtool.errors import BrokerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.clock import Clock


class _Batch:
    """One caller's jobs, waiting for whoever commits next."""

    __slots__ = ("done", "error", "jobs", "receipt", "rows")

    def __init__(self, jobs: Sequence[Job], rows: list[Row]) -> None:
        self.jobs = jobs
        self.rows = rows
        self.done = False
        self.receipt = Receipt(())
        self.error: Exception | None = None


class Intake:
    """The one way into an embedded file, for all threads of a process."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._bells = f"{store.directory}/bells"
        self._start_afresh()
        store.forked.append(self._start_afresh)

    def _start_afresh(self) -> None:
        self._door = threading.Lock()
        self._waiting: list[_Batch] = []

    def enqueue(self, jobs: Sequence[Job]) -> Receipt:
        """See :meth:`qtool.engine.broker.Broker.enqueue`."""
        if not jobs:
            return Receipt(())
        now = self._clock.now()
        mine = _Batch(jobs, [_row(job, now) for job in jobs])
        with self._door:
            self._waiting.append(mine)
        try:
            with self._store.lock:
                if not mine.done:
                    self._commit_all(now)
        finally:
            if not mine.done:
                # Interrupted: what raises has to stay out, so that nobody else may commit it later on.
                self._withdraw(mine)
        if mine.error is not None:
            raise mine.error
        return mine.receipt

    def _withdraw(self, batch: _Batch) -> None:
        with self._door:
            if batch in self._waiting:
                self._waiting.remove(batch)

    def _commit_all(self, now: float) -> None:
        with self._door:
            group, self._waiting = self._waiting, []
        try:
            self._commit(group, now)
        except BrokerError as error:
            # The file's own trouble: everybody's.
            for each in group:
                each.error, each.done = error, True
        except Exception as error:  # noqa: BLE001 - handed to its caller, who raises it
            if len(group) == 1:
                group[0].error, group[0].done = error, True
            else:
                self._commit_apart(group, now)
        finally:
            # An interrupt reached this thread while it held the others' jobs. Should they be committed already, then
            # their ids tell that at the second attempt.
            if left := [each for each in group if not each.done]:
                with self._door:
                    self._waiting[:0] = left
        if any(each.error is None for each in group):
            # Also for scheduled ones: a worker asleep until the next due job may have to rise earlier.
            ring(self._bells, "ready")

    def _commit_apart(self, group: list[_Batch], now: float) -> None:
        """One batch among them is faulty: each by itself, so that it fails alone."""
        for each in group:
            try:
                self._commit([each], now)
            except Exception as error:  # noqa: BLE001 - handed to its caller, who raises it
                each.error, each.done = error, True

    def _commit(self, group: list[_Batch], now: float) -> None:
        try:
            self._insert(group, now, one_by_one=any(job.unique or job.key for each in group for job in each.jobs))
        except _TakenError:
            # Rare, so only now is each job looked at by itself.
            self._insert(group, now, one_by_one=True)
        for each in group:
            each.done = True

    def _insert(self, group: list[_Batch], now: float, *, one_by_one: bool) -> None:
        ledger = Ledger(now)
        with self._store.write(durable=True) as db:
            for each in group:
                try:
                    if one_by_one:
                        each.receipt = _insert_each(db, each, ledger)
                    else:
                        db.executemany(SQL["insert"], each.rows)
                        each.receipt = Receipt(tuple([row[0] for row in each.rows]))
                        _count_in(each.rows, ledger)
                except (apsw.ConstraintError, TypeError, OverflowError) as error:
                    if isinstance(error, apsw.ConstraintError) and not one_by_one:
                        raise _TakenError from None
                    raise UsageError(why=f"A job cannot be stored: {error}.") from None
            ledger.write(db)


class _TakenError(Exception):
    """A batch held an id that is there already."""


def _row(job: Job, now: float) -> Row:
    """The columns of ``insert``. Raises NotSerialisable, PayloadTooLarge, UsageError."""
    if job.priority not in PRIORITIES:
        raise UsageError(why=f"The priority of a job is 0 to {PRIORITIES[-1]}, not {job.priority!r}.")
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


def _insert_each(db: apsw.Connection, batch: _Batch, ledger: Ledger) -> Receipt:
    """Insert what is not there yet; the holder's id for the rest."""
    ids, existing = [], set()
    admission = Admission(db, ledger)
    for job, row in zip(batch.jobs, batch.rows, strict=True):
        holder = db.execute(SQL["holder"], {"id": job.id, "unique": job.unique}).get
        if holder is None:
            if job.key is None:
                db.execute(SQL["insert"], row)
            else:
                held = admission.held(job) if row[3] == "ready" else None
                db.execute(SQL["insert_keyed"], (*row, job.key, job.key_limit, held))
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
