"""Where nothing may be done, and keys that do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool.tui.tabs import TABS
from qtool.tui.view import View
from tests.tui.acting import counts, fill, job, notes, open_jobs
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", SIZES)
def test_read_only_refuses_and_says_why(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        before = counts(stage)
        for key in "RXKPeEDS":
            await pilot.press(key)
            assert isinstance(pilot.app.screen, View)
        await settled(pilot, lambda: "only looks" in notes(pilot))
        await compare(pilot, "read-only-refused")
        assert counts(stage) == before

    stage.drive(look, size=size, read_only=True)


def test_keys_that_cannot_apply_are_not_offered(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        def keys() -> str:
            active = pilot.app.screen.active_bindings
            return "".join(key for key in "RXKDeEPS" if key in active and active[key].enabled)

        assert keys() == "RXKP"
        await pilot.press("tab")
        await settled(pilot, lambda: keys() == "S")
        await open_jobs(pilot, "state:dead")
        await settled(pilot, lambda: keys() == "RDeE")
        await open_jobs(pilot, "state:running")
        await settled(pilot, lambda: keys() == "XKeE")
        # All that match, by what the filter says; the marked ones, by what they are; a job on its own screen.
        await pilot.press("asterisk")
        await settled(pilot, lambda: keys() == "XK")
        await open_jobs(pilot, "state:dead,ready")
        await pilot.press("end", "space")
        await settled(pilot, lambda: keys() == "RDeE")
        await pilot.press("home", "space")
        await settled(pilot, lambda: keys() == "RXKD")
        app: Any = pilot.app
        app.show_job(job(stage, 4).id)
        await settled(pilot, lambda: keys() == "RDeE")
        app.pop_screen()
        app.show_job(job(stage, 10).id)
        await settled(pilot, lambda: keys() == "XKDeE")

    stage.drive(look)


def test_a_key_that_cannot_apply_says_why(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:ready")
        await pilot.press("R")
        await settled(pilot, lambda: "Only what has ended can be run again. This one is ready." in notes(pilot))
        await pilot.press("space", "space", "e")
        await settled(pilot, lambda: "one job at a time" in notes(pilot))
        await open_jobs(pilot, "state:succeeded")
        await pilot.press("X")
        await settled(pilot, lambda: "Only what has not ended can be cancelled. This one is succeeded." in notes(pilot))
        await open_jobs(pilot, "state:running")
        await pilot.press("D")
        await settled(
            pilot, lambda: "What runs cannot be deleted: cancel it first. This one is running" in notes(pilot)
        )
        assert isinstance(pilot.app.screen, View)

    stage.drive(look)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [tab.mode for tab in TABS])
def test_no_lower_case_key_changes_anything(stage: Stage, mode: str) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        before = counts(stage)
        app.action_go(mode)
        await pilot.pause()
        # Those that do nothing on this screen do nothing: only the others are tried.
        bound = set(app.screen.active_bindings) - {"q", "tab", "escape", "enter"}
        for key in sorted(each for each in bound if len(each) > 1 or not each.isupper()):
            if key.startswith("ctrl+") or (len(key) > 1 and key not in ("space", "asterisk", "delete")):
                continue
            app.action_go(mode)
            await pilot.press(key)
            # Whatever it has opened: enter says yes to what has the focus, esc leaves it.
            await pilot.press("enter", "escape", "escape")
        assert app.doing.hand.last is None
        assert counts(stage) == before
        assert not stage.adapter.inspector.snapshot().queues[0].paused

    stage.drive(look)
