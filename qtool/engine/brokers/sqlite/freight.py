"""The Freight side: taking whole jobs out of one embedded file, and into it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.doorbell import ring
from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.limits import Admission
from qtool.engine.brokers.sqlite.rows import error_columns, failure, storable
from qtool.engine.brokers.sqlite.store import SQL, Row, Store, statements, text_key
from qtool.engine.brokers.sqlite.upkeep import forget_job
from qtool.engine.freight import (
    BATCH,
    BATCH_BYTES,
    MORE_THAN_A_JOB,
    SAME_QUEUE,
    THERE_ALREADY,
    UNDERWAY,
    UNKNOWN,
    UNREADABLE,
    Moved,
    Parcel,
    Transit,
    Trip,
    batched,
    decode_parcel,
    encode_parcel,
    key_held,
    stays,
)
from qtool.engine.job import Attempt, Chunk, Job
from qtool.engine.states import FINAL, Event, Reason, State
from qtool.errors import MoveSuperseded

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import apsw

    from qtool.engine.clock import Clock


@cache
def _sql() -> dict[str, str]:
    return statements("freight.sql")


class SqliteFreight:
    """See :class:`qtool.engine.freight.Freight`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._bells = f"{store.directory}/bells"

    def identity(self) -> str:
        with self._store.read() as db:
            return _identity(db)

    def begin(self, destination: str, url: str) -> Trip:
        values = {"peer": destination, "number": int(self._clock.now() * 1000), "url": url}
        with self._store.write(durable=True) as db:
            number = db.execute(_sql()["begin"], values).get
            assert isinstance(number, int)
            return Trip(number=number, origin=_identity(db), origin_url=self._store.url, destination=destination)

    def load(
        self, trip: Trip, ids: Sequence[str], states: Collection[State], into: str | None = None
    ) -> list[Parcel | Moved]:
        ledger = Ledger(self._clock.now())
        taken: list[Parcel | Moved] = []
        size = 0
        with self._store.write(durable=True) as db:
            self._is_last(db, trip.destination, True, trip.number)
            for id in ids:
                if size >= BATCH_BYTES:
                    break
                found = _pack(db, id, states, into)
                if isinstance(found, Moved):
                    taken.append(found)
                    continue
                seq, held, parcel = found
                text = encode_parcel(parcel)
                size += len(text)
                db.execute(_sql()["depart"], (id, trip.destination, text))
                forget_job(db, seq)
                ledger.leave(parcel.queue, parcel.state, parcel.key, held)
                ledger.move(parcel.queue, parcel.state, None)
                taken.append(parcel)
            ledger.write(db)
        ring(self._bells, *(("finished", "ready") if ledger.opened else ("finished",)))
        return taken

    def loaded(self, trip: Trip, after: str = "") -> list[Parcel]:
        with self._store.read() as db:
            self._is_last(db, trip.destination, True, trip.number)
            found = db.execute(_sql()["departures"], (trip.destination, after, BATCH))
            return batched(text for (text,) in found)

    def unload(self, trip: Trip, parcels: Sequence[Parcel]) -> list[str | None]:
        ledger = Ledger(self._clock.now())
        whys: list[str | None] = []
        with self._store.write(durable=True) as db:
            self._is_last(db, trip.origin, False, trip.number)
            db.execute(_sql()["come_in"], (trip.origin, trip.number, trip.origin_url))
            admission = Admission(db, ledger)
            for parcel in parcels:
                why = None
                if db.execute(_sql()["arrived"], (trip.origin, parcel.id)).get is None:
                    why = _take_in(db, parcel, parcel.at, admission, ledger)
                    if why is None:
                        db.execute(_sql()["arrive"], (trip.origin, parcel.id, trip.number))
                whys.append(why)
            ledger.write(db)
        ring(self._bells, "ready", "finished")
        return whys

    def drop(self, trip: Trip, ids: Sequence[str]) -> None:
        with self._store.write(durable=True) as db:
            self._is_last(db, trip.destination, True, trip.number)
            db.executemany(_sql()["drop"], [(trip.destination, id) for id in ids])

    def put_back(self, trip: Trip, ids: Sequence[str]) -> list[str | None]:
        ledger = Ledger(self._clock.now())
        whys: list[str | None] = []
        with self._store.write(durable=True) as db:
            self._is_last(db, trip.destination, True, trip.number)
            admission = Admission(db, ledger)
            for id in ids:
                which = (trip.destination, id)
                text = db.execute(_sql()["departure"], which).get
                why = None
                if text is not None:
                    # Out of the departures first: an id is in one place only.
                    db.execute(_sql()["drop"], which)
                    parcel = decode_parcel(str(text))
                    why = _take_in(db, parcel, parcel.queue, admission, ledger)
                    if why is not None:
                        db.execute(_sql()["depart"], (id, trip.destination, text))
                whys.append(why)
            ledger.write(db)
        ring(self._bells, "ready", "finished")
        return whys

    def clear(self, trip: Trip) -> None:
        # What is forgotten late does no harm: only the others wait for the disk.
        with self._store.write(durable=False) as db:
            db.execute(_sql()["clear"], (trip.origin, trip.number))

    def transits(self) -> list[Transit]:
        with self._store.read() as db:
            found: list[Row] = db.execute(_sql()["transits"]).fetchall()
        return [Transit(peer=peer, url=url, outward=bool(outward), jobs=n) for peer, url, outward, n in found]

    def transfer(self, ids: Sequence[str], into: str, states: Collection[State]) -> list[Moved]:
        ledger = Ledger(self._clock.now())
        with self._store.write(durable=True) as db:
            admission = Admission(db, ledger)
            done = [_transfer(db, id, into, states, admission, ledger) for id in ids]
            ledger.write(db)
        ring(self._bells, "ready")
        return done

    def _is_last(self, db: apsw.Connection, peer: str, outward: bool, number: int) -> None:
        """Raises MoveSuperseded for a trip that is not the last to that store, or from it."""
        last = db.execute(_sql()["last_trip"], (peer, outward)).get
        if (last is None and outward) or (isinstance(last, int) and number < last):
            raise MoveSuperseded(url=self._store.url)


