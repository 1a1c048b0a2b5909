"""Moving jobs to another context: where to, how many, and what came of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Button

from qtool.errors import BrokerUnreachable
from qtool.tui.frame import text_of
from qtool.tui.screens.menu import Menu
from qtool.tui.screens.outcome import Outcome
from qtool.tui.view import View
from tests.tui.acting import asked, confirm, counts, fill, job, notes, open_jobs
from tests.tui.conftest import SIZES, Stage, compare, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

    from qtool.engine.broker import Adapter


@pytest.fixture
def other(stage: Stage, tmp_path: Path) -> Iterator[Stage]:
    fill(stage)
    (tmp_path / "other").mkdir()
    made = Stage(tmp_path / "other")
    yield made
    made.adapter.close()


def contexts(stage: Stage, other: Stage, **more: Any) -> dict[str, Any]:
    """Here, and two others, one of which may only be looked at."""
    live = other.place(**{"where": "live", "url": "sqlite:///srv/live.db"} | more)
    return {"places": [stage.place(where="shop"), live, other.place(where="museum", read_only=True)]}


async def ask(pilot: Pilot[None]) -> Any:
    """The dialog about moving to the one place that there is."""
    await pilot.press("M")
    await settled(pilot, lambda: isinstance(pilot.app.screen, Menu) and "live" in text_of(pilot.app))
    return await asked(pilot, "enter")


@pytest.mark.parametrize("size", SIZES)
def test_it_asks_where_to_and_whether(stage: Stage, other: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot)
        await pilot.press("space", "space", "M")
        await settled(pilot, lambda: "Move 2 marked jobs to" in text_of(pilot.app))
        await compare(pilot, "move-where")
        assert "museum" not in text_of(pilot.app)
        dialog = await asked(pilot, "l")
        assert getattr(pilot.app.focused, "id", None) == "no"
        await compare(pilot, "ask-move")
        before = counts(stage)
        await pilot.press("enter")
        await settled(pilot, lambda: pilot.app.screen is not dialog)
        assert (counts(stage), counts(other)) == (before, {})

    stage.drive(look, size=size, options=contexts(stage, other))


def test_marked_jobs_are_there_then_ended_ones_too(stage: Stage, other: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead,ready")
        await pilot.press(*["space"] * 7)
        await ask(pilot)
        assert "Move 7 jobs to live" in text_of(pilot.app)
        await confirm(pilot)
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome) and "done" in text_of(pilot.app))
        assert "moved to live" in text_of(pilot.app)
        assert counts(stage) == {"succeeded": 2, "running": 1}
        assert counts(other) == {"dead": 3, "ready": 4}
        assert stage.adapter.inspector.check() == other.adapter.inspector.check() == []
        moved = other.adapter.inspector.get(["019b0000-0000-7000-8000-000000000001"])[0]
        assert moved is not None
        assert (moved.attempt, moved.queue) == (1, "pay")

    stage.drive(look, options=contexts(stage, other))


def test_all_that_match_are_what_waits_unless_the_filter_says_more(stage: Stage, other: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "queue:pay")
        await pilot.press("asterisk")
        await ask(pilot)
        assert "Move 4 jobs to live" in text_of(pilot.app)
        await confirm(pilot)
        await settled(pilot, lambda: counts(other) == {"ready": 4})
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome) and "done" in text_of(pilot.app))
        await pilot.press("escape")
        assert counts(stage) == {"dead": 3, "succeeded": 2, "running": 1}
        app: Any = pilot.app
        await open_jobs(pilot, "state:succeeded")
        await pilot.press("asterisk")
        await ask(pilot)
        await confirm(pilot)
        await settled(pilot, lambda: counts(other) == {"ready": 4, "succeeded": 2})
        assert app.doing.hand.last.error is None

    stage.drive(look, options=contexts(stage, other))


def test_what_runs_stays_and_the_key_says_so(stage: Stage, other: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:running")
        await pilot.press("M")
        await settled(pilot, lambda: "What runs stays where it is" in notes(pilot))
        assert isinstance(pilot.app.screen, View)

    stage.drive(look, options=contexts(stage, other))


def test_where_there_is_no_other_context_it_says_so(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("M")
        await settled(pilot, lambda: "no other context that may be written to" in notes(pilot))
        assert isinstance(pilot.app.screen, View)

    stage.drive(look, options={"places": [stage.place(where="shop"), stage.place(where="museum", read_only=True)]})


def test_a_guarded_destination_wants_the_count(stage: Stage, other: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:ready")
        await pilot.press("space", "space")
        dialog = await ask(pilot)
        assert dialog.query_one("#yes", Button).disabled
        assert dialog.has_class("-guarded")
        await pilot.press("shift+tab", "2")
        await confirm(pilot)
        await settled(pilot, lambda: counts(other) == {"ready": 2})

    stage.drive(look, options=contexts(stage, other, production=True))


def test_a_destination_that_is_gone_loses_nothing(stage: Stage, other: Stage) -> None:
    def gone() -> Adapter:
        raise BrokerUnreachable(url="redis://gone/0", why="Connection refused")

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:ready")
        await ask(pilot)
        await confirm(pilot)
        await settled(pilot, lambda: "redis://gone/0 cannot be reached: Connection refused" in notes(pilot))
        assert counts(stage)["ready"] == 4
        assert job(stage, 10).state == "ready"

    stage.drive(look, options=contexts(stage, other, opener=gone))


def test_the_same_store_under_another_name_is_refused(stage: Stage, other: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:ready")
        await ask(pilot)
        await confirm(pilot)
        await settled(pilot, lambda: "are the same store" in notes(pilot))
        assert counts(stage)["ready"] == 4

    stage.drive(look, options=contexts(stage, other, opener=stage.open))
