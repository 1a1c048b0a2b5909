"""The way to one place: the lines to its broker, what was asked on them, and what is known of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtool.engine.watch import Watch
from qtool.tui.lines import Lines
from qtool.tui.store import Store
from qtool.tui.usage import Meter

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from qtool.engine.broker import Adapter
    from qtool.engine.clock import Clock
    from qtool.tui.app import Place
    from qtool.tui.poller import Answer, Look
    from qtool.tui.store import Age

_WATCH = "watch"
"""The line that looks what there is, and the key of that question."""


class Link:
    """Looks at a place for the screens, until it is left."""

    def __init__(
        self, place: Place, post: Callable[..., object], looked: Callable[[bool], object], clock: Clock
    ) -> None:
        """``post`` calls a function in the screens' thread; there ``looked`` hears of looks, and if there is news."""
        self.store = Store(place.alerts)
        self._looked = looked
        self._clock = clock
        self._look = partial(_sight, Watch(), Meter(clock))
        self._asked: dict[str, tuple[Callable[[Answer], object], Screen[Any]]] = {}
        self._left = False
        self._lines = Lines(place.opener, lambda _lines, answer: post(self._hear, answer), clock)

    def look(self) -> None:
        """Look what there is, now."""
        self._lines.ask(_WATCH, _WATCH, self._look)

    def ask(self, line: str, key: str, look: Look, then: Callable[[Answer], object], on_behalf_of: Screen[Any]) -> None:
        """Ask on the line of this name; ``then`` is called while that screen exists."""
        self._asked[key] = (then, on_behalf_of)
        self._lines.ask(line, key, look)

    def _hear(self, answer: Answer) -> None:
        if self._left:
            return
        if answer.key == _WATCH:
            self._looked(self.store.see(answer))
            return
        then, screen = self._asked[answer.key]
        if screen.is_attached:
            then(answer)

    @property
    def idle(self) -> bool:
        """The broker has answered all that was asked."""
        return self._lines.idle

    def age(self) -> Age:
        """How old what is known is."""
        return self.store.age(self._clock.monotonic(), self._lines.busy_since(_WATCH))

    def close(self, timeout: float = 0.0) -> None:
        """Ask nothing more, and drop what is still answered; see :meth:`Lines.close`."""
        self._left = True
        self._lines.close(timeout)


def _sight(watch: Watch, meter: Meter, adapter: Adapter) -> Any:
    """In a line's thread."""
    sight = watch.look(adapter)
    return sight, meter.read(sight.snapshot.workers)
