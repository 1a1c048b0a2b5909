"""One process of the pool: how it is started, killed and reaped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING

from qtool.engine.job import Failure, Lease
from qtool.engine.worker import wire
from qtool.engine.worker.naming import node_name

if TYPE_CHECKING:
    from qtool.engine.broker import Slate
    from qtool.engine.worker.keeper import Keeper
    from qtool.engine.worker.options import PoolKind, WorkerOptions

PIPE = 65536
"""Bytes a pipe holds, and a read takes."""


class Stage(Enum):
    """Where a process stands in its life."""

    STARTING = 1
    """It imports what it needs."""
    STANDBY = 2
    """It could run jobs, and waits until the one that it follows has run its last."""
    OPEN = 3
    """It is dealt jobs."""
    LEAVING = 4
    """It ends what it has, and then itself."""


class Child:
    """A process, its sockets and its jobs."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        places: tuple[int, int],
        slots: int,
        sock: socket.socket,
        far: socket.socket,
        control: socket.socket,
        pipes: dict[str, int],
        *,
        killable: bool,
    ) -> None:
        self.process = process
        self.places = places
        """Its places on the slate: the first, and how many."""
        self.slots = slots
        self.sock = sock
        self.far = far
        """The supervisor's own handle on the process's end: what is unread there can be taken back."""
        self.control = control
        self.pipes = pipes
        self.killable = killable
        """It runs one job at a time, in its main thread: a signal breaks into that, and a kill hurts no other."""
        self.exit_fd = os.pidfd_open(process.pid)
        self.jobs: dict[int, Lease] = {}
        """By serial number, in the order they were sent."""
        self.parts = wire.Assembler()
        self.garbled = False
        """What it says makes no sense, so it is not listened to any more."""
        self.stage = Stage.STARTING
        self.parting = False
        """It has something to do when it is told to end."""
        self.alone = False
        """It is for one job only, which has crashed before."""
        self.follows: Child | None = None
        """The one whose work it takes over."""
        self.worn = False
        """It leaves as soon as another can take over."""
        self.limited = False
        self.left = sys.maxsize
        """How many more jobs it may be dealt, which is ``limited`` or not."""
        self.weigh_at = 0.0
        """Its memory is not looked at before."""
        self.started_at = 0.0
        self.cuts = 0
        """How often the launcher had killed everything when this process was started."""
        self.moved_at = 0.0
        """When it last finished something, or got work while idle."""

    def load(self) -> float:
        """Jobs a slot."""
        return len(self.jobs) / self.slots

    def read_pipe(self, stream: str, size: int = PIPE) -> bytes | None:
        """What is in the pipe; nothing at its end, None when there is nothing now."""
        try:
            return os.read(self.pipes[stream], size)
        except BlockingIOError:
            return None

    def discard_pipes(self) -> None:
        """Forget what was written outside any job."""
        for stream in self.pipes:
            self.read_pipe(stream)

    def take_back(self) -> dict[int, Lease]:
        """The jobs that the process has not read, by serial number; they will not start there."""
        taken: dict[int, Lease] = {}
        # Before its first job what lies there are its settings.
        while self.jobs:
            try:
                data = self.far.recv(wire.BUFFER, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not data:
                break
            serial = wire.decode(data)[0]
            taken[serial] = self.jobs.pop(serial)
        self.left += len(taken)
        return taken

    def resize(self, slots: int) -> None:
        """Run so many jobs at once from now on; for threads and coroutines."""
        self.slots = slots
        with suppress(OSError):
            self.control.send(wire.encode((wire.RESIZE, slots)))

    def part(self) -> None:
        """It has nothing more to do: it ends as soon as it notices."""
        for each in (self.sock, self.control):
            with suppress(OSError):
                each.shutdown(socket.SHUT_WR)

    def interrupt(self, serial: int, why: str, limit: float | None) -> None:
        """Ask the process to break into a run."""
        with suppress(OSError):
            self.control.send(wire.encode((wire.INTERRUPT, serial, why, limit)))
            if self.killable:
                self.process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End it, and whatever its tasks started that stayed in its group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def hang_up(self) -> None:
        """Let go of it: it ends when it notices."""
        for each in (self.sock, self.far, self.control):
            each.close()

    def reap(self) -> Failure:
        """Close everything, and say how it ended."""
        # Its group may still hold subprocesses of the job that died with it; they must not outlive the attempt.
        self.kill()
        code = self.process.wait()
        self.hang_up()
        for fd in (self.exit_fd, *self.pipes.values()):
            os.close(fd)
        return how_it_ended(code)


def how_it_ended(code: int) -> Failure:
    """A process's return code (negative: the signal) as the failure of the job it ran."""
    if code >= 0:
        return Failure(
            type="WorkerProcessExited", message=f"the task ended its process with exit code {code}", exit_code=code
        )
    name = signal_name(-code)
    return Failure(type="WorkerProcessKilled", message=f"its process was killed by {name}", signal=-code)


def signal_name(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Starter:
    """Starts the pool's processes as fresh interpreters: nothing of the supervisor crosses over but descriptors."""

    def __init__(self, options: WorkerOptions, slate: Slate | None, keeper: Keeper, *, announce: bool) -> None:
        self._options = options
        self._slate = slate
        self._keeper = keeper
        self._announce = announce

    def start(self, places: tuple[int, int], slots: int, *, pool: PoolKind | None = None) -> Child:
        """Start one process with ``slots`` slots, which stand on the slate from the first of its ``places`` on.

        ``pool``: of another kind than the worker's.
        """
        kind = pool or self._options.pool
        near, far = wire.pair()
        control, far_control = wire.pair()
        near.setblocking(False)
        fds = [far.fileno(), far_control.fileno(), self._slate.fd if self._slate is not None else -1]
        pipes: dict[str, int] = {}
        ends: list[int] = []
        captures = kind == "process"
        if captures:
            for stream in ("stdout", "stderr"):
                pipes[stream], end = os.pipe()
                os.set_blocking(pipes[stream], False)
                ends.append(end)
            fds += pipes.values()
        process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-P", "-m", "qtool.engine.worker.child", *map(str, fds)],
            stdin=subprocess.DEVNULL,
            stdout=ends[0] if captures else 2,
            stderr=ends[1] if captures else None,
            pass_fds=[fd for fd in fds if fd >= 0],
            # Its own group: Ctrl-C is the supervisor's business, and a kill reaches what its tasks started.
            process_group=0,
        )
        for end in ends:
            os.close(end)
        far_control.close()
        self._keeper.guard(process.pid)
        settings = {
            "parent": os.getpid(),
            "apps": self._options.apps,
            "middleware": self._options.middleware,
            "pool": kind,
            "slot": places[0],
            "room": places[1],
            "slots": slots,
            "announce": self._announce,
            "reload": self._options.reload,
            "node": node_name(self._options.name),
        }
        near.send(wire.encode(settings))
        child = Child(process, places, slots, near, far, control, pipes, killable=captures)
        child.cuts = self._keeper.board.cuts
        return child

    def forget(self, child: Child) -> None:
        """It has ended and is about to be reaped: its number will be free for others."""
        self._keeper.unguard(child.process.pid)

    def was_cut(self, child: Child) -> bool:
        """Whether the launcher has killed everything since this process was started."""
        return self._keeper.board.cuts > child.cuts
