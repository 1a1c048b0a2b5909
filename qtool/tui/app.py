"""The program: its screens, its lines to the broker, and what every screen can ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message

from qtool.engine.broker import Adapter
from qtool.engine.clock import Clock, SystemClock
from qtool.engine.value import Value
from qtool.engine.watch import Watch
from qtool.tui.poller import Answer, Line, Look
from qtool.tui.store import Store
from qtool.tui.tabs import TABS
from qtool.tui.usage import Meter
from qtool.tui.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.screen import Screen

    from qtool.tui.store import Age

WATCH = "watch"
"""The key of the question what there is."""


class Place(Value, kw_only=True):
    """Which broker the screen is about, and what may be done to it."""

    where: str
    """How people call it: the context's name, or the URL without password."""
    opener: Callable[[], Adapter]
    """Opens it; called in other threads. Raises QtoolError."""
    read_only: bool = False
    production: bool = False


class Top(App[None]):
    """``qtool top``."""

    CSS_PATH = "top.tcss"
    DEFAULT_MODE = TABS[0].mode
    TITLE = "qtool top"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Quit", show=False, id="app.quit"),
        Binding("escape", "leave(False)", "Back", show=False, id="app.back"),
        Binding("p", "pause", "Pause the view", show=False, id="app.pause"),
        Binding("colon", "command_palette", "Commands", show=False, id="app.palette"),
        Binding("ctrl+z", "suspend_process", "To the shell", show=False, id="app.suspend"),
        *(
            Binding(str(number), f"go('{tab.mode}')", tab.title, show=False, id=f"go.{tab.mode}")
            for number, tab in enumerate(TABS, start=1)
        ),
    ]

    class Answered(Message):
        """A line has an answer."""

        def __init__(self, answer: Answer) -> None:
            super().__init__()
            self.answer = answer

    def __init__(self, place: Place, *, refresh: float = 1.0, clock: Clock | None = None) -> None:
        """``refresh``: seconds between two looks."""
        super().__init__()
        self.place = place
        self.store = Store()
        self._clock = clock or SystemClock()
        self._refresh_seconds = refresh
        self._watch = Watch()
        self._meter = Meter(self._clock)
        self._asked: dict[str, tuple[Callable[[Answer], object], Screen[Any]]] = {}
        self._watching: Line | None = None
        self._looking: Line | None = None

    # --- the broker ----------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.set_class(self.place.production, "-production")
        self._watching = Line("watch", self.place.opener, self._deliver, self._clock)
        self._look()
        self.set_interval(self._refresh_seconds, self._look)
        self.set_interval(1.0, self._tell)

    def on_unmount(self) -> None:
        for line in (self._watching, self._looking):
            if line is not None:
                line.close(timeout=0.2)

    def _look(self) -> None:
        assert self._watching is not None
        self._watching.ask(WATCH, self._sight)

    def _sight(self, adapter: Adapter) -> Any:
        sight = self._watch.look(adapter)
        return sight, self._meter.read(sight.snapshot.workers)

    def ask(self, key: str, look: Look, then: Callable[[Answer], object], *, on_behalf_of: Screen[Any]) -> None:
        """Ask the broker on the line for lists and details; ``then`` is called while that screen exists."""
        if self._looking is None:
            self._looking = Line("look", self.place.opener, self._deliver, self._clock)
        self._asked[key] = (then, on_behalf_of)
        self._looking.ask(key, look)

    def _deliver(self, answer: Answer) -> None:
        """In a line's thread."""
        self.post_message(self.Answered(answer))

    def on_top_answered(self, message: Answered) -> None:
        answer = message.answer
        if answer.key == WATCH:
            new = self.store.see(answer)
            if isinstance(self.screen, View):
                if new:
                    self.screen.seen()
                self.screen.tell()
            return
        then, screen = self._asked[answer.key]
        if screen.is_attached:
            then(answer)

    # --- what the screens ask for --------------------------------------------------------------------

    @property
    def tabs(self) -> Sequence[tuple[str, str]]:
        """The mode and the title of each screen."""
        return [(tab.mode, tab.title) for tab in TABS]

    @property
    def where(self) -> str:
        """Which broker it is."""
        return self.place.where

    @property
    def badges(self) -> Sequence[str]:
        """What one has to know before one acts."""
        place = self.place
        return [name for name, on in (("PRODUCTION", place.production), ("read-only", place.read_only)) if on]

    def age(self) -> Age:
        """How old what is shown is."""
        busy_since = self._watching.busy_since if self._watching is not None else None
        return self.store.age(self._clock.monotonic(), busy_since)

    def show_jobs(self, queue: str) -> None:
        """The jobs of a queue."""

    def show_job(self, id: str) -> None:
        """One job."""

    def show_worker(self, id: str) -> None:
        """One worker."""
        from qtool.tui.screens.workers import Workers

        self.action_go("workers")
        if isinstance(self.screen, Workers):
            self.call_after_refresh(self.screen.select, id)

    def _tell(self) -> None:
        if isinstance(self.screen, View):
            self.screen.tell()

    # --- keys ----------------------------------------------------------------------------------------

    def action_go(self, mode: str) -> None:
        """Show this tab."""
        if self.current_mode != mode:
            self.switch_mode(mode)

    def action_leave(self, quit: bool = True) -> None:
        """Out of what is open; to the overview; and out of the program."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.current_mode != self.DEFAULT_MODE:
            self.action_go(self.DEFAULT_MODE)
        elif quit:
            self.exit()

    def action_pause(self) -> None:
        """Stop or go on showing what is new."""
        self.store.frozen = not self.store.frozen
        self._tell()


Top.MODES = {tab.mode: tab.screen for tab in TABS}
