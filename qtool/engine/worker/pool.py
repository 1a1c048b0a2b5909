"""The pool: which of its processes gets which job, and which job goes back before it has started."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from qtool.engine.worker import wire
from qtool.engine.worker.children import Children
from qtool.engine.worker.process import Child, Stage, Starter
from qtool.engine.worker.quarantine import Quarantine
from qtool.engine.worker.runs import Runs

if TYPE_CHECKING:
    from qtool.engine.job import Lease
    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.options import WorkerOptions
    from qtool.engine.worker.places import Places
    from qtool.engine.worker.scale import Size
    from qtool.engine.worker.stops import Stops


class Pool:
    """Deals jobs to the processes, and takes back what they have not started."""

    def __init__(self, options: WorkerOptions, floor: Floor, starter: Starter, size: Size, places: Places) -> None:
        self._floor = floor
        self._serial = 0
        self._runs = Runs()
        self.backlog: deque[Lease] = deque()
        """Claimed and given to nobody yet."""
        orphans = self.backlog.extend
        self.children = Children(options, floor, starter, self._runs, size, places, orphans, self._give_alone)
        self.quarantine = Quarantine(floor.clock, self.children)

    @property
    def stops(self) -> Stops:
        """Stops runs."""
        return self.children.stops

    @property
    def serves(self) -> bool:
        """Whether jobs can be given to it: not while all of its processes are still starting."""
        return not self.children.opened or any(child.stage is Stage.OPEN for child in self.children.all)

    @property
    def held(self) -> int:
        """Jobs in the processes, started or not."""
        return sum([len(child.jobs) for child in self.children.all])

    @property
    def active(self) -> int:
        """Slots that have something to do, or are about to."""
        return sum([min(len(child.jobs), child.slots) for child in self.children.all], self.children.reserved)

    @property
    def waiting(self) -> int:
        """Jobs that no process has yet."""
        return len(self.backlog) + len(self.quarantine.waiting)

    def leases(self) -> list[Lease]:
        """Every job this pool answers for."""
        held = [lease for child in self.children.all for lease in child.jobs.values()]
        return [*held, *self.backlog, *self.quarantine.waiting]

    def running(self) -> list[tuple[Lease, int | None, float | None]]:
        """The jobs that the processes are at, each with its process's number and when it began, as far as is known.

        A process takes its jobs in the order in which they were sent.
        """
        clock = self._floor.clock
        found: list[tuple[Lease, int | None, float | None]] = []
        for child in self.children.all:
            # What a single slot is at began when the one before it ended.
            moved_at = clock.now() - (clock.monotonic() - child.moved_at) if child.slots == 1 else None
            for serial, lease in islice(child.jobs.items(), child.slots):
                run = self._runs.get(serial)
                began = run.started_at if run is not None else None
                found.append((lease, child.process.pid, began if began is not None else moved_at))
        return found

    # --- out -----------------------------------------------------------------------------------------

    def take(self, leases: list[Lease]) -> None:
        """These were claimed, for the pool to run."""
        suspects = [lease for lease in leases if lease.crashes]
        if suspects:
            self.quarantine.take(suspects)
            leases = [lease for lease in leases if not lease.crashes]
        self.backlog.extend(leases)

    def dispatch(self, ahead: int, free: int) -> None:
        """Hand out the backlog evenly: at most ``ahead`` jobs in front of a slot, to at most ``free`` idle slots."""
        backlog = self.backlog
        self.children.open()
        if self.quarantine.waiting:
            free -= self.quarantine.start(free)
            if self.quarantine.crowded:
                # Nothing more for the busy slots, so that one of them is free soon.
                ahead = 0
        ready = [child for child in self.children.all if child.stage is Stage.OPEN]
        if not ready:
            return
        ready.sort(key=Child.load)
        total = sum([len(child.jobs) for child in ready]) + len(backlog)
        slots = sum([child.slots for child in ready])
        share = -(-total // slots)
        for child in ready:
            if not backlog:
                break
            room, taken = _room(child, min(share, 1 + ahead), free)
            free -= taken
            if room > 0:
                self._send(child, backlog, min(room, child.left, len(backlog)))
                if child.limited:
                    self.children.dealt(child)

    def _send(self, child: Child, source: deque[Lease], count: int) -> None:
        jobs, encode, send = child.jobs, wire.encode, child.sock.send
        if not jobs:
            child.moved_at = self._floor.clock.monotonic()
        before = len(jobs)
        for _ in range(count):
            lease = source[0]
            self._serial = serial = self._serial + 1
            carried = lease if len(lease.body) <= wire.INLINE else lease._replace(body="")
            try:
                send(encode((serial, carried)))
            except BlockingIOError:
                # Its buffer is full: it has enough to do.
                break
            except OSError:
                # It has just died; that is noticed in a moment.
                child.stage = Stage.LEAVING
                break
            source.popleft()
            jobs[serial] = lease
        child.left -= len(jobs) - before

    def _give_alone(self, child: Child) -> None:
        """A process is ready for one job that runs alone; by now there may be none."""
        if self.quarantine.waiting:
            self._send(child, self.quarantine.waiting, 1)
        self.children.emptied(child)

    # --- back ----------------------------------------------------------------------------------------

    def rebalance(self, now: float, patience: float) -> bool:
        """Take unstarted jobs back from busy processes: whether some waited too long, and for no idle one here."""
        children = self.children
        idle = [child for child in children.all if child.stage is Stage.OPEN and not child.jobs]
        stuck = False
        for child in children.all:
            if len(child.jobs) <= child.slots:
                continue
            late = now - child.moved_at > patience
            if idle or late:
                taken = children.take_back(child)
                self.backlog.extend(taken)
                stuck |= late and bool(taken)
        return stuck and not idle

    def recall(self) -> list[Lease]:
        """Everything that has not started, of all processes and of the backlog."""
        taken = [*self.backlog, *self.quarantine.recall()]
        self.backlog.clear()
        for child in self.children.all:
            taken += self.children.take_back(child)
        return taken


def _room(child: Child, share: int, free: int) -> tuple[int, int]:
    """How many jobs it may be sent, up to ``share`` for each of its slots, and how many idle ones they take."""
    room = share * child.slots - len(child.jobs)
    idle = child.slots - len(child.jobs)
    if idle <= 0:
        return room, 0
    if free <= 0:
        return 0, 0
    if free < idle:
        # Its other slots must stay empty: what was sent ahead would start in them.
        room = min(room, free)
    return room, min(idle, max(room, 0))
