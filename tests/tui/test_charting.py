"""Drawing: every number in its row, nothing beyond the picture, and all of it legible without colours."""

from __future__ import annotations

import itertools
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from qtool.engine.broker import Bucket, Latency
from qtool.engine.journal import Note
from qtool.tui.braille import ACROSS, LEVELS, Raster, Trace, height
from qtool.tui.charting import GUTTER, LEAST, Line, Sheet, _shared_out, column_at, columns_in, draw, readout
from qtool.tui.timeline import STEPS, Window, newest

NOW = 1_767_225_600.0 + 3600
HOSTILE = "\x1b[31mred\x1b[0m\u202e [bold]x[/] \U0001f680\u200d"

numbers = st.lists(st.none() | st.floats(min_value=0, max_value=1e9), min_size=1, max_size=60)


def dots(text: str, column: int) -> list[bool]:
    """The dots of one column of a row, from the top down."""
    order = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))[column % ACROSS]
    bits = 0 if text[column // ACROSS] == " " else ord(text[column // ACROSS]) - 0x2800
    return [bool(bits & dot) for dot in order]


def heights(raster: Raster, count: int, *, hanging: bool = False) -> list[list[int]]:
    """The levels that are set in each column, from the base on, beginning with 1."""
    rows = [text for text, _ in raster.lines(hanging=hanging)]
    found = []
    for column in range(count):
        levels = [dot for text in rows for dot in dots(text, column)]
        if not hanging:
            levels.reverse()
        found.append([level for level, there in enumerate(levels, start=1) if there])
    return found


@given(numbers=numbers, top=st.floats(min_value=1e-6, max_value=1e9), rows=st.integers(1, 12), hanging=st.booleans())
def test_every_column_is_as_high_as_its_number(
    numbers: list[float | None], top: float, rows: int, hanging: bool
) -> None:
    cells = -(-len(numbers) // ACROSS)
    raster = Raster(cells, rows)
    raster.draw(Trace(numbers, "in"), top)
    for number, levels in zip(numbers, heights(raster, len(numbers), hanging=hanging), strict=True):
        high = height(number, top, rows * LEVELS)
        assert levels == list(range(1, high + 1))
        assert bool(levels) == bool(number and number > 0), "something is never nothing, nothing never something"
    assert all(cell_len(text) == len(text) == cells for text, _ in raster.lines())


@given(numbers=numbers, top=st.floats(min_value=1e-6, max_value=1e9), rows=st.integers(1, 12))
def test_the_highest_dot_of_a_line_is_its_number(numbers: list[float | None], top: float, rows: int) -> None:
    raster = Raster(-(-len(numbers) // ACROSS), rows)
    raster.draw(Trace(numbers, "p95", filled=False), top)
    found = heights(raster, len(numbers))
    for number, levels in zip(numbers, found, strict=True):
        high = height(number, top, rows * LEVELS)
        assert max(levels, default=0) == high
        assert levels == list(range(min(levels, default=1), high + 1)), "in one piece"
    for left, right in itertools.pairwise(found):
        if left and right:
            assert min(left) <= max(right) + 1, "without a break between neighbours"
            assert min(right) <= max(left) + 1


def test_heights() -> None:
    assert [height(n, 10, 8) for n in (None, 0, -1, 1e-9, 1.25, 5, 10, 99)] == [0, 0, 0, 1, 1, 4, 8, 8]


def test_the_median_lies_before_the_line() -> None:
    raster = Raster(1, 1)
    raster.draw(Trace([2.0, 0.0], "p50"), 4)
    raster.draw(Trace([4.0, 4.0], "p95", filled=False), 4)
    ((text, styles),) = raster.lines()
    assert (text, styles) == ("⡍", ["p50"])


# --- the whole picture -------------------------------------------------------------------------------


def bucket(at: int, seconds: int, *, count: int = 0, dead: int = 0, wait: float | None = None) -> Bucket:
    latency = None if wait is None else Latency(count=count, mean=wait, p50=wait, p95=3 * wait)
    return Bucket(
        at=float(at), seconds=seconds, queue="", enqueued=count, started=count, succeeded=count, dead=dead, wait=latency
    )


def sheet(count: int, step: int = 5, **said: Any) -> Sheet:
    window = Window(step, newest(NOW, step), count)
    there = tuple(bucket(window.at(n), step, count=n % 7 * step, dead=n % 11 == 0, wait=0.01 * n) for n in range(count))
    values: dict[str, Any] = {"window": window, "now": NOW, "columns": there}
    return Sheet(**(values | said))


def plain(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(1, 260),
    height=st.integers(1, 70),
    step=st.sampled_from(STEPS),
    cursor=st.none() | st.integers(0, 600),
    gaps=st.lists(st.integers(0, 600), max_size=20),
    notes=st.lists(st.tuples(st.floats(-100, 600), st.sampled_from(["deploy 1.4", "x" * 200, HOSTILE, "界" * 50]))),
    peak=st.sampled_from([0, 1, 10**9]),
    queues=st.sampled_from([(), ("email",), ("q" * 255, HOSTILE)]),
)
def test_no_picture_is_larger_than_its_place(
    width: int,
    height: int,
    step: int,
    cursor: int | None,
    gaps: list[int],
    notes: list[tuple[float, str]],
    peak: int,
    queues: tuple[str, ...],
) -> None:
    columns = columns_in(width)
    window = Window(step, newest(NOW, step), columns)
    there = [
        None if n in gaps else bucket(window.at(n), step, count=n * peak, dead=n % 3, wait=n * 1.0 or None)
        for n in range(columns)
    ]
    marks = sorted((window.start + at * step, text) for at, text in notes)
    made = Sheet(
        window=window,
        now=NOW,
        columns=tuple(there),
        cursor=None if cursor is None else cursor % columns,
        notes=tuple(Note(number, at, text) for number, (at, text) in enumerate(marks)),
        queues=queues,
    )
    lines = plain(draw(made, width, height))
    assert len(lines) == height
    for line in lines:
        assert cell_len(line) <= max(width, LEAST[0]), line
        assert not any(unicodedata.category(char) in ("Cc", "Cs") or char == "\u202e" for char in line)


@pytest.mark.parametrize("rows", range(6, 70))
def test_every_line_is_given_to_a_panel(rows: int) -> None:
    """As near as panels with two halves allow; and no panel has less than it needs."""
    have = _shared_out(rows)
    assert {"flow", "dead"} <= set(have)
    used = 2 + 2 * have["flow"] + 1 + have["dead"] + sum(1 + have[name] for name in ("wait", "run") if name in have)
    used += 2 + 2 * have["drift"] if "drift" in have else 0
    assert used <= rows
    assert rows - used <= (0 if rows >= 8 else 1)
    assert have["flow"] >= max(have.values()) / 2


def test_in_and_out_are_told_by_where_they_are() -> None:
    """One above the zero line, one below: the left half came, the right half ended."""
    columns = columns_in(80)
    window = Window(5, newest(NOW, 5), columns)
    came = [Bucket(at=float(window.at(n)), seconds=5, queue="", enqueued=50) for n in range(columns // 2)]
    went = [Bucket(at=float(window.at(n)), seconds=5, queue="", succeeded=50) for n in range(columns // 2, columns)]
    lines = plain(draw(Sheet(window=window, now=NOW, columns=(*came, *went)), 80, 21))
    zero = next(number for number, line in enumerate(lines) if "0 ┤─" in line)
    above, below = lines[zero - 1][GUTTER:].ljust(72), lines[zero + 1][GUTTER:].ljust(72)
    assert (above[:36], above[36:].strip()) == ("⣿" * 36, "")
    assert (below[:36].strip(), below[36:]) == ("", "⣿" * 36)
    assert "10 ┤" in lines[zero - 3], "ten a second, and the axis says so"
    assert "10 ┤" in lines[zero + 3]


def test_the_zero_line_breaks_off_where_nothing_is_known() -> None:
    columns = columns_in(80)
    made = sheet(columns)
    gap = tuple(None if 40 <= n < 59 else each for n, each in enumerate(made.columns))
    lines = plain(draw(sheet(columns, columns=gap), 80, 21))
    zero = next(line for line in lines if "0 ┤─" in line)
    assert zero[GUTTER:] == "─" * 20 + " " * 9 + "─" * 43, "half a cell is known"


def test_a_note_is_a_line_and_a_text_and_more_under_the_crosshair() -> None:
    columns = columns_in(80)
    window = Window(5, newest(NOW, 5), columns)
    notes = (Note(1, window.at(20) + 1.0, "deploy 1.4"), Note(2, window.at(140) + 1.0, "mail server restarted"))
    quiet = tuple(bucket(window.at(n), 5) for n in range(columns))
    lines = plain(draw(sheet(columns, columns=quiet, notes=notes), 80, 21))
    lane = lines[1]
    assert lane.index("◆deploy 1.4") == GUTTER + 10
    assert lane.endswith("mail server restarted◆"), "at the right edge the text stands before its mark"
    assert sum(line[GUTTER + 10 : GUTTER + 11] == "┊" for line in lines) > 5
    read = plain(draw(sheet(columns, columns=quiet, notes=notes, cursor=21), 80, 21))
    assert read[1].startswith(" ◆ 00:49:41 ")
    assert read[1].endswith("deploy 1.4")


def test_the_crosshair_reads_one_column_exactly() -> None:
    made = sheet(100, cursor=13)
    told, more = readout(made)
    at = made.columns[13]
    assert at is not None
    assert f"in {at.enqueued:,}  out {at.enqueued + at.dead:,}" in told
    assert "waited p50 130ms p95 390ms" in more
    assert "ran –" in more  # noqa: RUF001  the screen's own sign for nothing
    unknown = sheet(100, cursor=0, columns=(None,) * 100)
    assert "nothing is known" in readout(unknown)[0]


def test_what_is_going_on_says_so_far() -> None:
    window = Window(3600, newest(NOW + 60, 3600), 10)
    there = tuple(bucket(window.at(n), 3600, count=60) for n in range(10))
    told = readout(Sheet(window=window, now=NOW + 60, columns=there, cursor=9))[0]
    assert "+1m so far" in told


def test_the_title_says_where_less_is_known_than_is_asked() -> None:
    columns = columns_in(80)
    assert plain(draw(sheet(columns), 80, 21))[0].rstrip().endswith("· 5s a column                    ● live")
    window = Window(5, newest(NOW, 5), columns)
    minutes = tuple(bucket(window.at(n) // 60 * 60, 60, count=6) for n in range(columns))
    assert "· 5s a column, known by 1m " in plain(draw(sheet(columns, columns=minutes), 80, 21))[0]


def test_a_click_finds_its_column() -> None:
    assert column_at(GUTTER - 1) is None
    assert column_at(GUTTER) == 0
    assert column_at(GUTTER + 7) == 14
    assert columns_in(80) == 144
