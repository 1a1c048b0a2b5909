"""Lists as somebody wants them: sorted, with some columns in some order, and the same the next time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool.tui.frame import text_of
from qtool.tui.memory import Memory, Shape
from qtool.tui.screens.menu import letters
from qtool.tui.widgets.grid import Grid
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.fixture
def queues(stage: Stage) -> Stage:
    """Three queues with 1, 3 and 2 jobs."""
    for name, count in (("a", 1), ("b", 3), ("c", 2)):
        for _ in range(count):
            stage.add("shop.mail.send", queue=name)
    return stage


def shown(app: Any) -> list[str]:
    """The queues, from above."""
    return [line.row.queue for line in app.screen_stack[0].query_one("#queues", Grid).rows]


@pytest.mark.parametrize("size", SIZES)
def test_a_menu_of_what_can_be_sorted_by(queues: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        grid = pilot.app.screen.query_one("#queues", Grid)
        assert grid.current_key == "a"
        await pilot.press("s")
        await pilot.pause()
        await compare(pilot, "sort")
        await pilot.press("r")
        await settled(pilot, lambda: shown(pilot.app) == ["b", "c", "a"])
        assert grid.current_key == "a"
        assert "READY↓" in text_of(pilot.app)
        await pilot.press("s", "r")
        await settled(pilot, lambda: shown(pilot.app) == ["a", "c", "b"])
        assert "READY↑" in text_of(pilot.app)
        queues.add("shop.mail.send", queue="a")
        queues.add("shop.mail.send", queue="a")
        queues.add("shop.mail.send", queue="a")
        await settled(pilot, lambda: shown(pilot.app) == ["c", "b", "a"])

    queues.drive(look, size=size)


def test_a_click_on_a_heading_sorts(queues: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await settled(pilot, lambda: "paused" in text_of(pilot.app))
        line = text_of(pilot.app).splitlines()[2]
        await pilot.click("#queues", offset=(line.index("READY") + 1, 0))
        await settled(pilot, lambda: shown(pilot.app) == ["b", "c", "a"])
        await pilot.click("#queues", offset=(line.index("READY") + 1, 0))
        await settled(pilot, lambda: shown(pilot.app) == ["a", "c", "b"])
        # A column without an order changes nothing.
        line = text_of(pilot.app).splitlines()[2]
        await pilot.click("#queues", offset=(line.index("LAST") + 1, 0))
        await pilot.pause()
        assert shown(pilot.app) == ["a", "c", "b"]

    queues.adapter.operator.pause("a")
    queues.drive(look, size=(160, 50))


@pytest.mark.parametrize("size", SIZES)
def test_columns_are_chosen_and_ordered(queues: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("c")
        await pilot.pause()
        await compare(pilot, "columns")
        # RUN goes, READY goes before QUEUE.
        grid = pilot.app.screen_stack[0].query_one("#queues", Grid)
        await pilot.press("j", "K", "j", "j", "j", "space", "enter")
        await settled(pilot, lambda: grid.headings.shape.columns[:4] == ("READY", "QUEUE", "HELD", "SCHED"))
        assert grid.headings.shape.hidden == ("RUN",)
        await pilot.press("c", "r", "enter")
        await settled(pilot, lambda: grid.headings.columns == grid.headings.offered)

    queues.drive(look, size=size)


def test_the_last_column_stays_and_esc_changes_nothing(queues: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        grid = pilot.app.screen.query_one("#queues", Grid)
        await pilot.press("c")
        await pilot.pause()
        dialog: Any = pilot.app.screen
        for _ in grid.headings.offered:
            dialog.action_turn()
            dialog.query_one(Grid).action_move(1)
        await pilot.press("enter")
        await settled(pilot, lambda: len(grid.headings.columns) == 1)
        await pilot.press("c", "r", "escape")
        await pilot.pause()
        assert len(grid.headings.columns) == 1

    queues.drive(look)


def test_it_is_the_same_the_next_time(queues: Stage, tmp_path: Path) -> None:
    path = str(tmp_path / "top.json")

    async def choose(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await pilot.press("s", "r", "c", "space", "enter")
        await settled(pilot, lambda: app.memory.shape("overview.queues").hidden == ("QUEUE",))
        app.wear("nord")

    async def look(pilot: Pilot[None]) -> None:
        await settled(pilot, lambda: shown(pilot.app) == ["b", "c", "a"])
        assert "READY↓" in text_of(pilot.app)
        assert "QUEUE " not in text_of(pilot.app)
        assert pilot.app.theme == "nord"

    queues.drive(choose, options={"memory": Memory(path)})
    queues.drive(look, options={"memory": Memory(path)})


def test_what_is_remembered_of_columns_that_no_longer_exist_does_no_harm(queues: Stage) -> None:
    memory = Memory()
    memory.keep_shape("overview.queues", Shape(columns=("GONE", "READY"), hidden=("RUN",), sort="GONE"))

    async def look(pilot: Pilot[None]) -> None:
        heads = [column.head for column in pilot.app.screen.query_one("#queues", Grid).headings.columns]
        assert heads[:2] == ["READY", "QUEUE"]
        assert "RUN" not in heads
        assert shown(pilot.app) == ["a", "b", "c"]

    queues.drive(look, options={"memory": memory})


def test_trouble_with_the_memory_is_said(queues: Stage, tmp_path: Path) -> None:
    (tmp_path / "top.json").write_text("{")

    async def look(pilot: Pilot[None]) -> None:
        await settled(pilot, lambda: pilot.app._notifications)
        (said,) = pilot.app._notifications
        assert "top.json" in said.message

    queues.drive(look, options={"memory": Memory(str(tmp_path / "top.json"))})


def test_every_choice_has_a_letter_of_its_own_as_long_as_there_are_any() -> None:
    assert list(letters(iter(["READY", "RUN", "RR", "j", "QUEUE"]))) == ["r", "u", "", "", "e"]


def test_the_order_of_the_jobs_is_the_same_the_next_time(queues: Stage) -> None:
    memory = Memory()

    async def turn(pilot: Pilot[None]) -> None:
        await pilot.press("2", "o")
        await settled(pilot, lambda: "oldest first" in text_of(pilot.app))

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await settled(pilot, lambda: "oldest first" in text_of(pilot.app))
        await pilot.press("o")
        await settled(pilot, lambda: "oldest first" not in text_of(pilot.app))

    queues.drive(turn, options={"memory": memory})
    queues.drive(look, options={"memory": memory})
    assert memory.shape("jobs.jobs").sort is None


def test_jobs_are_newest_or_oldest_first(queues: Stage) -> None:
    """Pages come from the broker: the only orders are those that it has."""

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await pilot.press("2")
        await settled(pilot, lambda: "0006" in text_of(app) or app.screen.query_one(Grid).rows)
        grid = app.screen.query_one(Grid)
        first = grid.rows[0].id
        await pilot.press("s")
        await settled(pilot, lambda: "oldest first" in text_of(app))
        assert "again reverses" not in text_of(app)
        await pilot.press("o")
        await settled(pilot, lambda: grid.rows and grid.rows[0].id != first)
        assert app.screen.order() == ("oldest first", "")

    queues.drive(look)
