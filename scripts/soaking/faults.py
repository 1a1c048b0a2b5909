"""What is done to the workers, to the disk, to the write lock and to the queues, at random.

Deleting the ``-shm`` file under running processes is not among it: SQLite's index of the WAL lives there, and taking it
away from those who have it mapped splits them into two groups with locks of their own. No program that keeps its data
in an SQLite file survives that; qtool makes the file anew when nobody has it open, which tests/faults shows.
"""

from __future__ import annotations

import heapq
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from qtool.errors import QtoolError

from .crew import PATIENCE, STEADY, Crew, Member
from .kinds import QUEUES

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from qtool.engine.broker import Adapter

    from .setting import Setting
    from .tracker import Tracker

SIGNALS = (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

LOCKED = """
import sys, time, apsw
db = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READWRITE)
db.set_busy_timeout(10000)
db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
db.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
db.execute("ROLLBACK")
"""


class Faults:
    """Chooses them, does them, and puts right what does not pass by itself."""

    def __init__(
        self,
        setting: Setting,
        crew: Crew,
        adapter: Adapter,
        tracker: Tracker,
        random: Random,
        violation: Callable[[str], None],
        every: float,
        only: str,
    ) -> None:
        """``every``: seconds between two, on average; ``only``: those with this in their name."""
        self._setting = setting
        self._crew = crew
        self._adapter = adapter
        self._tracker = tracker
        self._random = random
        self._violation = violation
        self._every = every
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._at = time.monotonic()
        self._told: list[Member] = []
        self.done: Counter[str] = Counter()
        """How often, by kind."""
        lease = setting.lease
        kinds: list[tuple[str, int, Callable[[], bool]]] = [
            ("kill -9 of a child", 6, self._kill_child),
            ("kill -9 of a supervisor", 4, self._kill_supervisor),
            ("kill -9 of a launcher", 3, self._kill_launcher),
            ("kill -9 of a whole worker", 3, self._kill_all),
            ("supervisor frozen, within the lease", 2, lambda: self._freeze(0.1, 0.5 * lease)),
            ("supervisor frozen, beyond the lease", 2, lambda: self._freeze(1.2 * lease, 2 * lease)),
            ("worker frozen, within the lease", 2, lambda: self._freeze(0.1, 0.5 * lease, whole=True)),
            ("worker frozen, beyond the lease", 2, lambda: self._freeze(1.2 * lease, 2 * lease, whole=True)),
            ("storm of TERM, INT, HUP and QUIT", 5, self._storm),
            ("queue paused and resumed", 3, self._pause),
            ("jobs cancelled", 4, lambda: self._stop(self._adapter.operator.cancel)),
            ("jobs killed", 3, lambda: self._stop(self._adapter.operator.kill)),
            ("disk full", 2 if setting.mounted else 0, self._fill),
            ("write lock held", 2, self._lock),
            ("worker scaled", 2, self._scale),
        ]
        self._kinds = [kind for kind in kinds if only in kind[0]]

    # --- the loop ------------------------------------------------------------------------------------

    def step(self) -> None:
        """Undo what is due, see after the crew, and do one more fault if it is time."""
        self._undo(time.monotonic())
        self.attend()
        now = time.monotonic()
        if now < self._at:
            return
        self._at = now + self._random.expovariate(1 / self._every)
        (kind,) = self._random.choices(self._kinds, [weight for _, weight, _ in self._kinds])
        name, _, do = kind
        try:
            if do():
                self.done[name] += 1
        except QtoolError:
            # The disk is full, or the lock is held: then there is another fault already.
            self.done["operator's change refused"] += 1
        except psutil.NoSuchProcess:
            # It has just gone.
            return

    def calm(self) -> None:
        """Undo everything now."""
        self._undo(float("inf"))

    def attend(self) -> None:
        """Replace whoever is gone; nobody ends, fails to end, or complains without a reason."""
        for member in list(self._crew.now):
            if not member.alive:
                self._crew.dismiss(member)
                said = self._crew.said(member)
                # The file cannot be opened while the disk is full or somebody keeps the write lock.
                if "Broker" not in said or member.process.returncode != 1 or self._crew.settled(member):
                    self._violation(f"{member.name} ended by itself with {member.process.returncode}: {said[-1500:]}")
                self._crew.hire(STEADY if member.name == STEADY else None)
        for member in list(self._told):
            assert member.told_at is not None
            if not member.alive:
                self._told.remove(member)
                self._crew.hire()
                if member.process.returncode not in (0, 1) and not member.early:
                    said = self._crew.said(member)[-1500:]
                    self._violation(f"{member.name} ended with {member.process.returncode} when told to end: {said}")
            elif time.monotonic() - member.told_at > PATIENCE:
                self._told.remove(member)
                self._crew.hire()
                self._violation(f"{member.name} did not end within {PATIENCE:g} s of being told")
                member.process.kill()

    def _undo(self, until: float) -> None:
        while self._later and self._later[0][0] <= until:
            _, _, undo = heapq.heappop(self._later)
            try:
                undo()
            except QtoolError:
                self._after(0.3, undo)
                if until == float("inf"):
                    time.sleep(0.3)

    def _after(self, seconds: float, undo: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), undo))

    def _victim(self) -> Member | None:
        victims = self._crew.victims()
        return self._random.choice(victims) if victims else None

    # --- death ---------------------------------------------------------------------------------------

    def _kill_child(self) -> bool:
        member = self._victim()
        children = self._crew.children(member) if member is not None else []
        if member is None or not children:
            return False
        child = self._random.choice(children)
        member.killed.add(child.pid)
        child.kill()
        return True

    def _kill_supervisor(self) -> bool:
        member = self._victim()
        if member is None:
            return False
        self._crew.dismiss(member)
        member.process.kill()
        self._bury(member)
        return True

    def _kill_launcher(self) -> bool:
        member = self._victim()
        launcher = self._crew.launcher(member) if member is not None else None
        if member is None or launcher is None:
            return False
        member.launcher_killed = True
        launcher.kill()
        return True

    def _kill_all(self) -> bool:
        member = self._victim()
        if member is None:
            return False
        self._crew.dismiss(member)
        # As a control group is killed, all at once: what starts others is held first, so that nobody gets away.
        for process in (member.process, self._crew.launcher(member)):
            if process is not None:
                process.send_signal(signal.SIGSTOP)
        family = self._crew.family(member)
        self._random.shuffle(family)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._bury(member)
        return True

    def _bury(self, member: Member) -> None:
        try:
            member.process.wait(10)
        except subprocess.TimeoutExpired:
            self._violation(f"{member.name} outlived its killing by 10 s")
        self._crew.hire()

    # --- frost ---------------------------------------------------------------------------------------

    def _freeze(self, least: float, most: float, *, whole: bool = False) -> bool:
        member = self._victim()
        if member is None:
            return False
        family = self._crew.family(member) if whole else self._crew.family(member)[:1]
        seconds = self._random.uniform(least, most)
        member.frozen |= seconds > 0.7 * self._setting.lease
        member.stopped = True
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.suspend()

        def thaw() -> None:
            member.stopped = False
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

        self._after(seconds, thaw)
        return True

    # --- signals -------------------------------------------------------------------------------------

    def _storm(self) -> bool:
        member = self._victim()
        if member is None:
            return False
        self._crew.dismiss(member)
        self._told.append(member)
        member.told_at = time.monotonic()
        # At any moment of its life, its start included: until its handlers are there a signal just kills it.
        member.early = not self._crew.settled(member)
        for _ in range(self._random.randrange(1, 7)):
            with suppress(ProcessLookupError):
                member.process.send_signal(self._random.choice(SIGNALS))
            time.sleep(self._random.choice((0.0, 0.0001, 0.001, 0.05)) * self._random.random())
        return True

    # --- the queues ----------------------------------------------------------------------------------

    def _pause(self) -> bool:
        queue = self._random.choice(QUEUES)
        self._after(self._random.uniform(0.2, 3.0), lambda: self._resume(queue))
        self._adapter.operator.pause(queue)
        return True

    def _resume(self, queue: str) -> None:
        self._adapter.operator.resume(queue)

    def _stop(self, verb: Callable[[list[str]], object]) -> bool:
        ids = self._tracker.some(self._random, self._random.choice((1, 3, 10)))
        verb(ids)
        return bool(ids)

    def _scale(self) -> bool:
        member = self._victim()
        self._crew.identify()
        if member is None or member.id is None:
            return False
        slots = self._random.randrange(1, 5)
        return self._adapter.operator.scale(member.id, slots, slots)

    # --- the file ------------------------------------------------------------------------------------

    def _fill(self) -> bool:
        path = self._setting.disk / f"filler-{next(self._order)}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while True:
                        os.write(fd, bytes(size))
        finally:
            os.close(fd)
        self._after(self._random.uniform(0.2, 1.5 * self._setting.lease), path.unlink)
        return True

    def _lock(self) -> bool:
        seconds = self._random.uniform(0.05, 0.5) * self._setting.lease
        holder = subprocess.Popen(
            [sys.executable, "-c", LOCKED, str(self._setting.path), str(seconds)], stderr=subprocess.DEVNULL
        )
        self._after(seconds + 0.5, lambda: _reap(holder))
        return True


def _reap(holder: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        holder.wait(30)
