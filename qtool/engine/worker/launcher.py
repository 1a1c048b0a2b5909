"""The process that starts commands, watches over the supervisor, and leaves nothing running behind it.

A command's parent has to be somebody who is still there when the supervisor is killed: this process, which does nothing
else, sits in a session of its own, and on the end of its socket kills every group that is still alive. It inherits the
slate's lock, so a rescuer finds it free only when that is done. The commands themselves do not: a daemon that a job
leaves behind on purpose must not hold up the rescue of others. Should this process be killed, the supervisor ends what
is left of its session.

A supervisor that is alive but frozen (stopped, or stuck in a read of a disk) cannot end its runs before its leases end.
So it is done here: its last renewal stands on the board, and once that is too long ago everything is killed. What
becomes of the jobs is for the supervisor to say when it wakes.

Starting a command blocks until its exec; here that costs the supervisor nothing.

Messages are packed structures, not msgpack: what execve wants is bytes, and a small process starts fast.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

from qtool.engine.worker.board import Board
from qtool.engine.worker.descriptors import read_file, receive_fds

START, KILL, GUARD, UNGUARD = range(1, 5)
EXITED, STOPPED, CUT, REFUSED = range(1, 5)
"""A command ended by itself; after a signal that was asked for; because the supervisor was silent; never began."""

REQUEST = struct.Struct("<BQI")
"""Operation, serial number (or group), and a count or a signal."""
REPLY = struct.Struct("<BQq")
"""Kind, serial number, and a wait status or an errno."""

INLINE = 64 * 1024

BAD_DIRECTORY = -1
"""In place of an errno: the working directory cannot be entered."""

_PATIENCE = 0.5
"""Seconds to wait for killed groups to vanish; a zombie that nobody reaps must not hold the lock for ever."""

_OVERSLEPT = 0.5
"""Seconds late that a look at the supervisor says that this process was frozen, too."""

_DOZE = 1.0
"""Seconds between two looks at a silent supervisor that has nothing to lose."""


def pack(cwd: bytes, argv: list[bytes], env: list[bytes]) -> bytes:
    """A command as the payload of START, which carries ``len(argv)`` as its count."""
    return b"\0".join([cwd, *argv, *env])


class Launcher:
    """Starts, kills and reaps commands, and everything should the supervisor fall silent."""

    def __init__(self, sock: socket.socket, board: Board) -> None:
        self._sock = sock
        self._board = board
        self._home = os.getcwdb()
        self._cwd = self._home
        self._base = dict(os.environb)
        self._serials: dict[int, int] = {}
        """By pid."""
        self._pids: dict[int, int] = {}
        self._killing: set[int] = set()
        self._ends: dict[int, int] = {}
        """How commands that were signalled before they had ended, by pid, ended: STOPPED or CUT."""
        self._look_at = 0.0
        self._cut_at = -1.0
        """The renewal after which everything was killed, so that it is killed once."""
        self._guarded: set[int] = set()
        self._null_mask: list[int] = []
        defaults = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
        self._defaults = list(defaults)

    def serve(self) -> None:
        """Until the supervisor is gone."""
        wake, woken = os.pipe()
        for fd in (wake, woken):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            for fd, _ in poll.poll(1000 * self._look(time.monotonic())):
                if fd == wake:
                    with suppress(BlockingIOError):
                        os.read(wake, 4096)
                    self._reap()
                elif not self._requests():
                    self._end()
                    return

    def _requests(self) -> bool:
        """Handle what is there; False when the supervisor is gone."""
        while True:
            try:
                data, fds = receive_fds(self._sock, 2 * INLINE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            operation, serial, count = REQUEST.unpack_from(data)
            if operation == START:
                self._start(serial, count, data[REQUEST.size :], fds)
            elif operation == KILL:
                self._kill(serial, count)
            elif operation == GUARD:
                self._guarded.add(serial)
            else:
                self._guarded.discard(serial)

    def _start(self, serial: int, count: int, payload: bytes, fds: list[int]) -> None:
        out, err = fds[:2]
        if len(fds) > 2:
            payload = read_file(fds.pop())
        cwd, *words = payload.split(b"\0")
        argv, extra = words[:count], words[count:]
        env = self._base | dict(entry.split(b"=", 1) for entry in extra)
        try:
            self._enter(cwd or self._home)
            pid = self._spawn(argv, env, out, err)
        except _NoDirectoryError:
            self._reply(REFUSED, serial, BAD_DIRECTORY)
        except OSError as error:
            self._reply(REFUSED, serial, error.errno or errno.EINVAL)
        else:
            self._serials[pid] = serial
            self._pids[serial] = pid
        finally:
            for fd in fds:
                os.close(fd)

    def _enter(self, cwd: bytes) -> None:
        if cwd != self._cwd:
            try:
                os.chdir(cwd)
            except OSError:
                raise _NoDirectoryError from None
            self._cwd = cwd

    def _spawn(self, argv: list[bytes], env: dict[bytes, bytes], out: int, err: int) -> int:
        actions = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
        path = env.get(b"PATH")
        file = argv[0]
        if b"/" not in file and path != self._base.get(b"PATH"):
            # posix_spawnp searches this process's PATH, not the one the command gets.
            import shutil

            found = shutil.which(os.fsdecode(file), path=os.fsdecode(path or b""))
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "not found")
            file = os.fsencode(found)
        return os.posix_spawnp(
            file,
            argv,
            env,
            file_actions=actions,
            setsigmask=self._null_mask,
            setsigdef=self._defaults,
            # A group of its own, to be killed as one, in this session: it tells whose they are when nobody else can,
            # and has no terminal whose prompts could stop them for ever.
            setpgroup=0,
        )

    def _kill(self, serial: int, signum: int) -> None:
        pid = self._pids.get(serial)
        if pid is not None:
            self._signal(pid, signum, STOPPED)

    def _signal(self, pid: int, signum: int, end: int) -> None:
        """A signal to a command's group. It is not reaped yet, so the number is still its own."""
        if not _has_exited(pid):
            self._ends[pid] = end
        self._killing.add(pid)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signum)

    def _reap(self) -> None:
        while (pid := _exited()) is not None:
            if pid in self._killing:
                # While its number is still its own: whatever is left of its group goes with its leader.
                self._killing.discard(pid)
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if (serial := self._serials.pop(pid, None)) is not None:
                del self._pids[serial]
                self._reply(self._ends.pop(pid, EXITED), serial, status)

    def _reply(self, kind: int, serial: int, value: int) -> None:
        # A supervisor that is gone is noticed where its requests are read.
        with suppress(OSError):
            self._sock.send(REPLY.pack(kind, serial, value))

    # --- watching over the supervisor ----------------------------------------------------------------

    def _look(self, now: float) -> float:
        """Kill everything if the supervisor has been silent for too long: seconds until the next look."""
        board = self._board
        due = board.renewed_at + board.patience
        if now < due:
            self._look_at = due
            return due - now
        if not board.held or board.renewed_at == self._cut_at:
            self._look_at = now + _DOZE
        elif now - self._look_at > _OVERSLEPT:
            # The whole worker was frozen: the supervisor gets a moment to renew, so that what it may keep goes on.
            self._look_at = now + _OVERSLEPT
        elif now >= self._look_at:
            self._cut_at = board.renewed_at
            self._cut()
            self._look_at = now + _DOZE
        return self._look_at - now

    def _cut(self) -> None:
        """End all runs: their leases are about to."""
        self._board.cut()
        for pid in list(self._serials):
            self._signal(pid, signal.SIGKILL, CUT)
        for group in self._guarded:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def _end(self) -> None:
        """The supervisor is gone: so must be everything it had started."""
        groups = self._guarded | set(self._serials)
        deadline = time.monotonic() + _PATIENCE
        while groups and time.monotonic() < deadline:
            for group in list(groups):
                try:
                    os.killpg(group, signal.SIGKILL)
                except ProcessLookupError:
                    groups.discard(group)
                except PermissionError:
                    # Only zombies are left of it, or it is root's.
                    groups.discard(group)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            groups = _living(groups)
            time.sleep(0.002)


def _exited() -> int | None:
    """A child that has exited and is not reaped yet."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found is not None else None


def _has_exited(pid: int) -> bool:
    """Whether this child, not reaped yet, is a zombie."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _living(groups: set[int]) -> set[int]:
    """Those with a member that is no zombie: in a container nobody may reap them, and a kill reaches zombies too."""
    living = set()
    try:
        numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return groups
    for number in numbers:
        with suppress(OSError), open(f"/proc/{number}/stat", "rb") as file:
            state, _, group = file.read().rpartition(b")")[2].split(None, 3)[:3]
            if state not in (b"Z", b"X"):
                living.add(int(group))
    return groups & living


class _NoDirectoryError(Exception):
    """The working directory cannot be entered."""


def main() -> None:
    """``python -m qtool.engine.worker.launcher SOCKET BOARD SLATE``: descriptors; -1 where there is no slate."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    board = Board(int(sys.argv[2]))
    os.set_inheritable(board.fd, False)
    if (slate := int(sys.argv[3])) >= 0:
        os.set_inheritable(slate, False)
    Launcher(sock, board).serve()


if __name__ == "__main__":
    main()
