"""The history: charts over a real file, from the last minutes to the last weeks, and the notes in them."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.brokers.sqlite.moves import SqliteBroker
from qtool.engine.rollup import bucket_of
from qtool.errors import BrokerUnreachable
from qtool.tui.app import Top
from qtool.tui.frame import text_of
from qtool.tui.screens.history import History
from qtool.tui.timeline import totals
from tests.tui.conftest import NOW, SIZES, compare, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.pilot import Pilot

    from qtool.engine.broker import Adapter
    from tests.tui.conftest import Stage

HOUR, DAY = 3600, 86400
Row = tuple[int, int, str, str, int, int, float]


def rows(span: int, at: int, queue: str, rate: float, wait: float, *, lost: float = 0.0) -> Iterator[Row]:
    """What one rollup of a queue holds at so many jobs a second, of which a part comes to nothing."""
    came = round(rate * span)
    dead = round(came * lost)
    for series, n in (("enqueued", came), ("started", came), ("succeeded", came - dead), ("dead", dead)):
        if n:
            yield span, at, queue, series, 0, n, 0.0
    for series, took in (("wait", wait), ("run", 0.4)):
        for share, times in ((0.7, 1.0), (0.3, 3.0)):
            if n := round(came * share):
                yield span, at, queue, series, bucket_of(took * times), n, n * took * times


def keep(stage: Stage, found: Iterator[Row]) -> None:
    assert isinstance(stage.adapter.broker, SqliteBroker)
    with stage.adapter.broker._store.write(durable=False) as db:
        db.executemany(
            "INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET n = n + excluded.n, total = total + excluded.total",
            found,
        )


def minutes(stage: Stage) -> None:
    """The last ten minutes: waves, some seconds of trouble, and two notes; nothing before."""

    def seconds() -> Iterator[Row]:
        for at in range(int(NOW) - 600, int(NOW)):
            wave = 30 + 20 * math.sin(at / 40)
            trouble = 200 < NOW - at < 230
            yield from rows(1, at, "email", wave, 2.0 if trouble else 0.05, lost=0.3 if trouble else 0.0)
            yield from rows(1, at, "reports", 4, 0.2)

    stage.add("shop.mail.send", queue="email")
    stage.add("shop.report", queue="reports")
    keep(stage, seconds())
    stage.adapter.journal.note("deploy 1.4", NOW - 250)
    stage.adapter.journal.note("mail server restarted", NOW - 40)


def weeks(stage: Stage) -> None:
    """Forty days, thinned as the broker does it."""
    now = int(NOW)

    def wave(at: int) -> float:
        return 20 + 15 * math.sin(at / DAY * 2 * math.pi) - (15 if at // DAY % 7 in (2, 3) else 0)

    def spans() -> Iterator[Row]:
        for span, first, last in ((HOUR, 40 * DAY, 7 * DAY), (60, 7 * DAY, 2 * HOUR), (1, 2 * HOUR, 0)):
            # Not every span has something in it: it is only about what a picture of all of them shows.
            for at in range(now - first, now - last, span if span == HOUR else 6 * span):
                yield from rows(span, at, "email", wave(at), 0.05)

    stage.add("shop.mail.send", queue="email")
    keep(stage, spans())
    stage.adapter.journal.note("new disk", NOW - 20 * DAY)


async def history(pilot: Pilot[None]) -> History:
    """Go there, and wait until all is read."""
    await pilot.press(next(str(n) for n, (mode, _) in enumerate(pilot.app.tabs, 1) if mode == "history"))  # type: ignore[attr-defined]  # it is a Top
    await settled(pilot, lambda: isinstance(pilot.app.screen, History))
    screen = pilot.app.screen
    assert isinstance(screen, History)
    await read(pilot)
    return screen


async def read(pilot: Pilot[None]) -> None:
    """Until nothing is missing."""
    screen = pilot.app.screen
    assert isinstance(screen, History)
    lens = screen.lens
    await settled(pilot, lambda: not lens._pending and (sheet := lens.sheet()) is not None and not sheet.reading)
    await pilot.pause()


@pytest.mark.parametrize("size", [*SIZES, (250, 60)])
def test_the_last_minutes(stage: Stage, size: tuple[int, int]) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        compare(pilot, "history")

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
        compare(pilot, "history-crosshair")
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
        compare(pilot, "history-weeks")
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
        compare(pilot, "history-empty")

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


@pytest.mark.parametrize("size", SIZES)
def test_the_dialog_for_queues(stage: Stage, size: tuple[int, int]) -> None:
    minutes(stage)

    async def look(pilot: Pilot[None]) -> None:
        await history(pilot)
        await pilot.press("slash")
        await settled(pilot, lambda: "The history of" in text_of(pilot.app))
        compare(pilot, "history-queues")

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
        compare(pilot, "history-note")

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
        assert said == ["It is read-only here."]
        assert isinstance(pilot.app.screen, History)

    stage.drive(look, read_only=True)


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
