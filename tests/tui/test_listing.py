"""The window on a listing, held against the listing itself while jobs come, go and change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtool.engine.broker import Page
from qtool.engine.filter import parse
from qtool.engine.job import NOTHING, UNSAID, Failure, JobInfo
from qtool.engine.states import State
from qtool.tui.listing import MOST, PAGE, Stretch, Window, brief

if TYPE_CHECKING:
    from qtool.engine.filter import Filter


def info(id: str, state: State = State.READY, **more: object) -> JobInfo:
    """A job that says no more than it must."""
    said: dict[str, object] = {
        name: None
        for name in JobInfo.__slots__
        if name not in ("args", "kwargs", "tags", "parents", "policy", "key_limit", "held", "key")
    }
    said |= {"id": id, "task": "t", "queue": "q", "state": state, "args": (), "kwargs": NOTHING, "tags": NOTHING}
    said |= {
        "parents": (),
        "policy": UNSAID,
        "priority": 0,
        "created_at": 0.0,
        "attempt": 0,
        "failures": 0,
        "crashes": 0,
    }
    return JobInfo(**(said | more))  # type: ignore[arg-type]  # every field is in there


class Listing:
    """All there is: a list of keys and jobs, browsed the plain way."""

    def __init__(self) -> None:
        self.jobs: dict[int, JobInfo] = {}
        self.most_asked = 0
        self._number = 0

    def add(self, count: int) -> None:
        for _ in range(count):
            self._number += 1
            self.jobs[max(self.jobs, default=0) + 1] = info(f"job-{self._number}")

    def browse(
        self, where: Filter | None = None, *, after: int | None = None, limit: int = 100, oldest_first: bool = False
    ) -> Page:
        self.most_asked = max(self.most_asked, limit)
        keys = sorted(self.matching(where), reverse=not oldest_first)
        if after is not None:
            keys = [key for key in keys if (key > after if oldest_first else key < after)]
        here = keys[:limit]
        return Page(tuple(self.jobs[key] for key in here), here[-1] if len(keys) > limit else None, tuple(here))

    def matching(self, where: Filter | None) -> list[int]:
        return [key for key, job in self.jobs.items() if where is None or where.matches(job, 0.0)]


def ask(window: Window, listing: Listing, stretch: Stretch) -> None:
    page, rows = stretch.ask(listing, window.where, oldest_first=window.oldest_first)  # type: ignore[arg-type]  # it browses
    window.fold(stretch, page, rows)


def ids(window: Window) -> list[str]:
    return [row.id for row in window.rows]


HAPPENS = ("add", "delete", "change", "back")
ASKED = ("first", "last", "above", "below", "again")
STEPS = st.lists(st.tuples(st.sampled_from([*HAPPENS, *ASKED, "trim"]), st.integers(0, 40)), max_size=40)


def happen(listing: Listing, what: str, number: int) -> None:
    """Something happens to one of the jobs, or new ones come."""
    if what == "add":
        listing.add(number % 9)
    elif listing.jobs:
        key = sorted(listing.jobs)[number % len(listing.jobs)]
        job = listing.jobs.pop(key)
        if what == "change":
            listing.jobs[key] = info(job.id, State.DEAD if job.state is State.READY else State.READY)
        elif what == "back":
            # Deleted, and enqueued again under the same id.
            listing.jobs[max(listing.jobs, default=0) + 1] = job


def look(window: Window, listing: Listing, what: str, number: int) -> None:
    """Ask for a few rows."""
    stretch = window.again(number % len(window.rows), 8) if what == "again" else getattr(window, what)()
    ask(window, listing, Stretch(after=stretch.after, backwards=stretch.backwards, limit=8))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, where=st.sampled_from([None, "state:ready"]), oldest_first=st.booleans(), most=st.integers(5, 30))
def test_it_shows_no_job_twice_and_keeps_its_place(
    steps: list[tuple[str, int]], where: str | None, oldest_first: bool, most: int
) -> None:
    listing = Listing()
    listing.add(60)
    window = Window(parse(where) if where else None, oldest_first=oldest_first, most=most)
    ask(window, listing, window.first())
    for what, number in steps:
        at = window.key(number % len(window.rows)) if window.rows else None
        if what in HAPPENS:
            happen(listing, what, number)
        elif at is not None and what == "trim":
            window.trim(number % len(window.rows))
            assert len(window.rows) <= most
            assert window.holds(at)
        elif at is not None or what in ("first", "last"):
            look(window, listing, what, number)
            if what not in ("first", "last") and at in listing.matching(window.where):
                # The row under a cursor is still there while its job is.
                assert window.holds(at or 0)
        keys = [window.key(n) or 0 for n in range(len(window.rows))]
        assert keys == sorted(set(keys), reverse=not oldest_first)
        assert len(set(ids(window))) == len(window.rows), "a job is shown twice"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, where=st.sampled_from([None, "state:ready"]), oldest_first=st.booleans(), start=st.integers(0, 50))
def test_what_is_asked_again_is_as_it_is_now(
    steps: list[tuple[str, int]], where: str | None, oldest_first: bool, start: int
) -> None:
    listing = Listing()
    listing.add(60)
    window = Window(parse(where) if where else None, oldest_first=oldest_first)
    ask(window, listing, window.first())
    for what, number in steps:
        if what in HAPPENS:
            happen(listing, what, number)
        elif what != "trim" and window.rows:
            look(window, listing, what, number)
    if not window.rows:
        return
    start %= len(window.rows)
    first = window.key(start) or 0
    ask(window, listing, window.again(start, 8))
    true = sorted(listing.matching(window.where), reverse=not oldest_first)
    expected = [key for key in true if (key >= first if oldest_first else key <= first)][:8]
    at = window.nearest(first)
    assert [window.key(n) for n in range(at, len(window.rows))][: len(expected)] == expected


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 90), step=st.integers(1, 20), oldest_first=st.booleans(), from_end=st.booleans())
def test_all_of_it_can_be_walked_through_from_either_end(
    count: int, step: int, oldest_first: bool, from_end: bool
) -> None:
    listing = Listing()
    listing.add(count)
    window = Window(oldest_first=oldest_first, most=10_000)
    first = window.last() if from_end else window.first()
    ask(window, listing, Stretch(after=None, backwards=first.backwards, limit=step))
    for _ in range(count):
        if window.whole_top and window.whole_end:
            break
        beyond = window.above() if from_end else window.below()
        ask(window, listing, Stretch(after=beyond.after, backwards=beyond.backwards, limit=step))
    assert window.whole_top
    assert window.whole_end
    assert [window.key(n) for n in range(count)] == sorted(listing.jobs, reverse=not oldest_first)


def test_what_does_not_join_on_takes_the_place_of_what_was_there() -> None:
    """Five thousand jobs a second: between two looks at the top lies more than a page."""
    listing = Listing()
    listing.add(500)
    window = Window()
    ask(window, listing, window.first())
    listing.add(PAGE + 1)
    page, rows = window.first().ask(listing, None, oldest_first=False)  # type: ignore[arg-type]  # it browses
    assert not window.fits(window.first(), page)
    window.fold(window.first(), page, rows)
    assert [window.key(n) for n in range(len(window.rows))] == list(page.keys)
    assert not window.whole_end


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_walk_through_many_holds_few_and_asks_for_a_page_at_a_time(oldest_first: bool) -> None:
    listing = Listing()
    listing.add(5 * MOST)
    window = Window(oldest_first=oldest_first)
    ask(window, listing, window.first())
    while not window.whole_end:
        ask(window, listing, window.below())
        window.trim(len(window.rows) - 1)
        assert len(window.rows) <= MOST
    assert window.key(len(window.rows) - 1) in (1, 5 * MOST)
    assert listing.most_asked == PAGE


def test_the_place_of_a_job_that_is_gone_is_that_of_the_one_behind_it() -> None:
    listing = Listing()
    listing.add(10)
    window = Window()
    ask(window, listing, window.first())
    del listing.jobs[5], listing.jobs[9]
    ask(window, listing, window.first())
    assert window.key(window.nearest(5)) == 4
    assert not window.holds(5)
    assert window.key(window.nearest(99)) == 10


def test_a_row_keeps_no_more_than_a_line_can_show() -> None:
    huge = {"text": "x" * 100_000, "deep": [[[[[[[[1]]]]]]]], "many": list(range(100_000))}
    job = info("a", State.DEAD, args=(huge,) * 500, error=Failure(type="E", message="y" * 9999, traceback="z" * 99999))
    row = brief(job)
    assert len(str(row)) < 60_000
    assert row.error is not None
    assert row.error.traceback is None
    assert row.args[0]["text"].startswith("xxx")
