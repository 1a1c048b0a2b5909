"""The overview: every queue and every worker, at any size, and how old it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool.errors import BrokerUnreachable
from qtool.tui.frame import text_of
from qtool.tui.widgets.grid import Grid
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qtool.engine.broker import Adapter
    from tests.tui.conftest import Stage


def fill(stage: Stage) -> None:
    """Three queues in all states, a busy worker and an idle one."""
    for n in range(40):
        stage.add("shop.mail.send", f"ann{n}@example.com", queue="email")
    for n in range(6):
        stage.add("shop.report", n, queue="reports")
    stage.add("shop.night", queue="reports", run_at=stage.clock.now() + 3600)
    worker = stage.worker("1", busy=2)
    for lease in stage.start(worker, 8, "email"):
        stage.end(lease, "connection refused" if lease.body.count("ann3") else None, took=0.5)
    stage.adapter.operator.pause("bulk")
    stage.start(worker, 2, "reports")
    stage.clock.advance(75)
    stage.worker("1", busy=2)
    stage.worker("2", host="shop-2", pid=815, queues=("email",), started_at=stage.clock.now() - 60)


@pytest.mark.parametrize("size", SIZES)
def test_everything_at_a_glance(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await compare(pilot, "overview")

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_there_says_what_to_do(stage: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await compare(pilot, "overview-empty")

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_production_and_read_only_are_seen_at_once(stage: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await compare(pilot, "overview-production")
        assert pilot.app.has_class("-production")

    stage.drive(look, size=size, production=True, read_only=True)


def test_new_queues_come_and_the_cursor_stays_on_its_own(stage: Stage) -> None:
    stage.add("shop.mail.send", queue="m")
    stage.add("shop.mail.send", queue="z")

    async def look(pilot: Pilot[None]) -> None:
        queues = pilot.app.screen.query_one("#queues", Grid)
        await pilot.press("j")
        assert queues.current_key == "z"
        stage.add("shop.mail.send", queue="a")
        await settled(pilot, lambda: len(queues.rows) == 3)
        assert queues.current_key == "z"
        assert "▸ z" in text_of(pilot.app)

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_a_worker_shows_what_its_slots_run(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await settled(pilot, lambda: "shop.report(0)" in text_of(pilot.app))
        await compare(pilot, "workers")

    stage.drive(look, size=size)


def test_a_dead_broker_shows_as_old_with_the_reason_and_comes_back(stage: Stage) -> None:
    stage.add("shop.mail.send", queue="email")
    down = False

    class Down:
        def __getattr__(self, name: str) -> Any:
            if down:
                raise BrokerUnreachable(url="shop", why="connection refused")
            return getattr(stage.adapter.inspector, name)

    def opener() -> Adapter:
        adapter = stage.open()
        parts = {name: getattr(adapter, name) for name in type(adapter).__slots__}
        return type(adapter)(**(parts | {"inspector": Down()}))

    async def look(pilot: Pilot[None]) -> None:
        nonlocal down
        down = True
        await settled(pilot, lambda: "connection refused" in text_of(pilot.app))
        assert "email" in text_of(pilot.app)
        down = False
        # A broker that failed is opened again a moment later, by the program's own clock.
        stage.clock.advance(10)
        await settled(pilot, lambda: "connection refused" not in text_of(pilot.app))

    stage.drive(look, opener=opener)
