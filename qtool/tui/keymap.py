"""Other keys for what a key does: ``[top.keys]`` in the configuration file, checked against what there is."""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from importlib import import_module
from itertools import combinations
from typing import TYPE_CHECKING

from textual.app import App
from textual.binding import Binding
from textual.keys import Keys, _normalize_key_list, key_to_character
from textual.screen import ModalScreen, Screen

from qtool.engine.value import Value
from qtool.errors import BadConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MODIFIERS = {"ctrl", "alt", "shift", "super", "hyper", "meta"}
_OURS = ("ctrl+c", "ctrl+q")
"""What leaves the program must stay."""


class Bound(Value):
    """One key of one binding, and where it holds."""

    owner: type
    id: str
    key: str

    def meets(self, other: Bound) -> bool:
        """Whether both may hold at once: in one class, or where one of them is about every screen."""
        one, two = self.owner, other.owner
        if issubclass(one, two) or issubclass(two, one):
            return True
        if issubclass(one, ModalScreen) or issubclass(two, ModalScreen):
            # A dialog keeps all keys to itself.
            return False
        if not issubclass(one, Screen | App) and not issubclass(two, Screen | App):
            # Only one part of a screen has the keys at a time.
            return False
        return _is_everywhere(one) or _is_everywhere(two)


class Wrong(Value):
    """What is wrong with a line of ``[top.keys]``."""

    why: str
    advice: str


def check(keys: Mapping[str, str], path: str) -> dict[str, str]:
    """The keymap for :meth:`App.set_keymap`. Raises BadConfig for the first thing that is wrong with it.

    Imports every screen: call it only where somebody has said something.
    """
    if wrong := next(wrongs(keys), None):
        raise BadConfig(path=path, why=f"{wrong.why}. {wrong.advice}")
    return {id: _normalize_key_list(said) for id, said in keys.items()}


def wrongs(keys: Mapping[str, str]) -> Iterator[Wrong]:
    """Everything that is wrong: what nothing is called, no key, and clashes. Imports every screen."""
    known = list(bound())
    ids = sorted({bound.id for bound in known})
    keymap = {}
    for id, said in keys.items():
        bad = [key.strip() for key in said.split(",") if not _is_key(key.strip())]
        if id not in ids:
            near = get_close_matches(id, ids, n=1)
            meant = f"Did you mean {near[0]!r}? " if near else ""
            yield Wrong(f"top.keys: nothing is called {id!r}", f"{meant}? in 'qtool top' shows the names.")
        for key in bad:
            yield Wrong(f'top.keys."{id}": {key!r} is not a key', "Write it as in 'ctrl+f', 'f6', 'o', 's,f7'.")
        if id in ids and not bad:
            keymap[id] = _normalize_key_list(said)
    yield from _clashes(known, keymap)


def _clashes(known: Sequence[Bound], keymap: Mapping[str, str]) -> Iterator[Wrong]:
    before = {(bound.id, bound.key) for bound in known}
    after = [bound for bound in known if bound.id not in keymap]
    for id, keys in keymap.items():
        owners = {bound.owner for bound in known if bound.id == id}
        after += [Bound(owner, id, key) for owner in owners for key in keys.split(",")]
    told: set[tuple[str, str, str]] = set()
    for one, other in combinations(after, 2):
        if one.key != other.key or one.id == other.id or not {one.id, other.id} & {*keymap}:
            continue
        if {(one.id, one.key), (other.id, other.key)} <= before:
            # As it comes one stands in for the other there.
            continue
        changed, kept = (one, other) if one.id in keymap else (other, one)
        if one.meets(other) and (changed.id, kept.id, one.key) not in told:
            told.add((changed.id, kept.id, one.key))
            why = f'top.keys."{changed.id}": {changed.key!r} is the key of {kept.id!r} already'
            yield Wrong(why, f"Choose another one, or give {kept.id!r} another one.")
    for id, keys in keymap.items():
        if taken := {*keys.split(",")} & {*_OURS}:
            yield Wrong(
                f'top.keys."{id}": {min(taken)!r} ends the program and cannot be changed', "Choose another one."
            )


def bound() -> Iterator[Bound]:
    """Every key of every binding that has an id."""
    for owner in owners():
        for binding in Binding.make_bindings(vars(owner)["BINDINGS"]):
            if binding.id is not None:
                yield Bound(owner, binding.id, binding.key)


def owners() -> Iterator[type]:
    """Every class that has bindings. Imports all screens."""
    import qtool.tui as package

    found: dict[type, None] = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for each in vars(import_module(module.name)).values():
            if isinstance(each, type) and each.__module__.startswith(package.__name__) and "BINDINGS" in vars(each):
                found[each] = None
    yield from found


def _is_everywhere(owner: type) -> bool:
    from qtool.tui.view import View
    from qtool.tui.widgets.grid import Grid

    return issubclass(owner, App) or owner in (View, Grid)


def _is_key(key: str) -> bool:
    *modifiers, name = key.split("+") if key != "+" else [key]
    if not {*modifiers} <= _MODIFIERS:
        return False
    return len(name) == 1 or name in {each.value for each in Keys} or key_to_character(name) is not None
