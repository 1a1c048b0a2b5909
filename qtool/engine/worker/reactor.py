"""The supervisor's one thread: it sleeps until a descriptor is readable or a timer is due, and calls back."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

from qtool.engine.worker.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.clock import Clock

_LONGEST = 3600.0
"""Seconds of the longest sleep."""


class Reactor:
    """Watches descriptors and timers, and calls back whoever asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers = Timers()
        self._selector = selectors.DefaultSelector()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._alarm_at = float("inf")
        self._alarm: Callable[[], object] = _nothing

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back when ``fd`` is readable."""
        self._callbacks[fd] = callback
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        """No longer."""
        if self._callbacks.pop(fd, None) is not None:
            self._selector.unregister(fd)

    def at(self, when: float, callback: Callable[[], None] | None = None) -> None:
        """Call back at this monotonic time; without ``callback``, only wake up."""
        self._timers.at(when, callback or _nothing)

    def after(self, seconds: float, callback: Callable[[], None] | None = None) -> None:
        """Call back in so many seconds."""
        self._timers.at(self._clock.monotonic() + seconds, callback or _nothing)

    def alarm(self, when: float, callback: Callable[[], object]) -> None:
        """Should this thread still, or again, not have got to it by ``when``: call back before anything else, once."""
        self._alarm_at, self._alarm = when, callback

    def check(self) -> None:
        """Look whether it is time for the alarm; also where this thread may just have been held up."""
        if self._clock.monotonic() >= self._alarm_at:
            self._alarm_at = float("inf")
            self._alarm()

    def turn(self, *, sleep: bool) -> float:
        """Call back for all that has happened, waiting for it if ``sleep``: the monotonic time after it."""
        wait = min(self._timers.next - self._clock.monotonic(), _LONGEST) if sleep else 0.0
        callbacks = self._callbacks
        ready = self._selector.select(max(0.0, wait))
        self.check()
        for key, _ in ready:
            # An earlier callback of this round may have closed it.
            callback: Callable[[], None] = key.data
            if callbacks.get(key.fd) is callback:
                callback()
        now = self._clock.monotonic()
        if self._timers.next <= now:
            self._timers.run(now)
        return now

    def close(self) -> None:
        """Watch nothing any more."""
        self._selector.close()


def _nothing() -> None:
    """Only wakes the loop."""
