"""What one does in the history: choose queues, write and find notes, point with the mouse, go on to the jobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from qtool.errors import ReadOnlyContext
from qtool.tui.app import Top
from qtool.tui.frame import text_of
from qtool.tui.screens.confirm import Confirm
from qtool.tui.screens.history import History
from tests.tui.acting import asked, confirm, notes
from tests.tui.conftest import NOW, SIZES, compare, settled
from tests.tui.past import history, minutes, read

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", SIZES)
def test_the_dialog_for_queues(stage: Stage, size: tuple[int, int]) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        await pilot.press("slash")
        await settled(pilot, lambda: "The history of" in text_of(pilot.app))
        await compare(pilot, "history-queues")

    stage.drive(look, size=size)


def test_choosing_queues(stage: Stage) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        await pilot.press("slash", "j", "enter")
        await settled(pilot, lambda: pilot.app.screen is screen)
        await read(pilot)
        assert list(screen.lens.queues) == ["reports"]
        assert "out 4\n" in text_of(pilot.app)
        await pilot.press("slash", "k", "space", "j", "space", "enter")
        await settled(pilot, lambda: len(screen.lens.queues) == 2)
        await pilot.press("a")
        assert not screen.lens.queues
        await pilot.press("slash", "escape")
        assert not screen.lens.queues

    stage.drive(look)


def test_from_a_column_to_its_jobs(stage: Stage) -> None:
    minutes(stage)
    worker = stage.worker()
    stage.end(stage.start(worker, 1, "email")[0], took=0.5)
    stage.clock.advance(60)
    stage.end(stage.start(worker, 1, "reports")[0], took=0.5)
    stage.clock.advance(5)

    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        await pilot.press("0", "left", "left", "enter")
        await settled(pilot, lambda: "shop.report" in text_of(pilot.app))
        assert "shop.mail" not in text_of(pilot.app)

    stage.drive(look)


def test_from_the_overview_to_the_history_of_a_queue(stage: Stage) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("j", "t")
        await settled(pilot, lambda: isinstance(pilot.app.screen, History))
        screen: Any = pilot.app.screen
        await settled(pilot, lambda: screen.lens.queues == ("reports",))
        await settled(pilot, lambda: "› reports" in text_of(pilot.app))  # noqa: RUF001  the mark of a way down

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_the_dialog_for_a_note(stage: Stage, size: tuple[int, int]) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        await pilot.press("A")
        await settled(pilot, lambda: "A note for now" in text_of(pilot.app))
        await compare(pilot, "history-note")

    stage.drive(look, size=size)


def test_writing_a_note(stage: Stage) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        await pilot.press("A", "enter")
        await settled(pilot, lambda: "it is empty" in text_of(pilot.app))
        await pilot.press(*"full", "enter")
        await settled(pilot, lambda: any(note.text == "full" for note in screen.lens.notes))
        assert stage.adapter.journal.notes(NOW, NOW + 1)[0].text == "full"
        await pilot.press("left", "left", "A", *"was", "enter")
        await settled(pilot, lambda: any(note.text == "was" for note in screen.lens.notes))
        assert stage.adapter.journal.notes(NOW - 20, NOW)[0].at == screen.lens.cursor
        await pilot.press("A", *"no", "escape")
        await settled(pilot, lambda: pilot.app.screen is screen)
        assert len(stage.adapter.journal.notes(0, NOW + 10)) == 4

    stage.drive(look)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the program told in passing."""
    told: list[str] = []
    monkeypatch.setattr(Top, "notify", lambda _self, message, **_: told.append(message))
    return told


def test_from_note_to_note(stage: Stage, said: list[str]) -> None:
    minutes(stage)
    stage.adapter.journal.note("\x1b[31mred\x1b[0m [bold]x[/bold]", NOW - 500)

    async def look(pilot: Pilot[None]) -> None:
        def told(text: str) -> bool:
            return text_of(pilot.app).splitlines()[3].endswith(f" {text}")

        await history(pilot)
        for text in ("mail server restarted", "deploy 1.4", "red [bold]x[/bold]"):
            await pilot.press("N")
            await settled(pilot, partial(told, text))
        await pilot.press("N")
        assert said == ["No earlier note."]
        await pilot.press("n")
        await settled(pilot, partial(told, "deploy 1.4"))

    stage.drive(look)


