"""Themes, and the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from textual.css.stylesheet import Stylesheet

from qtool.tui.sheet import Sheet
from qtool.tui.themes import NAMES
from tests.tui.conftest import settled

if TYPE_CHECKING:
    from rich.style import Style
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


def styles(app: Any) -> list[tuple[str, Style]]:
    """Every piece of the screen with its style, as the terminal would get it."""
    return [
        (segment.text, segment.style)
        for strip in app.screen._compositor.render_strips()
        for segment in strip
        if segment.style is not None
    ]


def is_coloured(style: Style) -> bool:
    return any(color is not None and not color.is_default for color in (style.color, style.bgcolor))


@pytest.mark.parametrize("how", ["--theme", "NO_COLOR"])
def test_monochrome_has_no_colour_and_still_shows_the_cursor(
    stage: Stage, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add("shop.mail.send", queue="email")
    options = {"theme": "monochrome"}
    if how == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
        options = {}

    async def look(pilot: Pilot[None]) -> None:
        found = styles(pilot.app)
        assert not [text for text, style in found if is_coloured(style)]
        assert any("email" in text and style.reverse for text, style in found)
        for key, first in (("s", "QUEUE"), ("colon", "Open")):
            await pilot.press(key)
            await settled(pilot, lambda: any(first in text and style.reverse for text, style in styles(pilot.app)))  # noqa: B023  awaited at once
            assert not [text for text, style in styles(pilot.app) if is_coloured(style)]
            await pilot.press("escape")
            await pilot.pause()

    stage.drive(look, options=options, production=True)


@pytest.mark.parametrize("theme", NAMES)
def test_every_theme_can_be_worn(stage: Stage, theme: str) -> None:
    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        assert sorted(app.available_themes) == sorted(NAMES)
        app.wear(theme)
        await settled(pilot, lambda: app.theme == theme)
        await pilot.pause()
        assert any(is_coloured(style) for _, style in styles(app)) == (theme != "monochrome")

    stage.drive(look)


def test_styles_are_parsed_only_where_they_change(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def parse(sheet: Sheet) -> None:
        parsed.append(1)
        Stylesheet.parse(sheet)

    monkeypatch.setattr(Sheet, "parse", parse)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await pilot.press("2", "question_mark", "escape", "1")
        parsed.clear()
        await pilot.press("question_mark", "escape", "2")
        assert not parsed
        before = styles(app)
        app.wear("textual-light")
        await settled(pilot, lambda: parsed)
        await settled(pilot, lambda: styles(app) != before)
        app.wear("qtool-dark")
        await settled(pilot, lambda: styles(app) == before)

    stage.drive(look, options={"theme": "qtool-dark"})


def test_the_mouse_is_left_to_the_terminal_and_taken_back(stage: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        app.action_mouse()
        assert not app.mouse.on
        assert "mouse off" in app.badges
        app.action_mouse()
        assert app.mouse.on
        assert "mouse off" not in app.badges

    stage.drive(look)
