"""What is not shown elsewhere, as a user sees it: dialogs, lines and warnings, each at both sizes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from qtool.errors import BrokerUnreachable
from qtool.tui import deeds
from qtool.tui.frame import text_of
from qtool.tui.screens.confirm import Confirm
from tests.tui.acting import asked, edit, fill, job, open_jobs
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage

pytestmark = pytest.mark.parametrize("size", SIZES)


def test_a_copy(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:ready")
        await edit(pilot, "E")
        await compare(pilot, "copy")

    stage.drive(look, size=size)


def test_an_edit_of_what_is_scheduled_says_that_it_cannot_be_put_back(stage: Stage, size: tuple[int, int]) -> None:
    stage.add("shop.night", queue="reports", run_at=stage.clock.now() + 3600)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot)
        await edit(pilot, "e")
        await compare(pilot, "edit-scheduled")

    stage.drive(look, size=size)


def test_an_edit_in_production_with_something_wrong(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        form: Any = await edit(pilot, "e")
        form.query_one("#field-args").text = "[1"
        await settled(pilot, lambda: "is not JSON" in text_of(pilot.app))
        await compare(pilot, "edit-wrong")

    stage.drive(look, size=size, production=True)


def test_a_question_before_it_has_counted(stage: Stage, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    fill(stage)
    counted = threading.Event()
    survey = deeds.survey

    def slow(*asked: Any) -> Any:
        counted.wait(20)
        return survey(*asked)

    monkeypatch.setattr(deeds, "survey", slow)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("X")
        await compare(pilot, "ask-counting")
        counted.set()

    stage.drive(look, size=size)


def test_a_question_about_several_jobs_in_production(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot)
        await pilot.press(*["space"] * 10)
        await asked(pilot, "R")
        await compare(pilot, "ask-several")

    stage.drive(look, size=size, production=True)


def test_there_is_nothing_to_do(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        await pilot.press("space", "space", "space")
        stage.adapter.operator.retry([job(stage, number).id for number in (1, 2, 3)])
        app: Any = pilot.app
        app.store.frozen = True
        await asked(pilot, "R")
        await compare(pilot, "ask-nothing")

    stage.drive(look, size=size)


def test_a_paused_queue_is_resumed(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)
    stage.adapter.operator.pause("pay")

    async def look(pilot: Pilot[None]) -> None:
        await asked(pilot, "P")
        await compare(pilot, "ask-resume")

    stage.drive(look, size=size)


def test_a_note_in_production(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        app.action_go("history")
        await settled(pilot, lambda: "live" in text_of(app))
        await pilot.press("A", *"deploy 1.4")
        await settled(pilot, lambda: isinstance(app.screen, Confirm) or "deploy 1.4" in text_of(app))
        await compare(pilot, "note-production")

    stage.drive(look, size=size, production=True)


def test_a_broker_that_is_gone(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    def gone(*_: Any) -> Any:
        raise BrokerUnreachable(url="sqlite:///srv/jobs.db", why="no such file or directory")

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        app.link._look = gone
        await settled(pilot, lambda: "no such file" in text_of(app) or "cannot be reached" in text_of(app))
        stage.clock.advance(12)
        await compare(pilot, "stale")

    stage.drive(look, size=size)


def test_the_view_is_paused_and_the_mouse_left_to_the_terminal(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await pilot.press("p")
        app.action_mouse()
        stage.clock.advance(7)
        await compare(pilot, "paused-and-mouse-off")

    stage.drive(look, size=size)


def test_a_word_to_find(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot)
        await pilot.press("f", *"shop")
        await compare(pilot, "jobs-find")
        await pilot.press("escape", "enter")
        await settled(pilot, lambda: "Next pane" in text_of(pilot.app) and "shop.pay" in text_of(pilot.app))
        await pilot.press("slash", *"pay")
        await compare(pilot, "job-find")

    stage.drive(look, size=size)


@pytest.mark.parametrize("mode", ["dead", "events"])
def test_a_filter_with_what_is_wrong_with_it(stage: Stage, size: tuple[int, int], mode: str) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        app.action_go(mode)
        await settled(pilot, lambda: "ValueError" in text_of(app))
        await pilot.press("slash", *"queue:pay eror~x")
        await settled(pilot, lambda: "did you mean error" in text_of(app))
        await compare(pilot, f"{mode}-filter-wrong")

    stage.drive(look, size=size)
