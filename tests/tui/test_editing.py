"""Copies of a job, beside it or instead of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Button, Checkbox, Input, TextArea

from qtool.engine.states import State
from qtool.tui.frame import text_of
from tests.tui.acting import confirm, counts, edit, fill, job, notes, open_jobs
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", ["ready", "dead", "running"])
def test_the_form_shows_the_job_and_what_will_happen(stage: Stage, size: tuple[int, int], state: str) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, f"state:{state}")
        await edit(pilot, "e")
        await compare(pilot, f"edit-{state}")

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


def test_a_unique_key_refuses_a_copy_and_passes_on_to_an_edit(stage: Stage) -> None:
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


def test_an_edit_of_what_somebody_has_changed_meanwhile_does_nothing_and_says_so(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:dead")
        await edit(pilot, "e")
        stage.adapter.operator.retry([job(stage, n).id for n in (1, 2, 3)])
        before = counts(stage)
        await confirm(pilot)
        await settled(pilot, lambda: "The job is ready by now: nothing was changed" in notes(pilot))
        assert counts(stage) == before

    stage.drive(look)


def test_a_time_in_the_form_counts_from_when_it_is_confirmed(stage: Stage) -> None:
    fill(stage)

    async def look(pilot: Pilot[None]) -> None:
        await open_jobs(pilot, "state:ready")
        form = await edit(pilot, "E")
        form.query_one("#field-run_at", Input).value = "+5m"
        stage.clock.advance(600)
        await confirm(pilot)
        await settled(pilot, lambda: "Enqueued as" in notes(pilot))
        made = stage.adapter.inspector.browse(limit=1).jobs[0]
        assert (made.created_at, made.due_at) == (stage.clock.now(), stage.clock.now() + 300)

    stage.drive(look)
