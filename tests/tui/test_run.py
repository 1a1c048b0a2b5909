"""One frame without a terminal, as text and as a picture; and what the command line refuses."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from qtool.__main__ import main
from qtool.config import load_settings
from qtool.errors import BadConfig, BrokerUnreachable, ExitCode, UsageError
from qtool.output import Output
from qtool.tui import run
from qtool.tui.app import Place, Top
from qtool.tui.inline import Inline
from qtool.tui.memory import Memory, memory_path
from qtool.tui.tabs import TABS
from tests.tui.conftest import SIZES, compare, held, settled
from tests.tui.test_overview import fill

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from tests.tui.conftest import Stage

TWO = """
[contexts.work]
broker = "sqlite:///work.db"
[contexts.live]
broker = "sqlite:///live.db"
production = true
[contexts.live.alerts]
max_depth = 5
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's own configuration and colours."""
    for name in ("QTOOL_BROKER", "QTOOL_CONTEXT", "NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config.toml"
    monkeypatch.setenv("QTOOL_CONFIG", str(path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return path


def top(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run ``qtool top`` in this process."""
    code = main(["top", *words])
    said = capfd.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("size", SIZES)
def test_one_frame_as_text(stage: Stage, size: tuple[int, int], capfd: pytest.CaptureFixture[str]) -> None:
    fill(stage)
    width, height = size
    code, out, err = top(capfd, "-b", stage.path, "--once", "--size", f"{width}x{height}")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert "\x1b" not in out
    for name in ("bulk", "email", "reports", "4711"):
        assert name in out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tab", [tab.mode for tab in TABS])
def test_one_frame_is_always_the_same(
    stage: Stage, size: tuple[int, int], tab: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(stage)
    assert run.once(stage.top({"tab": tab}), size, Output()) == 0
    held(f"once-{tab}", size, capfd.readouterr().out)


def test_the_screen_and_the_size_are_chosen(
    stage: Stage, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(stage)
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("LINES", "20")
    code, out, _ = top(capfd, "-b", stage.path, "--once", "--tab", "jobs")
    assert code == 0
    assert len(out.splitlines()) == 20
    assert "shop.mail.send" in out


def test_colours_come_only_where_they_are_wanted(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    fill(stage)
    colored = top(capfd, "-b", stage.path, "--once", "--size", "80x24", "--color", "always")[1]
    assert re.search(r"\x1b\[[0-9;]+m", colored)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert "\x1b" not in plain
    assert [line.rstrip() for line in plain.splitlines()][2:6] == [
        line.rstrip() for line in top(capfd, "-b", stage.path, "--once", "--size", "80x24")[1].splitlines()
    ][2:6]


def test_one_frame_as_a_picture(stage: Stage, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fill(stage)
    path = tmp_path / "top.svg"
    assert top(capfd, "-b", stage.path, "--screenshot", str(path), "--size", "100x30")[0] == 0
    svg = path.read_text()
    assert svg.startswith("<svg")
    assert "email" in svg
    code, _, err = top(capfd, "-b", stage.path, "--screenshot", str(tmp_path / "no" / "top.svg"))
    assert code == 1
    assert "top.svg: No such file" in err


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_broker_that_cannot_be_reached_ends_it_with_69(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    released = threading.Event()

    def opener() -> Any:
        if how == "hangs":
            released.wait(20)
        raise BrokerUnreachable(url="redis://shop", why="connection refused")

    monkeypatch.setattr(run, "PATIENCE", 0.3)
    app = Top(Place(where="shop", opener=opener, url="redis://shop"))
    with pytest.raises(BrokerUnreachable) as caught:
        run.once(app, (80, 24), Output())
    released.set()
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert ("connection refused" if how == "refuses" else "no answer for 0.3 s") in str(caught.value)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--once", "--inline"], "one of --inline, --once and --screenshot"),
        (["--size", "80x24"], "--size is the size of a frame"),
        (["--once", "--size", "big"], "write it as 120x40"),
        (["--once", "--size", "3x3"], "from 20x5"),
        (["--once", "--tab", "nowhere"], "Known: overview, jobs"),
        (["--once", "--theme", "pink"], "No theme 'pink'. Known: qtool-dark, "),
        (["--refresh", "1ms"], "0.1 seconds"),
        ([], "needs a terminal"),
    ],
)
def test_what_makes_no_sense_is_said(
    stage: Stage, words: list[str], wrong: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = top(capfd, "-b", stage.path, *words)
    assert (code, out) == (2, "")
    assert wrong in err


def test_the_configuration_says_how_it_looks_and_the_command_line_wins(home: Path) -> None:
    home.write_text('[top]\ntheme = "nord"\nrefresh = "5s"\nmouse = false\nkeys = {"list.sort" = "f7"}\n' + TWO)
    app = run.screen(load_settings(broker="a.db"), run.Wishes())
    assert (app.theme, app.mouse.on, app._keymap) == ("nord", False, {"list.sort": "f7"})
    app = run.screen(load_settings(broker="a.db"), run.Wishes(theme="gruvbox"))
    assert app.theme == "gruvbox"
    app = run.screen(load_settings(broker="a.db"), run.Wishes(colors=False))
    assert app.theme == "monochrome"
    home.write_text('[top]\nkeys = {"list.sort" = "q"}\n')
    with pytest.raises(BadConfig):
        run.screen(load_settings(broker="a.db"), run.Wishes())
    home.write_text('[top]\ntheme = "pink"\n')
    with pytest.raises(UsageError):
        run.screen(load_settings(broker="a.db"), run.Wishes())


def test_it_begins_where_one_was_and_a_frame_does_not(home: Path, tmp_path: Path) -> None:
    def tab(**wishes: Any) -> str | None:
        return run.screen(load_settings(broker="a.db"), run.Wishes(**wishes))._first_tab

    memory = Memory(str(tmp_path / "qtool" / "top.json"))
    memory.keep_tab("a.db", "dead")
    memory.wait()
    assert memory_path() == str(tmp_path / "qtool" / "top.json")
    assert tab(resume=True) == "dead"
    assert tab(resume=True, tab="jobs") == "jobs"
    assert tab() is None
    memory.keep_tab("a.db", "schedules")
    memory.wait()
    assert tab(resume=True) is None, "this qtool has no such tab"


def test_places_are_the_contexts_and_the_broker_that_was_named(home: Path) -> None:
    home.write_text(TWO)
    here, others = run.places(load_settings(context="live"))
    assert (here.where, here.production, here.read_only) == ("live", True, False)
    assert here.alerts is not None
    assert [place.where for place in others] == ["work", "live"]
    assert here is others[1]
    here, others = run.places(load_settings(broker="a.db"), read_only=True)
    assert (here.where, here.alerts) == ("a.db", None)
    assert [place.where for place in others] == ["a.db", "work", "live"]
    assert all(place.read_only for place in others)
    home.write_text("")
    assert run.places(load_settings(broker="a.db"))[1] == ()


@pytest.mark.parametrize("size", SIZES)
def test_a_few_lines(stage: Stage, size: tuple[int, int]) -> None:
    fill(stage)

    async def drive() -> None:
        app = Inline(stage.place(), clock=stage.clock)
        async with app.run_test(size=size) as pilot:
            await settled(pilot, lambda: app.store.sight is not None)
            await pilot.pause()
            await compare(pilot, "inline")
            # Nothing that needs the whole screen.
            await pilot.press("2", "colon", "s", "question_mark")
            await pilot.pause()
            assert len(app.screen_stack) == 1
            await pilot.press("q")

    asyncio.run(drive())


def test_it_begins_where_it_is_told_to(stage: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        assert pilot.app.current_mode == "workers"

    stage.drive(look, options={"tab": "workers"})
