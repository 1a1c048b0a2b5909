"""A table that draws only the lines in sight, and keeps its place by key while its rows change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qtool.output import clean
from qtool.tables import NONE, Column
from qtool.tui.headings import GAP, MARGIN, Headings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events

    from qtool.tui.memory import Shape

Row = TypeVar("Row")

UP = Binding("up,k", "move(-1)", "Up", show=False, id="grid.up")
DOWN = Binding("down,j", "move(1)", "Down", show=False, id="grid.down")


class About(Message):
    """Something about a row of a grid."""

    def __init__(self, grid: Grid[Any], row: Any) -> None:
        super().__init__()
        self.grid = grid
        self.row = row


class Grid(ScrollView, Generic[Row], can_focus=True):
    """Rows under a line of headings. The cursor and the marks belong to keys, not to places."""

    BINDINGS: ClassVar[list[BindingType]] = [
        UP,
        DOWN,
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="grid.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="grid.page_down"),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False, id="grid.half_up"),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False, id="grid.half_down"),
        Binding("home,g", "first", "First", show=False, id="grid.first"),
        Binding("end,G", "last", "Last", show=False, id="grid.last"),
        Binding("enter", "open", "Open", id="grid.open"),
        Binding("space", "mark", "Mark", show=False, id="grid.mark"),
        Binding("ctrl+space,ctrl+@", "mark_range", "Mark from the last mark", show=False, id="grid.mark_range"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--head", "grid--cursor", "grid--marked", "grid--empty"}

    class Moved(About):
        """The cursor is on another row, or on none."""

    class Opened(About):
        """Somebody wants to see more of a row."""

    class Marked(About):
        """Other rows are marked than before."""

    class Edge(Message):
        """What is in sight comes near the first row (-1) or the last (1): there may be more beyond."""

        def __init__(self, grid: Grid[Any], side: int, *, far: bool = False) -> None:
            """``far``: somebody wants the very first or last row there is."""
            super().__init__()
            self.grid = grid
            self.side = side
            self.far = far

    class Ready(About):
        """It is there: who remembers how it is wanted can say so."""

    class Headed(Message):
        """Somebody clicked on a heading."""

        def __init__(self, grid: Grid[Any], head: str) -> None:
            super().__init__()
            self.grid = grid
            self.head = head

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        key: Callable[[Row], str],
        *,
        empty: str = "Nothing here.",
        markable: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.headings = Headings(columns)
        self.rows: Sequence[Row] = ()
        self._unsorted: Sequence[Row] = ()
        self.marks: dict[str, None] = {}
        """Keys, in the order they were marked; also of rows that are not here now."""
        self.empty = empty
        self.markable = markable
        self._key = key
        self._at = 0
        self._styles: dict[str, Style] = {}

    def on_mount(self) -> None:
        self.post_message(self.Ready(self, None))

    # --- rows ----------------------------------------------------------------------------------------

    def show(self, rows: Sequence[Row], *, cursor: int | None = None) -> None:
        """Show these from now on. The cursor stays on its row and the row on its line, where that is still there.

        ``cursor``: the row to put it on instead; it stays on its line of the screen.
        """
        before, on_line = self.current_key, self._at - self.scroll_offset.y
        self._unsorted = rows
        self.rows = rows = self.headings.sorted(rows)
        found = cursor
        if found is None and before is not None:
            found = next((n for n, row in enumerate(rows) if self._key(row) == before), None)
        moved = before is not None and (found is None or found >= len(rows) or self._key(rows[found]) != before)
        self._at = found if found is not None else max(0, min(self._at, len(rows) - 1))
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        if found is not None and found - self.scroll_offset.y != on_line:
            self._scroll(found - on_line)
        self._see_cursor()
        self._arrange()
        self.refresh()
        if moved or before is None:
            self.post_message(self.Moved(self, self.current))

    def set_columns(self, columns: Sequence[Column[Row]]) -> None:
        """Have these columns from now on."""
        self.headings.wear(self.headings.shape, columns)
        self.show(self._unsorted)

    def wear(self, shape: Shape) -> None:
        """Show the columns that are wanted, and sort as is wanted."""
        self.headings.wear(shape)
        self.show(self._unsorted)

    @property
    def place(self) -> int:
        """The number of the row under the cursor."""
        return self._at

    @property
    def in_sight(self) -> range:
        """The numbers of the rows in sight."""
        top = self.scroll_offset.y
        return range(top, min(len(self.rows), top + max(1, self.size.height - 1)))

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self._at] if self._at < len(self.rows) else None

    @property
    def current_key(self) -> str | None:
        """Its key."""
        row = self.current
        return None if row is None else self._key(row)

    def go_to(self, key: str) -> bool:
        """Put the cursor on this row; False if it is not here."""
        for number, row in enumerate(self.rows):
            if self._key(row) == key:
                self._move_to(number)
                return True
        return False

    # --- moving --------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self._move_to(self._at + by)

    def action_page(self, pages: float) -> None:
        by = int(pages * max(1, self.size.height - 2))
        self._move_to(self._at + (by or (1 if pages > 0 else -1)))

    def action_first(self) -> None:
        self._move_to(0)
        self.post_message(self.Edge(self, -1, far=True))

    def action_last(self) -> None:
        self._move_to(len(self.rows) - 1)
        self.post_message(self.Edge(self, 1, far=True))

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened(self, self.current))

    def _move_to(self, number: int) -> None:
        at = max(0, min(number, len(self.rows) - 1))
        if at != self._at:
            self._at = at
            self._see_cursor()
            self.refresh()
            self.post_message(self.Moved(self, self.current))
        self._tell_edge()

    def _tell_edge(self) -> None:
        """Say so where less than a screenful lies beyond what is in sight."""
        seen, height = self.in_sight, self.size.height
        if seen.start < height:
            self.post_message(self.Edge(self, -1))
        if seen.stop > len(self.rows) - height:
            self.post_message(self.Edge(self, 1))

    def _see_cursor(self) -> None:
        """Scroll as little as the cursor needs to be in sight. The headings take the first line."""
        top, room = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._at < top:
            self._scroll(self._at)
        elif self._at >= top + room:
            self._scroll(self._at - room + 1)

    def _scroll(self, to: int) -> None:
        self.scroll_to(y=max(0, to), animate=False, force=True)

    def on_click(self, event: events.Click) -> None:
        number = event.y - 1 + self.scroll_offset.y
        if event.y == 0 and (column := self.headings.at(event.x)) is not None:
            self.post_message(self.Headed(self, column.head))
        if event.y > 0 and number < len(self.rows):
            again = number == self._at and event.chain > 1
            self._move_to(number)
            if again:
                self.action_open()

    # --- marks ---------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        key = self.current_key
        if not self.markable or key is None:
            return
        if key in self.marks:
            del self.marks[key]
        else:
            self.marks[key] = None
        self.action_move(1)
        self.refresh()
        self.post_message(self.Marked(self, self.current))

    def action_mark_range(self) -> None:
        if not self.markable or not self.rows:
            return
        last = next(reversed(self.marks), None)
        start = next((n for n, row in enumerate(self.rows) if self._key(row) == last), self._at)
        low, high = sorted((start, self._at))
        for row in self.rows[low : high + 1]:
            self.marks[self._key(row)] = None
        self.refresh()
        self.post_message(self.Marked(self, self.current))

    def unmark_all(self) -> bool:
        """Whether anything was marked."""
        had = bool(self.marks)
        self.marks.clear()
        self.refresh()
        return had

    # --- drawing -------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Lay the columns out for the rows in sight."""
        top = self.scroll_offset.y
        room = self.size.width - MARGIN - (1 if self.show_vertical_scrollbar else 0)
        self.headings.arrange(self.rows[top : top + self.size.height], room)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)
        self._see_cursor()
        self._arrange()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._arrange()
            self._tell_edge()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._heads(self._style("grid--head"), width)
        number = y - 1 + self.scroll_offset.y
        if number >= len(self.rows):
            if not self.rows and y == 2:
                style = self._style("grid--empty")
                return Strip([Segment(f"  {self.empty}", style)]).adjust_cell_length(width, style)
            return Strip.blank(width, self.rich_style)
        row = self.rows[number]
        marked = self._key(row) in self.marks
        here = number == self._at
        name = "grid--cursor" if here and self.has_focus else "grid--marked" if marked else ""
        base = self._style(name) if name else self.rich_style
        cells: list[Segment] = [Segment(f"{'▸' if here else ' '}{'✓' if marked else ' '}", base)]
        for column, cells_wide in self.headings.laid:
            text = clean(column.cell(row))
            style = base
            if text == NONE:
                style = base + _DIM
            elif column.style is not None and (said := column.style(row)):
                style = base + self._parsed(said)
            cells.append(Segment(_fit(text, cells_wide, right=column.right), style))
            cells.append(Segment(" " * GAP, base))
        return Strip(cells).adjust_cell_length(width, base)

    def _heads(self, style: Style, width: int) -> Strip:
        heads = [_fit(self.headings.head(column), wide, right=column.right) for column, wide in self.headings.laid]
        return Strip([Segment(" " * MARGIN + (" " * GAP).join(heads), style)]).adjust_cell_length(width, style)

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self.get_component_rich_style(name)
        return self._styles[name]

    def _parsed(self, text: str) -> Style:
        if text not in self._styles:
            self._styles[text] = Style.parse(text)
        return self._styles[text]


_DIM = Style(dim=True)


def _fit(text: str, width: int, *, right: bool) -> str:
    """Exactly so wide; what is cut says so."""
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
    blank = " " * (width - length)
    return blank + text if right else text + blank
