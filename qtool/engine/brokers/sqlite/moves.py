"""The Broker side: how jobs come in, are claimed and are settled. Each method is one short transaction."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from qtool.engine.broker import LEASE_SECONDS, Maintenance, Receipt, Renewal, Topic, WorkerInfo
from qtool.engine.brokers.sqlite import upkeep
from qtool.engine.brokers.sqlite.doorbell import FifoBell, ring, sweep
from qtool.engine.brokers.sqlite.intake import Intake
from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.limits import Gates, Start, free_keys
from qtool.engine.brokers.sqlite.operate import TO_KILL
from qtool.engine.brokers.sqlite.rescue import Rescuer, give_back
from qtool.engine.brokers.sqlite.rows import error_columns, storable, worker_to_json
from qtool.engine.brokers.sqlite.store import SQL, Row, Store, first, rows
from qtool.engine.brokers.sqlite.unreadable import is_no_text, park
from qtool.engine.job import Chunk, Job, Lease, Report, Settlement
from qtool.engine.output import HEAD, TAIL, bound, size
from qtool.engine.slate import FileSlate
from qtool.engine.states import FINAL, Event, State
from qtool.errors import BrokerCorrupt, BrokerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from qtool.engine.clock import Clock
    from qtool.engine.policy import Retention


TIDY_SECONDS = 30.0
"""How often a worker looks for jobs to prune and history to thin."""

TIDY_AT_ONCE = 0.1
"""For how many seconds one round of upkeep prunes; what is left is for the next."""


class SqliteBroker:
    """Moves jobs in one embedded file."""

    def __init__(self, store: Store, clock: Clock, retention: Retention) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._rescuer = Rescuer(store, clock)
        self._bells = f"{store.directory}/bells"
        self._intake = Intake(store, clock)
        self._turn = 0
        self._tidy_at = 0.0

    # --- in ------------------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job]) -> Receipt:
        return self._intake.enqueue(jobs)

    # --- out -----------------------------------------------------------------------------------------

    def claim(self, worker: str, queues: Sequence[str], count: int, lease: float = LEASE_SECONDS) -> list[Lease]:
        now = self._clock.now()
        try:
            return self._claim(worker, queues, count, lease, now)
        except BrokerCorrupt as error:
            if not is_no_text(error) or not park(self._store, now):
                raise
        return self._claim(worker, queues, count, lease, now)

    def _claim(self, worker: str, queues: Sequence[str], count: int, lease: float, now: float) -> list[Lease]:
        if count <= 0 or not upkeep.anything_to_claim(self._store, now, self._clock.monotonic(), queues):
            return []
        expired = promoted = 0
        opened = False
        taken: list[Row] = []
        while True:
            ledger = Ledger(now)
            with self._store.write(durable=False) as db:
                overdue = upkeep.expire(db, now, ledger)
                expired += overdue
                promoted += upkeep.promote(db, now, ledger)
                # The queues' counters are read from the table: what was just promoted has to be written first.
                ledger.write(db)
                opened |= ledger.opened
                if overdue < upkeep.STRETCH:
                    ledger = Ledger(now)
                    taken = self._take(db, worker, queues, count, lease, ledger)
                    ledger.write(db)
                    opened |= ledger.opened
                    break
        if expired:
            ring(self._bells, "finished")
        if opened or promoted > len(taken):
            ring(self._bells, "ready")
        return [Lease._make(row) for row in taken]

    def _take(
        self, db: apsw.Connection, worker: str, queues: Sequence[str], count: int, lease: float, ledger: Ledger
    ) -> list[Row]:
        """Start up to ``count`` of the jobs that are ready."""
        gates = Gates(db, self._clock.monotonic())
        serve = list(gates.open_queues(queues))
        if not serve:
            return []
        # A claim is a sign of life as good as a heartbeat.
        db.execute(SQL["beat"], (worker, lease, None))
        self._turn += 1
        turn = self._turn % len(serve)
        start = Start(int.from_bytes(os.urandom(8), "big") >> 1, worker, ledger.now)
        taken: list[Row] = []
        for queue in serve[turn:] + serve[:turn]:
            some = gates.take(queue, count - len(taken), start, ledger)
            _count_out(queue, some, ledger)
            taken += some
            if len(taken) >= count:
                break
        gates.write()
        return taken

    def opens_at(self, queues: Sequence[str]) -> float | None:
        with self._store.read() as db:
            wait = Gates(db, self._clock.monotonic()).opens_in(queues)
        return self._clock.now() + wait if wait is not None else None

    def settle(self, settlements: Sequence[Settlement]) -> list[State | None]:
        if not settlements:
            return []
        now = self._clock.now()
        try:
            ends, opened = self._settle(settlements, now, trusting=True)
        except _LateError:
            ends, opened = self._settle(settlements, now, trusting=False)
        topics: list[Topic] = ["finished"]
        if opened or any(each.state not in FINAL for each in settlements):
            # Also for those that are due later: a worker asleep until the next due job may have to rise earlier.
            topics.append("ready")
        ring(self._bells, *topics)
        return ends

    def _settle(
        self, settlements: Sequence[Settlement], now: float, *, trusting: bool
    ) -> tuple[list[State | None], bool]:
        """Apply them in one transaction; ``trusting`` does plain successes in bulk and gives up if one is late.

        What became of each, and whether that lets something start that had to wait.
        """
        ledger = Ledger(now)
        ends: list[State | None] = [each.state for each in settlements]
        plain: list[Row] = []
        durations: dict[str, list[float]] = {}
        with self._store.write(durable=False) as db:
            free_keys(db, ledger, settlements)
            for index, each in enumerate(settlements):
                if trusting and each.state is State.SUCCEEDED and not each.output:
                    lease = each.lease
                    plain.append((each.started_at, each.at, each.result, lease.key, lease.token))
                    durations.setdefault(lease.queue, []).append(each.at - each.started_at)
                else:
                    ends[index] = _settle_one(db, each, ledger)
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
        return ends, ledger.opened

    # --- while it runs -------------------------------------------------------------------------------

    def extend(self, worker: WorkerInfo, leases: Sequence[Lease], seconds: float = LEASE_SECONDS) -> Renewal:
        lost: set[str] = set()
        cancelled: set[str] = set()
        killed: set[str] = set()
        with self._store.write(durable=False) as db:
            db.execute(SQL["beat"], (worker.id, seconds, worker_to_json(worker)))
            for lease in leases:
                row = first(db, "held", (lease.key, lease.token))
                if row is None:
                    lost.add(lease.id)
                elif row[0]:
                    (killed if row[0] == TO_KILL else cancelled).add(lease.id)
            wanted = first(db, "wanted", (worker.id,))
        slots = (wanted[0], wanted[1]) if wanted is not None else None
        return Renewal(frozenset(lost), frozenset(cancelled), frozenset(killed), slots)

    def report(self, reports: Sequence[Report]) -> None:
        if not reports:
            return
        with self._store.write(durable=False) as db:
            for each in reports:
                lease = each.lease
                message = storable(each.message) if each.message is not None else None
                before = db.total_changes()
                db.execute(SQL["report"], (each.progress, message, lease.key, lease.token))
                if db.total_changes() != before:
                    store_output(db, lease, each.output)
        ring(self._bells, "finished")

    def maintain(self) -> Maintenance:
        now = self._clock.now()
        rescued = self._rescuer.rescue(now)
        promoted, expired, next_due = upkeep.advance(self._store, now)
        pruned = self._tidy(now)
        # What expired may have stood before others with its key.
        if promoted or rescued or expired:
            ring(self._bells, "ready")
        if expired or rescued:
            ring(self._bells, "finished")
        return Maintenance(promoted, expired, rescued, pruned, next_due)

    def _tidy(self, now: float) -> int:
        """Prune and thin every :data:`TIDY_SECONDS`, or as soon as may be while there is more to prune."""
        seen = self._clock.monotonic()
        if seen < self._tidy_at:
            return 0
        pruned = 0
        while some := upkeep.prune(self._store, now, self._retention):
            pruned += some
            if self._clock.monotonic() - seen > TIDY_AT_ONCE:
                return pruned
        upkeep.thin_history(self._store, now)
        sweep(self._bells, TIDY_SECONDS)
        self._tidy_at = self._clock.monotonic() + TIDY_SECONDS
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
            for seq, queue, attempt, _, _, cancel, _, _, key in rows(db, "held_by", {"worker": worker}):
                ledger.free(key)
                give_back(db, ledger, seq, queue, attempt, cancel=bool(cancel))
            db.execute(SQL["forget"], (worker,))
            ledger.write(db)
        ring(self._bells, "ready", "finished")
        # Tidy, not needed: what is wrong with the file is for others to say.
        with suppress(BrokerError):
            self._store.checkpoint()


class _LateError(Exception):
    """A bulk of successes held one whose lease was lost."""


def _ready_at(row: Row) -> float:
    return float(row[10])


def _count_out(queue: str, taken: list[Row], ledger: Ledger) -> None:
    if not taken:
        return
    ledger.move(queue, State.READY, State.RUNNING, len(taken))
    tally = ledger.tally(queue)
    tally.count("started", len(taken))
    # What was enqueued together has been ready for equally long.
    for ready_at, together in groupby(taken, key=_ready_at):
        tally.waited(ledger.now - ready_at, sum(1 for _ in together))


def _settle_one(db: apsw.Connection, each: Settlement, ledger: Ledger) -> State | None:
    lease, state, event = each.lease, each.state, each.event
    held = first(db, "held", (lease.key, lease.token))
    if held is None:
        return None
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
    return state


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
