"""Bells between the threads of a process: one pipe a listener."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtool.engine.broker import Topic


class PipeBell:
    """A listener's own pipe. Readable while it has rung."""

    def __init__(self, belfry: Belfry, topic: Topic) -> None:
        self.topic = topic
        self._belfry = belfry
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        return self._read

    def wait(self, timeout: float) -> bool:
        rang = bool(select.select([self._read], [], [], max(0.0, timeout))[0])
        if rang:
            try:
                os.read(self._read, 65536)
            except BlockingIOError:
                # Another thread that waits on the same bell was first.
                return False
        return rang

    def ring(self) -> None:
        """Wake the listener; never blocks."""
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            # Full of rings already.
            return

    def close(self) -> None:
        if self._belfry.forget(self):
            os.close(self._read)
            os.close(self._write)


class Belfry:
    """All bells of a store. The store's lock guards it."""

    def __init__(self) -> None:
        self._bells: list[PipeBell] = []

    def hang(self, topic: Topic) -> PipeBell:
        """A new bell."""
        bell = PipeBell(self, topic)
        self._bells.append(bell)
        return bell

    def ring(self, *topics: Topic) -> None:
        """Wake every listener to one of ``topics``."""
        for bell in self._bells:
            if bell.topic in topics:
                bell.ring()

    def forget(self, bell: PipeBell) -> bool:
        """Take a bell down; False if it is down already."""
        if bell not in self._bells:
            return False
        self._bells.remove(bell)
        return True

    def close(self) -> None:
        """Take all of them down."""
        for bell in list(self._bells):
            bell.close()
