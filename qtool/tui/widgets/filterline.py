"""The line that says which jobs are listed, and where a filter is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from qtool.engine.filter import parse
from qtool.errors import BadFilter
from qtool.output import clean
from qtool.tui.completing import Completions, Known, complete

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult, RenderResult

KEPT = 50
"""Earlier filters that can be recalled."""


class Said(Widget):
    """A line of text: the left gives way to the right."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"said--label", "said--value", "said--bad", "said--chosen"}

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._left: tuple[tuple[str, str], ...] = ()
        self._right = ""

    def tell(self, left: Sequence[tuple[str, str]], right: str = "") -> None:
        """What it shows: texts, each with its kind (label, value, bad, chosen) or style, and what is at the right."""
        if (tuple(left), right) != (self._left, self._right):
            self._left, self._right = tuple(left), right
            self.refresh()

    def render(self) -> RenderResult:
        right = Text(clean(self._right))
        line = Text(no_wrap=True)
        for text, kind in self._left:
            kind_of = f"said--{kind}" in self.COMPONENT_CLASSES
            line.append(clean(text), self.get_component_rich_style(f"said--{kind}") if kind_of else kind)
        if not right:
            line.truncate(self.size.width, overflow="ellipsis")
            return line
        line.truncate(max(0, self.size.width - right.cell_len - 2), overflow="ellipsis", pad=True)
        return Text.assemble(line, "  ", right)


class FilterInput(Input):
    """Where a filter is typed: tab completes, up and down recall."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete(1)", "Complete", id="filter.complete"),
        Binding("shift+tab", "complete(-1)", "The completion before", show=False, id="filter.complete_back"),
        Binding("up", "recall(1)", "The filter before", show=False, id="filter.before"),
        Binding("down", "recall(-1)", "The filter after", show=False, id="filter.after"),
        Binding("enter", "submit", "Apply", id="filter.apply"),
        Binding("escape", "give_up", "Give up", id="filter.give_up"),
    ]

    class GaveUp(Message):
        """What was typed is not wanted."""

    def __init__(self) -> None:
        super().__init__(compact=True, id="filter-input", select_on_focus=False)
        self.earlier: list[str] = []
        """The newest first."""
        self.known = Known(tags={})
        self._recalled = -1
        self._draft = ""
        self._offered: Completions | None = None
        self._chosen = 0
        self._written = ""

    def start(self, text: str, known: Known) -> None:
        """Begin with this text."""
        self.known = known
        self._recalled, self._offered, self._draft = -1, None, text
        self.value = text
        self.cursor_position = len(text)

    @property
    def offers(self) -> Completions:
        """What may stand where the cursor is; the one that stands there already is among them while one chooses."""
        if self._offered is not None and self.value == self._written:
            return self._offered
        return complete(self.value, self.cursor_position, self.known)

    @property
    def chosen(self) -> int | None:
        """Which of them stands there."""
        return self._chosen if self._offered is not None and self.value == self._written else None

    def action_complete(self, step: int) -> None:
        offers, chosen = self.offers, self.chosen
        if not offers.words:
            return
        self._chosen = (0 if step > 0 else -1) if chosen is None else chosen + step
        self._chosen %= len(offers.words)
        word = offers.words[self._chosen]
        rest = self.value[self.cursor_position :]
        self._offered = offers if len(offers.words) > 1 else None
        self._written = self.value[: offers.start] + word + rest
        self.value = self._written
        self.cursor_position = offers.start + len(word)

    def action_recall(self, step: int) -> None:
        if self._recalled < 0:
            self._draft = self.value
        at = max(-1, min(self._recalled + step, len(self.earlier) - 1))
        if at != self._recalled:
            self._recalled = at
            self.value = self.earlier[at] if at >= 0 else self._draft
            self.cursor_position = len(self.value)

    def action_give_up(self) -> None:
        self.post_message(self.GaveUp())

    def remember(self, text: str) -> None:
        """Keep a filter that was applied."""
        if text:
            self.earlier = [text, *(each for each in self.earlier if each != text)][:KEPT]


class FilterLine(Vertical):
    """The filter in force; on demand an input in its place, with what may come next and what is wrong below it."""

    class Applied(Message):
        """A filter, or with an empty text none, is wanted."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """Nothing is typed any more."""

    def __init__(self, known: Callable[[], Known], *, id: str) -> None:
        """``known`` is asked for the words to complete with each time somebody begins to type."""
        super().__init__(id=id)
        self._known = known
        self._text = ""

    def compose(self) -> ComposeResult:
        yield Said(id="filter-said")
        yield Horizontal(Said(id="filter-slash"), FilterInput(), id="filter-typed")
        yield Said(id="filter-hints")
        yield Said(id="filter-error")

    def on_mount(self) -> None:
        self.query_one("#filter-slash", Said).tell([(" /", "label")])
        self._open(False)

    def tell(self, text: str, left: Sequence[tuple[str, str]], right: str) -> None:
        """The filter in force, and how it is shown."""
        self._text = text
        if self.is_mounted:
            self.query_one("#filter-said", Said).tell(left, right)

    def edit(self) -> None:
        """Let somebody type."""
        field = self.query_one(FilterInput)
        field.start(self._text, self._known())
        self._open(True)
        # At once: what somebody goes on typing is meant for it.
        self.screen.set_focus(field)
        self._hint()

    def close(self) -> None:
        """Show the filter in force again."""
        self._open(False)
        self.post_message(self.Closed())

    def _open(self, editing: bool) -> None:
        for id in ("filter-typed", "filter-hints", "filter-error"):
            self.query_one(f"#{id}").display = editing
        self.query_one("#filter-said").display = not editing

    def on_input_changed(self) -> None:
        self._hint()

    def on_input_submitted(self) -> None:
        field = self.query_one(FilterInput)
        text = field.value.strip()
        if text and wrong_in(text) is not None:
            self._hint()
            self.app.bell()
            return
        field.remember(text)
        self.close()
        self.post_message(self.Applied(text))

    def on_filter_input_gave_up(self) -> None:
        self.close()

    def _hint(self) -> None:
        field = self.query_one(FilterInput)
        parts: list[tuple[str, str]] = []
        chosen = field.chosen
        for number, word in enumerate(field.offers.words):
            if chosen is not None and number < chosen:
                continue
            parts += [(word, "value" if number == chosen else "label"), ("  ", "")]
        self.query_one("#filter-hints", Said).tell([("  ", ""), *parts])
        wrong = wrong_in(field.value) if field.value.strip() else None
        self.query_one("#filter-error", Said).tell(
            [("  ✗ " + wrong, "bad")] if wrong else [("  enter applies it", "label")]
        )


def wrong_in(text: str) -> str | None:
    """Why it is no filter; None for one."""
    try:
        parse(text)
    except BadFilter as error:
        return f"column {error.column}: {error.why}"
    return None
