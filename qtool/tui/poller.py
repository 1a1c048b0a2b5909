"""The way to the broker: threads with connections of their own, so that the screen never waits for one.

A question goes down a :class:`Line` and its :class:`Answer` comes back by a callback. Of several questions with the
same key that nobody has begun to answer only the newest is asked. No Textual here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtool.engine.broker import Adapter
from qtool.engine.value import Value
from qtool.errors import QtoolError

if TYPE_CHECKING:
    from qtool.engine.clock import Clock

Look = Callable[[Adapter], Any]
"""A question: what is asked of an open broker."""

REOPEN = 1.0, 5.0
"""Seconds between two tries to open a broker that cannot be reached, at first and at most."""


class Answer(Value):
    """What became of a question."""

    key: str
    value: Any
    error: QtoolError | None
    asked_at: float
    """Monotonic; as the next one."""
    answered_at: float


class Line:
    """One thread with one connection. Questions are answered in the order of their keys' first asking."""

    def __init__(
        self, name: str, opener: Callable[[], Adapter], deliver: Callable[[Answer], object], clock: Clock
    ) -> None:
        """``deliver`` is called in the line's own thread, with each answer."""
        self._opener = opener
        self._deliver = deliver
        self._clock = clock
        self._wanted: dict[str, tuple[Look, float]] = {}
        self._changed = threading.Condition()
        self._open = True
        self._answering = False
        self._retry_at = 0.0
        self._pause = REOPEN[0]
        self._down: QtoolError | None = None
        self._adapter: Adapter | None = None
        self.busy_since: float | None = None
        """Since when it has been waiting for the broker; monotonic."""
        self._thread = threading.Thread(target=self._serve, name=f"broker-{name}", daemon=True)
        self._thread.start()

    def ask(self, key: str, look: Look) -> None:
        """Have this asked; in place of what was to be asked under the same key, if nobody has begun to."""
        with self._changed:
            asked_at = self._wanted.pop(key, (look, self._clock.monotonic()))[1]
            self._wanted[key] = (look, asked_at)
            self._changed.notify()

    @property
    def idle(self) -> bool:
        """Everything that was asked has been answered, and the answers delivered."""
        with self._changed:
            return not self._wanted and not self._answering

    def close(self, timeout: float = 1.0) -> None:
        """Ask nothing more. A broker that does not answer is not waited for longer than ``timeout`` seconds."""
        with self._changed:
            self._open = False
            self._wanted.clear()
            self._changed.notify()
        self._thread.join(timeout)

    def _serve(self) -> None:
        while (next := self._next()) is not None:
            key, look, asked_at = next
            self.busy_since = self._clock.monotonic()
            value, error = self._answer(look)
            self.busy_since = None
            if not self._open:
                break
            self._deliver(Answer(key, value, error, asked_at, self._clock.monotonic()))
        self._hang_up()

    def _next(self) -> tuple[str, Look, float] | None:
        with self._changed:
            self._answering = False
            while self._open and not self._wanted:
                self._changed.wait()
            if not self._open:
                return None
            self._answering = True
            key = next(iter(self._wanted))
            return key, *self._wanted.pop(key)

    def _answer(self, look: Look) -> tuple[Any, QtoolError | None]:
        try:
            return look(self._connected()), None
        except QtoolError as error:
            # The connection may be what is wrong: the next question gets a new one.
            if self._adapter is not None:
                self._hang_up()
            return None, error

    def _connected(self) -> Adapter:
        if self._adapter is None:
            now = self._clock.monotonic()
            if self._down is not None and now < self._retry_at:
                raise self._down
            try:
                self._adapter = self._opener()
            except QtoolError as error:
                self._down, self._retry_at = error, now + self._pause
                self._pause = min(2 * self._pause, REOPEN[1])
                raise
            self._down, self._pause = None, REOPEN[0]
        return self._adapter

    def _hang_up(self) -> None:
        adapter, self._adapter = self._adapter, None
        if adapter is not None:
            with suppress(QtoolError):
                adapter.close()
