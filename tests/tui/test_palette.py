"""The palette: everything that can be done, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from textual.command import CommandPalette

from qtool.tui.commands import Command
from qtool.tui.frame import text_of
from qtool.tui.palette import offered
from qtool.tui.screens.overview import Overview
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["colon", "ctrl+p"])
def test_it_is_found_by_some_letters(stage: Stage, size: tuple[int, int], key: str) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await pilot.press(key, *"nord")
        await settled(pilot, lambda: "Theme nord" in text_of(pilot.app))
        await compare(pilot, "palette")
        await pilot.press("enter")
        await settled(pilot, lambda: pilot.app.theme == "nord")

    stage.drive(look, size=size)


def test_it_offers_what_keys_do_here_and_what_has_no_key(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    own = Command("Purge [b]bulk[/b]\x1b[2J", "deletes jobs", lambda: done.append("purged"))
    monkeypatch.setattr(Overview, "commands", lambda self: [own])

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        names = [command.name for command in offered(app, app.screen)]
        assert {own.name, "Open", "Pause the view", "Quit", "Go to Workers", "Mouse off", "Theme monochrome"} <= {
            *names
        }
        assert len(names) == len({*names})
        await pilot.press("colon", *"purge")
        await settled(pilot, lambda: "Purge [b]bulk[/b]" in text_of(app))
        await pilot.press("enter")
        await settled(pilot, lambda: done)
        await pilot.press("colon", *"go to work")
        await settled(pilot, lambda: "Go to Workers" in text_of(app))
        await pilot.press("enter")
        await settled(pilot, lambda: app.current_mode == "workers")

    stage.drive(look)


def test_esc_closes_it(stage: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("colon")
        await settled(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
        await pilot.press("escape")
        await settled(pilot, lambda: isinstance(pilot.app.screen, Overview))

    stage.drive(look)
