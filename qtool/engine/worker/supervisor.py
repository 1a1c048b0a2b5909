"""The worker: one process, one thread that claims, hands out, settles and keeps leases alive. It runs no user code."""

from __future__ import annotations

import os
import random
import selectors
import socket
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.broker import Adapter, Bell, Renewal, WorkerInfo
from qtool.engine.clock import Clock, SystemClock
from qtool.engine.ids import new_id
from qtool.engine.job import EXEC, Cancel, Lease
from qtool.engine.states import State
from qtool.engine.worker.commands import Commands
from qtool.engine.worker.options import Listener, Silence, Summary, WorkerOptions
from qtool.engine.worker.outbox import Outbox
from qtool.engine.worker.pool import STALE, Pool
from qtool.engine.worker.process import Starter
from qtool.engine.worker.readahead import ReadAhead
from qtool.engine.worker.runs import Run, Why
from qtool.engine.worker.signals import Signals
from qtool.engine.worker.timers import Timers
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

UPKEEP = 0.5
"""Seconds between two looks for due jobs and dead workers; half of what a dead worker's jobs may take to be back."""

REPORT = 0.2
"""Seconds between two reports of progress and output."""

GATHER = 0.004
"""Seconds that outcomes wait for company while the slots have other work at hand."""

GATHER_MOST = 64
"""Outcomes that wait for no more company."""

BURST_LOOK = 0.2
"""Seconds between two looks at whether a burst is over."""

TRUST = 0.8
"""The part of a lease after which a worker that could not renew it stops what it runs."""


