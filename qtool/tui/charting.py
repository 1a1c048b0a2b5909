"""The picture of a stretch of history as lines of text with named styles. No Textual, no I/O.

From the top: what is shown, the lane of the notes, the panels one below the other over one axis of time, and what the
crosshair reads. What a trace is can be told without colours: by where it is (in above the zero line, out below) or by
its form (the median is filled, the 95th percentile a line).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING

from qtool.engine.broker import Bucket, Latency
from qtool.engine.journal import Note
from qtool.engine.times import format_duration
from qtool.engine.value import Value
from qtool.output import clean
from qtool.tui.braille import ACROSS, Raster, Trace
from qtool.tui.scales import (
    DAY,
    HOUR,
    MINUTE,
    count_label,
    round_up,
    round_up_seconds,
    seconds_label,
    time_ticks,
)
from qtool.tui.timeline import Numbers, Series, Window, elapsed, ended, peak, series, totals

if TYPE_CHECKING:
    from collections.abc import Sequence

GUTTER = 8
"""Cells to the left of the charts: the labels of their axes, and the axis."""
_LABEL = GUTTER - 2
_TICK_GAP = 13
"""Cells from one mark of time to the next, at least."""

LEAST = 40, 8
"""Cells and lines below which there is no picture."""

Piece = tuple[str, str]
"""Text, and the name of its style."""
Line = tuple[Piece, ...]


class Sheet(Value, kw_only=True):
    """What is to be drawn."""

    window: Window
    now: float
    columns: tuple[Bucket | None, ...]
    """One for each of the window's."""
    notes: tuple[Note, ...] = ()
    """Oldest first."""
    cursor: int | None = None
    """The column that the crosshair is on."""
    queues: tuple[str, ...] = ()
    """Which; none: all of them."""
    live: bool = True
    """The picture follows the time."""
    reading: bool = False
    """Not all of it has been read yet."""
    trouble: str | None = None
    """Why nothing newer is read."""


class Panel(Value, kw_only=True):
    """One chart of the picture: what grows up from its zero line, and what hangs down from it."""

    head: Line
    up: tuple[Trace, ...]
    rows: int
    top: float
    label: Callable[[float], str]
    down: tuple[Trace, ...] = ()
    rows_down: int = 0
    bottom: float = 1.0
    signed: bool = False
    """What hangs down is less than nothing, not something else."""


def columns_in(width: int) -> int:
    """How many columns there are in so many cells."""
    return ACROSS * max(1, width - GUTTER)


def column_at(x: int) -> int | None:
    """The first column in the cell ``x`` of a line; None in the gutter."""
    return ACROSS * (x - GUTTER) if x >= GUTTER else None


