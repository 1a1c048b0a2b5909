"""Signals that end the worker: counted, never acted on where they arrive. They may come in the middle of a commit."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any

_STOP = {signal.SIGTERM: 1, signal.SIGINT: 1, signal.SIGHUP: 1, signal.SIGQUIT: 3}
"""What ends the worker, and for how many stages of the end each stands: QUIT is the last one at once."""

_TERMINALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""What a terminal sends: whoever started the worker with one of them ignored (nohup, a shell's ``&``) meant it."""


class Signals:
    """Counts TERM, INT, HUP and QUIT while it is entered, but for those that are ignored.

    Readable for ``select`` when there are any.
    """

    def __init__(self) -> None:
        self._count = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._before: dict[int, Any] = {}
        self.last = False
        """Nothing comes after it: the signals are ignored from then on."""
        self._wakeup = -1

    def __enter__(self) -> Signals:
        # Only the main thread can have handlers; a worker in another one is stopped through :meth:`ring`.
        if threading.current_thread() is threading.main_thread():
            self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            heard = [each for each in _STOP if each not in _TERMINALS or signal.getsignal(each) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._on_signal) for number in heard}
        return self

    def __exit__(self, *exc: object) -> None:
        if self._before:
            for number, handler in self._before.items():
                signal.signal(number, signal.SIG_IGN if self.last else handler)
            signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)

    def _on_signal(self, signum: int, frame: Any) -> None:  # noqa: ARG002  the signature is Python's
        # Nothing is called between reading the count and writing it: another signal would come in there, and be lost.
        stages = _STOP[signal.Signals(signum)]
        self._count += stages

    def ring(self) -> None:
        """As if a signal had come; from any thread."""
        self._count += 1
        with suppress(OSError):
            os.write(self._write, b"!")

    def fileno(self) -> int:
        """Readable when there may be some."""
        return self._read

    def take(self) -> int:
        """For how many stages they stand that came since the last time."""
        with suppress(BlockingIOError):
            os.read(self._read, 4096)
        count, self._count = self._count, 0
        return count
