"""The launcher as the supervisor sees it: started, asked, heard, and replaced when it was killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from qtool.engine.worker import launcher, wire
from qtool.engine.worker.board import Board
from qtool.engine.worker.descriptors import unnamed_file
from qtool.engine.worker.session import end_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Slate
    from qtool.engine.worker.reactor import Reactor


class Keeper:
    """Passes requests to the launcher and its replies on."""

    def __init__(
        self,
        reactor: Reactor,
        slate: Slate | None,
        replied: Callable[[int, int, int], object],
        died: Callable[[], object],
    ) -> None:
        """``replied`` gets kind, serial number and value of a reply; ``died`` is told when the launcher is gone and
        its commands are killed, before another one is started."""
        self._reactor = reactor
        self._slate = slate
        self._replied = replied
        self._died = died
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guarded: set[int] = set()
        self.board = Board.create()

    def open(self) -> None:
        """Start the launcher."""
        # With room for a thousand commands that are all killed at once: neither side may wait for the other then.
        self._sock, far = wire.pair()
        board = self.board.fd
        slate = self._slate.fd if self._slate is not None else -1
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-P", "-m", "qtool.engine.worker.launcher", str(far.fileno()), str(board), str(slate)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[far.fileno(), board, *([slate] if slate >= 0 else [])],
            start_new_session=True,
        )
        far.close()
        self._reactor.watch(self._sock.fileno(), self._read)

    def start(self, serial: int, command: tuple[bytes, list[bytes], list[bytes]], pipes: list[int]) -> None:
        """Have a command (directory, words, environment) started; closes the ``pipes``."""
        assert self._sock is not None
        cwd, argv, env = command
        payload = launcher.pack(cwd, argv, env)
        fds = list(pipes)
        if len(payload) > launcher.INLINE:
            fds.append(unnamed_file(payload))
            payload = b""
        # A launcher that has died is noticed in a moment, and this run then ends with the others.
        with suppress(OSError):
            socket.send_fds(self._sock, [launcher.REQUEST.pack(launcher.START, serial, len(argv)), payload], fds)
        for fd in fds:
            os.close(fd)

    def signal(self, serial: int, number: int) -> None:
        """Send a signal to the command and all it started."""
        self._request(launcher.KILL, serial, number)

    def guard(self, group: int) -> None:
        """Have this process group killed should the supervisor die, or be silent for too long."""
        self._guarded.add(group)
        self._request(launcher.GUARD, group)

    def unguard(self, group: int) -> None:
        """The group is gone: its number may be another's soon."""
        self._guarded.discard(group)
        self._request(launcher.UNGUARD, group)

    def _request(self, operation: int, serial: int, number: int = 0) -> None:
        assert self._sock is not None
        # If it died, its socket says so in a moment.
        with suppress(OSError):
            self._sock.send(launcher.REQUEST.pack(operation, serial, number))

    def _read(self) -> None:
        assert self._sock is not None
        while True:
            try:
                data = self._sock.recv(launcher.REPLY.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._restart()
                return
            self._replied(*launcher.REPLY.unpack(data))

    def _restart(self) -> None:
        assert self._process is not None
        self._hang_up()
        # Its commands run on without a parent that knows them, and one may have begun in its last moment.
        end_session(self._process.pid)
        self._died()
        self.open()
        for group in list(self._guarded):
            self.guard(group)

    def _hang_up(self) -> None:
        assert self._sock is not None
        assert self._process is not None
        self._reactor.unwatch(self._sock.fileno())
        self._sock.close()
        self._process.wait()

    def close(self) -> None:
        """End the launcher; it kills what is left."""
        if self._sock is not None:
            self._hang_up()
            self._sock = None
        self.board.close()
