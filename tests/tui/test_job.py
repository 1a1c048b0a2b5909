"""One job: its payload folds, its log is followed, its attempts lie on a line of time, any part can be taken away."""

from __future__ import annotations

import json
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from textual.events import Key
from textual.widgets import Input

from qtool.engine.job import UNSAID, Chunk, Done, Policy, Report
from qtool.engine.policy import decide
from qtool.tui.detail import printed
from qtool.tui.frame import text_of
from qtool.tui.screens.job import Job
from qtool.tui.screens.save import Save, write_new
from qtool.tui.tail import Tail
from qtool.tui.widgets.findline import FindLine
from qtool.views.jobs import JobDetail
from tests.tui.conftest import SIZES, compare, settled
from tests.tui.test_jobs import told

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from qtool.engine.job import Lease
    from tests.tui.conftest import Stage

LETTER = {
    "to": "ann@example.com",
    "subject": "Hello",
    "headers": {"X-Mailer": "shop", "X-Tries": [1, 2, 3, None, True]},
    "body": "Dear Ann, " * 400,
    "lines": list(range(250)),
}


GREEN = (
    ("stdout", b"connecting\n\x1b[32mconnected\n"),
    ("stderr", b"slow server\n"),
    ("stdout", b"still green\x1b[0m\n"),
)
STILL_GREEN = sum(len(data) for _, data in GREEN)


def write(stage: Stage, lease: Lease, *pieces: tuple[str, bytes], at: int = 0, **more: Any) -> int:
    """A running job writes; where it has come to."""
    chunks = []
    for stream, data in pieces:
        chunks.append(Chunk(stream, at, data))
        at += len(data)
    stage.adapter.broker.report([Report(lease, output=tuple(chunks), **more)])
    return at


def perform(stage: Stage) -> tuple[str, Lease]:
    """A job that failed, was retried by hand, and runs; its parent; and its lease."""
    parent = stage.add("shop.order", 7)
    worker = stage.worker("1", busy=1)
    (lease,) = stage.start(worker)
    stage.end(lease, took=2)
    id = stage.add(
        "shop.mail.send", "ann", kwargs=LETTER, queue="email", parents=(parent,), tags={"team": "post"},
        policy=Policy(retries=3, timeout=60.0),
    )  # fmt: skip
    (lease,) = stage.start(worker)
    write(stage, lease, ("stdout", b"connecting\n"), ("stderr", b"refused\n"))
    stage.end(lease, "connection refused", took=20)
    stage.clock.advance(30)
    stage.adapter.operator.retry([id])
    (lease,) = stage.start(worker)
    write(stage, lease, *GREEN, progress=0.4, message="sending 4 of 10")
    stage.clock.advance(25)
    stage.worker("1", busy=1)
    return id, lease


async def opened(pilot: Pilot[None], id: str, pane: str = "") -> Job:
    """The screen of a job, filled."""
    app: Any = pilot.app
    app.show_job(id, pane)
    await settled(pilot, lambda: isinstance(app.screen, Job) and app.screen.asked)
    await pilot.pause()
    screen: Job = app.screen
    return screen


def clipboard(pilot: Pilot[None]) -> str:
    return pilot.app.clipboard


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pane", ["facts", "payload", "result", "log", "attempts"])
def test_a_running_job(stage: Stage, size: tuple[int, int], pane: str) -> None:
    id, _ = perform(stage)

    async def look(pilot: Pilot[None]) -> None:
        await opened(pilot, id, pane)
        await compare(pilot, f"job-{pane}")

    stage.drive(look, size=size)


