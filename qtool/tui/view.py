"""What all screens share: the lines around them, and how they learn of news."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from qtool.tui import acts
from qtool.tui.lists import ask_columns, ask_order, dress, list_of, orders, sort
from qtool.tui.memory import Shape
from qtool.tui.widgets.bars import AlertStrip, FootBar, Tabs, TopBar
from qtool.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.widget import Widget

    from qtool.tui.app import Top
    from qtool.tui.commands import Command
    from qtool.tui.poller import Answer, Look
    from qtool.tui.store import Store
    from qtool.tui.targets import Targets


class View(Screen[None]):
    """A screen of ``qtool top``."""

    MODE: ClassVar[str] = ""
    """Of which tab it is."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s,f6", "sort", "Sort", show=False, id="list.sort"),
        Binding("c", "columns", "Columns", show=False, id="list.columns"),
        *acts.BINDINGS,
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide"), (220, "-ultra")]  # noqa: RUF012  as Textual declares it

    _shape: object = None
    """Of what the keys were last weighed for."""

    @property
    def top(self) -> Top:
        """The program."""
        app: Any = self.app
        return app  # type: ignore[no-any-return]  # Textual does not know of which App its screens are

    @property
    def store(self) -> Store:
        """What is known."""
        return self.top.store

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Tabs(self.top.tabs)
        yield from self.body()
        yield AlertStrip()
        yield FootBar()

    def body(self) -> Sequence[Widget]:
        """What is between the lines."""
        raise NotImplementedError

    def crumbs(self) -> Sequence[str]:
        """Where in its tab it stands."""
        return ()

    def commands(self) -> Sequence[Command]:
        """What the palette offers here besides what the keys do."""
        return ()

    def orders(self) -> Sequence[str]:
        """By what the list in focus can be sorted. A screen that pages its list from the broker says what that can."""
        grid = list_of(self)
        return orders(grid) if grid is not None else ()

    def order(self) -> tuple[str | None, str]:
        """Which of :meth:`orders` holds now, and ``↑`` or ``↓``; empty where that is part of its name."""
        grid = list_of(self)
        shape = grid.headings.shape if grid is not None else Shape()
        return shape.sort, "" if shape.sort is None else "↓" if shape.descending else "↑"

    def sort_by(self, name: str) -> None:
        """Sort by one of :meth:`orders`; by its other end where it is already."""
        if (grid := list_of(self)) is not None:
            sort(self, grid, name)

    def targets(self) -> Targets | None:
        """What a key that acts would act on now; None when there is nothing under the cursor."""
        return None

    def seen(self) -> None:
        """There is news in the store, or the screen is in front again: show it, and ask for what else it needs."""

    def ask(self, key: str, look: Look, then: Callable[[Answer], object], *, line: str = "look") -> None:
        """Ask the broker; ``then`` is called with the answer while this screen exists.

        ``line``: what may take long goes over one of its own, so that nothing else waits for it.
        """
        self.top.link.ask(line, f"{self.id or type(self).__name__}.{key}", look, then, self)

    def tell(self) -> None:
        """Bring the lines around it up to date."""
        if self.is_mounted:
            self.query_one(TopBar).tell(
                self.top.place.where, self.top.badges, self.top.link.age(), paused=self.store.frozen
            )
            self.query_one(Tabs).tell(self.MODE, self.crumbs())
            self.weigh()
            self.query_one(AlertStrip).tell([alert.text for alert in self.store.alerts])

    def on_screen_resume(self) -> None:
        self.tell()
        self.seen()

    # --- acting --------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key does something here: what cannot apply to what is under the cursor is not offered."""
        # These come before all else, so that a burst of keys after them is typed where it is meant to be; but who
        # types writes these characters too.
        if action in ("filter", "find") and isinstance(self.focused, Input):
            return False
        return action != "act" or acts.applies(self, str(parameters[0]))

    def refuses(self, action: str) -> bool:
        """Whether this action is drawn as one that only says why it does nothing."""
        return action.startswith("act(") and self.top.place.read_only

    def on_key(self, event: events.Key) -> None:
        """Nothing else wanted this key: if it would act but cannot here, say why."""
        if acts.explain(self, event.key):
            event.stop()

    def action_act(self, name: str) -> None:
        """Ask, and do it."""
        acts.begin(self, name)

    def acted(self) -> None:
        """What was asked for has been done: nothing is marked any more, and what is shown is looked at again."""
        for grid in self.query(Grid):
            grid.unmark_all()
        self.seen()

    def weigh(self) -> None:
        """Look which keys apply to what is under the cursor now."""
        if (shape := acts.shape(acts.targets_of(self))) != self._shape:
            self._shape = shape
            self.refresh_bindings()

    @on(Grid.Moved)
    @on(Grid.Marked)
    def weigh_again(self) -> None:
        """The cursor or the marks have changed."""
        self.weigh()

    # --- lists ---------------------------------------------------------------------------------------

    def on_grid_ready(self, event: Grid.Ready) -> None:
        dress(self, event.grid)

    def on_grid_headed(self, event: Grid.Headed) -> None:
        event.grid.focus()
        if event.head in self.orders():
            self.sort_by(event.head)

    def action_sort(self) -> None:
        """Choose by what the list is sorted."""
        ask_order(self)

    def action_columns(self) -> None:
        """Choose which columns the list has."""
        ask_columns(self)