def _identity(db: apsw.Connection) -> str:
    return str(db.execute(_sql()["identity"]).get)


# --- out -----------------------------------------------------------------------------------------------


def _pack(
    db: apsw.Connection, id: str, states: Collection[State], into: str | None
) -> tuple[int, str | None, Parcel] | Moved:
    """The job's key, what holds it, and all of it; or why it stays."""
    try:
        row = db.execute(_sql()["whole"], (text_key(id),)).fetchone()
    except UnicodeDecodeError:
        state = State(db.execute(_sql()["state_of"], (text_key(id),)).get)
        return Moved(id=id, state=state, note=UNREADABLE)
    underway = db.execute(_sql()["departed"], (text_key(id),)).get is not None
    if row is None:
        return Moved(id=id, note=UNDERWAY if underway else UNKNOWN)
    seq, state, queue, held, task, priority, created_at, ready_at, due_at, expires_at, started_at = row[:11]
    finished_at, attempt, failures, crashes, reason, error_type, error_message, error_detail = row[11:19]
    worker, message, unique, key, key_limit, body, options, result = row[19:]
    state = State(state)
    if state is State.RUNNING or state not in states or underway:
        return Moved(id=id, state=state, queue=queue, note=UNDERWAY if underway else stays(state))
    parcel = Parcel(
        id=id,
        task=task,
        queue=queue,
        into=into,
        state=state,
        priority=priority,
        created_at=created_at,
        ready_at=ready_at,
        due_at=due_at,
        expires_at=expires_at,
        started_at=started_at,
        finished_at=finished_at,
        attempt=attempt,
        failures=failures,
        crashes=crashes,
        reason=Reason(reason) if reason else None,
        error=failure(error_type, error_message, error_detail),
        worker=worker,
        message=message,
        unique=unique,
        key=key,
        key_limit=key_limit or 1,
        body=body,
        options=options,
        result=result,
        attempts=tuple(_attempt(each) for each in db.execute(_sql()["whole_attempts"], (seq,))),
        output=tuple((each[0], Chunk(*each[1:])) for each in db.execute(_sql()["whole_output"], (seq,))),
    )
    return seq, held, parcel


