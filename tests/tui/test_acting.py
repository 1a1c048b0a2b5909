"""Acting from the screen: every dialog, what it defaults to, and what is done once it says yes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Button, Checkbox, Input, TextArea

from qtool.engine.states import State
from qtool.tui import acts, deeds
from qtool.tui.frame import text_of
from qtool.tui.screens.confirm import Confirm
from qtool.tui.screens.edit import Edit
from qtool.tui.screens.outcome import Outcome
from qtool.tui.tabs import TABS
from qtool.tui.view import View
from qtool.verbs import by_filter
from tests.tui.conftest import SIZES, compare, settled

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
    """Go to the button that does it and press it."""
    while getattr(pilot.app.focused, "id", None) != "yes":
        await pilot.press("tab")
    await pilot.press("enter")


# --- the question --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("key", "name"), [("R", "retry"), ("X", "cancel"), ("K", "kill"), ("P", "pause")])
def test_each_question_says_how_many_what_happens_and_how_to_undo_it(
    stage: Stage, size: tuple[int, int], key: str, name: str
) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        dialog = await asked(pilot, key)
        assert getattr(pilot.app.focused, "id", None) == "no"
        assert "Undo:" in text_of(pilot.app)
        compare(pilot, f"ask-{name}")
        before = counts(stage)
        await pilot.press("enter")
        await settled(pilot, lambda: pilot.app.screen is not dialog)
        assert counts(stage) == before

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_deleting_says_that_it_cannot_be_undone(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        await asked(pilot, "D")
        assert "cannot be undone" in text_of(pilot.app)
        compare(pilot, "ask-delete")
        await confirm(pilot)
        await settled(pilot, lambda: counts(stage).get("dead") == 2)

    stage.drive(look, size=size)


@pytest.mark.parametrize("key", ["escape", "y", "Y", "enter", "space", "n"])
def test_nothing_but_the_button_confirms(stage: Stage, key: str) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        before = counts(stage)
        await asked(pilot, "R")
        await pilot.press(key)
        await pilot.press("escape")
        await settled(pilot, lambda: isinstance(pilot.app.screen, View))
        app: Any = pilot.app
        assert app.doing.hand.last is None
        assert counts(stage) == before

    stage.drive(look)


def test_before_anything_was_counted_there_is_only_cancel(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(stage)
    counted = threading.Event()
    survey = deeds.survey

    def slow(*asked: Any) -> Any:
        counted.wait(20)
        return survey(*asked)

    monkeypatch.setattr(deeds, "survey", slow)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("X")
        assert "counting" in text_of(pilot.app)
        await pilot.press("tab", "enter")
        assert isinstance(pilot.app.screen, View)
        counted.set()
        await pilot.pause(0.1)
        app: Any = pilot.app
        assert app.doing.hand.last is None

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_production_is_red_and_wants_the_name_of_the_queue_typed(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        dialog = await asked(pilot, "X")
        yes = dialog.query_one("#yes", Button)
        assert dialog.has_class("-guarded")
        assert yes.disabled
        await pilot.press("shift+tab", *"payx")
        await settled(pilot, lambda: "It is not pay" in text_of(pilot.app))
        assert yes.disabled
        compare(pilot, "ask-production")
        await pilot.press("backspace")
        await settled(pilot, lambda: not yes.disabled)
        # Enter in the line leads to the button, and does not press it.
        await pilot.press("enter")
        assert pilot.app.focused is yes
        assert "ready" in counts(stage)
        await pilot.press("enter")
        await settled(pilot, lambda: "ready" not in counts(stage))

    stage.drive(look, size=size, production=True)


def test_production_wants_the_count_of_several_jobs_typed_and_nothing_for_one(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        dialog = await asked(pilot, "R")
        assert not dialog.query_one("#typed", Input).display
        await pilot.press("escape", "space", "space", "space")
        dialog = await asked(pilot, "R")
        assert "Run 3 jobs again" in text_of(pilot.app)
        assert dialog.query_one("#yes", Button).disabled
        await pilot.press("shift+tab", "3")
        await settled(pilot, lambda: not dialog.query_one("#yes", Button).disabled)

    stage.drive(look, production=True)


def test_what_does_not_apply_is_left_alone_and_counted(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot)
        await pilot.press(*["space"] * 10)
        await asked(pilot, "R")
        shown = text_of(pilot.app)
        assert "Run 5 jobs again" in shown
        assert "Left alone: 4 ready, 1 running." in shown
        await confirm(pilot)
        await settled(pilot, lambda: counts(stage) == {"ready": 9, "running": 1})
        await settled(pilot, lambda: "done" in text_of(pilot.app))
        assert isinstance(pilot.app.screen, Outcome)
        await pilot.press("escape")
        # What was done is done: the marks are gone.
        await settled(pilot, lambda: "marked" not in text_of(pilot.app))

    stage.drive(look)


# --- what came of it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_the_result_tells_of_each_job(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead,succeeded")
        await pilot.press("asterisk")
        await asked(pilot, "R")
        await confirm(pilot)
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome) and "done" in text_of(pilot.app))
        compare(pilot, "outcome")
        copied: list[str] = []
        app: Any = pilot.app
        app.copy_to_clipboard = copied.append
        await pilot.press("y")
        assert "dead → ready" in copied[0]
        assert copied[0].count("019b0000") == 5

    stage.drive(look, size=size)


def test_a_single_job_is_reported_in_a_note_and_again_from_the_palette(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        await asked(pilot, "R")
        await confirm(pilot)
        await settled(pilot, lambda: "dead → ready" in notes(pilot))
        screen: Any = pilot.app.screen
        shown = [command for command in acts.offered(screen) if command.name.startswith("Show what became")]
        shown[0].run()
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome))

    stage.drive(look)


def test_what_runs_is_waited_for_and_its_end_reported(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:running")
        await asked(pilot, "X")
        await confirm(pilot)
        await settled(pilot, lambda: "asked to stop" in notes(pilot))
        await settled(pilot, lambda: "still running" in notes(pilot))
        app: Any = pilot.app
        assert app.doing.hand.last.totals() == "1 running, asked to stop"
        assert counts(stage)["running"] == 1

    stage.drive(look, options={"patience": 0.2})


def test_many_jobs_go_in_pages_and_stop_between_two(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtool.verbs.PAGE", 2)
    for n in range(10):
        stage.add("shop.pay", n, queue="pay")
    first, go_on = threading.Event(), threading.Event()

    def slow(*asked: Any) -> Any:
        for page in by_filter(*asked):
            first.set()
            go_on.wait(20)
            yield page

    monkeypatch.setattr("qtool.tui.deeds.by_filter", slow)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await asked(pilot, "X")
        await confirm(pilot)
        await settled(pilot, first.is_set)
        await settled(pilot, lambda: isinstance(pilot.app.screen, Outcome))
        pilot.app.screen.query_one("#stop", Button).press()
        await settled(pilot, app.doing.hand.last.stop.is_set)
        go_on.set()
        await settled(pilot, lambda: app.doing.hand.last.done)
        assert counts(stage) == {"ready": 8, "cancelled": 2}
        assert app.doing.hand.last.totals() == "2 ready → cancelled"
        await settled(pilot, lambda: "stopped" in text_of(pilot.app))

    stage.drive(look)


# --- queues and workers --------------------------------------------------------------------------------


def test_pausing_asks_and_the_same_key_resumes(stage: Stage) -> None:
    fill(stage)

    def paused() -> bool:
        return stage.adapter.inspector.snapshot().queues[0].paused

    async def look(pilot: Pilot[None]) -> None:
        await asked(pilot, "P")
        await confirm(pilot)
        await settled(pilot, paused)
        await settled(pilot, lambda: "Queue pay is paused" in notes(pilot))
        await asked(pilot, "P")
        assert "Resume the queue" in text_of(pilot.app)
        await confirm(pilot)
        await settled(pilot, lambda: not paused())

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_scaling_reads_slots_and_says_in_place_what_is_wrong(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("tab")
        dialog = await asked(pilot, "S")
        yes = dialog.query_one("#yes", Button)
        assert yes.disabled
        await pilot.press("shift+tab", *"8:2")
        await settled(pilot, lambda: "is not a number of slots" in text_of(pilot.app))
        compare(pilot, "ask-scale")
        await pilot.press("backspace", "backspace", "backspace", *"2:8")
        await settled(pilot, lambda: not yes.disabled)
        await confirm(pilot)
        await settled(pilot, lambda: "2 to 8 slots" in notes(pilot))

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_a_purge_is_in_the_palette_only_and_wants_the_name(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen: Any = pilot.app.screen
        await pilot.press("D")
        assert isinstance(pilot.app.screen, View)
        purge = next(command for command in acts.offered(screen) if command.name.startswith("Purge"))
        purge.run()
        await settled(pilot, lambda: "cannot be undone" in text_of(pilot.app))
        compare(pilot, "ask-purge")
        assert pilot.app.screen.query_one("#yes", Button).disabled
        await pilot.press("shift+tab", *"pay")
        await confirm(pilot)
        await settled(pilot, lambda: counts(stage) == {"running": 1})

    stage.drive(look, size=size)


# --- copies --------------------------------------------------------------------------------------------


async def edit(pilot: Pilot[None], key: str) -> Edit:
    await pilot.press(key)
    await settled(pilot, lambda: isinstance(pilot.app.screen, Edit) and pilot.app.focused is not None)
    screen: Any = pilot.app.screen
    return screen  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", ["ready", "dead", "running"])
def test_the_form_shows_the_job_and_what_will_happen(stage: Stage, size: tuple[int, int], state: str) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, f"state:{state}")
        await edit(pilot, "e")
        compare(pilot, f"edit-{state}")

    stage.drive(look, size=size)


def test_editing_a_waiting_job_cancels_it_and_enqueues_the_copy(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:ready")
        form = await edit(pilot, "e")
        form.query_one("#field-priority", Input).value = "11"
        await settled(pilot, lambda: "is not a priority" in text_of(pilot.app))
        assert form.query_one("#yes", Button).disabled
        form.query_one("#field-priority", Input).value = "9"
        form.query_one("#field-kwargs", TextArea).text = '{"vip": true'
        await settled(pilot, lambda: "kwargs is not JSON" in text_of(pilot.app))
        form.query_one("#field-kwargs", TextArea).text = '{"vip": true}'
        await settled(pilot, lambda: not form.query_one("#yes", Button).disabled)
        await confirm(pilot)
        await settled(pilot, lambda: "Enqueued as" in notes(pilot))
        assert job(stage, 10).state is State.CANCELLED
        made = stage.adapter.inspector.browse(limit=1).jobs[0]
        assert (made.args, dict(made.kwargs), made.priority, made.queue) == ((9,), {"vip": True}, 9, "pay")

    stage.drive(look)


@pytest.mark.parametrize("delete", [False, True])
def test_editing_a_dead_job_keeps_or_deletes_it(stage: Stage, delete: bool) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        form = await edit(pilot, "e")
        form.query_one("#delete", Checkbox).value = delete
        form.query_one("#field-args", TextArea).text = "[42]"
        await confirm(pilot)
        await settled(pilot, lambda: "Enqueued as" in notes(pilot))
        assert counts(stage).get("dead") == (2 if delete else 3)
        assert stage.adapter.inspector.browse(limit=1).jobs[0].args == (42,)

    stage.drive(look)


def test_a_copy_leaves_the_original_alone(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:ready")
        before = counts(stage)
        await edit(pilot, "E")
        await confirm(pilot)
        await settled(pilot, lambda: counts(stage) == {**before, "ready": before["ready"] + 1})

    stage.drive(look)


def test_where_the_copy_cannot_be_enqueued_the_original_is_put_back(stage: Stage) -> None:
    stage.add("shop.pay", 1, unique="one")

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot)
        await edit(pilot, "E")
        await confirm(pilot)
        await settled(pilot, lambda: "holds its unique key" in notes(pilot))
        # Instead of the original it is possible: the key is free once that is cancelled.
        await edit(pilot, "e")
        await confirm(pilot)
        await settled(pilot, lambda: "Enqueued as" in notes(pilot))
        assert counts(stage) == {"ready": 1, "cancelled": 1}

    stage.drive(look)


# --- where nothing may be done -------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_read_only_refuses_and_says_why(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        before = counts(stage)
        for key in "RXKPeEDS":
            await pilot.press(key)
            assert isinstance(pilot.app.screen, View)
        await settled(pilot, lambda: "only looks" in notes(pilot))
        compare(pilot, "read-only-refused")
        assert counts(stage) == before

    stage.drive(look, size=size, read_only=True)


def test_keys_that_cannot_apply_are_not_offered(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        def keys() -> str:
            active = pilot.app.screen.active_bindings
            return "".join(key for key in "RXKDeEPS" if key in active)

        assert keys() == "RXKP"
        await pilot.press("tab")
        await settled(pilot, lambda: keys() == "S")
        await open_jobs(pilot, "state:dead")
        await settled(pilot, lambda: keys() == "RDeE")
        await open_jobs(pilot, "state:running")
        await settled(pilot, lambda: keys() == "XKeE")

    stage.drive(look)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [tab.mode for tab in TABS])
def test_no_lower_case_key_changes_anything(stage: Stage, mode: str) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        before = counts(stage)
        app.action_go(mode)
        await pilot.pause()
        # Those that do nothing on this screen do nothing: only the others are tried.
        bound = set(app.screen.active_bindings) - {"q", "tab", "escape", "enter"}
        for key in sorted(each for each in bound if len(each) > 1 or not each.isupper()):
            if key.startswith("ctrl+") or (len(key) > 1 and key not in ("space", "asterisk", "delete")):
                continue
            app.action_go(mode)
            await pilot.press(key)
            # Whatever it has opened: enter says yes to what has the focus, esc leaves it.
            await pilot.press("enter", "escape", "escape")
        assert app.doing.hand.last is None
        assert counts(stage) == before
        assert not stage.adapter.inspector.snapshot().queues[0].paused

    stage.drive(look)