class Worker:
    """Runs jobs until it is told to stop, or until there are none where ``options`` say so."""

    def __init__(
        self,
        adapter: Adapter,
        options: WorkerOptions,
        listener: Listener | None = None,
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.id = new_id()
        self._adapter = adapter
        self._broker = adapter.broker
        self._options = options
        self._listener = listener or Silence()
        self._clock = clock or SystemClock()
        self._selector = selectors.DefaultSelector()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self.timers = Timers()
        self.grace = options.grace
        self.outbox = Outbox(self._broker, self._clock, draw, self._listener)
        self._read_ahead = ReadAhead(options.slots)
        self._slate = self._broker.slate(self.id, 2 * options.slots)
        self._commands = Commands(options.slots, options.slots, self, self._clock, self._slate)
        starter = Starter(options, self._clock, self._slate, self._commands, announce=self._listener.wants_events)
        self._pool = Pool(options, self, starter)
        self._waiting: deque[Lease] = deque()
        self._unreported: list[Run] = []
        self._signals = Signals()
        self._stage = 0
        self._claimed = 0
        self._dry = False
        self._due_at = float("inf")
        self._killed = 0
        self._rebalance_at = 0.0
        self._burst_at = 0.0
        self._progress_at = 0.0
        self._settle_at: float | None = None
        self._renewed_at = 0.0
        self._retry_at = 0.0
        self._patience = 0.0
        self._trouble_since: float | None = None
        self._started_at = self._clock.now()

    # --- life ----------------------------------------------------------------------------------------

    def run(self) -> Summary:
        """Work. Raises AppNotImported, PoolBroken, BrokerError (the last only at the very start)."""
        bells: dict[Bell, Callable[[], object]] = {
            self._broker.listen("ready"): self._on_ready,
            self._broker.listen("control"): self._beat,
        }
        try:
            with self._signals:
                self._open()
                for bell, callback in bells.items():
                    self.watch(bell.fileno(), partial(self._on_bell, bell, callback))
                self.watch(self._signals.fileno(), self._on_signal)
                while not self._finished():
                    self._turn()
                return self._summary()
        finally:
            self._close()
            for bell in bells:
                bell.close()

    def _open(self) -> None:
        self._commands.open()
        self._renewed_at = self._clock.monotonic()
        self._broker.extend(self._info(), [], self._options.lease)
        self._upkeep()
        self.timers.at(self._renewed_at + self._options.lease / 3, self._heartbeat)
        # The first round looks for jobs before it sleeps.
        self.timers.at(self._renewed_at, _nothing)
        if self._options.apps:
            self._pool.start()

    def _close(self) -> None:
        self._pool.kill_all(Why.SHUTDOWN)
        self._pool.close()
        self._commands.close()
        self.outbox.tell()
        try:
            self._broker.leave(self.id)
        except BrokerError as error:
            self.say(f"could not sign off ({error}); what this worker held is taken back when its lease runs out")
        if self._slate is not None:
            self._slate.close()
        self._selector.close()

    def _turn(self) -> None:
        """One round: what happened, what is due, what can be stored, what can be started."""
        # What is to be stored, and waits neither for company nor for the broker, is stored before any sleep.
        at_once = self.outbox.waiting and self._settle_at is None and self._trouble_since is None
        wait = 0.0 if at_once else self.timers.next - self._clock.monotonic()
        callbacks = self._callbacks
        for key, _ in self._selector.select(max(0.0, min(wait, 3600.0))):
            # An earlier callback of this round may have closed it.
            callback: Callable[[], None] = key.data
            if callbacks.get(key.fd) is callback:
                callback()
        now = self._clock.monotonic()
        if self.timers.next <= now:
            self.timers.run(now)
        self._settle(now)
        self._fill(now)
        if now >= self._progress_at:
            self._progress_at = now + 0.1
            self.outbox.tell()
            self._listener.progress(self._summary())

    def _finished(self) -> bool:
        if self._pool.held or self._commands.active or self._pool.backlog or self._waiting:
            return False
        if self.outbox.waiting:
            # With the broker gone for a whole lease, nothing of this can be stored any more.
            since = self._trouble_since
            return bool(self._stage) and since is not None and self._clock.monotonic() - since > self._options.lease
        if self._stage:
            return True
        if self._options.max_jobs is not None and self._claimed >= self._options.max_jobs:
            return True
        return self._options.burst and self._dry and self._burst_over()

    def _burst_over(self) -> bool:
        """Whether the queues hold nothing ready, running or about to be retried; looked at now and then."""
        now = self._clock.monotonic()
        if now < self._burst_at:
            return False
        self._burst_at = now + BURST_LOOK
        self.timers.at(self._burst_at, self._on_ready)
        mine = self._options.queues
        try:
            queues = self._adapter.inspector.snapshot().queues
        except BrokerError as error:
            self._trouble(error)
            return False
        return not any(
            (not queue.paused and queue.counts[State.READY]) or queue.counts[State.RUNNING] or queue.counts[State.RETRY]
            for queue in queues
            if not mine or queue.name in mine
        )

    def _summary(self) -> Summary:
        return self.outbox.summary(running=self._pool.active + self._commands.active, killed=self._killed)

    # --- the floor that the pool and the commands stand on -------------------------------------------

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back when ``fd`` is readable."""
        self._callbacks[fd] = callback
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        """No longer."""
        if self._callbacks.pop(fd, None) is not None:
            self._selector.unregister(fd)

    def news(self, run: Run) -> None:
        """The run has something to report; what soon ends is settled with it instead."""
        if not run.unreported:
            run.unreported = True
            if not self._unreported:
                self.timers.at(self._clock.monotonic() + REPORT, self._report)
            self._unreported.append(run)

    def say(self, message: str) -> None:
        """Tell a person."""
        self._listener.say(message)

    def learn(self, runs: int, seconds: float) -> None:
        """Runs ended, which took so long in all."""
        self._read_ahead.learn(runs, seconds)

    def killed(self) -> None:
        """A run had to be killed for the worker to end."""
        self._killed += 1

    # --- settle --------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Store what ended. While other jobs are at hand to keep the slots busy, a few milliseconds are gathered."""
        waiting = self.outbox.waiting
        if not waiting or now < self._retry_at:
            return
        if len(waiting) < GATHER_MOST and (self._waiting or self._pool.held > self._pool.active):
            if self._settle_at is None:
                self._settle_at = now + GATHER
                self.timers.at(self._settle_at, _nothing)
            if now < self._settle_at:
                return
        self._settle_at = None
        try:
            due = self.outbox.flush()
        except BrokerError as error:
            self._trouble(error)
            return
        self._relief()
        if due is not None:
            self._expect(due)

    def _report(self) -> None:
        runs, self._unreported = self._unreported, []
        reports = [run.report() for run in runs if run.unreported and run.why is not Why.LOST and not run.over]
        if reports:
            try:
                self._broker.report(reports)
            except BrokerError as error:
                # News, not outcomes: what could not be stored now is left out.
                self._trouble(error)

    def _trouble(self, error: BrokerError) -> None:
        """The broker failed: keep everything, and try again a little later, and later."""
        now = self._clock.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
            self.say(f"{error} The worker keeps its outcomes and tries again.")
        self._patience = min(2.0 * self._patience or 0.1, 5.0)
        self._retry_at = now + self._patience
        self.timers.at(self._retry_at, self._on_ready)

    def _relief(self) -> None:
        if self._trouble_since is not None:
            self._trouble_since, self._patience = None, 0.0
            self.say("The broker answers again.")

    # --- claim ---------------------------------------------------------------------------------------

    def _fill(self, now: float) -> None:
        """Claim what can start now or soon, and hand it out."""
        pool, commands, slots = self._pool, self._commands, self._options.slots
        if not self._stage and not self._dry and now >= self._retry_at and pool.serves:
            window = slots * (1 + self._read_ahead.ahead)
            held = pool.held + len(pool.backlog) + commands.active + len(self._waiting)
            want = window - held
            if self._options.max_jobs is not None:
                want = min(want, self._options.max_jobs - self._claimed)
            if want > 0 and (want * 2 >= window or held < slots):
                self._claim(want)
        waiting = self._waiting
        while waiting and commands.active + pool.active < slots:
            commands.start(waiting.popleft())
        if pool.backlog:
            pool.dispatch(self._read_ahead.ahead, slots - commands.active - pool.active)
        if now >= self._rebalance_at:
            self._rebalance(now)

    def _claim(self, want: int) -> None:
        try:
            leases = self._broker.claim(self.id, self._options.queues, want, self._options.lease)
        except BrokerError as error:
            self._trouble(error)
            return
        self._dry = len(leases) < want
        self._claimed += len(leases)
        ours = [lease for lease in leases if lease.task == EXEC]
        if ours:
            self._waiting.extend(ours)
            leases = [lease for lease in leases if lease.task != EXEC]
        self._pool.backlog.extend(leases)

    def _rebalance(self, now: float) -> None:
        """What was claimed ahead and waits behind a slow run goes to an idle slot, or to other workers."""
        pool = self._pool
        self._rebalance_at = now + STALE / 5
        if pool.held == pool.active and not pool.backlog and not self._waiting:
            return
        self.timers.at(self._rebalance_at, _nothing)
        stuck = pool.rebalance(now)
        if pool.backlog:
            pool.dispatch(self._read_ahead.ahead, self._options.slots - self._commands.active - pool.active)
        if stuck and pool.backlog and pool.serves:
            self._read_ahead.collapse()
            self._return([*pool.backlog])
            pool.backlog.clear()
        oldest = self._commands.oldest()
        if self._waiting and oldest is not None and self._clock.now() - oldest > STALE:
            self._read_ahead.collapse()
            self._return([*self._waiting])
            self._waiting.clear()

    def _return(self, leases: list[Lease]) -> None:
        """Give jobs back that were not started."""
        for lease in leases:
            self.outbox.give_back(lease)
        self._claimed -= len(leases)

    def _on_ready(self) -> None:
        self._dry = False

    def _expect(self, due: float) -> None:
        """A job becomes ready at this wall time: look then."""
        if due < self._due_at:
            self._due_at = due
            delay = max(0.0, due - self._clock.now())
            self.timers.at(self._clock.monotonic() + delay, self._on_due)

    def _on_due(self) -> None:
        self._due_at = float("inf")
        self._dry = False

    # --- leases and upkeep ---------------------------------------------------------------------------

    def _info(self) -> WorkerInfo:
        counts = self.outbox.counts
        return WorkerInfo(
            id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self._options.queues,
            pool=self._options.pool,
            slots=self._options.slots,
            busy=min(self._options.slots, self._pool.active + self._commands.active),
            started_at=self._started_at,
            seen_at=self._clock.now(),
            succeeded=counts[State.SUCCEEDED],
            failed=counts[State.DEAD] + counts[State.RETRY],
            stopping=self._stage > 0,
        )

    def _heartbeat(self) -> None:
        ok = self._beat()
        third = self._options.lease / 3
        self.timers.at(self._clock.monotonic() + (third if ok else min(1.0, third)), self._heartbeat)

    def _beat(self) -> bool:
        """Renew every lease; stop what is no longer ours, and what was asked to stop."""
        started = self._clock.monotonic()
        leases = [*self._pool.leases(), *self._waiting, *self._commands.leases()]
        leases += [settlement.lease for settlement in self.outbox.waiting]
        try:
            renewal = self._broker.extend(self._info(), leases, self._options.lease)
        except BrokerError as error:
            self._trouble(error)
            if started - self._renewed_at > TRUST * self._options.lease:
                self._lose_all()
            return False
        self._renewed_at = started
        if renewal.lost or renewal.cancelled:
            self._withdraw(renewal)
        for ids, why in ((renewal.lost, Why.LOST), (renewal.cancelled, Why.CANCEL)):
            if ids:
                self._pool.stop_job(ids, why)
                self._commands.stop_job(ids, why)
        return True

    def _withdraw(self, renewal: Renewal) -> None:
        """What is no longer ours, or no longer wanted, and has not started, must not start."""
        pool = self._pool
        pool.backlog.extend(pool.recall())
        for queue in (pool.backlog, self._waiting):
            for lease in list(queue):
                if lease.id in renewal.lost:
                    queue.remove(lease)
                elif lease.id in renewal.cancelled:
                    queue.remove(lease)
                    self.outbox.end(lease, Cancel())

    def _lose_all(self) -> None:
        """The leases are about to run out unseen: what runs must not overlap with its next attempt elsewhere."""
        if self._pool.held or self._commands.active or self._waiting:
            self.say("The leases could not be renewed: stopping everything that runs. Other workers will take it over.")
        self._waiting.clear()
        self._pool.backlog.clear()
        self._pool.kill_all(Why.LOST)
        self._commands.kill_all(Why.LOST)

    def _upkeep(self) -> None:
        now = self._clock.monotonic()
        self.timers.at(now + UPKEEP, self._upkeep)
        self._dry = False
        if now < self._retry_at:
            return
        try:
            done = self._broker.maintain()
        except BrokerError as error:
            self._trouble(error)
            return
        if not self.outbox.waiting:
            self._relief()
        if done.next_due is not None:
            self._expect(done.next_due)

    def _on_bell(self, bell: Bell, callback: Callable[[], object]) -> None:
        bell.wait(0)
        callback()

    # --- the end -------------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        for _ in range(self._signals.take()):
            self._next_stage()

    def _next_stage(self) -> None:
        """The first signal drains, the second stops what runs, the third kills it."""
        self._stage += 1
        running = self._pool.active + self._commands.active
        if self._stage == 1:
            self._pool.stopping = True
            self._return([*self._pool.recall(), *self._waiting])
            self._waiting.clear()
            running = self._pool.active + self._commands.active
            if running:
                patience = self._options.drain_timeout
                limit = f" for at most {patience:g} s" if patience is not None else ""
                self.say(f"Stopping: {running} running, waiting for the end{limit}. Once more stops them.")
            if self._options.drain_timeout is not None:
                due = self._clock.monotonic() + self._options.drain_timeout
                self.timers.at(due, partial(self._hurry, 2))
            self._beat()
        elif self._stage == 2 and running:
            self.say(f"Stopping {running} running; they go back to their queues. Once more kills them.")
            self._pool.stop_all(Why.SHUTDOWN)
            self._commands.stop_all(Why.SHUTDOWN)
            self.timers.at(self._clock.monotonic() + 2 * self.grace, partial(self._hurry, 3))
        elif self._stage == 3:
            self._pool.kill_all(Why.SHUTDOWN)
            self._commands.kill_all(Why.SHUTDOWN)

    def _hurry(self, stage: int) -> None:
        if self._stage < stage:
            self._next_stage()


def _nothing() -> None:
    """Only wakes the loop."""
