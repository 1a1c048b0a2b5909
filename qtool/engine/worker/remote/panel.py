"""What a worker can be told: ``celery control``, Flower's buttons (WIRE.md section 6).

What Celery's worker does to itself is done in the broker where it concerns jobs (a revoked job is cancelled wherever it
waits, a rate holds over all workers), and by what ``qtool workers scale`` and a signal do where it concerns the worker.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtool.engine.broker import Renewal
from qtool.engine.celery import control
from qtool.engine.celery.message import policy_of
from qtool.engine.job import Cancel, Lease, Policy
from qtool.engine.limits import parse_rate
from qtool.engine.names import check_name
from qtool.engine.sizes import MOST_SLOTS
from qtool.engine.states import FINAL
from qtool.errors import BadName

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.remote import Remote
    from qtool.engine.worker.remote.dispatcher import Dispatcher
    from qtool.engine.worker.remote.reach import Reach
    from qtool.engine.worker.remote.revoked import Revoked

UNKNOWN_TASK = "unknown task"
RANGED = "is not supported with autoscale. Adjust autoscale range instead."

FREQUENCY_ON_DEMAND = 5
"""Seconds that a heartbeat which was asked for claims to come after the last, as Celery's does."""


class Panel:
    """Carries out what is asked, and says so or why not."""

    def __init__(
        self,
        remote: Remote,
        reach: Reach,
        dispatcher: Dispatcher,
        revoked: Revoked,
        heartbeat: Callable[[int], object],
    ) -> None:
        """``heartbeat`` sends one, of this frequency."""
        self._remote = remote
        self._reach = reach
        self._dispatcher = dispatcher
        self._revoked = revoked
        self._heartbeat = heartbeat
        self._limits: dict[str, Policy] = {}
        """Time limits by task, instead of what the task's own code says."""
        self.methods: dict[str, Callable[..., object]] = {
            "revoke": self._revoke,
            "terminate": self._terminate,
            "rate_limit": self._rate_limit,
            "time_limit": self._time_limit,
            "add_consumer": self._add_consumer,
            "cancel_consumer": self._cancel_consumer,
            "pool_grow": self._pool_grow,
            "pool_shrink": self._pool_shrink,
            "autoscale": self._autoscale,
            "shutdown": self._shutdown,
            "enable_events": self._enable_events,
            "disable_events": self._disable_events,
            "heartbeat": self._beat,
            "election": self._election,
        }

    # --- jobs ----------------------------------------------------------------------------------------

    def screen(self, leases: list[Lease]) -> list[Lease]:
        """What of the jobs that were just claimed is to be run, and for how long."""
        if self._revoked.wanted:
            leases = [lease for lease in leases if not self._met(lease)]
        if self._limits:
            leases = [self._limited(lease) for lease in leases]
        if leases and self._dispatcher.wanted:
            self._dispatcher.received(leases)
        return leases

    def _met(self, lease: Lease) -> bool:
        if lease.id not in self._revoked.wanted:
            return False
        self._revoked.add((lease.id,), done=True)
        self._reach.floor.outbox.end(lease, Cancel())
        return True

    def _limited(self, lease: Lease) -> Lease:
        policy = self._limits.get(lease.task)
        if policy is None:
            return lease
        said: dict[str, Any] = json.loads(lease.options) if lease.options is not None else {}
        if "timeout" in said:
            # What the job itself says goes before.
            return lease
        limits = {"timeout": policy.timeout, "grace": policy.grace}
        said |= {name: value for name, value in limits.items() if value is not None}
        return lease._replace(options=json.dumps(said, separators=(",", ":")))

    def _revoke(self, task_id: object = None, terminate: object = False, **_: object) -> object:
        ids = _ids(task_id)
        changes = self._remote.revoke(ids) if ids else []
        ended = {each.id for each in changes if each.after in FINAL}
        self._revoked.add([id for id in ids if id in ended], done=True)
        self._revoked.add([id for id in ids if id not in ended], done=False)
        # Of all workers that hear of it, one has done it.
        self._dispatcher.revoked([each.id for each in changes if each.changed])
        runners, wanted = self._reach.runners, frozenset(ids)
        if any(lease.id in wanted for lease in (*runners.leases(), *self._reach.claimer.waiting)):
            # What was claimed and has not started still waits, to whoever revokes it.
            self._reach.claimer.withdraw(Renewal(cancelled=wanted))
        if not terminate:
            return control.ok(f"tasks {set(ids)} flagged as revoked")
        running = [lease.id for lease, _, _ in runners.running() if lease.id in wanted]
        if not running:
            return control.ok("terminate: tasks unknown")
        # Its own bell rings then, as anybody's would.
        self._reach.adapter.operator.kill(running)
        return control.ok(f"terminate: {', '.join(running)}")

    def _terminate(self, signal: object = None, task_id: object = None, **_: object) -> object:  # noqa: ARG002  Celery's
        return self._revoke(task_id, terminate=True)

    def _rate_limit(self, task_name: object = None, rate_limit: object = None, **_: object) -> object:
        if not self._known(task_name):
            return control.refused(UNKNOWN_TASK)
        limit = self._reach.adapter.operator.limit
        if not rate_limit or rate_limit == "0":
            limit("task", str(task_name))
            return control.ok("rate limit disabled successfully")
        try:
            rate = parse_rate(rate_limit if isinstance(rate_limit, int | float) else str(rate_limit))
        except ValueError as error:
            return control.refused(f"Invalid rate limit string: {error}")
        limit("task", str(task_name), rate=rate)
        return control.ok("new rate limit set successfully")

    def _time_limit(self, task_name: object = None, hard: object = None, soft: object = None, **_: object) -> object:
        if not self._known(task_name):
            return control.refused(UNKNOWN_TASK)
        limits = tuple(float(each) if isinstance(each, int | float) and each else None for each in (hard, soft))
        if any(each is not None and not 0 < each < float("inf") for each in limits):
            return control.refused("a time limit is a number of seconds")
        if limits == (None, None):
            self._limits.pop(str(task_name), None)
        else:
            self._limits[str(task_name)] = policy_of((limits[0], limits[1]))
        return control.ok("time limits set successfully")

    def _known(self, task: object) -> bool:
        return isinstance(task, str) and (task in self._reach.catalogue.tasks or task.startswith("qtool."))

    # --- queues --------------------------------------------------------------------------------------

    def _add_consumer(self, queue: object = None, **_: object) -> object:
        name = _queue(queue)
        self._reach.served.add(name)
        self._reach.claimer.look()
        return control.ok(f"add consumer {name}")

    def _cancel_consumer(self, queue: object = None, **_: object) -> object:
        name = _queue(queue)
        try:
            self._reach.served.remove(name)
        except ValueError as error:
            return control.refused(str(error))
        return control.ok(f"no longer consuming from {name}")

    # --- slots ---------------------------------------------------------------------------------------

    def _pool_grow(self, n: object = 1, **_: object) -> object:
        return self._resize(_count(n), "pool_grow", "pool will grow")

    def _pool_shrink(self, n: object = 1, **_: object) -> object:
        return self._resize(-_count(n), "pool_shrink", "pool will shrink")

    def _resize(self, by: int, method: str, done: str) -> object:
        size = self._reach.size
        if size.least < size.most:
            return control.refused(f"{method} {RANGED}")
        slots = size.now + by
        if not 1 <= slots <= MOST_SLOTS:
            return control.refused(f"a worker has 1 to {MOST_SLOTS} slots, not {slots}")
        self._scale(slots, slots)
        return control.ok(done)

    def _autoscale(self, max: object = None, min: object = None, **_: object) -> object:
        size = self._reach.size
        most = size.most if max is None else _count(max)
        least = size.least if min is None else _count(min)
        if not 1 <= least <= most <= MOST_SLOTS:
            return control.refused(f"a worker has 1 to {MOST_SLOTS} slots, not {least} to {most}")
        self._scale(least, most)
        return control.ok(f"autoscale now max={most} min={least}")

    def _scale(self, least: int, most: int) -> None:
        self._reach.adapter.operator.scale(self._reach.describe().id, least, most)
        self._reach.renew()

    # --- the worker ----------------------------------------------------------------------------------

    def _shutdown(self, **_: object) -> object:
        self._reach.floor.say("Shut down by remote control.")
        self._reach.drain()
        return control.ok("shutting down once its running jobs have ended")

    def _enable_events(self, **_: object) -> object:
        if self._dispatcher.wanted:
            return control.ok("task events already enabled")
        self._dispatcher.enable()
        return control.ok("task events enabled")

    def _disable_events(self, **_: object) -> object:
        if not self._dispatcher.wanted:
            return control.ok("task events already disabled")
        self._dispatcher.disable()
        return control.ok("task events disabled")

    def _beat(self, **_: object) -> None:
        self._heartbeat(FREQUENCY_ON_DEMAND)

    def _election(self, **_: object) -> None:
        """Celery's workers elect one of themselves for what an application wants done once; ours do not stand."""


def _ids(said: object) -> list[str]:
    """One id, or a list of them. Raises ValueError."""
    ids = [said] if isinstance(said, str) else said
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise ValueError(f"an id, or a list of ids, is revoked, not {said!r}")
    return list(dict.fromkeys(ids))


def _queue(said: object) -> str:
    """The name of a queue. Raises ValueError."""
    try:
        return check_name("queue", said if isinstance(said, str) else "")
    except BadName as error:
        raise ValueError(str(error)) from None


def _count(said: object) -> int:
    """A whole number from 1 on. Raises ValueError."""
    if not isinstance(said, int | str) or isinstance(said, bool) or int(said) < 1:
        raise ValueError(f"a number of slots is 1 or more, not {said!r}")
    return int(said)
