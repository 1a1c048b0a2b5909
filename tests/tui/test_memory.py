"""What is remembered from one time to the next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qtool.tui.memory import PLACES, Memory, Shape, memory_path

if TYPE_CHECKING:
    from pathlib import Path

WANTED = Shape(columns=("DEAD", "QUEUE"), hidden=("READY",), sort="DEAD", descending=True)


def test_it_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "top.json")
    memory = Memory(path)
    memory.keep_theme("nord")
    memory.keep_shape("overview.queues", WANTED)
    memory.keep_tab("live", "dead")
    memory.wait()
    again = Memory(path)
    assert again.theme == "nord"
    assert again.shape("overview.queues") == WANTED
    assert again.shape("another") == Shape()
    assert (again.tab("live"), again.tab("work")) == ("dead", None)
    assert again.trouble() is None
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["top.json"]


def test_the_newest_wins_however_fast_they_come(tmp_path: Path) -> None:
    memory = Memory(str(tmp_path / "top.json"))
    for number in range(50):
        memory.keep_theme(f"theme-{number}")
    memory.wait()
    assert Memory(str(tmp_path / "top.json")).theme == "theme-49"


def test_of_many_brokers_the_tabs_of_the_latest_are_kept(tmp_path: Path) -> None:
    memory = Memory(str(tmp_path / "top.json"))
    for number in range(PLACES + 1):
        memory.keep_tab(f"sqlite:{number}", "jobs")
    memory.wait()
    again = Memory(str(tmp_path / "top.json"))
    assert (again.tab("sqlite:0"), again.tab("sqlite:1"), again.tab(f"sqlite:{PLACES}")) == (None, "jobs", "jobs")


def test_a_broken_file_is_ignored_and_said_once(tmp_path: Path) -> None:
    path = tmp_path / "top.json"
    for broken in ("{", "[1]", '{"lists": {"a": 3}}', '{"lists": {"a": {"columns": 4}}}', "\x00\xff", '{"tabs": []}'):
        path.write_text(broken)
        memory = Memory(str(path))
        assert "top.json" in str(memory.trouble()), broken
        assert memory.trouble() is None
        assert memory.shape("a") == Shape()
        memory.keep_theme("nord")
        memory.wait()
        assert json.loads(path.read_text())["theme"] == "nord"


def test_where_nothing_can_be_written_that_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memory = Memory(str(tmp_path / "file" / "top.json"))
    memory.trouble()
    memory = Memory(str(tmp_path / "file"))
    memory._trouble = None
    memory._path = str(tmp_path / "file" / "below" / "top.json")
    memory.keep_theme("nord")
    memory.wait()
    assert "cannot be written" in str(memory.trouble())
    assert memory.trouble() is None


def test_it_lies_in_the_state_directory() -> None:
    assert memory_path({"XDG_STATE_HOME": "/state"}) == "/state/qtool/top.json"


def test_nothing_is_written_where_nobody_asked_for_it(tmp_path: Path) -> None:
    memory = Memory()
    memory.keep_theme("nord")
    assert memory.theme == "nord"
    assert memory.trouble() is None
