"""What the tests of acting share: a queue with jobs in every state, and the way through a dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.widgets import Button

from qtool.tui.frame import text_of
from qtool.tui.screens.confirm import Confirm
from qtool.tui.screens.edit import Edit
from tests.tui.conftest import settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qtool.engine.job import JobInfo
    from tests.tui.conftest import Stage


def fill(stage: Stage) -> None:
    """Three dead jobs, two that succeeded, one that runs, four that are ready."""
    for n in range(10):
        stage.add("shop.pay", n, queue="pay")
    leases = stage.start(stage.worker("1", busy=1), 6)
    for lease in leases[:3]:
        stage.end(lease, "card declined", took=0.5)
    for lease in leases[3:5]:
        stage.end(lease, took=0.5)
    stage.clock.advance(5)
    stage.worker("1", busy=1)


def job(stage: Stage, number: int) -> JobInfo:
    found = stage.adapter.inspector.get([f"019b0000-0000-7000-8000-{number:012d}"])[0]
    assert found is not None
    return found


def counts(stage: Stage) -> dict[str, int]:
    """Jobs by state, those that there are."""
    queues = stage.adapter.inspector.snapshot().queues
    return {str(state): n for queue in queues for state, n in queue.counts.items() if n}


async def open_jobs(pilot: Pilot[None], where: str = "") -> None:
    app: Any = pilot.app
    # All of them first: columns are as wide as they have ever had to be, and pictures are to be the same every time.
    if app.current_mode != "jobs":
        app.action_go("jobs")
        await settled(pilot, lambda: "all jobs" in text_of(app) and "▸" in text_of(app))
    if where:
        app.show_jobs(where=where)
        await settled(pilot, lambda: f"/{where}" in text_of(app) and "…" not in text_of(app).splitlines()[2])
        await settled(pilot, lambda: "▸" in text_of(app))


async def asked(pilot: Pilot[None], key: str) -> Confirm:
    """The dialog that this key opens, once it has counted."""
    await pilot.press(key)
    await settled(pilot, lambda: isinstance(pilot.app.screen, Confirm) and "counting" not in text_of(pilot.app))
    screen: Any = pilot.app.screen
    return screen  # type: ignore[no-any-return]


def notes(pilot: Pilot[None]) -> str:
    """What the program has said in notes."""
    return "\n".join(each.message for each in pilot.app._notifications)


async def confirm(pilot: Pilot[None]) -> None:
    """Go to the button that does it, once it can be pressed, and press it."""
    yes = pilot.app.screen.query_one("#yes", Button)
    await settled(pilot, lambda: not yes.disabled)
    for _ in pilot.app.screen.focus_chain:
        if pilot.app.focused is not yes:
            await pilot.press("tab")
    assert pilot.app.focused is yes, text_of(pilot.app)
    await pilot.press("enter")


async def edit(pilot: Pilot[None], key: str) -> Edit:
    await pilot.press(key)
    await settled(pilot, lambda: isinstance(pilot.app.screen, Edit) and pilot.app.focused is not None)
    screen: Any = pilot.app.screen
    return screen  # type: ignore[no-any-return]
