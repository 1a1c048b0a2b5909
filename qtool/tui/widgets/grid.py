"""A table that draws only the lines in sight, and keeps its place by key while its rows change."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias, TypeVar

from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView

from qtool.tui.headings import MARGIN, Headings
from qtool.tui.rows import Rows
from qtool.tui.widgets import gridnews
from qtool.tui.widgets.pen import Pen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.strip import Strip

    from qtool.tables import Column
    from qtool.tui.memory import Shape

Row = TypeVar("Row")

_KEYS: list[BindingType] = [
    Binding("up,k", "move(-1)", "Up", show=False, id="grid.up"),
    Binding("down,j", "move(1)", "Down", show=False, id="grid.down"),
    Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="grid.page_up"),
    Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="grid.page_down"),
    Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False, id="grid.half_up"),
    Binding("ctrl+d", "page(0.5)", "Half a page down", show=False, id="grid.half_down"),
    Binding("home,g", "end(-1)", "First", show=False, id="grid.first"),
    Binding("end,G", "end(1)", "Last", show=False, id="grid.last"),
    Binding("enter", "open", "Open", id="grid.open"),
    Binding("space", "mark", "Mark", show=False, id="grid.mark"),
    Binding("ctrl+space,ctrl+@", "mark_range", "Mark from the last mark", show=False, id="grid.mark_range"),
]


class Grid(ScrollView, Generic[Row], can_focus=True):
    """Rows under a line of headings. The cursor and the marks belong to keys, not to places."""

    BINDINGS: ClassVar[list[BindingType]] = _KEYS
    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--head", "grid--cursor", "grid--marked", "grid--empty"}

    Ready: TypeAlias = gridnews.Ready
    Moved: TypeAlias = gridnews.Moved
    Opened: TypeAlias = gridnews.Opened
    Marked: TypeAlias = gridnews.Marked
    Edge: TypeAlias = gridnews.Edge
    Headed: TypeAlias = gridnews.Headed

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
        self.empty = empty
        self.markable = markable
        self._rows = Rows(key)
        self._unsorted: Sequence[Row] = ()
        self._pen = Pen(self, self.headings)

    def on_mount(self) -> None:
        self.post_message(self.Ready(self, None))

    # --- rows ----------------------------------------------------------------------------------------

    def show(self, rows: Sequence[Row], *, cursor: int | None = None) -> None:
        """Show these from now on. The cursor stays on its row and the row on its line, where that is still there.

        ``cursor``: the row to put it on instead; it stays on its line of the screen.
        """
        before, on_line = self.current_key, self.place - self.scroll_offset.y
        self._unsorted = rows
        found = self._rows.take(self.headings.sorted(rows), cursor)
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        if found is not None and found - self.scroll_offset.y != on_line:
            self.scroll_to(y=max(0, found - on_line), animate=False, force=True)
        self._see_cursor()
        self._arrange()
        self.refresh()
        if before is None or found is None or self.current_key != before:
            self.post_message(self.Moved(self, self.current))

    def wear(self, shape: Shape) -> None:
        """Show the columns that are wanted, and sort as is wanted."""
        self.headings.wear(shape)
        self.show(self._unsorted)

    @property
    def rows(self) -> Sequence[Row]:
        """All there are, in their order."""
        return self._rows.all

    @property
    def marks(self) -> dict[str, None]:
        """The keys of what is marked, in the order they were."""
        return self._rows.marks

    @property
    def place(self) -> int:
        """The number of the row under the cursor."""
        return self._rows.at

    @property
    def in_sight(self) -> range:
        """The numbers of the rows in sight."""
        top = self.scroll_offset.y
        return range(top, min(len(self.rows), top + max(1, self.size.height - 1)))

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows.current

    @property
    def current_key(self) -> str | None:
        """Its key."""
        return self._rows.current_key

    def go_to(self, key: str) -> None:
        """Put the cursor on this row, if it is here."""
        if (number := self._rows.find(key)) is not None:
            self._move_to(number)

    # --- moving --------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self._move_to(self.place + by)

    def action_page(self, pages: float) -> None:
        by = int(pages * max(1, self.size.height - 2))
        self._move_to(self.place + (by or (1 if pages > 0 else -1)))

    def action_end(self, side: int) -> None:
        self._move_to(0 if side < 0 else len(self.rows) - 1)
        self.post_message(self.Edge(self, side, far=True))

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened(self, self.current))

    def _move_to(self, number: int) -> None:
        if self._rows.go(number):
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
        if not top <= self.place < top + room:
            self.scroll_to(y=min(self.place, max(top, self.place - room + 1)), animate=False, force=True)

    def on_click(self, event: events.Click) -> None:
        number = event.y - 1 + self.scroll_offset.y
        if event.y == 0 and (column := self.headings.at(event.x)) is not None:
            self.post_message(self.Headed(self, column.head))
        if event.y > 0 and number < len(self.rows):
            again = number == self.place and event.chain > 1
            self._move_to(number)
            if again:
                self.action_open()

    # --- marks ---------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        if self.markable and self.rows:
            self._rows.mark()
            self.action_move(1)
            self._tell_marked()

    def action_mark_range(self) -> None:
        if self.markable and self.rows:
            self._rows.mark_range()
            self._tell_marked()

    def _tell_marked(self) -> None:
        self.refresh()
        self.post_message(self.Marked(self, self.current))

    def unmark_all(self) -> None:
        """Take all marks back."""
        self.marks.clear()
        self.refresh()

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

    def watch_show_vertical_scrollbar(self) -> None:
        # There is a cell less for the columns, or one more.
        self._arrange()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._pen.forget()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._arrange()
            self._tell_edge()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._pen.heads(width)
        number = y - 1 + self.scroll_offset.y
        if number < len(self.rows):
            row = self.rows[number]
            return self._pen.row(row, width, here=number == self.place, marked=self._rows.is_marked(row))
        return self._pen.nothing(self.empty, width) if not self.rows and y == 2 else self._pen.blank(width)
