"""The program: its screens, its lines to the broker, and what every screen can ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from qtool.engine.alerts import Thresholds
from qtool.engine.broker import Adapter
from qtool.engine.clock import Clock, SystemClock
from qtool.engine.value import Value
from qtool.tui.doing import Doing
from qtool.tui.dressed import Dressed
from qtool.tui.hand import PATIENCE
from qtool.tui.link import Link
from qtool.tui.memory import Memory
from qtool.tui.tabs import TABS
from qtool.tui.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.app import App
    from textual.command import Provider

    from qtool.tui.store import Store

_LEAVING = "leaving"


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
        self.clock = clock or SystemClock()
        self._refresh_seconds = refresh
        self._first_tab = tab
        self.link = self._linked()
        """The way to that place."""
        self.doing = Doing(self, self.clock, patience=patience)
        if keymap:
            self.set_keymap(dict(keymap))

    def _linked(self) -> Link:
        return Link(self.place, self.call_later, self._looked, self.clock)

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
        self.link.close(timeout=0.2)

    def look(self) -> None:
        """Look what there is, now."""
        self.link.look()

    def _looked(self, new: bool) -> None:
        """There is an answer to what there is."""
        if new and self.store.begun and self.place.alerts is not None and self.place.alerts.bell:
            self.bell()
        if (front := self.front) is not None:
            if new:
                front.seen()
            front.tell()

    def go_to(self, place: Place) -> None:
        """Look at another broker: with new lines, an empty store and new screens, so that nothing of the old stays."""
        self.link.close()
        self.place = place
        self.link = self._linked()
        """The way to that place."""
        self.doing.begin_anew()
        self.set_class(place.production, "-production")
        _begin_anew(self)
        self.look()

    # --- what the screens ask for --------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """What is known of the place."""
        return self.link.store

    @property
    def tabs(self) -> Sequence[tuple[str, str]]:
        """The mode and the title of each screen."""
        return [(tab.mode, tab.title) for tab in TABS]

    @property
    def badges(self) -> Sequence[str]:
        """What one has to know before one acts."""
        return [*self.place.badges, *([] if self.mouse.on else ["mouse off"])]

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


Top.MODES = {tab.mode: tab.screen for tab in TABS}
