"""What happens, as it happens: at the end of a list, that somebody may leave, stop and filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.events import Kind, News, Occurrence
from qtool.engine.filter import parse
from qtool.tui.frame import text_of
from qtool.tui.happened import MOST, Log, sampling
from qtool.tui.screens.events import Events
from qtool.tui.widgets.filterline import FilterInput
from qtool.tui.widgets.grid import Grid
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


def fill(stage: Stage) -> None:
    """Jobs that were enqueued, started, and ended in different ways."""
    worker = stage.worker("1", busy=1)
    for who in ("ann", "bob", "cy"):
        stage.add("shop.mail.send", f"{who}@example.com", queue="email")
        stage.clock.advance(0.25)
    for lease, error in zip(stage.start(worker, 3), (None, "550 no such\x1b[2J user", None), strict=True):
        stage.end(lease, error, took=0.5)
    cancelled = stage.add("shop.report", 7, queue="reports")
    stage.adapter.operator.cancel([cancelled])
    stage.add("shop.report", 8, queue="reports")
    stage.clock.advance(0.5)
    stage.start(worker, 1)
    stage.worker("1", busy=1)


async def go(pilot: Pilot[None]) -> Grid[Any]:
    """To the screen, once it has looked; its table."""
    await pilot.press("5")
    await settled(pilot, lambda: isinstance(pilot.app.screen, Events) and "Looking" not in text_of(pilot.app))
    return pilot.app.screen.query_one("#events", Grid)


@pytest.mark.parametrize("size", SIZES)
def test_what_happened_and_what_happens_now(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await go(pilot)
        before = len(grid.rows)
        stage.clock.advance(1)
        stage.worker("2", host="shop-2", pid=815)
        stage.adapter.operator.pause("email")
        await settled(pilot, lambda: len(grid.rows) == before + 2)
        assert grid.place == len(grid.rows) - 1
        await compare(pilot, "events")

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_has_happened(stage: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await go(pilot)
        await compare(pilot, "events-nothing")

    stage.drive(look, size=size)


def test_the_end_is_followed_unless_somebody_goes_up(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await go(pilot)
        await pilot.press("k", "k")
        here, before = grid.current_key, len(grid.rows)
        stage.clock.advance(1)
        stage.add("shop.late")
        await settled(pilot, lambda: len(grid.rows) == before + 1)
        assert grid.current_key == here
        assert "G follows" in text_of(pilot.app)
        await pilot.press("G")
        stage.clock.advance(1)
        stage.add("shop.later")
        await settled(pilot, lambda: len(grid.rows) == before + 2)
        assert grid.place == before + 1

    stage.drive(look)


def test_p_stops_the_list_and_goes_on(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await go(pilot)
        await pilot.press("p")
        before = len(grid.rows)
        stage.clock.advance(1)
        stage.add("shop.late")
        await settled(pilot, lambda: "paused" in text_of(pilot.app))
        for _ in range(10):
            await pilot.pause(0.02)
        assert len(grid.rows) == before
        await pilot.press("p")
        await settled(pilot, lambda: len(grid.rows) == before + 1)

    stage.drive(look)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("state:dead", ["dead"]),
        ("queue:reports", ["enqueued", "enqueued", "cancelled", "started"]),
        ("error~550", ["dead"]),
        ("bob", ["enqueued", "started", "dead"]),
        ("state:running queue:reports", ["started"]),
        ("queue:nowhere", []),
    ],
)
def test_the_filter_chooses_by_kind_queue_and_text(stage: Stage, text: str, kinds: list[str]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await go(pilot)
        all_of_them = len(grid.rows)
        await pilot.press("slash")
        pilot.app.screen.query_one(FilterInput).value = text
        await pilot.press("enter")
        await settled(pilot, lambda: [str(event.kind) for event in grid.rows] == kinds)
        assert f"{len(kinds)} of {all_of_them} events" in text_of(pilot.app)
        await pilot.press("escape")
        await settled(pilot, lambda: len(grid.rows) == all_of_them)

    stage.drive(look)


def test_enter_opens_the_job_and_keys_act_on_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        grid = await go(pilot)
        opened: list[str] = []
        monkeypatch.setattr(type(pilot.app), "show_job", lambda _, wanted: opened.append(wanted))
        await pilot.press("enter")
        await settled(pilot, lambda: opened)
        row = grid.current
        assert row is not None
        assert opened == [row.job.id]
        screen = pilot.app.screen
        assert isinstance(screen, Events)
        targets = screen.targets()
        assert targets is not None
        assert targets.ids == (row.job.id,)

    stage.drive(look)


def test_only_the_last_few_thousand_are_kept() -> None:
    log = Log()
    for start in range(0, 3 * MOST, 500):
        said = [Occurrence(key=str(n), at=n, kind=Kind.PAUSED, queue="q") for n in range(start, start + 500)]
        log.add(News(tuple(said), 0.0, 0.0))
    assert (len(log.rows), log.rows[-1].key) == (MOST, str(3 * MOST - 1))
    log.want(parse("queue:q"))
    assert len(log.rows) == MOST
    log.want(parse("queue:r"))
    assert not log.rows


def test_a_sample_says_of_how_many() -> None:
    assert sampling(News((), 12.0, 5_000.0)) == "sampled: 12 of about 5,000 a second"
    assert sampling(News((), 12.0, 12.0)) == ""
