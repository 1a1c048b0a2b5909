"""The lines around every screen: whose data it is and how old, where one is, and which keys there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from qtool.output import clean
from qtool.tui.crumbs import MARK, fitted, shorten, titles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import RenderResult
    from textual.binding import Binding

    from qtool.tui.store import Age


NAME = 24
"""Cells of the broker's name that stay, whatever else is to be said in its line."""
LEAST, MOST = 16, 100
"""Cells of the reason why nothing new comes."""


class TopBar(Widget):
    """The broker, its guard rails, and the age of the data."""

    COMPONENT_CLASSES = {"bar--stale", "bar--badge", "bar--fresh"}  # noqa: RUF012  Textual's own convention

    def __init__(self) -> None:
        super().__init__()
        self._where = ""
        self._badges: Sequence[str] = ()
        self._age: Age | None = None
        self._paused = False

    def tell(self, where: str, badges: Sequence[str], age: Age, *, paused: bool) -> None:
        """What it shows from now on."""
        self._where, self._badges, self._age, self._paused = where, badges, age, paused
        self.refresh()

    def render(self) -> RenderResult:
        width = self.size.width
        # However long the reason is why nothing new comes: of which broker that is, must be there to read.
        badges = sum(len(badge) + 3 for badge in self._badges)
        right = self._freshness(width - badges - min(cell_len(clean(self._where)), NAME) - len(" qtool  ") - 2)
        for badge in reversed(self._badges):
            right = Text.assemble((f" {badge} ", self.get_component_rich_style("bar--badge")), " ", right)
        room = width - right.cell_len - 2
        left = Text.assemble((" qtool ", "bold"), " ", clean(self._where))
        left.truncate(max(0, room), overflow="ellipsis", pad=True)
        return Text.assemble(left, "  ", right)

    def _freshness(self, room: int) -> Text:
        """In about so many cells."""
        age = self._age
        if age is None or (age.seconds is None and not age.stale):
            return Text("○ connecting ")
        old = f"{age.seconds:.0f} s old" if age.seconds is not None else "nothing seen yet"
        if self._paused:
            return Text(f"‖ paused, {old} ")
        if age.stale:
            style = self.get_component_rich_style("bar--stale")
            reason = shorten(clean(age.reason or "no answer"), min(MOST, max(LEAST, room - len(f" ○ {old}:  "))))
            return Text(f" ○ {old}: {reason} ", style=style)
        return Text(f"● {age.seconds:.0f} s ", style=self.get_component_rich_style("bar--fresh"))


class Tabs(Widget):
    """Where one is: the screens with their digits, and the way down from one of them."""

    COMPONENT_CLASSES = {"tabs--here"}  # noqa: RUF012  Textual's own convention

    def __init__(self, names: Sequence[tuple[str, str]]) -> None:
        """``names``: the mode and the title of each screen."""
        super().__init__()
        self._names = names
        self._here = ""
        self._crumbs: Sequence[str] = ()

    def tell(self, here: str, crumbs: Sequence[str]) -> None:
        """What it shows from now on."""
        if (here, crumbs) != (self._here, self._crumbs):
            self._here, self._crumbs = here, crumbs
            self.refresh()

    def render(self) -> RenderResult:
        line = Text(no_wrap=True, overflow="ellipsis")
        crumbs = [clean(crumb) for crumb in self._crumbs]
        texts = titles(self._names, self._here, crumbs, self.size.width)
        for (mode, _), text in zip(self._names, texts, strict=True):
            style = self.get_component_rich_style("tabs--here") if mode == self._here else Style.null()
            line.append(text, style + Style.from_meta({"@click": f"app.go('{mode}')"}))
        for crumb in fitted(crumbs, self.size.width - line.cell_len):
            line.append(MARK, "dim").append(crumb)
        return line


class FootBar(Widget):
    """The keys that do something here; a click does it too."""

    COMPONENT_CLASSES = {"foot--key"}  # noqa: RUF012  Textual's own convention

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> RenderResult:
        line = Text(no_wrap=True)
        ways_on = Text(no_wrap=True)
        shown: set[str] = set()
        refuses: Callable[[str], bool] | None = getattr(self.screen, "refuses", None)
        for _, binding, enabled, _ in self.screen.active_bindings.values():
            if not enabled or binding.action in shown:
                continue
            if binding.action in _WAYS_ON:
                shown.add(binding.action)
                self._add(ways_on, binding, refused=False)
            elif binding.show:
                shown.add(binding.action)
                self._add(line, binding, refused=refuses is not None and refuses(binding.action))
        line.truncate(max(0, self.size.width - ways_on.cell_len), overflow="ellipsis", pad=True)
        return line.append_text(ways_on)

    def _add(self, line: Text, binding: Binding, *, refused: bool) -> None:
        click = Style.from_meta({"@click": f"app.simulate_key('{binding.key}')"})
        grey = Style(dim=True) if refused else Style.null()
        line.append(
            f" {self.app.get_key_display(binding)} ",
            (grey or self.get_component_rich_style("foot--key")) + click,
        )
        line.append(f"{binding.description} ", grey + click)


_WAYS_ON = ("command_palette", "help")
"""What leads to everything else is always there, at the end of the line."""


class AlertStrip(Widget):
    """What is not well, in one line; not there while all is well."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: Sequence[str] = ()
        self.display = False

    def tell(self, texts: Sequence[str]) -> None:
        """What it shows from now on."""
        if texts != self._texts:
            self._texts = texts
            self.display = bool(texts)
            self.refresh()

    def render(self) -> RenderResult:
        texts = [clean(text) for text in self._texts]
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f" !{f' {len(texts)}:' if len(texts) > 1 else ''} ", "bold").append(" · ".join(texts))
        line.truncate(self.size.width, overflow="ellipsis")
        return line
