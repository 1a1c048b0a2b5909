"""Taking back what dead workers held.

On the same host a worker's slate tells at once: its lock is free when the worker and all its children are gone, and it
marks what had really started. Otherwise the heartbeat tells: a counter that stands still for a whole lease on the
rescuer's own monotonic clock, so that no jump of the wall clock rescues anything.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from qtool.engine.broker import LEASE_SECONDS
from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.store import SQL, Store, rows
from qtool.engine.codec import decode_options
from qtool.engine.job import UNSAID, Policy
from qtool.engine.policy import tries_again
from qtool.engine.slate import DRAFT, DeadSlate, Started, read_slate
from qtool.engine.states import Event, Reason, State
from qtool.errors import Undecodable

if TYPE_CHECKING:
    import apsw

    from qtool.engine.clock import Clock


class Rescuer:
    """Watches the heartbeats and slates of all workers on one file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._slates = f"{store.directory}/workers"
        self._beats: dict[str, tuple[int | None, float]] = {}
        """By worker: its last heartbeat and when, on our monotonic clock, we first saw that one."""

    def rescue(self, now: float) -> int:
        """Take back the jobs of every dead worker: how many."""
        rescued = 0
        for worker in self._slated():
            # One at a time: a slate that was seized and not closed would look like a living worker to all others.
            slate = DeadSlate.seize(f"{self._slates}/{worker}")
            if slate is None:
                continue
            try:
                rescued += self._take_back(worker, now, slate.started())
            except BaseException:
                slate.close(remove=False)
                raise
            slate.close(remove=True)
        for worker, beat in self._silent():
            started = read_slate(f"{self._slates}/{worker}")
            rescued += self._take_back(worker, now, started, beat=beat, silent=True)
            del self._beats[worker]
        return rescued

    def _slated(self) -> list[str]:
        with self._store.translated(), suppress(FileNotFoundError):
            return [name for name in os.listdir(self._slates) if not name.startswith(DRAFT)]
        return []

    def _silent(self) -> list[tuple[str, int | None]]:
        """The workers whose heartbeat has stood still for their whole lease, with that heartbeat."""
        with self._store.read() as db:
            known: dict[str, tuple[int | None, float]] = {id: (None, LEASE_SECONDS) for (id,) in rows(db, "holders")}
            known |= {id: (beat, lease) for id, beat, lease, _ in rows(db, "workers")}
        seen = self._clock.monotonic()
        for id, (beat, _) in known.items():
            if id not in self._beats or self._beats[id][0] != beat:
                self._beats[id] = (beat, seen)
        for id in self._beats.keys() - known.keys():
            del self._beats[id]
        return [(id, beat) for id, (beat, lease) in known.items() if seen - self._beats[id][1] >= lease]

    def _take_back(
        self, worker: str, now: float, started: Started | None, *, beat: int | None = None, silent: bool = False
    ) -> int:
        """End its leases: how many. Those that had ``started`` (all, if None) are blamed for the crash and retried.

        What the worker had claimed and not started goes back as such. One that is only ``silent`` may have given
        another ``beat`` meanwhile, or been dealt with by another rescuer: then nothing is done.
        """
        ledger = Ledger(now)
        with self._store.write(durable=False) as db:
            if silent and db.execute(SQL["beat_of"], (worker,)).get != beat:
                return 0
            held = rows(db, "held_by", {"worker": worker})
            for seq, queue, attempt, crashes, started_at, cancel, token, options, key in held:
                ledger.free(key)
                if started is not None and not started.has(seq, token):
                    give_back(db, ledger, seq, queue, attempt, cancel=bool(cancel))
                    continue
                fatal = started is not None and started.fatal(seq, token)
                state = _fate(fatal or not tries_again(crashes, _policy(options)), cancel)
                kind, message = "WorkerLost", f"worker {worker} died while it held the job"
                db.execute(
                    SQL["rescue"],
                    {
                        "seq": seq,
                        "state": state,
                        "due_at": now if state is State.RETRY else None,
                        "finished_at": None if state is State.RETRY else now,
                        "reason": Reason.CRASHED if state is State.DEAD else None,
                        "error_type": kind,
                        "error_message": message,
                    },
                )
                attempted = (seq, attempt, worker, started_at, now, Event.LEASE_LOST, state, kind, message, None)
                db.execute(SQL["add_attempt"], attempted)
                ledger.arrive(queue, State.RUNNING, state)
            db.execute(SQL["forget"], (worker,))
            ledger.write(db)
        return len(held)


def give_back(db: apsw.Connection, ledger: Ledger, seq: int, queue: str, attempt: int, *, cancel: bool) -> None:
    """A running job was not started after all: it keeps its place, unless it had been asked to stop."""
    state = State.CANCELLED if cancel else State.READY
    db.execute(SQL["give_back"], {"seq": seq, "state": state, "finished_at": ledger.now if cancel else None})
    # With the attempt goes its output: the next one bears its number.
    db.execute(SQL["drop_output"], (seq, attempt))
    ledger.arrive(queue, State.RUNNING, state)


def _policy(options: str | None) -> Policy:
    """What the job itself says; what its task says of crashes is on the slate."""
    try:
        return decode_options(options)[0]
    except Undecodable:
        return UNSAID


def _fate(spent: bool, cancel: int) -> State:
    """Where a lost lease leaves a job: dead when its crashes are spent, cancelled when it had been asked to stop."""
    if spent:
        return State.DEAD
    return State.CANCELLED if cancel else State.RETRY
