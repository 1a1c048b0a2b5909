"""How tables are laid out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console

from qtool.tables import FIRST, Column, Table, print_table


@dataclass(frozen=True)
class Row:
    name: str
    count: int
    note: str = ""


TABLE = Table(
    Row,
    (
        Column("NAME", lambda r: r.name, least=6),
        Column("COUNT", lambda r: f"{r.count:,}", right=True),
        Column("NOTE", lambda r: r.note, least=5, rank=1),
        Column("TWICE", lambda r: str(2 * r.count), right=True, rank=2),
    ),
    id="name",
    empty="Nothing.",
)


def drawn(rows: Any, width: int, table: Table[Any] = TABLE) -> list[str]:
    screen = io.StringIO()
    notes: list[str] = []
    print_table(table, rows, Console(file=screen, width=width, highlight=False, markup=False), notes.append)
    return [line.rstrip() for line in screen.getvalue().splitlines()] + notes


ROWS = [Row("short", 1, "n"), Row("a rather long name", 12_345, "a note"), Row("漢字漢字", 7)]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            60,
            [
                "NAME                 COUNT  NOTE    TWICE",
                "short                    1  n           2",
                "a rather long name  12,345  a note  24690",
                "漢字漢字                 7             14",
            ],
        ),
        (
            36,
            [
                "NAME            COUNT  NOTE    TWICE",
                "short               1  n           2",
                "a rather lon…  12,345  a note  24690",
                "漢字漢字            7             14",
            ],
        ),
        (
            24,
            [
                "NAME       COUNT  NOTE",
                "short          1  n",
                "a rathe…  12,345  a note",
                "漢字漢字       7",
            ],
        ),
        (
            16,
            [
                "NAME       COUNT",
                "short          1",
                "a rathe…  12,345",
                "漢字漢字       7",
            ],
        ),
    ],
)
def test_columns_line_up_shrink_and_go(width: int, expected: list[str]) -> None:
    assert drawn(ROWS, width) == expected


def test_a_column_of_rank_with_nothing_in_it_is_left_out() -> None:
    assert drawn([Row("a", 1)], 60)[0] == "NAME  COUNT  TWICE"


def test_rows_beyond_the_first_are_cut_to_the_same_columns_but_never_a_number() -> None:
    rows = [Row("a", 1)] * FIRST + [Row("longer than all before", 123_456)]
    assert drawn(rows, 60)[-1] == "lon…  123,456  246912"


def test_no_rows_are_told() -> None:
    assert drawn([], 60) == ["Nothing."]


def test_text_is_wrapped_where_it_may_be() -> None:
    table = Table(Row, (Column("N", lambda r: r.name), Column("NOTE", lambda r: r.note, least=10, wrap=True)))
    assert drawn([Row("a", 1, "one two three four"), Row("b", 2, "x")], 14, table) == [
        "N  NOTE",
        "a  one two",
        "   three four",
        "b  x",
    ]


def test_live_rows_are_drawn_before_the_next_is_asked_for() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=40)
    seen: list[str] = []

    def rows() -> Any:
        yield Row("first", 1)
        seen.append(screen.getvalue())
        yield Row("second", 2)

    live = Table(Row, (Column("NAME", lambda r: r.name, wide=10), Column("COUNT", lambda r: str(r.count))), live=True)
    print_table(live, rows(), console, seen.append)
    assert "first" in seen[0]
    assert [line.rstrip() for line in screen.getvalue().splitlines()] == [
        "NAME        COUNT",
        "first       1",
        "second      2",
    ]
