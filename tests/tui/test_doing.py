"""How people hear of what is done, and what is done no more once they look elsewhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from qtool.engine.broker import Change
from qtool.engine.states import State
from qtool.tui.deeds import Plan
from qtool.tui.frame import text_of
from qtool.tui.screens.outcome import Outcome
from tests.tui.acting import asked, confirm, fill, notes, open_jobs
from tests.tui.conftest import settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


def test_two_jobs_are_reported_in_a_list_and_not_in_a_note_as_well(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        await pilot.press("space", "space")
        await asked(pilot, "R")
        await confirm(pilot)
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome) and "done" in text_of(pilot.app))
        assert notes(pilot) == ""
        await pilot.press("escape")
        await settled(pilot, lambda: "marked" not in text_of(pilot.app))

    stage.drive(look)


def test_going_to_another_place_stops_what_is_being_done_at_the_old_one(stage: Stage) -> None:
    first, go_on = threading.Event(), threading.Event()

    def steps(_: Any) -> Iterator[Any]:
        yield [Change("a", State.READY, State.CANCELLED)]
        first.set()
        go_on.wait(20)
        yield [Change("b", State.READY, State.CANCELLED)]

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        doing = app.doing
        doing.act(Plan(title="Do it", what="", happens="", undo="", steps=steps), app.screen)
        report = doing.hand.last
        await settled(pilot, first.is_set)
        app.go_to(stage.place(where="live"))
        assert report.stop.is_set()
        assert app.doing.hand.last is None
        go_on.set()

    stage.drive(look)
