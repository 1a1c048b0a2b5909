"""What came of it, in a note or in a list; and how it is stopped."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Button

from qtool.tui import acts
from qtool.tui.frame import text_of
from qtool.tui.screens.outcome import Outcome
from qtool.verbs import by_filter
from tests.tui.acting import asked, confirm, counts, fill, notes, open_jobs
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", SIZES)
def test_the_result_tells_of_each_job(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead,succeeded")
        await pilot.press("asterisk")
        await asked(pilot, "R")
        await confirm(pilot)
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome) and "done" in text_of(pilot.app))
        await compare(pilot, "outcome")
        copied: list[str] = []
        app: Any = pilot.app
        app.copy_to_clipboard = copied.append
        await pilot.press("y")
        assert "dead → ready" in copied[0]
        assert copied[0].count("019b0000") == 5

    stage.drive(look, size=size)


def test_a_single_job_is_reported_in_a_note_and_again_from_the_palette(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        await asked(pilot, "R")
        await confirm(pilot)
        await settled(pilot, lambda: "dead → ready" in notes(pilot))
        screen: Any = pilot.app.screen
        shown = [command for command in acts.offered(screen) if command.name.startswith("Show what became")]
        shown[0].run()
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome))

    stage.drive(look)


def test_what_runs_is_waited_for_and_its_end_reported(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:running")
        await asked(pilot, "X")
        await confirm(pilot)
        await settled(pilot, lambda: "asked to stop" in notes(pilot))
        await settled(pilot, lambda: "still running" in notes(pilot))
        app: Any = pilot.app
        assert app.doing.hand.last.totals() == "1 running, asked to stop"
        assert counts(stage)["running"] == 1

    stage.drive(look, options={"patience": 0.2})


def test_to_end_nobody_waits_for_jobs_to_stop(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await open_jobs(pilot, "state:running")
        await asked(pilot, "X")
        await confirm(pilot)
        await settled(pilot, lambda: app.doing.hand.last.waits)
        began = time.monotonic()
        app.doing.hand.close(timeout=20.0)
        assert time.monotonic() - began < 10

    stage.drive(look, options={"patience": 25.0})


def test_many_jobs_go_in_pages_and_stop_between_two(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtool.verbs.PAGE", 2)
    for n in range(10):
        stage.add("shop.pay", n, queue="pay")
    first, go_on = threading.Event(), threading.Event()

    def slow(*asked: Any) -> Any:
        for page in by_filter(*asked):
            first.set()
            go_on.wait(20)
            yield page

    monkeypatch.setattr("qtool.tui.deeds.by_filter", slow)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await asked(pilot, "X")
        await confirm(pilot)
        await settled(pilot, first.is_set)
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome))
        pilot.app.screen.query_one("#stop", Button).press()
        await settled(pilot, app.doing.hand.last.stop.is_set)
        go_on.set()
        await settled(pilot, lambda: app.doing.hand.last.done)
        assert counts(stage) == {"ready": 8, "cancelled": 2}
        assert app.doing.hand.last.totals() == "2 ready → cancelled"
        await settled(pilot, lambda: "stopped" in text_of(pilot.app))

    stage.drive(look)
