"""The life and death of the pool's processes."""

from __future__ import annotations

import select
from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.job import Fail, Failure, Lease
from qtool.engine.worker.inbox import Inbox
from qtool.engine.worker.runs import Run, Runs, Why
from qtool.engine.worker.stops import Stops
from qtool.errors import QtoolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.options import WorkerOptions
    from qtool.engine.worker.process import Child, Starter


class PoolBroken(QtoolError):
    """The worker's processes die before they can run anything ({why}). Look at what its modules do when imported."""


MAX_FALSE_STARTS = 3


class Children:
    """Starts the pool's processes, replaces those that die, and ends the jobs that died with them."""

    def __init__(
        self,
        options: WorkerOptions,
        floor: Floor,
        starter: Starter,
        runs: Runs,
        orphans: Callable[[list[Lease]], None],
    ) -> None:
        """``orphans`` takes the jobs that a process had not read when it died."""
        self._options = options
        self._floor = floor
        self._starter = starter
        self._runs = runs
        self._orphans = orphans
        self._false_starts = 0
        self.all: list[Child] = []
        self.stops = Stops(options, floor, self.all, runs)
        self._inbox = Inbox(floor, runs, self.stops, self._greeted)
        self.opened = False
        self.closing = False
        """Those that die are not replaced."""

    def open(self) -> None:
        """Start the processes; the jobs wait for them."""
        if not self.opened:
            self.opened = True
            one = self._options.pool == "process"
            for slot in range(self._options.slots if one else 1):
                self._start(slot, 1 if one else self._options.slots)

    def _start(self, slot: int, slots: int) -> None:
        child = self._starter.start(slot, slots)
        self.all.append(child)
        reactor, inbox = self._floor.reactor, self._inbox
        reactor.watch(child.sock.fileno(), partial(inbox.receive, child))
        reactor.watch(child.exit_fd, partial(self._died, child))
        for stream, fd in child.pipes.items():
            reactor.watch(fd, partial(inbox.read_pipe, child, stream))

    def _greeted(self) -> None:
        """One is ready: what it imports can be imported."""
        self._false_starts = 0

    def take_back(self, child: Child) -> list[Lease]:
        """The jobs that the process has not read."""
        taken = child.take_back()
        for serial in taken:
            self._runs.pop(serial, None)
        return list(taken.values())

    def _died(self, child: Child) -> None:
        """The process is gone: the job it was running is to blame, what it had not read is not."""
        self._inbox.receive(child)
        if not child.jobs or self._options.pool != "process":
            child.discard_pipes()
        else:
            self._inbox.drain_pipes(child, next(iter(child.jobs)))
        self._orphans(self.take_back(child))
        reactor = self._floor.reactor
        for fd in (child.sock.fileno(), child.exit_fd, *child.pipes.values()):
            reactor.unwatch(fd)
        self._starter.forget(child)
        failure = child.reap()
        self.all.remove(child)
        for serial, lease in child.jobs.items():
            self._bury(lease, self._runs.pop(serial, None), failure)
        if self.closing:
            return
        if not child.ready:
            self._false_starts += 1
            if self._false_starts >= MAX_FALSE_STARTS:
                raise PoolBroken(why=failure.message)
        self._start(child.slot, child.slots)

    def _bury(self, lease: Lease, run: Run | None, failure: Failure) -> None:
        outbox = self._floor.outbox
        if run is None:
            outbox.end(lease, Fail(failure, crashed=True))
            return
        run.over = True
        if run.why is Why.LOST:
            outbox.late += 1
            return
        if run.why is Why.SHUTDOWN:
            outbox.killed += 1
        outcome = run.killed(grace=self._floor.grace) or Fail(failure, crashed=True)
        outbox.end(lease, outcome, run.policy, run.started_at, run.output.take())

    def close(self) -> None:
        """End the processes; nothing runs in them any more."""
        self.closing = True
        for child in self.all:
            child.hang_up()
        self._say_farewell()
        for child in self.all:
            child.kill()
            child.reap()
        self.all.clear()

    def _say_farewell(self) -> None:
        """Let those end by themselves that have something to do at their end; not for longer than the grace."""
        clock = self._floor.clock
        until = clock.monotonic() + self._floor.grace
        left = {child.exit_fd: child for child in self.all if child.parting}
        exits = select.poll()
        for fd in left:
            exits.register(fd, select.POLLIN)
        while left and (gone := exits.poll(max(0.0, until - clock.monotonic()) * 1000)):
            for fd, _ in gone:
                exits.unregister(fd)
                child = left.pop(fd)
                for stream in child.pipes:
                    if data := child.read_pipe(stream):
                        self._floor.say(f"outside any job: {data.decode(errors='replace').rstrip()}")
        if left:
            self._floor.say(
                f"{len(left)} of the pool's processes did not end within {self._floor.grace:g} s and are killed: "
                "what they do when they are told to end (on_stop) takes too long."
            )
