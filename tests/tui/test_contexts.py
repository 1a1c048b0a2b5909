"""Going to another broker while the screen runs: nothing of the old one stays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from qtool.tui.frame import text_of
from qtool.tui.poller import Answer
from qtool.tui.screens.overview import Overview
from tests.tui.conftest import SIZES, Stage, compare, settled

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from qtool.engine.broker import Adapter


@pytest.fixture
def other(stage: Stage, tmp_path: Path) -> Any:
    (tmp_path / "other").mkdir()
    made = Stage(tmp_path / "other")
    made.add("shop.mail.send", queue="theirs")
    stage.add("shop.mail.send", queue="ours")
    yield made
    made.adapter.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_list_of_contexts(stage: Stage, other: Stage, size: tuple[int, int]) -> None:
    live = other.place(where="live", url="sqlite:///srv/live.db", production=True, read_only=True)
    work = stage.place(where="work", url="sqlite:///srv/jobs.db")

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        app.place = work
        await pilot.press("C")
        await settled(pilot, lambda: "Look at" in text_of(app))
        await compare(pilot, "contexts")
        await pilot.press("l")
        await settled(pilot, lambda: "theirs" in text_of(app))
        assert "PRODUCTION" in text_of(app)
        assert "ours" not in text_of(app)
        assert app.has_class("-production")
        await pilot.press("C", "w")
        await settled(pilot, lambda: "ours" in text_of(app))
        assert not app.has_class("-production")

    stage.drive(look, size=size, options={"places": [work, live]})


def test_the_screens_begin_anew(stage: Stage, other: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await pilot.press("2")
        app.push_screen(Overview())
        await pilot.pause()
        app.go_to(other.place(where="live"))
        await settled(pilot, lambda: "theirs" in text_of(app))
        assert app.current_mode == "overview"
        assert len(app.screen_stack) == 1
        await pilot.press("2")
        await pilot.pause()
        assert len(app.screen_stack) == 1

    stage.drive(look)


def test_an_answer_of_the_place_that_was_left_is_dropped(stage: Stage, other: Stage) -> None:
    held, answered = threading.Event(), threading.Event()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            if app is not None and app.place.where == "live":
                held.wait(10)
                answered.set()
            return getattr(stage.adapter.inspector, name)

    app: Any = None

    def opener() -> Adapter:
        adapter = stage.open()
        parts = {name: getattr(adapter, name) for name in type(adapter).__slots__}
        return type(adapter)(**(parts | {"inspector": Slow()}))

    async def look(pilot: Pilot[None]) -> None:
        nonlocal app
        app = pilot.app
        told: list[Any] = []
        begun = threading.Event()

        def late(adapter: Adapter) -> str:
            begun.set()
            held.wait(10)
            return "of the old place"

        app.screen.ask("late", late, told.append)
        await settled(pilot, begun.is_set)
        app.go_to(other.place(where="live"))
        held.set()
        await settled(pilot, lambda: "theirs" in text_of(app))
        await pilot.pause()
        assert told == []
        assert [line.row.queue for line in app.store.queues] == ["theirs"]

    stage.drive(look, opener=opener)


def test_an_answer_that_was_on_its_way_is_dropped_too(stage: Stage, other: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        link, sight = app.link, app.store.sight
        told: list[Any] = []
        app.screen.ask("late", lambda adapter: None, told.append)
        app.go_to(other.place(where="live"))
        await settled(pilot, lambda: "theirs" in text_of(app))
        told.clear()
        now = stage.clock.monotonic() + 1000
        link._hear(Answer("watch", (sight, {}), None, now, now))
        link._hear(Answer("Overview.late", "of the old place", None, now, now))
        await pilot.pause()
        assert [line.row.queue for line in app.store.queues] == ["theirs"]
        assert told == []

    stage.drive(look)


def test_without_contexts_it_says_how_to_make_one(stage: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("C")
        await pilot.pause()
        assert pilot.app._notifications
        assert isinstance(pilot.app.screen, Overview)

    stage.drive(look)
