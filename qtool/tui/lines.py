"""All the lines to one place: opened when somebody first asks on them, and closed together. No Textual here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.tui.poller import Line

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Adapter
    from qtool.engine.clock import Clock
    from qtool.tui.poller import Answer, Look


class Lines:
    """The lines to one broker, by name: each a thread with a connection of its own.

    What they answer comes with the lines it came on, so that the answers of a place that was left can be told from
    those of the present one.
    """

    def __init__(self, opener: Callable[[], Adapter], deliver: Callable[[Lines, Answer], object], clock: Clock) -> None:
        """``deliver`` is called in a line's own thread."""
        self._opener = opener
        self._deliver = deliver
        self._clock = clock
        self._lines: dict[str, Line] = {}

    def ask(self, line: str, key: str, look: Look) -> None:
        """Ask on the line of this name; see :meth:`Line.ask`."""
        if line not in self._lines:
            self._lines[line] = Line(line, self._opener, lambda answer: self._deliver(self, answer), self._clock)
        self._lines[line].ask(key, look)

    def busy_since(self, line: str) -> float | None:
        """Since when this line has been waiting for the broker; monotonic."""
        return self._lines[line].busy_since if line in self._lines else None

    @property
    def idle(self) -> bool:
        """Everything that was asked has been answered."""
        return all(line.idle for line in self._lines.values())

    def close(self, timeout: float = 0.0) -> None:
        """Ask nothing more. A broker that does not answer is waited for so many seconds a line, and then left."""
        for line in self._lines.values():
            line.close(timeout)
