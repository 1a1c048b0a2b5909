"""Taking back what dead workers held.

On the same host a worker's slate tells at once: its lock is free when the worker and all its children are gone, and it
names the jobs that had started. Otherwise the heartbeat tells: a counter that stands still for a whole lease on the
rescuer's own monotonic clock, so that no jump of the wall clock rescues anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qtool.engine.broker import LEASE_SECONDS
from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.store import SQL, Store, rows
from qtool.engine.policy import MAX_CRASHES
from qtool.engine.slate import DeadSlate
from qtool.engine.states import Event, Reason, State

if TYPE_CHECKING:
    from qtool.engine.clock import Clock


class Rescuer:
    """Watches the heartbeats and slates of all workers on one file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._beats: dict[str, tuple[int, float]] = {}
        """By worker: its last heartbeat and when, on our monotonic clock, we first saw that one."""

    def saw(self, worker: str) -> None:
        """A sign of life that came through this very handle."""
        beat, _ = self._beats.get(worker, (-1, 0.0))
        self._beats[worker] = (beat, self._clock.monotonic())

    def rescue(self, now: float) -> int:
        """Take back the jobs of every dead worker: how many."""
        rescued = 0
        for worker, slate in self._seized():
            try:
                rescued += self._take_back(worker, now, slate.started())
            except BaseException:
                slate.close(remove=False)
                raise
            slate.close(remove=True)
        for worker in self._silent():
            rescued += self._take_back(worker, now, None)
            self._beats.pop(worker, None)
        return rescued

    def _seized(self) -> list[tuple[str, DeadSlate]]:
        directory = f"{self._store.directory}/workers"
        with self._store.translated():
            found = []
            for name in os.listdir(directory):
                slate = DeadSlate.seize(f"{directory}/{name}")
                if slate is not None:
                    found.append((name, slate))
        return found

    def _silent(self) -> list[str]:
        """The workers whose heartbeat has stood still for their whole lease."""
        with self._store.read() as db:
            known = {id: (beat, lease) for id, beat, lease, _ in rows(db, "workers")}
            for (id,) in rows(db, "holders"):
                known.setdefault(id, (0, LEASE_SECONDS))
        seen = self._clock.monotonic()
        silent = []
        for id, (beat, lease) in known.items():
            last, since = self._beats.get(id, (-1, seen))
            if last == beat and seen - since >= lease:
                silent.append(id)
            elif last != beat:
                # A beat of -1 is a sign of life seen by ourselves: the row only now tells its number.
                self._beats[id] = (beat, since if last == -1 else seen)
                if last == -1 and seen - since >= lease:
                    silent.append(id)
        for id in self._beats.keys() - known.keys():
            del self._beats[id]
        return silent

    def _take_back(self, worker: str, now: float, started: frozenset[int] | None) -> int:
        """Its running jobs are retried at once; those in ``started`` (all, if None) are blamed for the crash."""
        ledger = Ledger(now)
        with self._store.write(durable=False) as db:
            held = rows(db, "held_by", {"worker": worker})
            for seq, queue, attempt, crashes, started_at, cancel in held:
                blamed = started is None or seq in started
                state = _fate(blamed and crashes + 1 >= MAX_CRASHES, cancel)
                kind, message = "WorkerLost", f"worker {worker} died while it held the job"
                db.execute(
                    SQL["rescue"],
                    {
                        "seq": seq,
                        "state": state,
                        "due_at": now if state is State.RETRY else None,
                        "finished_at": None if state is State.RETRY else now,
                        "reason": Reason.CRASHED if state is State.DEAD else None,
                        "crash": int(blamed),
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


def _fate(spent: bool, cancel: int) -> State:
    """Where a lost lease leaves a job: dead when its crashes are spent, cancelled when it had been asked to stop."""
    if spent:
        return State.DEAD
    return State.CANCELLED if cancel else State.RETRY
