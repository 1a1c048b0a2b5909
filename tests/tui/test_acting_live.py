"""Acting from the screen on a worker that really runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.tui.app import Place, Top
from qtool.tui.frame import text_of
from qtool.tui.screens.confirm import Confirm
from qtool.tui.screens.workers import Workers
from tests.tui.conftest import settled
from tests.worker.conftest import Shop, eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from textual.pilot import Pilot

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def drive(shop: Shop, script: Callable[[Pilot[None]], Awaitable[object]]) -> None:
    async def run() -> None:
        app = Top(Place(where="shop", opener=lambda: open_broker(shop.url)), refresh=0.1)
        async with app.run_test(size=(100, 30)) as pilot:
            await settled(pilot, lambda: app.store.sight is not None and app.store.workers)
            await script(pilot)

    asyncio.run(run())


async def confirmed(pilot: Pilot[None], key: str, *typed: str) -> None:
    """Press a key that acts, type, and say yes."""
    await pilot.press(key)
    await settled(pilot, lambda: isinstance(pilot.app.screen, Confirm) and pilot.app.screen._plan is not None)
    if typed:
        await pilot.press("shift+tab", *typed)
    yes = pilot.app.screen.query_one("#yes")
    await settled(pilot, lambda: not yes.disabled)
    yes.focus()
    await pilot.press("enter")


@pytest.mark.parametrize("key", ["X", "K"])
def test_what_really_runs_is_stopped_and_the_end_reported(shop: Shop, key: str) -> None:
    id = shop.command("sleep", "600")
    shop.start("-j", "1")
    shop.until(id, State.RUNNING)

    async def act(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        app.show_jobs(where="state:running")
        await settled(pilot, lambda: "▸" in text_of(app) and "sleep 600" in text_of(app))
        await confirmed(pilot, key)
        await settled(pilot, lambda: app.doing.hand.last is not None and app.doing.hand.last.done)
        assert app.doing.hand.last.totals() == "1 running → cancelled"

    drive(shop, act)
    assert shop.job(id).state is State.CANCELLED


def test_a_pool_is_scaled(shop: Shop) -> None:
    shop.start("-j", "1")
    eventually(lambda: shop.adapter.inspector.snapshot().workers)

    async def act(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await pilot.press("3")
        await settled(pilot, lambda: isinstance(app.screen, Workers) and app.screen.focused is not None)
        await confirmed(pilot, "S", "3")
        await settled(pilot, lambda: shop.adapter.inspector.snapshot().workers[0].slots == 3)

    drive(shop, act)
