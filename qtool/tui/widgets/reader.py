"""Reader of text that one walks through: only those in sight are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events

SIDEWAYS = 16
"""Cells that one step to the side moves."""


class Reader(ScrollView, can_focus=True):
    """Any lines, each made to text when it is drawn."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="grid.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="grid.down"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="grid.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="grid.page_down"),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False, id="grid.half_up"),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False, id="grid.half_down"),
        Binding("home,g", "end(-1)", "First", show=False, id="grid.first"),
        Binding("end,G", "end(1)", "Last", show=False, id="grid.last"),
        Binding("left,h", "aside(-1)", "To the left", show=False, id="reader.left"),
        Binding("right", "aside(1)", "To the right", show=False, id="reader.right"),
        Binding("enter", "open", "Open", show=False, id="grid.open"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"reader--cursor", "reader--found", "reader--empty"}

    class Opened(Message):
        """Somebody wants to see more of a line."""

        def __init__(self, reader: Reader, line: Any) -> None:
            super().__init__()
            self.reader = reader
            self.line = line

    def __init__(
        self,
        draw: Callable[[Any, int], Text],
        *,
        plain: Callable[[Any], str],
        turn: Callable[[Any, int], bool] | None = None,
        can_follow: bool = False,
        empty: str = "Nothing here.",
        id: str,
    ) -> None:
        """``draw`` makes the text of a line for so many cells; ``plain`` says what a search looks in.

        ``turn`` may fold (-1) or unfold (1) a line: False where it does not. ``can_follow``: new lines come at the end.
        """
        super().__init__(id=id)
        self.lines: Sequence[Any] = ()
        self.empty = empty
        self.follow = can_follow
        """Stay at the last line."""
        self._can_follow = can_follow
        self._turn = turn
        self._draw = draw
        self._plain = plain
        self._at = 0
        self._aside = 0
        self._word = ""

    def show(self, lines: Sequence[Any]) -> None:
        """Show these from now on; the cursor stays where it is, or at the end where that is followed."""
        self.lines = lines
        self.virtual_size = Size(self.size.width, len(lines))
        self._at = len(lines) - 1 if self.follow else min(self._at, len(lines) - 1)
        self._at = max(0, self._at)
        if self.follow:
            self._see_cursor()
        self.refresh()

    @property
    def current(self) -> Any:
        """The line under the cursor; None when there is none."""
        return self.lines[self._at] if self._at < len(self.lines) else None

    def find(self, word: str, step: int, *, here: bool = False) -> bool:
        """Go to the next line that holds ``word`` (or the one before: ``step`` -1), once around. False: there is none.

        ``here``: the line under the cursor will do.
        """
        self._word = word
        count, wanted = len(self.lines), word.casefold()
        for distance in range(0 if here else 1, count + 1):
            number = (self._at + step * distance) % max(1, count)
            if wanted in self._plain(self.lines[number]).casefold():
                self._move_to(number)
                return True
        self.refresh()
        return False

    # --- moving --------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self._move_to(self._at + by)

    def action_page(self, pages: float) -> None:
        by = int(pages * max(1, self.size.height - 1))
        self._move_to(self._at + (by or (1 if pages > 0 else -1)))

    def action_end(self, side: int) -> None:
        self._move_to(0 if side < 0 else len(self.lines) - 1)
        self.follow = side > 0 and self._can_follow

    def action_aside(self, side: int) -> None:
        if self._turn is not None and self.current is not None and not self._aside and self._turn(self.current, side):
            return
        self._aside = max(0, self._aside + side * SIDEWAYS)
        self.refresh()

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened(self, self.current))

    def _move_to(self, number: int) -> None:
        self.follow &= number >= self._at
        self._at = max(0, min(number, len(self.lines) - 1))
        self._see_cursor()
        self.refresh()

    def _see_cursor(self) -> None:
        top, room = self.scroll_offset.y, max(1, self.size.height)
        if self._at < top:
            self.scroll_to(y=self._at, animate=False, force=True)
        elif self._at >= top + room:
            self.scroll_to(y=self._at - room + 1, animate=False, force=True)

    def on_click(self, event: events.Click) -> None:
        number = event.y + self.scroll_offset.y
        if number < len(self.lines):
            self._move_to(number)
            self.action_open()

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.lines))
        self._see_cursor()

    # --- drawing -------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        number = y + self.scroll_offset.y
        if number >= len(self.lines):
            if not self.lines and y == 1:
                style = self.get_component_rich_style("reader--empty")
                return Strip(Text(f"  {self.empty}", style).render(self.app.console)).adjust_cell_length(width, style)
            return Strip.blank(width, self.rich_style)
        here = number == self._at
        base = self.rich_style
        if here and self.has_focus:
            base = self.get_component_rich_style("reader--cursor")
        text = self._draw(self.lines[number], width - 2)
        if self._word:
            found = self.get_component_rich_style("reader--found")
            text.highlight_words([self._word], found, case_sensitive=False)
        strip = Strip(text.render(self.app.console)).crop(self._aside, self._aside + width - 1)
        mark = Strip(Text("▸" if here and self.has_focus else " ", Style()).render(self.app.console))
        return Strip.join([mark, strip]).apply_style(base).adjust_cell_length(width, base)
