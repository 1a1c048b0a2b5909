"""The keys that do something now, and what the columns say: made from the bindings themselves."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

from qtool.engine.value import Value
from qtool.tui.explain import HEADS
from qtool.tui.lists import list_of
from qtool.tui.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.app import ComposeResult

HERE, LISTS, EVERYWHERE = "This screen", "Lists", "Everywhere"


class Line(Value):
    """One line of the help."""

    group: str
    left: str
    """The keys, or a heading."""
    right: str
    """What they do, or what it says."""
    name: str = ""
    """As what the configuration file calls it."""


class Help(ModalScreen[None]):
    """Scrolls; ``/`` looks for words."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="help.close"),
        Binding("q,question_mark,f1", "dismiss", "Close", show=False, id="help.leave"),
        Binding("slash", "search", "Search", id="help.search"),
        Binding("down,j", "scroll('scroll_down')", "Down", show=False, id="help.down"),
        Binding("up,k", "scroll('scroll_up')", "Up", show=False, id="help.up"),
        Binding("pagedown,space,ctrl+f", "scroll('scroll_page_down')", "Page down", show=False, id="help.page_down"),
        Binding("pageup,ctrl+b", "scroll('scroll_page_up')", "Page up", show=False, id="help.page_up"),
        Binding("home,g", "scroll('scroll_home')", "First", show=False, id="help.first"),
        Binding("end,G", "scroll('scroll_end')", "Last", show=False, id="help.last"),
    ]

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="help") as dialog:
            dialog.border_title = "Help"
            dialog.border_subtitle = "/ searches, esc closes"
            yield Input(placeholder="words to look for", compact=True)
            with VerticalScroll():
                yield Static(id="help-text")

    def on_mount(self) -> None:
        self.query_one(Input).display = False
        self.query_one(VerticalScroll).focus()
        self._show("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def on_input_submitted(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_search(self) -> None:
        self.query_one(Input).display = True
        self.query_one(Input).focus()

    def action_close(self) -> None:
        """Out of the search first."""
        asked = self.query_one(Input)
        if asked.display:
            asked.value = ""
            asked.display = False
            self.query_one(VerticalScroll).focus()
        else:
            self.dismiss()

    def action_scroll(self, how: str) -> None:
        getattr(self.query_one(VerticalScroll), f"action_{how}")()

    def _show(self, words: str) -> None:
        wanted = words.lower().split()
        found = [
            each
            for each in self._lines
            if all(word in f"{each.left} {each.right} {each.name}".lower() for word in wanted)
        ]
        wide = max((len(each.left) for each in self._lines), default=0)
        half = max((len(each.right) for each in self._lines if each.name), default=0)
        text = Text(no_wrap=True, overflow="ellipsis")
        group = None
        for each in found:
            if each.group != group:
                text.append("" if group is None else "\n").append(f"{each.group}\n", "bold underline")
                group = each.group
            text.append(f"  {each.left:<{wide}}  ", "bold").append(f"{each.right:<{half}}")
            text.append(f"  {each.name}" if each.name else "", "dim").append("\n")
        self.query_one("#help-text", Static).update(text if found else Text("Nothing is called so.", "dim"))


def lines(app: App[Any], screen: Screen[Any]) -> Iterator[Line]:
    """What is to be said about this screen."""
    groups: dict[str, dict[str, tuple[list[str], Binding]]] = defaultdict(dict)
    for node, binding, enabled, _ in screen.active_bindings.values():
        if binding.id is None or not enabled:
            continue
        group = EVERYWHERE if isinstance(node, App) else HERE if isinstance(node, Screen) else LISTS
        if binding.id.startswith("list."):
            group = LISTS
        groups[group].setdefault(binding.action, ([], binding))[0].append(app.get_key_display(binding))
    for group in (HERE, LISTS, EVERYWHERE):
        for keys, binding in groups[group].values():
            yield Line(group, " ".join(keys), binding.description, binding.id or "")
    grid = list_of(screen) if isinstance(screen, View) else None
    if grid is not None:
        for column in grid.headings.offered:
            yield Line("Columns", column.head, HEADS.get(column.head, ""))
