"""A past to look at: rollups and notes in a stage's file, and the way to the History tab."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.moves import SqliteBroker
from qtool.engine.rollup import bucket_of
from qtool.tui.screens.history import History
from tests.tui.conftest import NOW, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.pilot import Pilot

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
