"""The program: its screens, its lines to the broker, and what every screen can ask of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from qtool.engine.alerts import Thresholds
from qtool.engine.broker import Adapter
from qtool.engine.clock import Clock, SystemClock
from qtool.engine.value import Value
from qtool.engine.watch import Watch
from qtool.tui.doing import Doing
from qtool.tui.dressed import Dressed
from qtool.tui.hand import PATIENCE
from qtool.tui.lines import Lines
from qtool.tui.memory import Memory
from qtool.tui.store import Store
from qtool.tui.tabs import TABS
from qtool.tui.usage import Meter
from qtool.tui.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.app import App
    from textual.command import Provider

    from qtool.tui.poller import Answer, Look
    from qtool.tui.store import Age

_LEAVING = "leaving"
WATCH = "watch"
"""The key of the question what there is."""


class Place(Value, kw_only=True):
    """Which broker the screen is about, and what may be done to it."""

    where: str
    """How people call it: the context's name, or the URL without password."""
    opener: Callable[[], Adapter]
    """Opens it; called in other threads. Raises QtoolError."""
    writer: Callable[[], Adapter] | None = None
    """The same, to change something; ``opener`` where none is given. Raises ReadOnlyContext where that is forbidden."""
    read_only: bool = False
    production: bool = False
    url: str = ""
    """Its URL without password, to tell it from others."""
    alerts: Thresholds | None = None
    """When somebody should look."""

    @property
    def badges(self) -> Sequence[str]:
        """What one has to know before one acts."""
        return [name for name, on in (("PRODUCTION", self.production), ("read-only", self.read_only)) if on]

    @property
    def hint(self) -> str:
        """Both in one line."""
        return "  ".join([self.url, *self.badges])


def _palette() -> type[Provider]:
    from qtool.tui.palette import Palette

    return Palette


