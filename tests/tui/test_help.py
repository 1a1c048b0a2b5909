"""The help says what the keys do now."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from textual.binding import Binding

from qtool.errors import BadConfig
from qtool.tables import Column
from qtool.tui.app import Top
from qtool.tui.explain import HEADS
from qtool.tui.frame import text_of
from qtool.tui.keymap import bound, check, owners
from qtool.tui.letters import group_columns
from qtool.tui.screens.help import Help
from qtool.tui.screens.overview import Overview
from qtool.tui.view import View
from qtool.views.jobs import JOBS
from tests.tui.conftest import SIZES, compare, settled

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tests.tui.conftest import Stage


@pytest.mark.parametrize("size", SIZES)
def test_it_is_made_of_the_bindings_and_the_columns(stage: Stage, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await settled(pilot, lambda: "Lists" in text_of(pilot.app))
        await compare(pilot, "help")
        await pilot.press("escape")
        await settled(pilot, lambda: isinstance(pilot.app.screen, Overview))

    stage.drive(look, size=size)


def test_it_is_searched_and_scrolled(stage: Stage) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark", "G")
        await settled(pilot, lambda: "LAST MINUTE" in text_of(pilot.app))
        await pilot.press("slash", *"wait 95")
        await settled(pilot, lambda: "LAST MINUTE" not in text_of(pilot.app))
        assert "95 of 100 waited no longer" in text_of(pilot.app)
        assert "RUN95" not in text_of(pilot.app)
        await pilot.press(*"zz")
        await settled(pilot, lambda: "Nothing is called so." in text_of(pilot.app))
        await pilot.press("escape")
        await settled(pilot, lambda: "This screen" in text_of(pilot.app))
        assert isinstance(pilot.app.screen, Help)
        await pilot.press("question_mark")
        await settled(pilot, lambda: isinstance(pilot.app.screen, Overview))

    stage.drive(look)


def test_it_shows_the_keys_as_they_are_now(stage: Stage) -> None:
    keymap = check({"list.sort": "f7", "app.help": "f1,?"}, "config.toml")

    async def look(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await pilot.press("s")
        await pilot.pause()
        assert isinstance(app.screen, Overview)
        await pilot.press("f7")
        await settled(pilot, lambda: "Sort by" in text_of(app))
        await pilot.press("escape", "f1")
        await settled(pilot, lambda: "This screen" in text_of(app))
        (line,) = [each for each in text_of(app).splitlines() if "list.sort" in each]
        assert line.replace("│", " ").split()[-3:] == ["f7", "Sort", "list.sort"]

    stage.drive(look, size=(160, 50), options={"keymap": keymap})


def test_every_column_is_explained() -> None:
    """Of every table that a module of the screens declares."""
    import pkgutil
    from importlib import import_module

    import qtool.tui as package

    found = {column.head for column in (*JOBS.columns, *group_columns(lambda group: ()))}
    for module in pkgutil.walk_packages(package.__path__, "qtool.tui."):
        for each in vars(import_module(module.name)).values():
            if isinstance(each, tuple):
                found |= {column.head for column in each if isinstance(column, Column)}
    assert sorted(found - {*HEADS} - {""}) == []


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"list.sortt": "o"}, "nothing is called 'list.sortt'. Did you mean 'list.sort'? ? in 'qtool top' shows"),
        ({"list.sort": "nokey"}, "'nokey' is not a key"),
        ({"list.sort": "hyp+x"}, "'hyp+x' is not a key"),
        ({"list.sort": "o,"}, "'' is not a key"),
        ({"list.sort": "j"}, "'j' is the key of 'grid.down' already"),
        ({"list.sort": "q"}, "'q' is the key of 'app.quit' already"),
        ({"list.sort": "f7", "list.columns": "f7"}, "'f7' is the key of 'list."),
        ({"list.sort": "ctrl+q"}, "'ctrl+q' ends the program"),
    ],
)
def test_what_cannot_be_a_keymap_is_said(keys: dict[str, str], wrong: str) -> None:
    with pytest.raises(BadConfig) as caught:
        check(keys, "config.toml")
    assert wrong in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"list.sort": "W"},
        {"list.sort": "c", "list.columns": "s"},
        {"grid.down": "f7,down", "list.sort": "j"},
        {"overview.next": "w"},
        {"menu.close": "x"},
        {"grid.page_up": "pageup,f7"},
    ],
)
def test_keys_that_are_free_or_become_free_are_taken(keys: dict[str, str]) -> None:
    assert check(keys, "config.toml").keys() == keys.keys()


def test_every_binding_has_a_name_and_says_what_it_does() -> None:
    for owner in owners():
        for binding in Binding.make_bindings(vars(owner)["BINDINGS"]):
            assert binding.id, (owner, binding.key)
            assert binding.description, (owner, binding.key)


def test_no_screen_takes_a_key_away_that_holds_everywhere() -> None:
    """But esc, which leads out of more there, and then back."""
    known = list(bound())
    for one, other in combinations(known, 2):
        if one.owner is not other.owner and {Top, View} & {one.owner, other.owner} and one.meets(other):
            assert one.key != other.key or one.key == "escape", (one, other)