def test_nothing_is_written_where_it_is_read_only(stage: Stage, said: list[str]) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        await pilot.press("A")
        assert said == ["This screen only looks: it was started with --read-only, or its context is read-only."]
        assert screen_refuses(pilot)
        await pilot.press("N", "D")
        assert len(said) == 2
        assert isinstance(pilot.app.screen, History)

    stage.drive(look, read_only=True)


def screen_refuses(pilot: Pilot[None]) -> bool:
    screen: Any = pilot.app.screen
    return bool(screen.refuses("write"))


def test_a_note_is_written_as_every_change_is(stage: Stage) -> None:
    """Over the line that acts, whose broker may be another: looking may be all that the other one is allowed."""
    minutes(stage)

    def forbidden() -> Any:
        raise ReadOnlyContext(context="live")

    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        await pilot.press("A")
        await settled(pilot, lambda: "PRODUCTION shop" in text_of(pilot.app))
        assert pilot.app.screen.has_class("-guarded")
        await pilot.press(*"full", "enter")
        await settled(pilot, lambda: "The context 'live' is read-only" in notes(pilot))
        assert len(stage.adapter.journal.notes(0, NOW + 10)) == 2

    stage.drive(look, production=True, writer=forbidden)


@pytest.mark.parametrize("size", SIZES)
def test_a_note_is_removed_after_a_question(stage: Stage, size: tuple[int, int]) -> None:
    minutes(stage)

    def left() -> list[str]:
        return [note.text for note in stage.adapter.journal.notes(0, NOW + 10)]

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        await pilot.press("D")
        assert pilot.app.screen is screen, "the crosshair is on none"
        before = left()
        await pilot.press("N")
        await asked(pilot, "D")
        await compare(pilot, "ask-remove-note")
        await pilot.press("enter")
        await settled(pilot, lambda: pilot.app.screen is screen)
        assert left() == before
        await asked(pilot, "D")
        await confirm(pilot)
        await settled(pilot, lambda: left() == before[:-1])
        await settled(pilot, lambda: f"Removed: {before[-1]}" in notes(pilot))
        await settled(pilot, lambda: [note.text for note in screen.lens.notes] == left())

    stage.drive(look, size=size)


def test_of_several_notes_at_one_time_one_is_chosen(stage: Stage) -> None:
    minutes(stage)
    stage.adapter.journal.note("one", NOW - 100)
    stage.adapter.journal.note("two", NOW - 100)

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        screen.lens.read_at(int(NOW) - 100)
        await pilot.press("D")
        await settled(pilot, lambda: "Remove which note?" in text_of(pilot.app))
        await pilot.press("o")
        await settled(pilot, lambda: isinstance(pilot.app.screen, Confirm) and "counting" not in text_of(pilot.app))
        await confirm(pilot)
        await settled(pilot, lambda: "Removed: one" in notes(pilot))
        assert "two" in [note.text for note in stage.adapter.journal.notes(0, NOW + 10)]

    stage.drive(look)


def test_a_note_that_somebody_has_removed_is_not_removed_again(stage: Stage) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        await pilot.press("N")
        note = screen.lens.notes_here()[0]
        stage.adapter.journal.forget(note.id)
        await asked(pilot, "D")
        assert "somebody has removed it already" in text_of(pilot.app)
        assert "There is nothing to do" in text_of(pilot.app)

    stage.drive(look)


def test_the_mouse_reads_and_zooms(stage: Stage) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await history(pilot)
        await pilot.click("#chart", offset=(40, 6))
        assert screen.lens.cursor == screen.lens.window.at(64)
        step = screen.lens.window.step
        await pilot._post_mouse_events([_wheel_up()], "#chart", offset=(40, 6))
        await settled(pilot, lambda: screen.lens.window.step < step)
        assert screen.lens.cursor is not None
        assert abs((screen.lens.window.column(screen.lens.cursor) or 0) - 64) <= 4, "around the pointer"

    stage.drive(look)


def _wheel_up() -> Any:
    from textual.events import MouseScrollUp

    return MouseScrollUp
