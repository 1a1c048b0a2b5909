"""Claiming, and what becomes of jobs between claim and start."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from qtool.engine.job import EXEC, Cancel, Lease
from qtool.engine.pipeline import Direct
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Broker, Renewal
    from qtool.engine.pipeline import Answer, Pipeline
    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.health import Health
    from qtool.engine.worker.options import WorkerOptions
    from qtool.engine.worker.readahead import ReadAhead
    from qtool.engine.worker.runners import Runners
    from qtool.engine.worker.scale import Size
    from qtool.engine.worker.served import Served


OWN = "qtool."
"""What the names of the tasks begin with that every worker has."""

BRAKED = 0.02
"""Seconds between two looks at whether the brake is off."""

REBALANCE = 0.01
"""Seconds between two looks at whether a job claimed ahead should go elsewhere."""


class Claimer:
    """Claims what can start now or soon, hands it out, and gives back what would wait too long."""

    def __init__(
        self,
        worker: str,
        broker: Broker,
        options: WorkerOptions,
        lease: float,
        floor: Floor,
        health: Health,
        runners: Runners,
        read_ahead: ReadAhead,
        size: Size,
        served: Served,
    ) -> None:
        self._worker = worker
        self._broker = broker
        self._options = options
        self._lease = lease
        self._floor = floor
        self._health = health
        self._runners = runners
        self._pool, self._commands = runners.pool, runners.commands
        self._read_ahead = read_ahead
        self._size = size
        self._served = served
        self._rebalance_at = 0.0
        self._due_at = float("inf")
        self.pipeline: Pipeline = Direct(broker)
        """By which claims are made."""
        self._asked: deque[tuple[int, int, Answer[list[Lease]]]] = deque()
        """How many jobs were asked for, and how often it was told to look by then."""
        self._told = 0
        """How often somebody said that there may be something to claim."""
        self.waiting: deque[Lease] = deque()
        """Commands that were claimed and have not started; what the pool's tasks are is in its backlog."""
        self.claimed = 0
        """Jobs claimed so far, but for those given back."""
        self.claims = 0
        """Questions to the broker."""
        self.dry = False
        """The last claim got less than it asked for."""
        self.closed = False
        """The worker ends: no more is claimed."""
        self.screen: Callable[[list[Lease]], list[Lease]] | None = None
        """Is shown what was just claimed, and says what of it is to be run; the rest it has ended itself."""
        self.brake: Callable[[], bool] | None = None
        """Whoever follows the outcomes is behind: nothing is claimed while it is true."""
        self.paused = False
        """The leases cannot be renewed: nothing is claimed until they can."""
        self.stranger: Lease | None = None
        """A job that was met, and given back, whose task is in a module; the worker was started with none."""

    # --- when to look --------------------------------------------------------------------------------

    def look(self) -> None:
        """There may be something to claim."""
        self._told += 1
        self.dry = False

    def expect(self, due: float | None) -> None:
        """A job becomes ready at this wall time, if any does: look then."""
        if due is None:
            return
        clock = self._floor.clock
        # By the monotonic clock, or what was expected before the wall clock was set would keep out what comes after.
        at = clock.monotonic() + max(0.0, due - clock.now())
        if at < self._due_at:
            self._due_at = at
            self._floor.reactor.at(at, self._on_due)

    def _on_due(self) -> None:
        self._due_at = float("inf")
        self.look()

    # --- claim and hand out --------------------------------------------------------------------------

    @property
    def ahead(self) -> bool:
        """Whether there is more at hand than runs, so that no slot falls idle soon."""
        return bool(self.waiting) or self._pool.held > self._pool.active

    @property
    def idle(self) -> bool:
        """Whether it holds nothing that waits for its start, and has asked for nothing."""
        return not self.waiting and not self._pool.waiting and not self._asked

    @property
    def exhausted(self) -> bool:
        """Whether as many jobs were claimed as the worker may start."""
        return self._options.max_jobs is not None and self.claimed >= self._options.max_jobs

    def fill(self, now: float) -> None:
        """Claim what can start now or soon, and hand it out."""
        pool, commands, slots = self._pool, self._commands, self._size.now
        if not (self.closed or self.paused or self.dry) and now >= self._health.retry_at and pool.serves:
            # Where answers are not waited for, the next helping is under way while the last one is worked on.
            ahead = self._read_ahead.ahead * (1 + self.pipeline.depth) // 2
            window = slots * (1 + ahead)
            asked = sum([want for want, _, _ in self._asked])
            held = pool.held + pool.waiting + commands.active + len(self.waiting) + asked
            want = window - held
            if self._options.max_jobs is not None:
                want = min(want, self._options.max_jobs - self.claimed - asked)
            if want > 0 and (want * 2 * self.pipeline.depth >= window or held < slots):
                self._claim(want)
        if self.waiting or pool.waiting:
            self._floor.reactor.check()
            if self.closed or self.paused:
                self.give_back()
        if self.waiting:
            self.start_commands()
        if pool.waiting:
            self._dispatch()
        if now >= self._rebalance_at:
            self._rebalance(now)

    def start_commands(self) -> None:
        """Start claimed commands in the slots that are free."""
        waiting, commands = self.waiting, self._commands
        free = self._size.now - self._runners.active
        for _ in range(min(free, len(waiting))):
            commands.start(waiting.popleft())

    def _claim(self, want: int) -> None:
        if self.brake is not None and self.brake():
            self._floor.reactor.after(BRAKED)
            return
        try:
            answer = self.pipeline.claim(self._worker, self._served.names, want, self._lease)
        except BrokerError as error:
            self._health.failed(error)
            return
        self.claims += 1
        self._asked.append((want, self._told, answer))
        self.collect()

    @property
    def answered(self) -> bool:
        """Whether there is something to collect."""
        return bool(self._asked) and self._asked[0][2].here

    def collect(self) -> None:
        """Take in what the broker has given."""
        while self.answered:
            want, told, answer = self._asked.popleft()
            try:
                leases = answer.take()
                self._take(leases)
                # What came into the queues since it was asked is for the next claim.
                self.dry = len(leases) < want and told == self._told
                if self.dry:
                    self.expect(self._broker.opens_at(self._served.names))
            except BrokerError as error:
                self._health.failed(error)

    def _take(self, leases: list[Lease]) -> None:
        self.claimed += len(leases)
        if not self._options.apps:
            leases = self._own(leases)
        self._floor.outbox.claimed += len(leases)
        if self.screen is not None:
            leases = self.screen(leases)
        if leases:
            self._commands.keeper.board.hold(anything=True)
        ours = [lease for lease in leases if lease.task == EXEC]
        if ours:
            self.waiting.extend(ours)
            leases = [lease for lease in leases if lease.task != EXEC]
        self._pool.take(leases)

    def _own(self, leases: list[Lease]) -> list[Lease]:
        """Those that a worker without modules can run. To end the others as unknown would be to destroy them."""
        strangers = [lease for lease in leases if not lease.task.startswith(OWN)]
        if not strangers:
            return leases
        self.stranger = strangers[0]
        self._return(strangers)
        return [lease for lease in leases if lease.task.startswith(OWN)]

    def _dispatch(self) -> None:
        self._pool.dispatch(self._read_ahead.ahead, self._size.now - self._runners.active)

    def _rebalance(self, now: float) -> None:
        """What was claimed ahead and waits behind a slow run goes to an idle slot, or to other workers."""
        pool = self._pool
        self._rebalance_at = now + REBALANCE
        if pool.held == pool.active and self.idle:
            return
        self._floor.reactor.at(self._rebalance_at)
        stuck = pool.rebalance(now, self._read_ahead.patience)
        if stuck:
            # First of all, or what was just taken back would be dealt out to the same processes again.
            self._read_ahead.collapse()
        if pool.waiting:
            self._dispatch()
        if stuck and pool.backlog and pool.serves:
            self._return([*pool.backlog])
            pool.backlog.clear()
        if late := pool.quarantine.late(now, self._read_ahead.patience):
            self._read_ahead.collapse()
            self._return(late)
        oldest = self._commands.oldest()
        if self.waiting and oldest is not None and now - oldest > self._read_ahead.patience:
            self._read_ahead.collapse()
            self._return([*self.waiting])
            self.waiting.clear()

    # --- give back -----------------------------------------------------------------------------------

    def give_back(self) -> None:
        """Give back everything that has not started."""
        self._return([*self._pool.recall(), *self.waiting])
        self.waiting.clear()

    def _return(self, leases: list[Lease]) -> None:
        for lease in leases:
            self._floor.outbox.give_back(lease)
        self.claimed -= len(leases)

    def withdraw(self, renewal: Renewal) -> None:
        """What is no longer ours, or no longer wanted, and has not started, must not start."""
        pool = self._pool
        pool.take(pool.recall())
        unwanted = renewal.cancelled | renewal.killed
        for queue in (pool.backlog, pool.quarantine.waiting, self.waiting):
            for lease in list(queue):
                if lease.id in renewal.lost:
                    queue.remove(lease)
                    self._floor.outbox.late += 1
                elif lease.id in unwanted:
                    queue.remove(lease)
                    self._floor.outbox.end(lease, Cancel())
