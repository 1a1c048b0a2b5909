"""What is asked before anything is done, and what it takes to say yes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Button, Input

from qtool.tui import deeds
from qtool.tui.frame import text_of
from qtool.tui.screens.outcome import Outcome
from qtool.tui.view import View
from tests.tui.acting import asked, confirm, counts, fill, open_jobs
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("key", "name"), [("R", "retry"), ("X", "cancel"), ("K", "kill"), ("P", "pause")])
def test_each_question_says_how_many_what_happens_and_how_to_undo_it(
    stage: Stage, size: tuple[int, int], key: str, name: str
) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        dialog = await asked(pilot, key)
        assert getattr(pilot.app.focused, "id", None) == "no"
        assert "Undo:" in text_of(pilot.app)
        await compare(pilot, f"ask-{name}")
        before = counts(stage)
        await pilot.press("enter")
        await settled(pilot, lambda: pilot.app.screen is not dialog)
        assert counts(stage) == before

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_deleting_says_that_it_cannot_be_undone(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        await asked(pilot, "D")
        assert "cannot be undone" in text_of(pilot.app)
        await compare(pilot, "ask-delete")
        await confirm(pilot)
        await settled(pilot, lambda: counts(stage).get("dead") == 2)

    stage.drive(look, size=size)


@pytest.mark.parametrize("key", ["escape", "y", "Y", "enter", "space", "n"])
def test_nothing_but_the_button_confirms(stage: Stage, key: str) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        before = counts(stage)
        await asked(pilot, "R")
        await pilot.press(key)
        await pilot.press("escape")
        await settled(pilot, lambda: isinstance(pilot.app.screen, View))
        app: Any = pilot.app
        assert app.doing.hand.last is None
        assert counts(stage) == before

    stage.drive(look)


def test_before_anything_was_counted_there_is_only_cancel(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(stage)
    counted = threading.Event()
    survey = deeds.survey

    def slow(*asked: Any) -> Any:
        counted.wait(20)
        return survey(*asked)

    monkeypatch.setattr(deeds, "survey", slow)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("X")
        assert "counting" in text_of(pilot.app)
        await pilot.press("tab", "enter")
        assert isinstance(pilot.app.screen, View)
        counted.set()
        await pilot.pause(0.1)
        app: Any = pilot.app
        assert app.doing.hand.last is None

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_production_is_red_and_wants_the_name_of_the_queue_typed(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        dialog = await asked(pilot, "X")
        yes = dialog.query_one("#yes", Button)
        assert dialog.has_class("-guarded")
        assert yes.disabled
        await pilot.press("shift+tab", *"payx")
        await settled(pilot, lambda: "It is not pay" in text_of(pilot.app))
        assert yes.disabled
        await compare(pilot, "ask-production")
        await pilot.press("backspace")
        await settled(pilot, lambda: not yes.disabled)
        # Enter in the line leads to the button, and does not press it.
        await pilot.press("enter")
        assert pilot.app.focused is yes
        assert "ready" in counts(stage)
        await pilot.press("enter")
        await settled(pilot, lambda: "ready" not in counts(stage))

    stage.drive(look, size=size, production=True)


def test_production_wants_the_count_of_several_jobs_typed_and_nothing_for_one(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        dialog = await asked(pilot, "R")
        assert not dialog.query_one("#typed", Input).display
        await pilot.press("escape", "space", "space", "space")
        dialog = await asked(pilot, "R")
        assert "Run 3 jobs again" in text_of(pilot.app)
        assert dialog.query_one("#yes", Button).disabled
        await pilot.press("shift+tab", "3")
        await settled(pilot, lambda: not dialog.query_one("#yes", Button).disabled)

    stage.drive(look, production=True)


def test_what_does_not_apply_is_left_alone_and_counted(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot)
        await pilot.press(*["space"] * 10)
        await asked(pilot, "R")
        shown = text_of(pilot.app)
        assert "Run 5 jobs again" in shown
        assert "Left alone: 4 ready, 1 running." in shown
        await confirm(pilot)
        await settled(pilot, lambda: counts(stage) == {"ready": 9, "running": 1})
        await settled(pilot, lambda: "done" in text_of(pilot.app))
        assert isinstance(pilot.app.screen, Outcome)
        await pilot.press("escape")
        # What was done is done: the marks are gone.
        await settled(pilot, lambda: "marked" not in text_of(pilot.app))

    stage.drive(look)
