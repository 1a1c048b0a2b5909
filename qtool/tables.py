"""How rows look on a terminal: columns, and the one place that draws them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qtool.output import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console
    from rich.text import Text

Row = TypeVar("Row")

NONE = "·"
"""Stands for zero and for nothing in columns of numbers, so that what is there stands out."""

GAP = 2
"""Cells between two columns."""

FIRST = 200
"""Rows that decide how wide the columns are; later ones are cut to fit, so that a long listing can stream."""


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column of a table."""

    head: str
    cell: Callable[[Row], str]
    right: bool = False
    style: Callable[[Row], str] | None = None
    least: int = 0
    """The width it may shrink to; 0: it never shrinks."""
    rank: int = 0
    """When the terminal is too narrow the column of the highest rank goes first; rank 0 stays."""
    wrap: bool = False
    """Go on in the next line rather than be cut."""
    wide: int = 0
    """The width it has at least where there is room, for rows that come one by one."""
    order: Callable[[Row], Any] | None = None
    """What the rows are sorted by where somebody sorts by this column; they cannot be where there is none."""


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """A kind of rows, and how to show them."""

    row: type[Row]
    columns: tuple[Column[Row], ...]
    id: str | None = None
    """The field that ``-o ids`` prints."""
    live: bool = False
    """Rows come one by one and are drawn as they come."""
    empty: str = "Nothing here."
    """What a terminal is told when there are no rows."""
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(each.name for each in fields(self.row)))  # type: ignore[arg-type]  # rows are dataclasses


def print_table(table: Table[Any], rows: Iterable[Any], console: Console, note: Callable[[str], None]) -> int:
    """Draw rows as they come; how many there were."""
    source = iter(rows)
    first = list(islice(source, 1 if table.live else FIRST))
    if not first:
        note(table.empty)
        return 0
    cells = [[_cell(column, row) for column in table.columns] for row in first]
    layout = _layout(table.columns, cells, console.width)
    _print(console, _line([_head(table.columns[index]) for index, _ in layout], layout, table.columns))
    count = 0
    for row in _all(cells, table.columns, source):
        for line in _lines([row[index] for index, _ in layout], layout, table.columns, console):
            _print(console, line)
        count += 1
    return count


def _print(console: Console, line: Text) -> None:
    console.print(line, no_wrap=True, overflow="ellipsis")


def _all(cells: list[list[Text]], columns: tuple[Column[Any], ...], rest: Iterator[Any]) -> Iterator[list[Text]]:
    yield from cells
    for row in rest:
        yield [_cell(column, row) for column in columns]


def _cell(column: Column[Any], row: Any) -> Text:
    from rich.text import Text

    text = clean(column.cell(row))
    style = "dim" if text == NONE else column.style(row) if column.style else ""
    return Text(text, style=style, end="")


def _head(column: Column[Any]) -> Text:
    from rich.text import Text

    return Text(column.head, style="dim bold", end="")


def _layout(columns: tuple[Column[Any], ...], cells: list[list[Text]], width: int) -> list[tuple[int, int]]:
    natural = [
        max(len(column.head), column.wide, *(line[index].cell_len for line in cells))
        for index, column in enumerate(columns)
    ]
    filled = [any(line[index].plain for line in cells) for index in range(len(columns))]
    return layout(columns, natural, filled, width)


def layout(
    columns: Sequence[Column[Any]], natural: Sequence[int], filled: Sequence[bool], width: int, gap: int = GAP
) -> list[tuple[int, int]]:
    """Which columns are shown in so many cells, by their indexes, and how wide each is.

    ``natural`` is how wide each would like to be; one that is not ``filled`` is left out unless its rank is 0.
    """
    shown = [index for index, column in enumerate(columns) if not column.rank or filled[index]]

    def least(index: int) -> int:
        floor = columns[index].least
        return min(natural[index], floor) if floor else natural[index]

    def room(widths: Iterable[int]) -> int:
        return width - sum(widths) - gap * (len(shown) - 1)

    while room(map(least, shown)) < 0:
        goes = max(shown, key=lambda index: (columns[index].rank, index))
        if not columns[goes].rank:
            break
        shown.remove(goes)
    widths = {index: natural[index] for index in shown}
    while (over := -room(widths.values())) > 0:
        # The widest column that can shrink gives way, down to the next widest, so that none is squeezed for another.
        able = sorted((index for index in shown if widths[index] > least(index)), key=lambda i: -widths[i])
        if not able:
            break
        widest = able[0]
        floor = max(least(widest), widths[able[1]] - 1 if len(able) > 1 else 0)
        widths[widest] = max(floor, widths[widest] - over)
    return [(index, widths[index]) for index in shown]


def _lines(
    texts: list[Text], layout: list[tuple[int, int]], columns: tuple[Column[Any], ...], console: Console
) -> Iterator[Text]:
    """The lines of one row: several where a column wraps."""
    from rich.text import Text

    pieces = [
        list(text.wrap(console, width)) if columns[index].wrap else [text]
        for (index, width), text in zip(layout, texts, strict=True)
    ]
    for number in range(max(map(len, pieces))):
        yield _line([lines[number] if number < len(lines) else Text() for lines in pieces], layout, columns)


def _line(texts: list[Text], layout: list[tuple[int, int]], columns: tuple[Column[Any], ...]) -> Text:
    from rich.text import Text

    line = Text()
    for position, ((index, width), text) in enumerate(zip(layout, texts, strict=True)):
        last = position == len(layout) - 1
        piece = text.copy()
        if not columns[index].right:
            # A number that is cut would be another number: it may rather push the rest of its line aside.
            piece.truncate(width, overflow="ellipsis")
        blank = max(width - piece.cell_len, 0)
        if columns[index].right:
            line.append(" " * blank)
        line.append_text(piece)
        if not last:
            line.append(" " * (GAP + (0 if columns[index].right else blank)))
    return line
