"""Queues and workers: pause, purge, scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Button

from qtool.tui import acts
from qtool.tui.frame import text_of
from qtool.tui.view import View
from tests.tui.acting import asked, confirm, counts, fill, notes
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


def test_pausing_asks_and_the_same_key_resumes(stage: Stage) -> None:
    fill(stage)

    def paused() -> bool:
        return stage.adapter.inspector.snapshot().queues[0].paused

    async def look(pilot: Pilot[None]) -> None:
        await asked(pilot, "P")
        await confirm(pilot)
        await settled(pilot, paused)
        await settled(pilot, lambda: "Queue pay is paused" in notes(pilot))
        await asked(pilot, "P")
        assert "Resume the queue" in text_of(pilot.app)
        await confirm(pilot)
        await settled(pilot, lambda: not paused())

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_scaling_reads_slots_and_says_in_place_what_is_wrong(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("tab")
        dialog = await asked(pilot, "S")
        yes = dialog.query_one("#yes", Button)
        assert yes.disabled
        await pilot.press("shift+tab", *"8:2")
        await settled(pilot, lambda: "is not a number of slots" in text_of(pilot.app))
        await compare(pilot, "ask-scale")
        await pilot.press("backspace", "backspace", "backspace", *"2:8")
        await settled(pilot, lambda: not yes.disabled)
        await confirm(pilot)
        await settled(pilot, lambda: "2 to 8 slots" in notes(pilot))

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_a_purge_is_in_the_palette_only_and_wants_the_name(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen: Any = pilot.app.screen
        await pilot.press("D")
        assert isinstance(pilot.app.screen, View)
        purge = next(command for command in acts.offered(screen) if command.name.startswith("Purge"))
        purge.run()
        await settled(pilot, lambda: "cannot be undone" in text_of(pilot.app))
        await compare(pilot, "ask-purge")
        assert pilot.app.screen.query_one("#yes", Button).disabled
        await pilot.press("shift+tab", *"pay")
        await confirm(pilot)
        await settled(pilot, lambda: counts(stage) == {"running": 1})

    stage.drive(look, size=size)