def draw(sheet: Sheet, width: int, height: int) -> list[Line]:
    """The picture, as exactly so many lines of at most so many cells."""
    if width < LEAST[0] or height < LEAST[1]:
        return [((" The window is too small for a chart.", "dim"),)] * bool(height) + [()] * (height - 1)
    cells = width - GUTTER
    marks = _marks(sheet)
    listed = _listed(sheet, width, most=max(0, min(6, (height - 32) // 3)))
    style = "dim" if sheet.cursor is None else "value"
    read: list[Line] = [((_fit(line, width), style),) for line in readout(sheet)[: 1 if height < 30 else 2]]
    inner = height - 3 - len(read) - len(listed)
    body: list[Line] = []
    for panel in _panels(sheet, inner):
        body += _panel(panel, sheet, cells, marks)
    lines = [_title(sheet, width), _lane(sheet, cells, marks), *body[:inner]]
    lines += [()] * (inner - len(body))
    lines += [_axis(sheet, cells), *read, *listed]
    return lines


# --- panels ------------------------------------------------------------------------------------------


def _panels(sheet: Sheet, rows: int) -> list[Panel]:
    """Those that there is room for, in so many lines."""
    numbers = series(sheet.columns, sheet.window, sheet.now)
    have = _shared_out(rows)
    made: dict[str, Callable[[], Panel]] = {
        "flow": lambda: _flows(sheet, numbers, have["flow"]),
        "dead": lambda: _deaths(sheet, numbers, have["dead"]),
        "drift": lambda: _drift(sheet, numbers, have["drift"]),
        "wait": lambda: _durations(sheet, "WAITED", numbers.wait_p50, numbers.wait_p95, have["wait"]),
        "run": lambda: _durations(sheet, "RAN", numbers.run_p50, numbers.run_p95, have["run"]),
    }
    return [make() for name, make in made.items() if name in have]


class Share(Value):
    """What a panel needs, and how much of what is left it is given."""

    name: str
    least: int
    """Lines with its head and one row, or one above and one below the zero line."""
    cost: int
    """Lines that one row more takes."""
    weight: float
    worth: int
    """It is there from so many lines for all of them on."""


SHARES = (
    Share("flow", 4, 2, 3.0, 0),
    Share("dead", 2, 1, 0.6, 6),
    Share("wait", 2, 1, 1.7, 8),
    Share("run", 2, 1, 1.3, 10),
    Share("drift", 4, 2, 0.9, 26),
)


def _shared_out(rows: int) -> dict[str, int]:
    """How many rows each panel has (above, and as many below, where it has both); those without room are left out."""
    there = [share for share in SHARES if rows >= share.worth]
    have = {share.name: 1 for share in there}
    spare = rows - sum(share.least for share in there)
    while able := [share for share in there if share.cost <= spare]:
        next = max(able, key=lambda share: share.weight / have[share.name])
        have[next.name] += 1
        spare -= next.cost
    return have


def _flows(sheet: Sheet, numbers: Series, rows: int) -> Panel:
    highest = peak(numbers.came, numbers.ended)
    unit, per = _unit(highest)
    top = round_up(highest * unit)
    return Panel(
        head=(
            (f" JOBS/{per}", "head"),
            ("   ▲ in ", "in"),
            (_read(sheet, numbers.came, lambda v: count_label(v * unit)), "value"),
            ("   ▼ out ", "out"),
            (_read(sheet, numbers.ended, lambda v: count_label(v * unit)), "value"),
        ),
        up=(Trace(numbers.came, "in"),),
        down=(Trace(numbers.ended, "out"),),
        rows=rows,
        rows_down=rows,
        top=top / unit,
        bottom=top / unit,
        label=lambda v: count_label(v * unit),
    )


def _deaths(sheet: Sheet, numbers: Series, rows: int) -> Panel:
    highest = peak(numbers.dead)
    unit, per = _unit(highest)
    return Panel(
        head=(
            (f" DEAD/{per}", "head"),
            ("   ✗ ", "dead"),
            (_read(sheet, numbers.dead, lambda v: count_label(v * unit)), "value"),
        ),
        up=(Trace(numbers.dead, "dead"),),
        rows=rows,
        top=round_up(highest * unit) / unit,
        label=lambda v: count_label(v * unit),
    )


def _drift(sheet: Sheet, numbers: Series, rows: int) -> Panel:
    """What came less what ended: how the backlog changed, but for jobs that somebody purged or ran again."""
    above = tuple(None if value is None else max(0.0, value) for value in numbers.drift)
    below = tuple(None if value is None else max(0.0, -value) for value in numbers.drift)
    top = round_up(max(1.0, peak(above, below)))
    return Panel(
        head=(
            (" IN − OUT", "head"),  # noqa: RUF001  a minus sign
            ("   added up from the left ", "dim"),
            (_read(sheet, numbers.drift, lambda v: f"{v:+,.0f}"), "value"),
        ),
        up=(Trace(above, "drift"),),
        down=(Trace(below, "drift"),),
        rows=rows,
        rows_down=rows,
        top=top,
        bottom=top,
        signed=True,
        label=count_label,
    )


def _durations(sheet: Sheet, name: str, p50: Numbers, p95: Numbers, rows: int) -> Panel:
    return Panel(
        head=(
            (f" {name}", "head"),
            ("   ⣿ p50 ", "p50"),
            (_read(sheet, p50, format_duration), "value"),
            ("   ⠒ p95 ", "p95"),
            (_read(sheet, p95, format_duration), "value"),
        ),
        up=(Trace(p50, "p50"), Trace(p95, "p95", filled=False)),
        rows=rows,
        top=round_up_seconds(peak(p50, p95)),
        label=seconds_label,
    )


def _unit(highest: float) -> tuple[float, str]:
    """In how many seconds a rate is told, and what they are called."""
    for seconds, name in ((1.0, "s"), (float(MINUTE), "min")):
        if not highest or highest * seconds >= 0.5:
            return seconds, name
    return float(HOUR), "h"


def _read(sheet: Sheet, numbers: Numbers, label: Callable[[float], str]) -> str:
    """The value under the crosshair, or the newest."""
    if sheet.cursor is not None:
        value = numbers[sheet.cursor]
        return "–" if value is None else label(value)  # noqa: RUF001  there is none
    complete = numbers
    if sheet.window.step <= MINUTE and sheet.window.end > sheet.now:
        # What a column says that has just begun jumps about.
        complete = numbers[:-1]
    newest = next((value for value in reversed(complete) if value is not None), None)
    return "–" if newest is None else label(newest)  # noqa: RUF001  there is none


# --- lines -------------------------------------------------------------------------------------------


def _panel(panel: Panel, sheet: Sheet, cells: int, marks: dict[int, list[Note]]) -> list[Line]:
    up = Raster(cells, panel.rows)
    for trace in panel.up:
        up.draw(trace, panel.top)
    rows = up.lines()
    labels = _labels(panel, panel.rows, panel.top)
    if panel.rows_down:
        down = Raster(cells, panel.rows_down)
        for trace in panel.down:
            down.draw(trace, panel.bottom)
        rows += [_zero(sheet, cells), *down.lines(hanging=True)]
        labels += ["0", *reversed(_labels(panel, panel.rows_down, -panel.bottom if panel.signed else panel.bottom))]
    elif panel.rows > 1:
        labels[-1] = "0"
    lines: list[Line] = [_clipped(panel.head, cells + GUTTER)]
    for label, (text, styles) in zip(labels, rows, strict=True):
        gutter = f"{label:>{_LABEL}} {'┤' if label else '│'}"
        lines.append(((gutter, "axis"), *_overlaid(text, styles, sheet, marks)))
    return lines


def _labels(panel: Panel, rows: int, top: float) -> list[str]:
    """The labels of the rows from the zero line's far side on: the top, and half of it where there is room."""
    labels = [panel.label(top), *([""] * (rows - 1))]
    if rows >= 6:
        labels[rows // 2] = panel.label(top / 2)
    return labels


def _clipped(line: Line, width: int) -> Line:
    pieces = []
    for text, style in line:
        pieces.append((_fit(text, width), style))
        width = max(0, width - _cells(text))
    return tuple(pieces)


def _zero(sheet: Sheet, cells: int) -> tuple[str, list[str]]:
    """The zero line; it breaks off where nothing is known."""
    columns = sheet.columns
    known = [any(each is not None for each in columns[at : at + ACROSS]) for at in range(0, cells * ACROSS, ACROSS)]
    return "".join("─" if each else " " for each in known), ["axis"] * cells


def _overlaid(text: str, styles: Sequence[str], sheet: Sheet, marks: dict[int, list[Note]]) -> list[Piece]:
    """A row of cells with the lines of the notes and the crosshair behind it."""
    cells = list(zip(text, styles, strict=True))
    for cell in marks:
        if cells[cell][0] == " ":
            cells[cell] = ("┊", "note")
    if sheet.cursor is not None and (at := sheet.cursor // ACROSS) < len(cells):
        char, _ = cells[at]
        line = {" ": "│", "┊": "│", "─": "┼"}.get(char)
        cells[at] = (line or char, "cursor")
    return [("".join(char for char, _ in run), style) for style, run in groupby(cells, key=lambda cell: cell[1])]


def _marks(sheet: Sheet) -> dict[int, list[Note]]:
    """The notes by the cell that their time falls into."""
    marks: dict[int, list[Note]] = {}
    for note in sheet.notes:
        if (column := sheet.window.column(note.at)) is not None:
            marks.setdefault(column // ACROSS, []).append(note)
    return marks


def _lane(sheet: Sheet, cells: int, marks: dict[int, list[Note]]) -> Line:
    """The notes over their times, as much of each as fits before the next; all of the one under the crosshair."""
    if under := marks.get(sheet.cursor // ACROSS, []) if sheet.cursor is not None else []:
        told = "   ".join(f"◆ {moment_text(note.at, sheet.window)} {clean(note.text)}" for note in under)
        return ((_fit(f" {told}", cells + GUTTER), "note"),)
    pieces: list[Piece] = [(" " * GUTTER, "")]
    at, order = 0, sorted(marks)
    for number, cell in enumerate(order):
        many = f"{len(marks[cell])}× " if len(marks[cell]) > 1 else ""  # noqa: RUF001  so many times
        text = f"{many}{clean(marks[cell][-1].text)}"
        room = max(0, (order[number + 1] if number + 1 < len(order) else cells) - cell - 2)
        if room < min(_cells(text), before := cell - at - 1):
            # At the right edge, where the newest ones are, the text stands before its mark.
            told = f"{_fit(text, before)}◆"
            start = cell + 1 - _cells(told)
        else:
            told, start = f"◆{_fit(text, room)}", cell
        pieces += [(" " * (start - at), ""), (told, "note")]
        at = start + _cells(told)
    return tuple(pieces)


def _axis(sheet: Sheet, cells: int) -> Line:
    """The times, each beginning at its cell."""
    window = sheet.window
    line = [" "] * cells
    least = _TICK_GAP * ACROSS * window.step
    for at, label in time_ticks(window.start, window.end, least):
        column = window.column(at)
        if column is not None and column // ACROSS + len(label) + 1 <= cells:
            line[column // ACROSS : column // ACROSS + len(label) + 1] = f"╵{label}"
    if sheet.cursor is not None:
        at_cell = sheet.cursor // ACROSS
        return (
            (" " * GUTTER + "".join(line[:at_cell]), "axis"),
            ("▲" if line[at_cell] == " " else line[at_cell], "here"),
            ("".join(line[at_cell + 1 :]), "axis"),
        )
    return ((" " * GUTTER + "".join(line), "axis"),)


def _title(sheet: Sheet, width: int) -> Line:
    window = sheet.window
    names = ", ".join(map(clean, sheet.queues)) or "all queues"
    right, style = _state(sheet)
    least = min(_cells(names), 16) + 1
    # What is kept no finer than this is drawn as its mean.
    coarse = max((each.seconds for each in sheet.columns if each is not None), default=0)
    kept = f", known by {seconds_label(coarse)}" if coarse > window.step else ""
    told = f"  {_range(window)} · {seconds_label(window.step)} a column"
    tolds = (f"{told}{kept} ", f"{told} ", f"  {_range(window)} ", " ")
    told = next((each for each in tolds if width - len(each) - _cells(right) >= least), "")
    left = _fit(f" {names}", max(0, width - len(told) - _cells(right)))
    blank = " " * max(0, width - _cells(left) - len(told) - _cells(right))
    return (left, "title"), (told, "dim"), (blank, ""), (right, style)


def _state(sheet: Sheet) -> Piece:
    """Whether the picture is that of now, in a word."""
    if sheet.trouble is not None:
        return _fit(f"○ {clean(sheet.trouble)}", 32) + " ", "error"
    if sheet.reading:
        return "reading… ", "dim"
    if sheet.live:
        return "● live ", "live"
    return f"◂ {format_duration(sheet.now - sheet.window.end)} ago ", "dim"


def readout(sheet: Sheet) -> tuple[str, str]:
    """What happened in the column under the crosshair, in two lines; without one, in the whole window."""
    window = sheet.window
    if sheet.cursor is None:
        if all(bucket is None for bucket in sheet.columns):
            return " Reading…" if sheet.reading else " Nothing is known of this time.", ""
        came, done, dead = totals(sheet.columns, window, sheet.now)
        return f" {seconds_label(window.seconds)} in all: in {came:,} · out {done:,} · dead {dead:,}", ""
    bucket = sheet.columns[sheet.cursor]
    if bucket is None:
        return f" ▲ {moment_text(window.at(sheet.cursor), window)}  nothing is known of this time", ""
    over = elapsed(bucket, sheet.now)
    so_far = " so far" if over < bucket.seconds else ""
    gone = bucket.cancelled + bucket.expired
    return (
        f" ▲ {moment_text(bucket.at, window)} +{seconds_label(over)}{so_far}  in {bucket.enqueued:,}"
        f"  out {ended(bucket):,}  ok {bucket.succeeded:,}  dead {bucket.dead:,}  retried {bucket.retried:,}"
        f"  started {bucket.started:,}  gone {gone:,}",
        f"   waited {_latency(bucket.wait)}   ran {_latency(bucket.run)}",
    )


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return "–"  # noqa: RUF001  there is none
    texts = (f"{name} {format_duration(value)}" for name, value in (("p50", latency.p50), ("p95", latency.p95)))
    return f"{' '.join(texts)} mean {format_duration(latency.mean)} of {latency.count:,}"


def _listed(sheet: Sheet, width: int, most: int) -> list[Line]:
    """The newest notes of the window, in so many lines at most."""
    inside = [note for note in sheet.notes if sheet.window.column(note.at) is not None]
    shown = inside[-most:] if most else []
    return [
        ((_fit(f" ◆ {moment_text(note.at, sheet.window)}  {clean(note.text)}", width), "note"),)
        for note in reversed(shown)
    ]


def moment_text(at: float, window: Window) -> str:
    """A time as exactly as the columns of the window are."""
    here = time.localtime(at)
    day = "%d %b " if window.seconds > DAY else ""
    if window.step >= DAY:
        return time.strftime("%a %d %b", here)
    return time.strftime(f"{day}%H:%M" if window.step >= MINUTE else f"{day}%H:%M:%S", here)


def _range(window: Window) -> str:
    first, last = time.localtime(window.start), time.localtime(window.end)
    if window.seconds >= 3 * DAY:
        return f"{time.strftime('%d %b', first)} – {time.strftime('%d %b %Y', last)}"  # noqa: RUF001  until
    clock = "%H:%M:%S" if window.step < MINUTE else "%H:%M"
    same = first[:3] == last[:3]
    day = "" if same else "%d %b "
    return f"{time.strftime(f'%d %b {clock}', first)} – {time.strftime(f'{day}{clock}', last)}"  # noqa: RUF001  until


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fit(text: str, width: int) -> str:
    """At most so wide; what is cut says so."""
    if _cells(text) <= width:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1) + "…" if width > 0 else ""
