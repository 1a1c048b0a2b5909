"""The history: charts over a real file, from the last minutes to the last weeks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool.errors import BrokerUnreachable
from qtool.tui.frame import text_of
from qtool.tui.timeline import totals
from tests.tui.conftest import NOW, SIZES, compare, settled
from tests.tui.past import DAY, history, minutes, read, weeks

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qtool.engine.broker import Adapter
    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", [*SIZES, (250, 60)])
def test_the_last_minutes(stage: Stage, size: tuple[int, int]) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        await compare(pilot, "history")

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_the_crosshair_reads_a_column(stage: Stage, size: tuple[int, int]) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        await pilot.press("plus")
        await pilot.click("#chart", offset=(size[0] - 53, 5))
        await pilot.press("ctrl+left", "right")
        await read(pilot)
        assert screen.lens.cursor is not None
        await compare(pilot, "history-crosshair")
        step = screen.lens.window.step
        at = screen.lens.cursor // step * step
        (bucket,) = stage.adapter.inspector.history(at, at + step, seconds=step, together=True)
        assert f"in {bucket.enqueued:,}  " in text_of(pilot.app)
        await pilot.press("0")
        assert screen.lens.cursor is None
        assert "in all" in text_of(pilot.app)

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_weeks_in_the_same_picture(stage: Stage, size: tuple[int, int]) -> None:
    """Hours, minutes and seconds side by side, every job in it once, and no question too many."""
    weeks(stage)
    asked: list[tuple[float, float]] = []

    class Counted:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def history(self, since: float, until: float, **said: Any) -> Any:
            asked.append((since, until))
            return self._real.history(since, until, **said)

    def opener() -> Adapter:
        adapter = stage.open()
        parts = {name: getattr(adapter, name) for name in type(adapter).__slots__}
        return type(adapter)(**(parts | {"inspector": Counted(adapter.inspector)}))

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        lens = screen.lens
        while lens.window.seconds < 29 * DAY:
            await pilot.press("minus")
        await read(pilot)
        await compare(pilot, "history-weeks")
        sheet = lens.sheet()
        assert sheet is not None
        came, _, _ = totals(sheet.columns, sheet.window, NOW)
        known = stage.adapter.inspector.history(sheet.window.start, NOW, seconds=DAY, together=True)
        whole = sum(bucket.enqueued for bucket in known)
        first = known[0]
        assert first.at <= sheet.window.start + DAY
        assert abs(came - whole) <= first.enqueued, "but for the edge of the first day"
        asked.clear()
        await pilot.press("plus", "minus")
        await read(pilot)
        assert not [span for span in asked if span[1] - span[0] > 2 * DAY], "what was read is remembered"

    stage.drive(look, size=size, opener=opener)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_has_happened_yet(stage: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        await compare(pilot, "history-empty")

    stage.drive(look, size=size)


def test_the_picture_goes_on_with_the_time(stage: Stage) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        end = screen.lens.window.end
        stage.clock.advance(30)
        for _ in range(7):
            stage.add("shop.mail.send", queue="email")
        stage.clock.advance(30)
        await settled(pilot, lambda: screen.lens.window.end == end + 60)
        await read(pilot)
        await pilot.press("left", "ctrl+left")
        await settled(pilot, lambda: screen.lens.cursor is not None)
        for _ in range(20):
            if "in 7  " in text_of(pilot.app):
                break
            await pilot.press("right")
        assert "in 7  " in text_of(pilot.app)
        await pilot.press("pageup")
        assert not screen.lens.live
        assert "ago" in text_of(pilot.app)

    stage.drive(look)


def test_a_broker_that_fails_says_so_in_the_picture(stage: Stage) -> None:
    minutes(stage)
    down = False

    class Down:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            if down and name == "history":
                raise BrokerUnreachable(url="shop", why="connection refused")
            return getattr(self._real, name)

    def opener() -> Adapter:
        adapter = stage.open()
        parts = {name: getattr(adapter, name) for name in type(adapter).__slots__}
        return type(adapter)(**(parts | {"inspector": Down(adapter.inspector)}))

    async def look(pilot: Pilot[None]) -> None:
        nonlocal down
        screen = await history(pilot)
        down = True
        await pilot.press("minus")
        await settled(pilot, lambda: screen.lens.trouble is not None)
        assert "○ The broker" in text_of(pilot.app).splitlines()[2]
        down = False
        stage.clock.advance(10)
        await settled(pilot, lambda: screen.lens.trouble is None)
        await read(pilot)

    stage.drive(look, opener=opener)
