"""What every private server has: a directory, a port of its own on the loopback address, a process, an end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LOOPBACK = "127.0.0.1"


class NotServing(Exception):
    """A server cannot be started, or did not become ready; the message says why."""


def free_port() -> int:
    """A port of the loopback address that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def tail(path: Path, lines: int = 15) -> str:
    """The end of a text file; empty if there is none."""
    with suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


def clear_up(aftermath: Sequence[str]) -> None:
    """Run what :attr:`PrivateServer.aftermath` says, if it says anything; it is no error if nothing was left."""
    if aftermath and shutil.which(aftermath[0]):
        subprocess.run(aftermath, capture_output=True, check=False)


class PrivateServer(ABC):
    """A server in a directory of its own. It is started at most once at a time, and ended only by its process."""

    PATIENCE = 20.0
    """Seconds that it may take to become ready, and to end when asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The program and its arguments; it stays in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where a client finds it."""

    @property
    def aftermath(self) -> Sequence[str]:
        """The command that ends what outlives its process; empty if nothing does."""
        return ()

    def environment(self) -> Mapping[str, str] | None:
        """What its process sees; None for the same as this one."""
        return None

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def start(self) -> None:
        """Start it and wait until it answers. Raises NotServing with the end of its log."""
        assert self.process is None, "it runs already"
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.directory,
                env=self.environment(),
                # A Ctrl-C at the terminal is for who uses it: it is ended by that one, in its own time.
                start_new_session=True,
            )
        until = time.monotonic() + self.PATIENCE
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise NotServing(f"{self.command()[0]} did not become ready:\n{tail(self.log)}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask it to end and wait for that; end it if it does not. Nothing if it does not run."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=self.PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None
        clear_up(self.aftermath)

    def kill(self) -> None:
        """End it at once with all that it started. Nothing if it does not run."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        clear_up(self.aftermath)

    def restart(self) -> None:
        """Start it again on the same port and directory, after :meth:`stop` if it still runs."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End it and take its directory away."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
