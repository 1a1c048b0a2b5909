"""How a line of a table is drawn: its cells under their headings, the cursor, and the mark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from qtool.output import clean
from qtool.tables import NONE
from qtool.tui.headings import GAP, MARGIN

if TYPE_CHECKING:
    from textual.widget import Widget

    from qtool.tui.headings import Headings

_DIM = Style(dim=True)


class Pen:
    """Draws lines in the styles of a widget. All text from outside is made harmless first."""

    def __init__(self, widget: Widget, headings: Headings[Any]) -> None:
        self._widget = widget
        self._headings = headings
        self._styles: dict[str, Style] = {}

    def forget(self) -> None:
        """The widget's styles have changed."""
        self._styles.clear()

    def heads(self, width: int) -> Strip:
        """The line of headings."""
        laid = self._headings.laid
        heads = [_fit(self._headings.head(column), wide, right=column.right) for column, wide in laid]
        style = self._style("grid--head")
        return Strip([Segment(" " * MARGIN + (" " * GAP).join(heads), style)]).adjust_cell_length(width, style)

    def nothing(self, text: str, width: int) -> Strip:
        """Why there are no rows."""
        style = self._style("grid--empty")
        return Strip([Segment(f"  {text}", style)]).adjust_cell_length(width, style)

    def blank(self, width: int) -> Strip:
        """A line beyond the last row."""
        return Strip.blank(width, self._widget.rich_style)

    def row(self, row: Any, width: int, *, here: bool, marked: bool) -> Strip:
        """A row, under the cursor or not."""
        name = "grid--cursor" if here and self._widget.has_focus else "grid--marked" if marked else ""
        base = self._style(name) if name else self._widget.rich_style
        cells: list[Segment] = [Segment(f"{'▸' if here else ' '}{'✓' if marked else ' '}", base)]
        for column, cells_wide in self._headings.laid:
            text = clean(column.cell(row))
            style = base
            if text == NONE:
                style = base + _DIM
            elif column.style is not None and (said := column.style(row)):
                style = base + self._parsed(said)
            cells.append(Segment(_fit(text, cells_wide, right=column.right), style))
            cells.append(Segment(" " * GAP, base))
        return Strip(cells).adjust_cell_length(width, base)

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self._widget.get_component_rich_style(name)
        return self._styles[name]

    def _parsed(self, text: str) -> Style:
        if text not in self._styles:
            self._styles[text] = Style.parse(text)
        return self._styles[text]


def _fit(text: str, width: int, *, right: bool) -> str:
    """Exactly so wide; what is cut says so."""
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
    blank = " " * (width - length)
    return blank + text if right else text + blank
