"""The jobs: filtered, marked, found; a window that keeps its place while everything changes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from textual.events import Key

from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.job import Job
from qtool.engine.states import State
from qtool.tui.frame import text_of
from qtool.tui.listing import MOST, PAGE
from qtool.tui.screens.jobs import Jobs, of_queue
from qtool.tui.widgets.filterline import FilterInput
from qtool.tui.widgets.findline import FindLine
from qtool.tui.widgets.grid import Grid
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qtool.engine.broker import Adapter
    from tests.tui.conftest import Stage


async def put(pilot: Pilot[None], text: str) -> None:
    """Write a filter and apply it."""
    await pilot.press("slash")
    pilot.app.screen.query_one(FilterInput).value = text
    await pilot.press("enter")


async def find(pilot: Pilot[None], word: str) -> None:
    """Look for a word."""
    await pilot.press("f")
    pilot.app.screen.query_one(FindLine).value = word
    await pilot.press("enter")


def told(pilot: Pilot[None], text: str) -> bool:
    """Whether a notice says so."""
    return any(text in each.message for each in pilot.app._notifications)


def fill(stage: Stage) -> list[str]:
    """Jobs in most states, in three queues; their ids."""
    ids = [stage.add("shop.mail.send", f"ann{n}@example.com", queue="email", tags={"team": "post"}) for n in range(30)]
    ids += [stage.add("shop.report", n, queue="reports", tags={"team": "books"}) for n in range(4)]
    ids += [stage.add("qtool.exec", "convert", f"holiday {n}.png", queue="bulk") for n in range(2)]
    ids.append(stage.add("shop.night", queue="reports", run_at=stage.clock.now() + 3600))
    worker = stage.worker("1", busy=2)
    for number, lease in enumerate(stage.start(worker, 6, "email")):
        stage.end(lease, "connection refused" if number % 3 == 0 else None, took=0.5)
    stage.start(worker, 2, "reports")
    stage.adapter.operator.cancel([ids[-2]])
    stage.clock.advance(75)
    stage.worker("1", busy=2)
    return ids


async def shown(pilot: Pilot[None]) -> Grid[Any]:
    """The screen of jobs, filled."""
    await pilot.press("2")
    await settled(pilot, lambda: isinstance(pilot.app.screen, Jobs) and pilot.app.screen._window.loaded)
    await pilot.pause()
    grid: Grid[Any] = pilot.app.screen.query_one("#jobs", Grid)
    return grid


@pytest.mark.parametrize("size", SIZES)
def test_all_jobs_newest_first(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await compare(pilot, "jobs")

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_no_jobs_say_what_to_do(stage: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shown(pilot)
        await compare(pilot, "jobs-empty")

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_a_filter_is_completed_and_its_mistakes_are_told_while_it_is_typed(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await shown(pilot)
        await pilot.press("slash", "s", "t", "tab")
        field = pilot.app.screen.query_one(FilterInput)
        assert field.value == "state:"
        await pilot.press("d", "tab", "space", "q", "tab", "e", "tab")
        assert field.value == "state:dead queue:email"
        field.value += " eror~x"
        await pilot.pause()
        await compare(pilot, "jobs-filter-wrong")
        await pilot.press("enter")
        assert field.has_focus, "a filter that is wrong is not applied"
        field.value = "state:dead tag.team:"
        await pilot.pause()
        await compare(pilot, "jobs-filter-completing")
        await pilot.press("tab", "tab", "enter")
        await settled(pilot, lambda: len(grid.rows) == 2)
        assert grid.has_focus
        assert {row.state for row in grid.rows} == {State.DEAD}
        await compare(pilot, "jobs-filtered")

    stage.drive(look, size=size)


def test_what_is_typed_in_one_burst_after_the_slash_belongs_to_the_filter(stage: Stage) -> None:
    """As over a slow line: the keys are there before anything could be drawn."""
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await shown(pilot)
        for key in ("slash", *"args~f", "enter"):
            pilot.app.post_message(Key(key, key if len(key) == 1 else "/" if key == "slash" else None))
        await settled(pilot, lambda: "/args~f" in text_of(pilot.app) and "0 jobs" in text_of(pilot.app))

    stage.drive(look)


def test_earlier_filters_come_back_and_esc_gives_up(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await shown(pilot)
        field = pilot.app.screen.query_one(FilterInput)
        for text in ("state:dead", "queue:email"):
            await put(pilot, text)
        await pilot.press("slash", "ctrl+u", "d", "up")
        assert field.value == "queue:email"
        await pilot.press("up", "up")
        assert field.value == "state:dead"
        await pilot.press("down", "down")
        assert field.value == "d"
        await pilot.press("escape")
        assert "/queue:email" in text_of(pilot.app)
        await pilot.press("escape")
        await settled(pilot, lambda: "all jobs" in text_of(pilot.app))
        assert isinstance(pilot.app.screen, Jobs)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, Jobs)

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_what_a_key_would_act_on_is_shown(stage: Stage, size: tuple[int, int]) -> None:
    ids = fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await shown(pilot)
        screen: Any = pilot.app.screen
        await settled(pilot, lambda: screen.targets() is not None)
        assert screen.targets().ids == (ids[-1],)
        await pilot.press("j", "space", "space")
        assert screen.targets().ids == (ids[-2], ids[-3])
        await compare(pilot, "jobs-marked")
        await pilot.press("asterisk")
        await settled(pilot, lambda: told(pilot, "Filter first"))
        await put(pilot, "state:ready")
        await settled(pilot, lambda: len(screen.grid.rows) == 27)
        assert screen.targets().ids == (ids[-3],), "marks do not outlive the filter they were made in"
        await pilot.press("asterisk")
        assert screen.targets().where.text == "state:ready"
        await compare(pilot, "jobs-all-that-match")
        await pilot.press("space")
        assert screen.targets().where is None
        await pilot.press("asterisk", "escape")
        assert screen.targets().where is None
        assert "/state:ready" in text_of(pilot.app)

    stage.drive(look, size=size)


def test_at_the_top_the_newest_is_followed_and_elsewhere_the_cursor_stays_on_its_job(stage: Stage) -> None:
    ids = fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await shown(pilot)
        newest = stage.add("shop.more")
        await settled(pilot, lambda: grid.current_key == newest)
        await pilot.press("j", "j")
        held = grid.current_key
        assert held == ids[-2]
        on_line = grid.place - grid.scroll_offset.y
        for _ in range(3):
            stage.add("shop.more")
        await settled(pilot, lambda: len(grid.rows) > 39)
        stage.adapter.operator.delete([ids[-1]])
        await settled(pilot, lambda: len(grid.rows) < 41)
        assert (grid.current_key, grid.place - grid.scroll_offset.y) == (held, on_line)
        stage.adapter.operator.delete([ids[-2]])
        await settled(pilot, lambda: grid.current_key != held)
        assert grid.current_key == ids[-3]
        await pilot.press("g")
        newest = stage.add("shop.more")
        await settled(pilot, lambda: grid.current_key == newest)

    stage.drive(look)


def spied(stage: Stage, asked: list[int]) -> Any:
    """An opener whose listings note how many jobs they were asked for."""

    class Spy:
        def __init__(self, inspector: Any) -> None:
            self._inspector = inspector

        def browse(self, where: Any = None, **how: Any) -> Any:
            asked.append(how["limit"])
            return self._inspector.browse(where, **how)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inspector, name)

    def opener() -> Adapter:
        adapter = open_sqlite(f"sqlite://{stage.path}", clock=stage.clock)
        parts = {name: getattr(adapter, name) for name in type(adapter).__slots__}
        return type(adapter)(**(parts | {"inspector": Spy(adapter.inspector)}))

    return opener


def many(stage: Stage, count: int) -> None:
    for start in range(0, count, 5000):
        stage.adapter.broker.enqueue(
            [
                Job(id=f"019b0000-{n:08d}", task="shop.count", args=(n,), created_at=stage.clock.now())
                for n in range(start, min(start + 5000, count))
            ]
        )


def test_a_hundred_thousand_are_scrolled_through_a_page_at_a_time(stage: Stage) -> None:
    many(stage, 100_000)
    asked: list[int] = []

    async def look(pilot: Pilot[None]) -> None:
        grid = await shown(pilot)
        screen: Any = pilot.app.screen
        assert "100,000 jobs" in text_of(pilot.app)
        page = grid.size.height - 2
        down = MOST // page + 5
        places = [*range(1, down + 1), *reversed(range(down))]
        for before, number in pairwise([0, *places]):
            grid.action_page(number - before)

            def arrived(wanted: int = number * page) -> bool:
                # Whoever is faster than the broker comes to the edge of what is held, and goes on from there.
                here = 99_999 - int((grid.current_key or "")[-8:])
                grid.action_move(wanted - here)
                return here == wanted

            await settled(pilot, arrived)
            assert len(grid.rows) <= MOST
            assert number < down or not screen._window.whole_top
        await pilot.press("G")
        await settled(pilot, lambda: grid.current_key == "019b0000-00000000")
        await pilot.press("k")
        assert grid.current_key == "019b0000-00000001"
        await pilot.press("g")
        await settled(pilot, lambda: grid.current_key == "019b0000-00099999")
        await pilot.press("o")
        await settled(pilot, lambda: grid.current_key == "019b0000-00000000")
        assert max(asked) <= PAGE

    stage.drive(look, size=(160, 50), opener=spied(stage, asked))


def test_a_word_is_found_however_far_away(stage: Stage) -> None:
    many(stage, 3000)

    async def look(pilot: Pilot[None]) -> None:
        grid = await shown(pilot)
        await pilot.press("n")
        await settled(pilot, lambda: told(pilot, "f looks for a word first"))
        await find(pilot, "00000777")
        await settled(pilot, lambda: grid.current_key == "019b0000-00000777")
        await pilot.press("n")
        await settled(pilot, lambda: told(pilot, "No further row holds '00000777'"))
        await find(pilot, "0000123")
        await settled(pilot, lambda: grid.current_key == "019b0000-00000123")
        await pilot.press("N")
        await settled(pilot, lambda: grid.current_key == "019b0000-00001230")
        await pilot.press("N")
        await settled(pilot, lambda: grid.current_key == "019b0000-00001231")
        await pilot.press("n")
        await settled(pilot, lambda: grid.current_key == "019b0000-00001230")

    stage.drive(look)


def test_what_only_a_walk_can_count_is_counted_beside(stage: Stage) -> None:
    """The list is there at once; the count comes when it comes."""
    many(stage, 1000)
    counting = 0
    free = False

    def opener() -> Adapter:
        adapter = open_sqlite(f"sqlite://{stage.path}", clock=stage.clock)
        parts = {name: getattr(adapter, name) for name in type(adapter).__slots__}

        class Slow:
            def count(self, where: Any = None) -> int:
                nonlocal counting
                import time

                if where is not None and not where.only_queues_and_states:
                    counting += 1
                    while not free:
                        time.sleep(0.001)
                return adapter.inspector.count(where)

            def __getattr__(self, name: str) -> Any:
                return getattr(adapter.inspector, name)

        return type(adapter)(**(parts | {"inspector": Slow()}))

    async def look(pilot: Pilot[None]) -> None:
        nonlocal free
        grid = await shown(pilot)
        await put(pilot, "args~5")
        await settled(pilot, lambda: len(grid.rows) > 100)
        assert "… jobs" in text_of(pilot.app)
        free = True
        await settled(pilot, lambda: "271 jobs" in text_of(pilot.app))
        assert counting == 1

    stage.drive(look, opener=opener)


def test_the_overview_leads_to_the_jobs_of_a_queue(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("j", "enter")
        await settled(pilot, lambda: "/queue:email" in text_of(pilot.app) and "30 jobs" in text_of(pilot.app))

    stage.drive(look)


@pytest.mark.parametrize(
    ("queue", "text"),
    [("email", "queue:email"), ("a b", 'queue="a b"'), ("or*", 'queue="or*"'), ("a-b_c.d", "queue:a-b_c.d")],
)
def test_any_queue_can_be_named_in_a_filter(queue: str, text: str) -> None:
    assert of_queue(queue) == text


def test_what_comes_from_outside_is_harmless(stage: Stage) -> None:
    stage.add("shop.evil", "[bold]a[/bold]\x1b[31mred\u202e")

    async def look(pilot: Pilot[None]) -> None:
        await shown(pilot)
        text = text_of(pilot.app)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[bold]a[/bold]" in text
        await put(pilot, "args~[/x]")
        await settled(pilot, lambda: "/args~[/x]" in text_of(pilot.app))

    stage.drive(look)
