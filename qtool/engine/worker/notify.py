"""What systemd is told: that the worker serves, how it is, that it ends, and that its loop still turns.

The protocol is a datagram of ``NAME=value`` lines to the socket in ``NOTIFY_SOCKET``: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from qtool.engine.worker.reactor import Reactor

STATUS = 5.0
"""Seconds between two status lines."""

LOOK = 0.05
"""Seconds between two looks at whether the pool serves, until it does."""


class Notify:
    """The service manager's ear."""

    def __init__(self, path: str, watchdog: float | None = None) -> None:
        """``watchdog``: seconds within which it wants a sign of life."""
        # An abstract socket is written with @ for the NUL that its name begins with.
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self.watchdog = watchdog

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Notify | None:
        """As systemd asks for it, if it does. Taken out of the environment: it is meant for this process alone."""
        path = environ.pop("NOTIFY_SOCKET", "")
        micros, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        if not path.startswith(("/", "@")):
            return None
        mine = not pid or pid == str(os.getpid())
        return cls(path, int(micros) / 1e6 if mine and micros.isdigit() and int(micros) else None)

    def send(self, *lines: str) -> None:
        """Tell it; one that does not listen is no reason to stop, or to wait."""
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), self._path)


class Service:
    """Keeps the service manager informed, from the supervisor's own loop: when that hangs, the watchdog bites."""

    def __init__(
        self, notify: Notify | None, reactor: Reactor, serves: Callable[[], bool], status: Callable[[], str]
    ) -> None:
        """``serves``: whether jobs can start; ``status``: one line for people."""
        self._notify = notify
        self._reactor = reactor
        self._serves = serves
        self._status = status

    def open(self) -> None:
        """From now on."""
        if self._notify is not None:
            self._look()
            if self._notify.watchdog is not None:
                self._live()

    def stopping(self) -> None:
        """The worker begins to end."""
        if self._notify is not None:
            self._notify.send("STOPPING=1", f"STATUS=stopping: {self._status()}")

    def _look(self) -> None:
        assert self._notify is not None
        if self._serves():
            self._notify.send("READY=1", f"STATUS={self._status()}")
            self._reactor.after(STATUS, self._tell)
        else:
            self._reactor.after(LOOK, self._look)

    def _tell(self) -> None:
        assert self._notify is not None
        self._notify.send(f"STATUS={self._status()}")
        self._reactor.after(STATUS, self._tell)

    def _live(self) -> None:
        assert self._notify is not None
        assert self._notify.watchdog is not None
        self._notify.send("WATCHDOG=1")
        # Twice as often as it is wanted, as sd_watchdog_enabled(3) recommends.
        self._reactor.after(self._notify.watchdog / 2, self._live)