def _attempt(row: Row) -> Attempt:
    return Attempt(
        attempt=row[0],
        worker=row[1],
        started_at=row[2],
        finished_at=row[3],
        event=Event(row[4]),
        state=State(row[5]),
        error=failure(*row[6:]),
    )


# --- in ------------------------------------------------------------------------------------------------


def _take_in(db: apsw.Connection, parcel: Parcel, queue: str, admission: Admission, ledger: Ledger) -> str | None:
    """Make a job of it, in the state that it brings along; why not, otherwise."""
    if parcel.redis_only:
        return MORE_THAN_A_JOB
    try:
        if db.execute(_sql()["departed"], (parcel.id,)).get is not None:
            return UNDERWAY
        holder = db.execute(SQL["holder"], {"id": parcel.id, "unique": parcel.holds}).get
        if holder is not None:
            return THERE_ALREADY if holder == parcel.id else key_held(str(holder))
        values = (*_columns(parcel, queue), _held(parcel, queue, admission), parcel.body, parcel.options, parcel.result)
        seq = db.execute(_sql()["take_in"], values).get
    except UnicodeEncodeError:
        return "its names hold what is no text"
    for each in parcel.attempts:
        error = error_columns(each.error)
        attempt = (seq, each.attempt, each.worker, each.started_at, each.finished_at, each.event, each.state, *error)
        db.execute(SQL["add_attempt"], attempt)
    pieces = [(seq, attempt, chunk.offset, chunk.stream, chunk.data) for attempt, chunk in parcel.output]
    db.executemany(SQL["add_output"], pieces)
    ledger.move(queue, None, parcel.state)
    if parcel.state not in FINAL:
        ledger.tally(queue).count("enqueued")
    return None


def _columns(parcel: Parcel, queue: str) -> tuple[object, ...]:
    """Those of ``take_in`` up to ``held``."""
    return (
        parcel.id,
        parcel.task,
        queue,
        parcel.state,
        parcel.priority,
        parcel.created_at,
        parcel.ready_at,
        parcel.due_at,
        parcel.expires_at,
        parcel.started_at,
        parcel.finished_at,
        parcel.attempt,
        parcel.failures,
        parcel.crashes,
        parcel.reason,
        *error_columns(parcel.error),
        parcel.worker,
        storable(parcel.message) if parcel.message is not None else None,
        parcel.unique,
        parcel.key,
        parcel.key_limit if parcel.key is not None else None,
    )


def _held(parcel: Parcel, queue: str, admission: Admission) -> str | None:
    if parcel.key is None or parcel.state is not State.READY:
        return None
    return admission.held(
        Job(
            id=parcel.id,
            task=parcel.task,
            queue=queue,
            priority=parcel.priority,
            created_at=parcel.created_at,
            key=parcel.key,
            key_limit=parcel.key_limit,
        )
    )


# --- to another queue ----------------------------------------------------------------------------------


def _transfer(
    db: apsw.Connection, id: str, into: str, states: Collection[State], admission: Admission, ledger: Ledger
) -> Moved:
    found = _pack(db, id, states, into)
    if isinstance(found, Moved):
        return found
    seq, held, parcel = found
    if parcel.queue == into:
        return Moved(id=id, state=parcel.state, queue=into, into=into, note=SAME_QUEUE)
    # It leaves as if it had ended, and comes as if it were new; its place in the listings stays.
    ledger.leave(parcel.queue, parcel.state, parcel.key, held)
    ledger.move(parcel.queue, parcel.state, None)
    ledger.move(into, None, parcel.state)
    db.execute(_sql()["rehome"], (into, _held(parcel, into, admission), seq))
    return Moved(id=id, state=parcel.state, queue=parcel.queue, into=into, moved=True)