def test_the_payload_folds_and_every_part_of_it_can_be_copied(stage: Stage) -> None:
    id, _ = perform(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await opened(pilot, id, "payload")
        lines = screen.panes.pane()
        await pilot.press("y")
        assert clipboard(pilot) == printed(screen.panes.row)  # type: ignore[arg-type]  # it is there
        assert json.loads(clipboard(pilot))[0]["id"] == id
        labels = [line.label for line in lines.lines]
        lines.action_move(labels.index("headers"))
        await pilot.press("y")
        assert json.loads(clipboard(pilot)) == LETTER["headers"]
        await pilot.press("left")
        assert "X-Mailer" not in [line.label for line in lines.lines]
        await pilot.press("right")
        assert "X-Mailer" in [line.label for line in lines.lines]
        lines.action_move(labels.index("body") - labels.index("headers"))
        await pilot.press("y")
        assert clipboard(pilot) == LETTER["body"]
        await pilot.press("j", "enter")
        assert len(lines.lines) == len(labels) + 101
        await pilot.press("slash")
        pilot.app.screen.query_one(FindLine).value = "150 more"
        await pilot.press("enter")
        assert told(pilot, "Nothing here holds '150 more'")
        lines.action_move(101)
        assert lines.current.rest == 150
        await pilot.press("enter")
        assert len(lines.lines) == len(labels) + 201

    stage.drive(look)


def test_the_log_is_followed_searched_and_copied_with_its_colours_gone(stage: Stage) -> None:
    id, lease = perform(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await opened(pilot, id, "log")
        lines = screen.panes.pane()
        assert [line.plain for line in lines.lines] == ["connecting", "connected", "slow server", "still green"]
        assert lines.lines[3].text.startswith("\x1b[32m"), "a colour holds until it is taken back"
        at = write(stage, lease, ("stdout", b"".join(b"letter %d\n" % n for n in range(300))), at=STILL_GREEN)
        await settled(pilot, lambda: "letter 299" in text_of(pilot.app))
        await pilot.press("slash")
        screen.query_one(FindLine).value = "LETTER 28"
        await pilot.press("enter")
        assert lines.current.plain == "letter 28"
        await pilot.press("n")
        assert lines.current.plain == "letter 280"
        await pilot.press("N")
        assert lines.current.plain == "letter 28"
        assert not lines.follow
        write(stage, lease, ("stdout", b"one more\n"), at=at)
        await settled(pilot, lambda: len(lines.lines) == 305)
        assert lines.current.plain == "letter 28"
        await pilot.press("w")
        await settled(pilot, lambda: "one more" in text_of(pilot.app))
        await pilot.press("y")
        assert clipboard(pilot).startswith("connecting\nconnected\nslow server\nstill green\nletter 0\n")
        await pilot.press("left_square_bracket")
        await settled(pilot, lambda: "refused" in text_of(pilot.app))
        assert [line.plain for line in lines.lines] == ["connecting", "refused"]
        await pilot.press("right_square_bracket")
        await settled(pilot, lambda: len(lines.lines) == 305)

    stage.drive(look)


def test_what_is_typed_in_one_burst_after_the_slash_is_looked_for(stage: Stage) -> None:
    """As over a slow line: the keys are there before anything could be drawn. None of them may act."""
    id, _ = perform(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await opened(pilot, id, "log")
        for key in ("slash", *"SeRveR", "enter"):
            pilot.app.post_message(Key(key, key if len(key) == 1 else "/" if key == "slash" else None))
        await settled(pilot, lambda: screen.panes.pane().current.plain == "slow server")
        assert pilot.app.screen is screen

    stage.drive(look)


def test_no_line_of_output_is_made_in_the_thread_that_draws(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task may write tens of thousands of lines a second: keys would wait for them."""
    id, lease = perform(stage)
    where: set[threading.Thread] = set()
    feed = Tail.feed

    def watched(tail: Tail, chunks: Any) -> bool:
        where.add(threading.current_thread())
        return feed(tail, chunks)

    monkeypatch.setattr(Tail, "feed", watched)

    async def look(pilot: Pilot[None]) -> None:
        await opened(pilot, id, "log")
        write(stage, lease, ("stdout", b"".join(b"letter %d\n" % n for n in range(300))), at=STILL_GREEN)
        await settled(pilot, lambda: "letter 299" in text_of(pilot.app))
        assert where
        assert threading.current_thread() not in where

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_a_dead_job_shows_its_traceback(stage: Stage, size: tuple[int, int]) -> None:
    id = stage.add("shop.pay", 12)
    (lease,) = stage.start(stage.worker("1"))
    stage.end(lease, "card refused")

    async def look(pilot: Pilot[None]) -> None:
        screen = await opened(pilot, id, "result")
        await compare(pilot, "job-dead")
        await pilot.press("y")
        assert clipboard(pilot).startswith("Traceback (most recent call last):")
        colours = {span.style for line in screen.panes.pane().lines for span in line.spans}
        assert len(colours) > 2, "the traceback is highlighted"

    stage.drive(look, size=size)


def test_a_result_is_a_tree_too_and_a_job_that_goes_on_shows_what_is_new(stage: Stage) -> None:
    id = stage.add("shop.sum", 1, 2)
    (lease,) = stage.start(stage.worker("1"))

    async def look(pilot: Pilot[None]) -> None:
        await opened(pilot, id, "result")
        assert "Nothing has come of it yet." in text_of(pilot.app)
        outcome = Done('{"sum":3,"of":[1,2]}')
        now = stage.clock.now()
        settlement = decide(lease, outcome, UNSAID, now=now, started_at=now, random=lambda: 0.5)
        stage.adapter.broker.settle([settlement])
        await settled(pilot, lambda: "sum: 3" in text_of(pilot.app))
        assert "succeeded" in text_of(pilot.app)

    stage.drive(look)


@pytest.mark.parametrize("size", SIZES)
def test_a_job_that_vanishes_is_said_to(stage: Stage, size: tuple[int, int]) -> None:
    id = stage.add("shop.sum", 1, 2)

    async def look(pilot: Pilot[None]) -> None:
        screen = await opened(pilot, id)
        stage.adapter.operator.delete([id])
        await settled(pilot, lambda: "It is gone" in text_of(pilot.app))
        assert screen.targets() is None
        await compare(pilot, "job-gone")
        await pilot.press("escape")
        await opened(pilot, "no-such-job")
        assert "There is no such job" in text_of(pilot.app)

    stage.drive(look, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_it_is_written_to_a_new_file_only(
    stage: Stage, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    id, _ = perform(stage)

    async def look(pilot: Pilot[None]) -> None:
        screen = await opened(pilot, id)
        await pilot.press("ctrl+s")
        await pilot.pause()
        await compare(pilot, "job-export")
        await pilot.press("enter")
        await settled(pilot, lambda: pilot.app.screen is screen)
        path = tmp_path / "019b0000-0000-7000.json"
        row = JobDetail.with_attempts(
            *(stage.adapter.inspector.get([id])[0], stage.adapter.inspector.attempts(id))  # type: ignore[arg-type]  # it is there
        )
        assert path.read_text() == printed(row)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.write_text("mine")
        await pilot.press("ctrl+s", "enter")
        await settled(pilot, lambda: "is there already" in text_of(pilot.app))
        assert path.read_text() == "mine"
        await pilot.press("escape", "l", "ctrl+s")
        assert isinstance(pilot.app.screen, Save)
        pilot.app.screen.query_one(Input).value = str(tmp_path / "log")
        await pilot.press("enter")
        await settled(pilot, lambda: pilot.app.screen is screen)
        assert (tmp_path / "log").read_text() == "connecting\nconnected\nslow server\nstill green\n"

    stage.drive(look, size=size)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    assert write_new(str(tmp_path / "no" / "file"), "x") == f"{tmp_path}/no/file: No such file or directory"
    assert "embedded null byte" in (write_new("a\0b", "x") or "")
    assert write_new(str(tmp_path / "odd"), "lone \ud800") is None


def test_jobs_and_parents_lead_to_a_job_and_esc_leads_back(stage: Stage) -> None:
    id, _ = perform(stage)

    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await settled(pilot, lambda: "shop.order(7)" in text_of(pilot.app))
        await pilot.press("enter")
        await settled(pilot, lambda: isinstance(pilot.app.screen, Job) and "parent" in text_of(pilot.app))
        screen: Any = pilot.app.screen
        assert screen.MODE == "jobs"
        assert screen.targets().ids == (id,)
        await pilot.press("G", "enter")
        await settled(pilot, lambda: pilot.app.screen is not screen and "shop.order" in text_of(pilot.app))
        await pilot.press("escape")
        await settled(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("t", "enter")
        await settled(pilot, lambda: "refused" in text_of(pilot.app))
        assert screen.panes.front == "log"
        await pilot.press("escape", "l")
        await settled(pilot, lambda: "log of attempt 2, followed" in text_of(pilot.app))

    stage.drive(look)


def test_what_a_job_writes_and_got_is_harmless(stage: Stage) -> None:
    id = stage.add("shop.evil", "\x1b]0;title\x07[bold]x[/bold]", kwargs={"[red]k": "\u202ev"})
    (lease,) = stage.start(stage.worker("1"))
    write(
        stage,
        lease,
        ("stdout", b"\x1b[2Jcleared \x1b]52;c;aGk=\x07 [bold]log[/bold]\r\n\x1b[31mred\xff\n"),
        message="\x1b[5mblink",
    )
    stage.adapter.broker.report([])

    async def look(pilot: Pilot[None]) -> None:
        for pane in ("payload", "log"):
            await opened(pilot, id, pane)
            shown = text_of(pilot.app)
            assert not {"\x1b", "\x07", "\u202e"} & set(shown)
            assert "[bold]" in shown
            await pilot.press("escape")

    stage.drive(look)
