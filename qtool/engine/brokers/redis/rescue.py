"""Taking back what dead workers held.

On the same host a worker's slate tells at once: its lock is free when the worker and all its children are gone, and it
marks what had really started. Otherwise the heartbeat tells: a counter that stands still for a whole lease on the
rescuer's own monotonic clock, so that no jump of a clock rescues anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from qtool.engine.broker import LEASE_SECONDS
from qtool.engine.brokers.redis.reading import parts
from qtool.engine.celery.message import decode_message
from qtool.engine.codec import decode_options
from qtool.engine.job import UNSAID, Failure, Lease, Policy, Settlement
from qtool.engine.policy import tries_again
from qtool.engine.slate import DRAFT, DeadSlate, Started, read_slate
from qtool.engine.states import Event, Reason, State
from qtool.errors import BrokerError, Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtool.engine.brokers.redis.following import Follower
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.celery.message import Message

_held = msgspec.msgpack.Decoder(list[tuple[str, str, str, int, int, int, int, float, str, float]]).decode
"""Id, task, queue, attempt, failures, crashes, key, ready since, token, started at."""


class Rescuer:
    """Watches the heartbeats of all workers, and the slates of this host's."""

    def __init__(
        self, store: Store, follower: Follower, settle: Callable[[Sequence[Settlement]], list[State | None]]
    ) -> None:
        self._store = store
        self._follower = follower
        self._settle = settle
        self._beats: dict[str, tuple[bytes | None, float]] = {}
        """By worker: its last heartbeat and when, on our monotonic clock, we first saw that one."""

    def rescue(self) -> int:
        """Take back the jobs of every dead worker: how many."""
        rescued = 0
        slates = self._store.slates()
        for worker in self._slated(slates):
            # One at a time: a slate that was seized and not closed would look like a living worker to all others.
            slate = DeadSlate.seize(f"{slates}/{worker}")
            if slate is None:
                continue
            try:
                rescued += self._take_back(worker, slate.started())
            except BaseException:
                slate.close(remove=False)
                raise
            slate.close(remove=True)
        for worker, beat in self._silent():
            rescued += self._take_back(worker, read_slate(f"{slates}/{worker}"), beat=beat or b"")
            del self._beats[worker]
        return rescued

    def _slated(self, slates: str) -> list[str]:
        try:
            return [name for name in os.listdir(slates) if not name.startswith(DRAFT)]
        except OSError as error:
            raise BrokerError(url=self._store.url, why=f"{slates} cannot be read ({error.strerror})") from None

    def _silent(self) -> list[tuple[str, bytes | None]]:
        """The workers whose heartbeat has stood still for their whole lease, with that heartbeat."""
        store, layout = self._store, self._store.layout
        with store.translated():
            ids: Any = store.client.smembers(layout.workers)
            known = [id.decode() for id in ids]
            with store.client.pipeline(transaction=False) as pipe:
                for id in known:
                    pipe.hmget(layout.worker(id), "beat", "lease")
                said = pipe.execute() if known else []
        seen = store.clock.monotonic()
        silent = []
        for id, (beat, lease) in zip(known, said, strict=True):
            if id not in self._beats or self._beats[id][0] != beat:
                self._beats[id] = (beat, seen)
            if seen - self._beats[id][1] >= float(lease or LEASE_SECONDS):
                silent.append((id, beat))
        for id in self._beats.keys() - set(known):
            del self._beats[id]
        return silent

    def _take_back(self, worker: str, started: Started | None, *, beat: bytes | None = None) -> int:
        """End its leases: how many. Those that had ``started`` (all, if None) are blamed for the crash and retried.

        What the worker had claimed and not started goes back as such. One that gave another heartbeat than ``beat``
        meanwhile lives, or was dealt with by another rescuer: then nothing is done.
        """
        store = self._store
        answer = store.call("held", worker, beat.decode() if beat is not None else False)
        if answer is None:
            return 0
        now = store.clock.now()
        packed, *messages = answer
        lost, innocent = [], []
        for row, message in zip(_held(packed), messages, strict=True):
            *_, key, _, token, _ = row
            if started is not None and token and not started.has(key, int(token)):
                innocent.append((row[0], token))
            else:
                settlement = _settlement(worker, row, message, now, started)
                lost.append(settlement)
                if settlement.state is State.DEAD:
                    self._follower.note(_message(message))
        done = sum(state is not None for state in self._settle(lost)) if lost else 0
        return done + int(store.call("back", innocent, worker, False, True))


def _settlement(worker: str, row: tuple[Any, ...], message: bytes, now: float, started: Started | None) -> Settlement:
    id, task, queue, attempt, failures, crashes, key, ready_at, token, started_at = row
    lease = Lease(id, task, queue, int(token or 0), attempt, failures, crashes, "", None, key, ready_at)
    fatal = started is not None and started.fatal(key, lease.token)
    dead = fatal or not tries_again(crashes, _policy(message))
    return Settlement(
        lease,
        Event.LEASE_LOST,
        State.DEAD if dead else State.RETRY,
        now,
        started_at,
        due_at=None if dead else now,
        reason=Reason.CRASHED if dead else None,
        failure=Failure(type="WorkerLost", message=f"worker {worker} died while it held the job"),
        crash=True,
    )


def _message(raw: bytes) -> list[Message]:
    """What follows the end of a job that is not tried again."""
    try:
        return [decode_message(raw)]
    except Undecodable:
        return []


def _policy(message: bytes) -> Policy:
    """What the job itself says; what its task says of crashes is on the slate."""
    try:
        return decode_options(parts(message)[1])[0]
    except Undecodable:
        return UNSAID
