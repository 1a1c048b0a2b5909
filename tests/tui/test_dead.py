"""The dead letters: what jobs died of, in groups, and the jobs of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool.errors import BrokerUnreachable
from qtool.tui.frame import text_of
from qtool.tui.screens.dead import Dead, DeadGroup
from qtool.tui.widgets.filterline import FilterInput
from qtool.tui.widgets.grid import Grid
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qtool.engine.broker import Adapter
    from tests.tui.conftest import Stage


def fill(stage: Stage) -> list[str]:
    """Three errors, over an hour; the ids of the first."""
    worker = stage.worker("1")
    ids = [stage.add("shop.pay", n, queue="pay") for n in range(12)]
    for number, lease in enumerate(stage.start(worker, 12, "pay")):
        stage.end(
            lease, f"no answer from https://pay.example.com/{number} within 30 s", took=240.0, kind="TimeoutError"
        )
    stage.add("shop.mail.send", "ann@example.com", queue="email")
    stage.add("shop.mail.send", "bob@example.com", queue="email")
    for lease, who in zip(stage.start(worker, 2, "email"), ("ann", "bob"), strict=True):
        stage.end(lease, f"<{who}@example.com>: 550 no such user", took=30.0, kind="smtplib.SMTPRecipientsRefused")
    stage.add("shop.\x1b[31mreport", queue="reports")
    for lease in stage.start(worker, 1, "reports"):
        stage.end(lease, "[bold]\x1b[2Jboom", kind="Ex\x1b[1mplosion")
    stage.worker("1")
    return ids


async def go(pilot: Pilot[None]) -> Grid[Any]:
    """To the screen, once all is read; its table."""
    await pilot.press("4")
    await settled(pilot, lambda: isinstance(pilot.app.screen, Dead) and " dead" in text_of(pilot.app).split("\n")[2])
    return pilot.app.screen.query_one("#groups", Grid)


async def enter(pilot: Pilot[None]) -> Grid[Any]:
    """Into the group under the cursor, once its jobs are there."""
    await pilot.press("enter")
    await settled(pilot, lambda: isinstance(pilot.app.screen, DeadGroup) and "Traceback" in text_of(pilot.app))
    return pilot.app.screen.query_one("#members", Grid)


@pytest.mark.parametrize("size", SIZES)
def test_errors_in_groups(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await go(pilot)
        assert [group.count for group in grid.rows] == [12, 2, 1]
        await compare(pilot, "dead")

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_dead(stage: Stage, size: tuple[int, int]) -> None:
    stage.add("shop.pay")

    async def look(pilot: Pilot[None]) -> None:
        await go(pilot)
        await compare(pilot, "dead-nothing")

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_a_group_shows_its_jobs_and_what_they_left(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await go(pilot)
        members = await enter(pilot)
        assert len(members.rows) == 12
        await compare(pilot, "dead-group")

    stage.drive(look, size=size)


def test_what_acts_on_a_group_means_its_jobs_and_no_others(stage: Stage) -> None:
    ids = fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await go(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, Dead)
        targets = screen.targets()
        assert targets is not None
        assert (targets.ids, targets.what) == ((), "about 12 dead jobs: TimeoutError")
        jobs = stage.adapter.inspector.browse(targets.where).jobs
        assert targets.only is not None
        assert sorted(job.id for job in jobs if targets.only(job)) == ids
        members = await enter(pilot)
        await pilot.press("space", "space")
        group = pilot.app.screen
        assert isinstance(group, DeadGroup)
        marked = group.targets()
        assert marked is not None
        assert marked.ids == (ids[-1], ids[-2])
        assert members.current_key == ids[-3]

    stage.drive(look)


def test_what_was_retried_leaves_and_what_dies_comes(stage: Stage) -> None:
    ids = fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await go(pilot)
        stage.adapter.operator.retry(ids)
        await settled(pilot, lambda: [group.count for group in grid.rows] == [2, 1])
        for lease in stage.start(stage.worker("1"), 12, "pay"):
            stage.end(lease, "out of money")
        await settled(pilot, lambda: [group.count for group in grid.rows] == [12, 2, 1])
        assert "out of money" in text_of(pilot.app)
        await pilot.press("g")
        members = await enter(pilot)
        stage.adapter.operator.retry(ids[:11])
        await settled(pilot, lambda: len(members.rows) == 1)

    stage.drive(look)


def test_a_filter_chooses_among_the_dead(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await go(pilot)
        await pilot.press("slash")
        pilot.app.screen.query_one(FilterInput).value = "queue:email"
        await pilot.press("enter")
        await settled(pilot, lambda: [group.count for group in grid.rows] == [2])
        screen = pilot.app.screen
        assert isinstance(screen, Dead)
        targets = screen.targets()
        assert targets is not None
        assert targets.where is not None
        assert targets.where.text.endswith("(queue:email)")
        await pilot.press("escape")
        await settled(pilot, lambda: len(grid.rows) == 3)

    stage.drive(look)


def test_the_bars_show_the_last_hour_day_or_month(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await go(pilot)
        for name in ("hour", "day", "month", "hour"):
            assert f"bars: the last {name}" in text_of(pilot.app)
            await pilot.press("z")
            await pilot.pause()

    stage.drive(look)


def test_a_broker_that_fails_is_said_and_reading_goes_on(stage: Stage) -> None:
    fill(stage)
    down = False

    class Down:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            if down and name in ("browse", "count"):
                raise BrokerUnreachable(url="shop", why="connection refused")
            return getattr(self._real, name)

    def opener() -> Adapter:
        adapter = stage.open()
        parts = {name: getattr(adapter, name) for name in type(adapter).__slots__}
        return type(adapter)(**(parts | {"inspector": Down(adapter.inspector)}))

    async def look(pilot: Pilot[None]) -> None:
        nonlocal down
        down = True
        await pilot.press("4")
        await settled(pilot, lambda: "cannot be reached" in text_of(pilot.app))
        down = False
        stage.clock.advance(10)
        await settled(pilot, lambda: "15 dead" in text_of(pilot.app))

    stage.drive(look, opener=opener)
