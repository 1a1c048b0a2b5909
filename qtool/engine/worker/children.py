"""The life and death of the pool's processes."""

from __future__ import annotations

import select
import signal
from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.job import Fail, Failure, Lease
from qtool.engine.sizes import MOST_SLOTS, format_size
from qtool.engine.worker.inbox import Inbox
from qtool.engine.worker.process import Stage
from qtool.engine.worker.runs import Run, Runs, Why
from qtool.engine.worker.stops import Stops
from qtool.engine.worker.wear import WEIGH, nearly_spent, resident
from qtool.errors import QtoolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.options import WorkerOptions
    from qtool.engine.worker.places import Places
    from qtool.engine.worker.process import Child, Starter
    from qtool.engine.worker.scale import Size


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
        size: Size,
        places: Places,
        orphans: Callable[[list[Lease]], None],
        lonely: Callable[[Child], None],
    ) -> None:
        """``orphans`` takes jobs that a process has not read; ``lonely`` gives its only job to one that is ready."""
        self._options = options
        self._floor = floor
        self._starter = starter
        self._runs = runs
        self._size = size
        self._places = places
        self._orphans = orphans
        self._lonely = lonely
        self._false_starts = 0
        self._one_each = options.pool == "process"
        """Each process is one slot; otherwise one process has all of them."""
        self.all: list[Child] = []
        self.reserved = 0
        """Slots that are kept for jobs which run alone, while the processes for these start."""
        self.stops = Stops(floor, self.all, runs)
        self._inbox = Inbox(floor, runs, self.stops, self, weigh=options.max_memory_per_child is not None)
        self.on_sources: Callable[[list[str]], object] = len
        """Is told of the directories that a process has code from, where it is asked to tell."""
        self._served = False
        """Some process has been ready."""
        self._refused = False
        """The code that there is now cannot be imported: no process is started before it changes."""
        self.deaths = 0
        """Processes that ended otherwise than they were told to."""
        self.opened = False
        self.closing = False
        """Those that die are not replaced."""

    # --- how many ------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the processes; the jobs wait for them."""
        if not self.opened:
            self.opened = True
            self.fit()

    def fit(self) -> None:
        """Have as many processes as the pool's size asks for, of those that are or will be dealt jobs."""
        if self.closing or self._refused or not self.opened:
            return
        crew = [child for child in self.all if child.stage is not Stage.LEAVING and not child.alone]
        if not self._one_each:
            for child in crew:
                if child.slots != self._size.now:
                    child.resize(self._size.now)
        crew = [child for child in crew if child.follows is None]
        wanted = self._size.now if self._one_each else 1
        # The idle ones go first, and of those the youngest.
        first_to_go = sorted(crew, key=lambda each: (len(each.jobs), -each.started_at))
        for child in first_to_go[: max(0, len(crew) - wanted)]:
            self.retire(child)
        for _ in range(wanted - len(crew)):
            if self._start() is None:
                break
        if len(crew) > wanted:
            # Those that were to follow the ones that go are to be counted now.
            self.fit()

    def start_alone(self) -> bool:
        """Start a process for one job that runs alone; False when there is no place for it now."""
        child = None if self.closing or self._refused else self._start(alone=True)
        self.reserved += child is not None
        return child is not None

    def _start(self, *, alone: bool = False, follows: Child | None = None) -> Child | None:
        one = alone or self._one_each
        room = 1 if one else MOST_SLOTS
        place = self._places.take(room)
        if place is None:
            # Too many still drain; the end of one of them asks again.
            return None
        child = self._starter.start((place, room), 1 if one else self._size.now, pool="process" if alone else None)
        child.alone, child.follows = alone, follows
        if self._options.max_jobs_per_child is not None and not alone:
            child.limited, child.left = True, self._options.max_jobs_per_child
        child.started_at = self._floor.clock.monotonic()
        self.all.append(child)
        reactor, inbox = self._floor.reactor, self._inbox
        reactor.watch(child.sock.fileno(), partial(inbox.receive, child))
        reactor.watch(child.exit_fd, partial(self._died, child))
        for stream, fd in child.pipes.items():
            reactor.watch(fd, partial(inbox.read_pipe, child, stream))
        return child

    def greeted(self, child: Child) -> None:
        """It is ready: what it imports can be imported."""
        self._false_starts = 0
        self._served = True
        if child.stage is not Stage.STARTING:
            # Retired before it was ready.
            return
        if child.alone:
            self.reserved -= 1
            child.stage = Stage.LEAVING
            self._lonely(child)
            return
        before = child.follows
        if before is not None and not before.worn:
            child.stage = Stage.STANDBY
            return
        child.stage, child.follows = Stage.OPEN, None
        if before is not None:
            self.retire(before)

    # --- one follows another -------------------------------------------------------------------------

    def dealt(self, child: Child) -> None:
        """It was dealt jobs, of which it may have only so many: another is there in time to go on."""
        if nearly_spent(child.left, self._floor.pace()):
            self._follow(child)
        if child.left <= 0:
            child.stage = Stage.LEAVING
            self._hand_over(child)

    def weigh(self, child: Child) -> None:
        """It has ended a job: if it has grown too large, another takes over."""
        limit, now = self._options.max_memory_per_child, child.moved_at
        if limit is None or child.stage is not Stage.OPEN or (child.jobs and now < child.weigh_at):
            return
        child.weigh_at = now + WEIGH
        if not child.worn and (size := resident(child.process.pid)) > limit:
            child.worn = self._follow(child)
            if child.worn:
                what = f"Process {child.process.pid} of the pool holds {format_size(size)} of memory"
                self._floor.say(f"{what}, more than {format_size(limit)}: another takes its place.")

    def _follow(self, child: Child) -> bool:
        """Have another start that takes over from this one; False when there is no place for it now."""
        if self.closing:
            return False
        return any(each.follows is child for each in self.all) or self._start(follows=child) is not None

    def _hand_over(self, child: Child) -> None:
        """It gets no more jobs: the one that follows it does, as soon as it can."""
        for each in self.all:
            if each.follows is child:
                each.follows = None
                if each.stage is Stage.STANDBY:
                    each.stage = Stage.OPEN

    # --- new code ------------------------------------------------------------------------------------

    def refused(self, child: Child, error: QtoolError) -> None:
        """It cannot import its code. Raises the error, unless a change of the code is waited for."""
        if child.stage is Stage.LEAVING:
            return
        if not self._options.reload or not self._served:
            raise error
        if not self._refused:
            self._refused = True
            self._floor.say(f"{error} The jobs stay in their queues until the code changes again.")

    def renew(self) -> None:
        """The code has changed: each process lets its jobs end, and fresh ones take the others."""
        self._refused, self._false_starts = False, 0
        for child in [each for each in self.all if each.stage is not Stage.LEAVING]:
            self.retire(child)
        self.fit()

    # --- one goes ------------------------------------------------------------------------------------

    def retire(self, child: Child) -> None:
        """Let it end what it runs, and then itself; what it has not started goes elsewhere."""
        if child.alone and child.stage is Stage.STARTING:
            self.reserved -= 1
        child.stage = Stage.LEAVING
        self._hand_over(child)
        self._orphans(self.take_back(child))
        self.emptied(child)

    def emptied(self, child: Child) -> None:
        """It may have nothing left to do: one that is leaving ends then."""
        if child.stage is Stage.LEAVING and not child.jobs:
            child.part()
            self._floor.reactor.after(self._floor.grace, partial(self._hurry, child))

    def _hurry(self, child: Child) -> None:
        """What it does at its end must not take for ever."""
        if child in self.all:
            child.kill()

    def take_back(self, child: Child) -> list[Lease]:
        """The jobs that the process has not read."""
        taken = child.take_back()
        for serial in taken:
            self._runs.pop(serial, None)
        return list(taken.values())

    def _died(self, child: Child) -> None:
        """The process is gone: the job it was running is to blame, what it had not read is not."""
        self._inbox.receive(child)
        if child.jobs and child.killable:
            self._inbox.drain_pipes(child, next(iter(child.jobs)))
        else:
            child.discard_pipes()
        self._orphans(self.take_back(child))
        reactor = self._floor.reactor
        for fd in (child.sock.fileno(), child.exit_fd, *child.pipes.values()):
            reactor.unwatch(fd)
        self._starter.forget(child)
        failure = child.reap()
        self.deaths += child.stage is not Stage.LEAVING or bool(child.jobs)
        self.all.remove(child)
        self._places.give(*child.places)
        cut = self._starter.was_cut(child)
        if cut and failure.signal == signal.SIGKILL:
            # The launcher did it, while the supervisor could not: no job is to blame.
            for serial in child.jobs:
                run = self._runs.of(child, serial)
                run.why = run.why or Why.UNRENEWED
        # What nobody was told the start of began when the process got it, or ended what was before it.
        clock = self._floor.clock
        began = clock.now() - (clock.monotonic() - child.moved_at)
        self._hand_over(child)
        for serial, lease in child.jobs.items():
            self._bury(lease, self._runs.pop(serial, None), failure, began)
        # Who waits to kill it for one of them must find none: its number may be another process's by then.
        child.jobs.clear()
        if child.stage is Stage.STARTING:
            self.reserved -= child.alone
            self._false_starts += not cut
            if self._false_starts >= MAX_FALSE_STARTS and not self.closing and not self._refused:
                self.refused(child, PoolBroken(why=failure.message))
        if child.follows is not None:
            self._follow(child.follows)
        self.fit()

    def _bury(self, lease: Lease, run: Run | None, failure: Failure, began: float) -> None:
        outbox = self._floor.outbox
        if run is None:
            outbox.end(lease, Fail(failure, crashed=True), started=began)
            return
        run.over = True
        if run.why is Why.LOST:
            outbox.late += 1
            return
        run.forced = True
        outcome = run.killed(grace=self._floor.grace) or Fail(failure, crashed=True)
        started = run.started_at if run.started_at is not None else began
        outbox.end(lease, outcome, run.policy, started, run.output.take(), run.fate(outcome))

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
