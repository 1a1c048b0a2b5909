"""Alerts: a quiet line while something is not well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.alerts import Thresholds
from qtool.tui.frame import text_of
from qtool.tui.widgets.bars import AlertStrip
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", SIZES)
def test_what_is_not_well_is_said_in_one_line(stage: Stage, size: tuple[int, int]) -> None:
    for _ in range(6):
        stage.add("shop.mail.send", queue="email")
    stage.add("shop.report", queue="re\x1b[31mports[b]")
    stage.clock.advance(600)

    async def look(pilot: Pilot[None]) -> None:
        await settled(pilot, lambda: pilot.app.screen.query_one(AlertStrip).display)
        await compare(pilot, "alerts")

    stage.drive(look, size=size, alerts=Thresholds(max_depth=5, max_age=300.0, min_workers=1))


def test_it_comes_and_goes_and_rings_when_it_begins(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        monkeypatch.setattr(app, "bell", lambda: rung.append("bell"))
        strip = app.screen.query_one(AlertStrip)
        assert not strip.display
        for _ in range(3):
            stage.add("shop.mail.send", queue="email")
        await settled(pilot, lambda: "email: 3 ready, over 2" in text_of(app))
        assert rung == ["bell"]
        stage.add("shop.mail.send", queue="email")
        await settled(pilot, lambda: "email: 4 ready, over 2" in text_of(app))
        assert rung == ["bell"]
        stage.start(stage.worker(), 4)
        await settled(pilot, lambda: not strip.display)
        stage.adapter.operator.resume("email")
        for _ in range(3):
            stage.add("shop.mail.send", queue="email")
        await settled(pilot, lambda: strip.display)
        assert rung == ["bell", "bell"]

    stage.drive(look, alerts=Thresholds(max_depth=2, bell=True))


def test_without_thresholds_nothing_is_said(stage: Stage) -> None:
    stage.add("shop.mail.send")

    async def look(pilot: Pilot[None]) -> None:
        assert not pilot.app.screen.query_one(AlertStrip).display

    stage.drive(look)
