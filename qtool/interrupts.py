"""Ctrl-C between two steps, not in the middle of one."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Interrupt:
    """Keeps Ctrl-C waiting while a step is taken: it takes effect in :meth:`busy` and :meth:`idle`."""

    def __init__(self) -> None:
        self.pressed = False
        self.at_once = True
        """No step is being taken: the signal may interrupt."""

    def busy(self) -> None:
        """A step begins. Raises KeyboardInterrupt."""
        self.at_once = False
        if self.pressed:
            raise KeyboardInterrupt

    def idle(self) -> None:
        """It is taken. Raises KeyboardInterrupt."""
        self.busy()
        self.at_once = True

    def handle(self, *_: object) -> None:
        """The signal's handler; the second Ctrl-C does not wait."""
        if self.at_once or self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Ctrl-C is the interrupt's business while the block runs."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    import signal

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Whoever started this with it ignored, as a shell's ``&`` does, meant that.
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
