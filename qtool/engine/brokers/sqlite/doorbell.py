"""Bells between processes: one FIFO a listener, in a directory beside the file.

Whoever commits something that others wait for writes one byte into every FIFO of that topic. A bell is a hint: a
listener also looks by itself now and then, so a lost ring costs time and nothing else.
"""

from __future__ import annotations

import errno
import os
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtool.engine.broker import Topic


_DRAFT = "new-"
"""What the names of FIFOs that are still in the making begin with."""


class FifoBell:
    """A listener's own FIFO. Readable while it has rung."""

    def __init__(self, directory: str, topic: Topic) -> None:
        """Raises OSError."""
        name = f"{topic}-{os.getpid()}-{os.urandom(4).hex()}"
        self.path = f"{directory}/{name}"
        draft = f"{directory}/{_DRAFT}{name}"
        os.mkfifo(draft, 0o600)
        try:
            # A hostile umask would lock out its owner.
            os.chmod(draft, 0o600)
            # Open for both ways: a FIFO without a writer would read as ended all the time.
            self._fd = os.open(draft, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            # Named for its topic only once it is open: a ringer takes a FIFO that nobody has open for a dead one.
            os.rename(draft, self.path)
        except OSError:
            with suppress(OSError):
                os.unlink(draft)
            raise
        self._pid = os.getpid()

    def fileno(self) -> int:
        return self._fd

    def wait(self, timeout: float) -> bool:
        # Not select(), which knows no descriptor beyond 1023.
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        rang = bool(poll.poll(max(0.0, timeout) * 1000))
        if rang:
            try:
                os.read(self._fd, 65536)
            except BlockingIOError:
                return False
        return rang

    def close(self) -> None:
        os.close(self._fd)
        if self._pid == os.getpid():
            with suppress(FileNotFoundError):
                os.unlink(self.path)


def ring(directory: str, *topics: Topic) -> None:
    """Wake every listener to one of ``topics``; never fails and never blocks."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        if name.startswith(topics):
            _ring_one(f"{directory}/{name}")


def _ring_one(path: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        _remove_dead(path, error)
        return
    try:
        os.write(fd, b"!")
    except OSError:
        # Full of rings already, or its listener has just gone.
        return
    finally:
        os.close(fd)


def sweep(directory: str, age: float) -> None:
    """Remove the FIFOs that nobody has open: their listeners died, and nobody rings their topic.

    One that is still in the making is not open either: of those only what is ``age`` seconds old goes.
    """
    with suppress(OSError), os.scandir(directory) as found:
        for entry in found:
            if not entry.name.startswith(_DRAFT) or time.time() - entry.stat().st_mtime >= age:
                _remove_unheard(entry.path)


def _remove_unheard(path: str) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        _remove_dead(path, error)


def _remove_dead(path: str, error: OSError) -> None:
    if error.errno == errno.ENXIO:
        # Nobody has it open: its listener died without closing it.
        with suppress(OSError):
            os.unlink(path)
