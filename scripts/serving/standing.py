"""Servers that go on after the command that started them: what is noted of each, and how it is found again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .private import NotServing, clear_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .private import PrivateServer

PATIENCE = 20.0


class Standing:
    """The one server of a kind in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def _note(self) -> Path:
        return self.directory / "running.json"

    def running(self) -> dict[str, Any] | None:
        """What was noted of the server, if it still runs."""
        try:
            note: dict[str, Any] = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return None
        return note if _born(note["pid"]) == note["born"] else None

    def start(self, make: Callable[[Path], PrivateServer]) -> dict[str, Any]:
        """What is noted of the server, started unless it runs. Raises NotServing."""
        with self._alone():
            if (note := self.running()) is not None:
                return note
            self._clear()
            server = make(self.directory)
            server.start()
            assert server.process is not None
            pid = server.process.pid
            note = {
                "pid": pid,
                "born": _born(pid),
                "url": server.url,
                "directory": str(self.directory),
                "aftermath": list(server.aftermath),
            }
            self._note.write_text(json.dumps(note))
            return note

    def stop(self) -> bool:
        """End the server and remove what it left; False if it did not run. Raises NotServing if it does not end."""
        with self._alone():
            note = self.running()
            if note is not None:
                _end(note["pid"], note["born"])
                clear_up(note["aftermath"])
            self._clear()
            return note is not None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two that start it at once start it once."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with Path(f"{self.directory}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _clear(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def _born(pid: int) -> str | None:
    """When the process began, in the system's words: with its id it names one process for ever. None if it is gone."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            # The name in parentheses may hold anything; what follows the last one are numbers.
            state, *numbers = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if state == "Z" else numbers[18]
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _end(pid: int, born: str) -> None:
    for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + patience
        while _born(pid) == born:
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        else:
            return
    raise NotServing(f"process {pid} does not end")
