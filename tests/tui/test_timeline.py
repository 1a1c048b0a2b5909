"""The history as columns: nothing is lost, nothing is counted twice, and no question reads too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtool.engine.filter import parse
from qtool.engine.journal import Note
from qtool.engine.rollup import HISTORY_KEEP, THINNING, Tally, gather, thin
from qtool.errors import BrokerUnreachable
from qtool.tui.lens import Lens, answer
from qtool.tui.timeline import (
    SETTLING,
    SLICE,
    STEPS,
    Past,
    Window,
    beginning,
    ended,
    newest,
    refresh_seconds,
    series,
    share,
    totals,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from qtool.engine.broker import Bucket

NOW = 1_767_225_600.0 + 4321
DAY = 86400


class Memory:
    """An adapter whose history is these tallies; it notes what it is asked."""

    def __init__(self, tallies: list[Tally], notes: tuple[Note, ...] = ()) -> None:
        self.tallies = tallies
        self.asked: list[tuple[float, float]] = []
        self.step = 0
        """Only questions of this many seconds are noted; 0: all."""
        self._notes = notes
        self.inspector: Any = self
        self.journal: Any = self

    def history(
        self, since: float, until: float, *, seconds: int, queues: Collection[str] = (), together: bool = False
    ) -> list[Bucket]:
        if self.step in (0, seconds):
            self.asked.append((since, until))
        there = [
            tally
            for tally in self.tallies
            if tally.at + tally.seconds > since and tally.at < until and (not queues or tally.queue in queues)
        ]
        return [tally.bucket() for tally in gather(there, seconds, together=together)]

    def notes(self, since: float, until: float, *, limit: int = 1000) -> list[Note]:
        return [note for note in self._notes if since <= note.at < until][-limit:]


def tally(at: float, count: int = 1, queue: str = "q", dead: int = 0) -> Tally:
    made = Tally(int(at), 1, queue)
    made.count("enqueued", count)
    made.count("succeeded", count)
    made.count("dead", dead)
    made.waited(0.5, count)
    return made


def settle(lens: Lens, adapter: Any) -> int:
    """Ask until nothing is missing; how many questions it took."""
    count = 0
    while (question := lens.question()) is not None:
        lens.learn(answer(question, adapter))
        count += 1
        assert count < 200, "it asks for ever"
    return count


def test_every_step_fits_the_rollups() -> None:
    for step in STEPS:
        for width in (1, *(width for width, _ in THINNING)):
            assert step % width == 0 or width % step == 0, (step, width)


@given(step=st.sampled_from(STEPS), columns=st.integers(1, 600), by=st.integers(-20, 20), back=st.integers(0, 10**7))
def test_a_window_keeps_to_its_grid_and_never_shows_the_future(step: int, columns: int, by: int, back: int) -> None:
    window = Window(step, newest(NOW, step), columns).moved(-back // step, newest(NOW, step))
    around = window.at(columns // 2)
    zoomed = window.zoomed(by, around, NOW)
    assert zoomed.end % zoomed.step == 0
    assert zoomed.end <= newest(NOW, zoomed.step)
    assert zoomed.step in STEPS
    assert zoomed.columns == columns
    for column in (0, columns - 1):
        assert window.column(window.at(column)) == column
    assert window.column(window.end) is None
    assert window.column(window.start - 1) is None


@given(by=st.integers(-6, 6), column=st.integers(0, 143))
def test_zooming_keeps_what_it_is_around_in_its_place(by: int, column: int) -> None:
    window = Window(60, newest(NOW, 60) - 50 * DAY, 144)
    around = window.at(column)
    zoomed = window.zoomed(by, around, NOW)
    there = zoomed.column(around)
    assert there is not None
    assert abs(there - column) <= 1


def test_zooming_ends_where_the_history_does() -> None:
    window = Window(1, newest(NOW, 1), 500)
    for _ in range(30):
        window = window.zoomed(1, None, NOW)
    assert HISTORY_KEEP <= window.seconds < 4 * HISTORY_KEEP
    assert window.end >= NOW, "the newest stays in sight"


events = st.lists(
    st.tuples(st.integers(0, 12 * DAY), st.integers(1, 40), st.sampled_from(["a", "b"]), st.integers(0, 3)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(events=events, step=st.sampled_from(STEPS[9:]))
def test_sums_are_preserved_however_it_was_thinned(events: list[tuple[int, int, str, int]], step: int) -> None:
    """Some days of events, thinned as the broker does it, and looked at in columns of any width."""
    tallies = thin([tally(NOW - 1 - age, count, queue, dead) for age, count, queue, dead in events], NOW)
    columns = 14 * DAY // step + 2
    lens = Lens()
    lens.window = Window(step, 0, 1)
    lens.see(NOW, columns)
    settle(lens, Memory(tallies))
    sheet = lens.sheet()
    assert sheet is not None
    came, out, dead = totals(sheet.columns, sheet.window, NOW)
    assert came == sum(count for _, count, _, _ in events)
    assert dead == sum(dead for _, _, _, dead in events)
    assert out == came + dead
    numbers = series(sheet.columns, sheet.window, NOW)
    assert numbers.drift[-1] == pytest.approx(-dead)


@settings(max_examples=60, deadline=None)
@given(events=events, step=st.sampled_from(STEPS), back=st.integers(0, 12 * DAY))
def test_a_rate_over_its_columns_is_what_happened(
    events: list[tuple[int, int, str, int]], step: int, back: int
) -> None:
    """Also where a column is finer than what is still known: then it is the mean."""
    tallies = thin([tally(NOW - 1 - age, count, queue) for age, count, queue, _ in events], NOW)
    lens = Lens()
    lens.window = Window(step, 0, 1)
    lens.see(NOW, 300)
    settle(lens, Memory(tallies))
    lens.pan(-back / (300 * step))
    settle(lens, Memory(tallies))
    sheet = lens.sheet()
    assert sheet is not None
    for number, bucket in enumerate(sheet.columns):
        if bucket is None:
            continue
        at = sheet.window.at(number)
        inside = sum(t.counters["enqueued"] for t in tallies if bucket.at <= t.at < bucket.at + bucket.seconds)
        assert bucket.enqueued == inside
        assert bucket.at <= at < bucket.at + bucket.seconds
        assert 0 <= share(bucket, at, step, NOW) <= 1


def test_what_nobody_knows_is_no_zero() -> None:
    """Before the first event, between two events, and before anything was read."""
    lens = Lens()
    lens.window = Window(1, 0, 1)
    lens.see(NOW, 100)
    sheet = lens.sheet()
    assert sheet is not None
    assert set(sheet.columns) == {None}
    settle(lens, Memory([tally(NOW - 50, 3), tally(NOW - 20, 4)]))
    sheet = lens.sheet()
    assert sheet is not None
    known = [bucket is not None for bucket in sheet.columns]
    assert known == [False] * 50 + [True] * 50
    assert [bucket.enqueued for bucket in sheet.columns[50:] if bucket] == [3] + [0] * 29 + [4] + [0] * 19
    numbers = series(sheet.columns, sheet.window, NOW)
    assert numbers.came[49:52] == (None, 3.0, 0.0)
    assert numbers.wait_p50[51] is None, "nothing was started: nothing waited"


def test_a_broker_without_any_history() -> None:
    lens = Lens()
    lens.see(NOW, 100)
    assert settle(lens, Memory([])) == 1
    sheet = lens.sheet()
    assert sheet is not None
    assert set(sheet.columns) == {None}
    lens.first()
    assert lens.cursor is None


@pytest.mark.parametrize("age", [0, 1, 30, 59, 61, 3599, 7300, 3 * DAY, 8 * DAY, 100 * DAY, 399 * DAY])
def test_the_beginning_is_found_wherever_it_is(age: int) -> None:
    first = tally(NOW - age)
    memory = Memory(thin([first, tally(NOW - age / 2), tally(NOW - 1)], NOW))
    found = beginning(memory.inspector, NOW)
    assert found is not None
    assert NOW - age - 3600 <= found <= NOW - age
    assert len(memory.asked) < 40


def test_no_question_reads_more_than_its_slice() -> None:
    """A month in a narrow picture: most of it is hours, the last week minutes, the last two hours seconds."""
    memory = Memory([tally(NOW - 40 * DAY)])
    memory.step = 21600
    lens = Lens()
    lens.window = Window(21600, 0, 1)
    lens.see(NOW, 144)
    settle(lens, memory)
    assert len(memory.asked) > 3
    for since, until in memory.asked:
        width = 1 if NOW - until < 7200 else 60 if NOW - until < 7 * DAY else 3600
        assert (until - since) / width <= max(SLICE, 21600 / width)
    again = Memory(memory.tallies)
    lens.see(NOW + 30, 144)
    settle(lens, again)
    assert again.asked == [] or min(since for since, _ in again.asked) >= NOW - 2 * 21600, "the past is not read twice"


def test_only_what_may_have_changed_is_read_again() -> None:
    memory = Memory([tally(NOW - 200), tally(NOW - 1)])
    lens = Lens()
    lens.window = Window(1, 0, 1)
    lens.see(NOW, 144)
    assert settle(lens, memory) == 1
    assert lens.question() is None, "the same second"
    memory.asked.clear()
    late = NOW - 3
    memory.tallies.append(tally(late, 7))
    lens.see(NOW + 1, 144)
    assert settle(lens, memory) == 1
    ((since, until),) = memory.asked
    assert NOW + 1 - SETTLING - 2 <= since <= late
    assert until == NOW + 1
    sheet = lens.sheet()
    assert sheet is not None
    column = sheet.window.column(late)
    assert column is not None
    bucket = sheet.columns[column]
    assert bucket is not None
    assert ended(bucket) == 7


def test_what_is_remembered_is_bounded() -> None:
    past = Past()
    for number in range(40):
        window = Window(60, newest(NOW, 60) - number * 300 * 60, 300)
        past.add(60, window.start, window.end, [], NOW)
    assert len(past._level(60).columns) <= 4000
    for step in STEPS:
        past.add(step, 0, step, [], NOW)
    assert len(past._levels) <= 6


def test_another_choice_of_queues_drops_what_was_read_and_what_is_on_its_way() -> None:
    memory = Memory([tally(NOW - 10, 3, "a"), tally(NOW - 10, 5, "b")])
    lens = Lens()
    lens.window = Window(1, 0, 1)
    lens.see(NOW, 100)
    slow = lens.question()
    assert slow is not None
    lens.choose(["b"])
    settle(lens, memory)
    lens.learn(answer(slow, memory))  # type: ignore[arg-type]  # as much of an adapter as it needs
    sheet = lens.sheet()
    assert sheet is not None
    assert totals(sheet.columns, sheet.window, NOW)[0] == 5


def test_a_broker_that_fails_is_asked_again_at_the_next_look() -> None:
    lens = Lens()
    lens.see(NOW, 100)
    assert lens.question() is not None
    assert lens.question() is None, "one is on its way"
    lens.fail(BrokerUnreachable(url="shop", why="gone"))
    lens.see(NOW + 5, 100)
    assert lens.trouble is not None
    assert settle(lens, Memory([tally(NOW)])) == 1
    assert lens.trouble is None


def test_wide_columns_are_looked_at_more_rarely() -> None:
    waits = [refresh_seconds(step) for step in STEPS]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 60)


# --- moving ------------------------------------------------------------------------------------------


def lens_over(*tallies: Tally, notes: tuple[Note, ...] = ()) -> Lens:
    lens = Lens()
    lens.window = Window(1, 0, 1)
    lens.see(NOW, 100)
    settle(lens, Memory([tally(NOW - 1000), *tallies], notes))
    return lens


def test_the_crosshair_takes_the_window_with_it_and_stops_at_both_ends() -> None:
    lens = lens_over()
    lens.read(-1)
    assert lens.cursor == NOW - 1
    lens.read(1)
    assert (lens.cursor, lens.live) == (NOW - 1, True)
    lens.read(-150)
    assert lens.cursor == NOW - 151
    assert lens.window.start == NOW - 151
    assert not lens.live
    lens.read(-5000)
    assert lens.cursor == NOW - 1000, "nothing is known before"
    lens.read(+5000)
    assert (lens.cursor, lens.live) == (NOW - 1, True)
    lens.latest()
    assert lens.cursor is None


def test_the_crosshair_stays_on_its_time_while_time_goes_on() -> None:
    lens = lens_over()
    lens.read(-1)
    at = lens.cursor
    lens.see(NOW + 30, 100)
    assert lens.cursor == at
    assert lens.window.end == NOW + 30
    lens.pan(-2)
    assert lens.cursor is None, "it was left behind"
    assert not lens.live
    end = lens.window.end
    lens.see(NOW + 60, 100)
    assert lens.window.end == end, "the past stands still"


def test_from_note_to_note() -> None:
    notes = (Note(1, NOW - 700.5, "a"), Note(2, NOW - 300, "b"), Note(3, NOW + 100, "planned"))
    lens = lens_over(notes=notes)
    assert not lens.to_note(1)
    assert lens.to_note(-1)
    assert lens.cursor == NOW - 300
    assert lens.window.column(NOW - 300) is not None
    assert lens.to_note(-1)
    assert lens.cursor == NOW - 701
    assert not lens.to_note(-1)
    assert lens.to_note(1)
    assert lens.cursor == NOW - 300


def test_the_jobs_of_a_column_and_of_a_window() -> None:
    lens = lens_over()
    assert parse(lens.where()).states() is None
    assert lens.where() == "finished>=2026-01-01T01:10:21.000Z finished<2026-01-01T01:12:01.000Z"
    lens.choose(["email", "a b*"])
    lens.read(-1)
    assert lens.where().endswith("finished>=2026-01-01T01:12:00.000Z finished<2026-01-01T01:12:01.000Z")
    assert lens.where().startswith("(")
    assert sorted(parse(lens.where()).queues() or ()) == ["a b*", "email"]


def test_to_the_beginning_and_not_beyond() -> None:
    lens = lens_over()
    lens.first()
    assert lens.cursor == NOW - 1000
    lens.pan(-10)
    assert lens.window.end > NOW - 1000
    lens.latest()
    assert lens.live