class Top(Dressed):
    """``qtool top``."""

    CSS_PATH = "top.tcss"
    DEFAULT_MODE = TABS[0].mode
    TITLE = "qtool top"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS = {_palette}  # noqa: RUF012  as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Quit", show=False, id="app.quit"),
        Binding("escape", "leave(False)", "Back", show=False, id="app.back"),
        Binding("p", "pause", "Pause the view", show=False, id="app.pause"),
        Binding("colon,ctrl+p", "command_palette", "Commands", show=False, id="app.palette"),
        Binding("question_mark,f1", "help", "Help", show=False, id="app.help"),
        Binding("C", "contexts", "Another context", show=False, id="app.contexts"),
        Binding("ctrl+z", "suspend_process", "To the shell", show=False, id="app.suspend"),
        *(
            Binding(str(number), f"go('{tab.mode}')", tab.title, show=False, id=f"go.{tab.mode}")
            for number, tab in enumerate(TABS, start=1)
        ),
    ]

    class Answered(Message):
        """A line has an answer."""

        def __init__(self, lines: Lines, answer: Answer) -> None:
            super().__init__()
            self.lines = lines
            self.answer = answer

    def __init__(
        self,
        place: Place,
        *,
        places: Sequence[Place] = (),
        refresh: float = 1.0,
        theme: str | None = None,
        mouse: bool = True,
        memory: Memory | None = None,
        keymap: Mapping[str, str] | None = None,
        tab: str | None = None,
        clock: Clock | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """``places``: where else one can go. ``refresh``: seconds between two looks. ``tab``: where to begin."""
        super().__init__(memory or Memory(), theme=theme, mouse=mouse)
        self.place = place
        self.places = places
        self.store = Store(place.alerts)
        self._clock = clock or SystemClock()
        self._refresh_seconds = refresh
        self._first_tab = tab
        self._watch = Watch()
        self._meter = Meter(self._clock)
        self._asked: dict[str, tuple[Callable[[Answer], object], Screen[Any]]] = {}
        self._lines = Lines(place.opener, self._deliver, self._clock)
        self.doing = Doing(self, self._clock, patience=patience)
        if keymap:
            self.set_keymap(dict(keymap))

    # --- the broker ----------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.set_class(self.place.production, "-production")
        self.mouse.switch(self.mouse.on)
        if self._first_tab is not None:
            self.action_go(self._first_tab)
        self.look()
        self.set_interval(self._refresh_seconds, self.look)
        self.set_interval(1.0, self._tell)

    def on_unmount(self) -> None:
        self.memory.wait()
        # What is being changed is let finish its page; what is only looked at need not.
        self.doing.hand.close(timeout=2.0)
        self._lines.close(timeout=0.2)

    def look(self) -> None:
        """Look what there is, now."""
        self._lines.ask("watch", WATCH, partial(_sight, self._watch, self._meter))

    def ask(
        self,
        key: str,
        look: Look,
        then: Callable[[Answer], object],
        *,
        on_behalf_of: Screen[Any],
        line: str = "look",
    ) -> None:
        """Ask the broker on a line of this name; ``then`` is called while that screen exists."""
        self._asked[key] = (then, on_behalf_of)
        self._lines.ask(line, key, look)

    def _deliver(self, lines: Lines, answer: Answer) -> None:
        """In a line's thread."""
        self.post_message(self.Answered(lines, answer))

    def on_top_answered(self, message: Answered) -> None:
        if message.lines is not self._lines:
            # It is about a place that was left meanwhile.
            return
        answer = message.answer
        if answer.key == WATCH:
            new = self.store.see(answer)
            if new and self.store.begun and self.place.alerts is not None and self.place.alerts.bell:
                self.bell()
            if (front := self.front) is not None:
                if new:
                    front.seen()
                front.tell()
            return
        then, screen = self._asked[answer.key]
        if screen.is_attached:
            then(answer)

    def go_to(self, place: Place) -> None:
        """Look at another broker: with new lines, an empty store and new screens, so that nothing of the old stays."""
        self._lines.close()
        self._asked.clear()
        self.place, self.store, self._watch, self._meter = place, Store(place.alerts), Watch(), Meter(self._clock)
        self._lines = Lines(place.opener, self._deliver, self._clock)
        self.doing.begin_anew()
        self.set_class(place.production, "-production")
        _begin_anew(self)
        self.look()

    # --- what the screens ask for --------------------------------------------------------------------

    @property
    def tabs(self) -> Sequence[tuple[str, str]]:
        """The mode and the title of each screen."""
        return [(tab.mode, tab.title) for tab in TABS]

    @property
    def clock(self) -> Clock:
        """What tells it the time."""
        return self._clock

    @property
    def where(self) -> str:
        """Which broker it is."""
        return self.place.where

    @property
    def badges(self) -> Sequence[str]:
        """What one has to know before one acts."""
        return [*self.place.badges, *([] if self.mouse.on else ["mouse off"])]

    @property
    def is_idle(self) -> bool:
        """The broker has answered all that was asked."""
        return self._lines.idle

    def age(self) -> Age:
        """How old what is shown is."""
        return self.store.age(self._clock.monotonic(), self._lines.busy_since("watch"))

    def show_jobs(self, queue: str | None = None, where: str = "") -> None:
        """The jobs of a queue, or those that match a filter."""
        from qtool.tui.screens.jobs import Jobs, of_queue

        self.action_go("jobs")
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if isinstance(self.screen, Jobs):
            self.call_after_refresh(self.screen.filter, of_queue(queue) if queue is not None else where)

    def show_job(self, id: str, pane: str = "") -> None:
        """One job, over the screen that leads to it; ``pane``: what of it, by its name in the module of the screen."""
        from qtool.tui.screens.job import Job

        self.push_screen(Job(id, self.current_mode, pane))

    def now(self) -> float:
        """The time of the day, in seconds since the epoch."""
        return self._clock.now()

    def show_worker(self, id: str) -> None:
        """One worker."""
        from qtool.tui.screens.workers import Workers

        self.action_go("workers")
        if isinstance(self.screen, Workers):
            self.call_after_refresh(self.screen.select, id)

    def show_history(self, *queues: str) -> None:
        """What happened over time in these queues, or in all."""
        from qtool.tui.screens.history import History

        self.action_go("history")
        if isinstance(self.screen, History):
            self.call_after_refresh(self.screen.show, queues)

    @property
    def front(self) -> View | None:
        """The screen that is shown, be it under a dialog; None while the program ends."""
        if not self.is_running:
            return None
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, View)), None)

    def _tell(self) -> None:
        if (front := self.front) is not None:
            front.tell()
        self.say_trouble()

    # --- keys ----------------------------------------------------------------------------------------

    def action_go(self, mode: str) -> None:
        """Show this tab."""
        if self.current_mode != mode:
            self.switch_mode(mode)

    def action_help_quit(self) -> None:
        """ctrl+c, where nothing is selected that it would copy."""
        self.exit()

    def action_leave(self, quit: bool = True) -> None:
        """Out of what is open; to the overview; and out of the program."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.current_mode != self.DEFAULT_MODE:
            self.action_go(self.DEFAULT_MODE)
        elif quit and not self.doing.keeps():
            self.exit()

    def action_help(self) -> None:
        """What the keys do, and what the columns say."""
        from qtool.tui.screens.help import Help, lines

        self.push_screen(Help(list(lines(self, self.screen))))

    def action_contexts(self) -> None:
        """Choose another broker to look at."""
        from qtool.tui.screens.menu import choose_place

        choose_place(self)

    def action_mouse(self) -> None:
        """Leave the mouse to the terminal, or take it back; the line at the top says so."""
        super().action_mouse()
        self._tell()

    def action_pause(self) -> None:
        """Stop or go on showing what is new."""
        self.store.frozen = not self.store.frozen
        self._tell()


def _begin_anew(app: App[None]) -> None:
    """With new screens, at the first of them."""
    # A mode cannot be removed while it is shown: another one takes its place for that moment.
    modes = dict(app._modes)
    app.add_mode(_LEAVING, Screen)
    app.switch_mode(_LEAVING)
    for mode in modes:
        app.remove_mode(mode)
    for mode, screen in modes.items():
        app.add_mode(mode, screen)
    app.switch_mode(app.DEFAULT_MODE)
    app.remove_mode(_LEAVING)


def _sight(watch: Watch, meter: Meter, adapter: Adapter) -> Any:
    """In a line's thread."""
    sight = watch.look(adapter)
    return sight, meter.read(sight.snapshot.workers)


Top.MODES = {tab.mode: tab.screen for tab in TABS}
