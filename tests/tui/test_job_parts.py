"""The parts of a job's picture, without a screen: the tree, the tail of the log, the line of time."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qtool.engine.job import Attempt, Chunk, Failure
from qtool.engine.states import Event, State
from qtool.tui.runs import Bar, Run, bars
from qtool.tui.tail import LONGEST, LogLine, Tail
from qtool.tui.tree import CHILDREN, Tree, preview, text_of_value
from tests.tui.test_listing import info

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=5) | st.dictionaries(st.text(max_size=3), each, max_size=5),
    max_leaves=30,
)


@settings(deadline=None)
@given(value=JSON, folds=st.lists(st.integers(0, 30), max_size=10))
def test_a_tree_unfolded_holds_every_plain_value(value: Any, folds: list[int]) -> None:
    tree = Tree("it", value)
    for number in folds:
        lines = tree.lines()
        tree.toggle(lines[number % len(lines)])
    while shut := [line for line in tree.lines() if line.fold == "shut"]:
        assert tree.toggle(shut[0])
    for line in tree.lines():
        at = value
        for step in line.path:
            at = at[step]
        assert at == line.value
        assert tree.toggle(line) == bool(line.fold)
        tree.toggle(line)
    assert preview(value, 10_000) == json.dumps(value, ensure_ascii=False)


def test_a_list_of_a_million_costs_a_hundred_lines() -> None:
    tree = Tree("it", {"many": list(range(1_000_000)), "text": "x" * 1_000_000})
    first = tree.lines()
    assert [(line.label, line.fold) for line in first] == [("it", "open"), ("many", "shut"), ("text", "")]
    assert len(preview(first[1].value)) < 200
    tree.toggle(first[1])
    lines = tree.lines()
    assert len(lines) == 3 + CHILDREN + 1
    assert (lines[-2].fold, lines[-2].rest) == ("more", 1_000_000 - CHILDREN)
    tree.toggle(lines[-2])
    assert len(tree.lines()) == 3 + 2 * CHILDREN + 1
    assert text_of_value("as it is") == "as it is"
    assert text_of_value([1]) == "[\n  1\n]"


# --- the tail of the log ------------------------------------------------------------------------------


@settings(deadline=None)
@given(data=st.binary(max_size=80), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_where_output_is_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    # Whole sequences only: half of one at the very end is held back, as it may go on.
    data = data.replace(b"\x1b", b"").replace(b"\r", b"") + b"\n"
    whole, pieces = Tail(1), Tail(1)
    whole.feed([Chunk("stdout", 0, data)])
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, stop in pairwise(edges):
        pieces.feed([Chunk("stdout", start, data[start:stop])])
    assert pieces.lines == whole.lines
    assert pieces.offset == len(data)
    assert not pieces.feed([Chunk("stdout", 0, data)]), "what is here is not added again"
    more = data + b"more\n"
    assert pieces.feed([Chunk("stdout", 0, more)])
    assert pieces.text().endswith("more\n")
    assert pieces.text().count("\n") == whole.text().count("\n") + 1


def test_streams_keep_their_own_lines_and_colours() -> None:
    tail = Tail(1)
    tail.feed(
        [Chunk("stdout", 0, b"\x1b[31mre"), Chunk("stderr", 7, b"oops\n"), Chunk("stdout", 12, b"d\nred too\x1b[0m\n")]
    )
    assert tail.lines == [
        LogLine("stdout", "\x1b[31mred"),
        LogLine("stderr", "oops"),
        LogLine("stdout", "\x1b[31mred too\x1b[0m"),
    ]
    tail.feed([Chunk("stdout", 39, b"plain\n")])
    assert [line.text for line in tail.lines[3:]] == ["13 bytes were dropped here", "plain"]
    assert tail.text() == "red\noops\nred too\nplain\n"


def test_it_stays_small_however_much_is_written() -> None:
    tail = Tail(1, most=100)
    at = 0
    for number in range(1000):
        data = b"line %d\n" % number
        tail.feed([Chunk("stdout", at, data)])
        at += len(data)
        assert len(tail.lines) <= 111
    assert tail.lines[-1].plain == "line 999"
    assert tail.lines[0].stream == "gap"
    tail.feed([Chunk("stdout", at, b"x" * (3 * LONGEST)), Chunk("stdout", at + 3 * LONGEST, b"y")])
    assert max(len(line.text) for line in tail.lines) <= LONGEST + 1


# --- the line of time -----------------------------------------------------------------------------------


def attempt(number: int, start: float, end: float) -> Attempt:
    return Attempt(
        attempt=number,
        worker="w",
        started_at=start,
        finished_at=end,
        event=Event.ERROR,
        state=State.RETRY,
        error=Failure(type="E", message="no"),
    )


def test_attempts_lie_where_they_were() -> None:
    job = info("a", State.RUNNING, created_at=0.0, started_at=80.0, attempt=3)
    found = bars(job, [attempt(1, 10.0, 30.0), attempt(2, 50.0, 60.0)], now=100.0)
    assert [each.cells(10) for each in found] == [(1, 3), (5, 6), (8, 10)]
    assert [each.seconds for each in found] == [20.0, 10.0, 20.0]
    assert [each.run.state for each in found] == [State.RETRY, State.RETRY, State.RUNNING]


def test_one_that_waited_long_begins_with_its_first_start() -> None:
    job = info("a", State.SUCCEEDED, created_at=0.0, started_at=1000.0, finished_at=1001.0, attempt=1)
    (only,) = bars(job, [], now=5000.0)
    assert only.cells(10) == (0, 10)
    assert bars(info("a"), [], now=1.0) == []


TIMES = st.floats(-1e9, 1e9)


@given(start=TIMES, took=st.floats(-10, 1e6), low=TIMES, span=st.floats(0, 1e6), cells=st.integers(1, 80))
def test_a_bar_is_always_to_be_seen(start: float, took: float, low: float, span: float, cells: int) -> None:
    """By a clock that was set an attempt may end before it began, and begin before the job was."""
    run = Run(1, "error", State.RETRY, start, start + took, "w", "")
    first, stop = Bar(run, low, low + span, low + span).cells(cells)
    assert 0 <= first < stop <= cells
