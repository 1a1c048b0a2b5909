"""How far something is: one line on stderr, redrawn in place."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from qtool.engine.times import format_duration
from qtool.output import clean, talk

if TYPE_CHECKING:
    import threading


class Progress:
    """One line on stderr, redrawn in place."""

    _FIRST = 1.0
    _EVERY = 0.1

    def __init__(self, doing: str, total: int | None, *, shown: bool) -> None:
        self._clock = time.monotonic
        self._doing = doing
        self._total = total
        self._done = 0
        self._shown = shown
        self._drawn = False
        self._start = self._clock()
        self._next = self._start + self._FIRST

    def advance(self, count: int = 1) -> None:
        """``count`` more are done."""
        self.update(self._done + count)

    def update(self, done: int, note: str = "") -> None:
        """So many are done; redraws when it is time."""
        self._done = done
        if not self._shown or self._clock() < self._next:
            return
        self._next = self._clock() + self._EVERY
        self._draw(note)

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            _wipe()
            self._drawn = False

    def _draw(self, note: str) -> None:
        elapsed = max(self._clock() - self._start, 1e-9)
        rate = self._done / elapsed
        parts = [f"{self._doing}: {self._done:,}" + (f" of {self._total:,}" if self._total else "")]
        if self._total:
            parts.append(f"{100 * min(self._done / self._total, 1):.0f} %")
        if self._done:
            parts.append(f"{rate:,.0f}/s")
            if self._total and self._total > self._done:
                parts.append(f"{format_duration((self._total - self._done) / rate)} left")
        parts.extend([note] if note else [])
        _redraw("  ".join(parts))
        self._drawn = True


def _redraw(text: str) -> None:
    """Put ``text`` in place of the line the cursor is on."""
    try:
        # A terminal that was never told its size has none.
        width = os.get_terminal_size(2).columns or 80
    except OSError:
        width = 80
    line = clean(text)[: max(width - 1, 10)]
    talk(f"\r{line}\x1b[K" if os.environ.get("TERM") != "dumb" else f"\r{line}")


def _wipe() -> None:
    talk("\r\x1b[2K" if os.environ.get("TERM") != "dumb" else "\n")


def tell_time(doing: str, done: threading.Event) -> None:
    """Say every second how long it has been, until ``done``."""
    start = time.monotonic()
    while not done.wait(1.0):
        _redraw(f"{doing}: {format_duration(round(time.monotonic() - start))}")
    if time.monotonic() - start >= 1.0:
        _wipe()
