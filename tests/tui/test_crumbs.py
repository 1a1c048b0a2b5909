"""The line that says where one is fits."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from qtool.tui.crumbs import MARK, fitted, shorten, titles
from qtool.tui.tabs import TABS

NAMES = [(tab.mode, tab.title) for tab in TABS]


@pytest.mark.parametrize(
    ("text", "room", "short"),
    [
        ("state:dead", 10, "state:dead"),
        ("state:dead", 9, "stat…dead"),
        ("state:dead", 8, "stat…ead"),
        ("state:dead", 2, "s…"),
        ("state:dead", 1, "…"),
        ("state:dead", 0, ""),
        ("", 0, ""),
        ("邮件队列邮件", 7, "邮…件"),
        ("邮件队列邮件", 8, "邮件…件"),
    ],
)
def test_what_is_long_is_cut_in_its_middle(text: str, room: int, short: str) -> None:
    assert shorten(text, room) == short
    assert cell_len(short) <= max(room, 0)


def test_the_longest_gives_way_first_and_what_lies_higher_up_goes() -> None:
    crumbs = ["pay", "a rather long name of a worker"]
    assert fitted(crumbs, 100) == crumbs
    assert fitted(crumbs, 23) == ["pay", "a rathe…worker"]
    assert fitted(crumbs, 12) == ["a ra…rker"]
    assert fitted(crumbs, 7) == ["a …r"]
    assert fitted(crumbs, 6) == []
    assert fitted(["pay"], 6) == ["pay"]
    assert fitted([], 6) == []


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 160, 250])
@pytest.mark.parametrize("crumbs", [[], ["x"], ["019b0000-0000-7000"], ["state:dead queue:email error~timeout", "ab"]])
def test_a_mark_is_never_left_alone_at_the_end(width: int, crumbs: list[str]) -> None:
    tabs = titles(NAMES, "jobs", crumbs, width)
    taken = sum(map(cell_len, tabs))
    shown = fitted(crumbs, width - taken)
    if shown:
        assert taken + sum(cell_len(crumb) + len(MARK) for crumb in shown) <= width
    if width >= 80:
        assert len(shown) == len(crumbs)
        assert all(cell_len(crumb) > 1 or crumb == "x" for crumb in shown)


def test_tabs_are_cut_only_where_the_way_down_needs_their_room() -> None:
    assert titles(NAMES, "jobs", [], 20)[3] == " 4 Dead letters "
    assert titles(NAMES, "jobs", ["x"], 80)[3] == " 4 Dead letters "
    cut = titles(NAMES, "jobs", ["019b0000-0000-7000"], 80)
    assert cut[:4] == [" 1 Over ", " 2 Jobs ", " 3 Work ", " 4 Dead "]
    assert titles(NAMES, "dead", ["019b0000-0000-7000"], 80)[3] == " 4 Dead letters "
    assert fitted(["019b0000-0000-7000"], 80 - sum(map(len, cut))) == ["019b0000-0000-7000"]
