"""The names of the panes of a screen, of which one is in front."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from qtool.output import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import RenderResult


class Panes(Widget):
    """A click on a name brings its pane to the front."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"panes--here"}

    def __init__(self, names: Mapping[str, str]) -> None:
        """``names``: the id of each pane, and what it is called."""
        super().__init__()
        self._names = names
        self._here = ""
        self._note = ""

    def tell(self, here: str, note: str) -> None:
        """Which one is in front, and what is said at the right."""
        if (here, note) != (self._here, self._note):
            self._here, self._note = here, note
            self.refresh()

    def render(self) -> RenderResult:
        line = Text(no_wrap=True, overflow="ellipsis")
        for id, name in self._names.items():
            here = id == self._here
            style = self.get_component_rich_style("panes--here") if here else Style.null()
            line.append(f"{'▸' if here else ' '}{name} ", style + Style.from_meta({"@click": f"screen.pane('{id}')"}))
        note = clean(self._note)
        room = self.size.width - line.cell_len - len(note) - 1
        return line.append(" " * room + note, "dim") if room > 1 else line
