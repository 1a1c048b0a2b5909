"""A JSON value as lines that fold: what is open, and as much of it as anybody reads. No Textual here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Path = tuple[str | int, ...]
"""The names and numbers that lead to a value."""

CHILDREN = 100
"""Items of one list or object that are shown, and that are added each time more are wanted."""

SMALL = 20
"""Items that a list or object may have to be open from the start."""

OPEN_AT_FIRST = 3
"""Levels that are."""

PREVIEW = 120
"""Characters of a folded value, and of a text, that its line shows."""


class Branch(Value):
    """A line of the tree."""

    path: Path
    depth: int
    label: str
    value: Any
    fold: str
    """``open`` or ``shut``; ``more`` for a line that stands for items that are not shown; empty for a plain value."""
    rest: int = 0
    """How many items that are."""


class Tree:
    """One value, and which parts of it are open."""

    def __init__(self, label: str, value: Any = None) -> None:
        self.label = label
        self.value = value
        self._said: dict[Path, bool] = {}
        self._shown: dict[Path, int] = {}

    def lines(self) -> list[Branch]:
        """Those of what is open."""
        return list(self._lines((), self.label, self.value))

    def toggle(self, branch: Branch) -> bool:
        """Open what is shut, shut what is open, show more where some is left out; False for a plain value."""
        if branch.fold == "more":
            self._shown[branch.path] = self._shown.get(branch.path, CHILDREN) + CHILDREN
        elif branch.fold:
            self._said[branch.path] = branch.fold == "shut"
        return bool(branch.fold)

    def _lines(self, path: Path, label: str, value: Any) -> Iterator[Branch]:
        items = _items(value)
        if not items:
            yield Branch(path, len(path), label, value, "")
            return
        opened = self._said.get(path, len(path) < OPEN_AT_FIRST and (not path or len(value) <= SMALL))
        yield Branch(path, len(path), label, value, "open" if opened else "shut")
        if not opened:
            return
        most = self._shown.get(path, CHILDREN)
        for number, (name, each) in enumerate(_pairs(value)):
            if number == most:
                yield Branch(path, len(path) + 1, "", None, "more", len(value) - most)
                return
            yield from self._lines((*path, name), str(name), each)


def _items(value: Any) -> bool:
    return isinstance(value, dict | list | tuple) and bool(value)


def _pairs(value: Any) -> Iterable[tuple[str | int, Any]]:
    return value.items() if isinstance(value, dict) else enumerate(value)


def preview(value: Any, room: int = PREVIEW) -> str:
    """The beginning of a value as JSON, without writing all of it."""
    parts: list[str] = []
    left = room
    for part in _pieces(value):
        parts.append(part)
        left -= len(part)
        if left < 0:
            return "".join(parts)[:room] + "…"
    return "".join(parts)


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for number, (name, each) in enumerate(value.items()):
            yield f"{', ' if number else ''}{_scalar(name)}: "
            yield from _pieces(each)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "["
        for number, each in enumerate(value):
            if number:
                yield ", "
            yield from _pieces(each)
        yield "]"
    else:
        yield _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and len(value) > PREVIEW:
        return json.dumps(value[:PREVIEW], ensure_ascii=False)[:-1] + "…"
    return json.dumps(value, ensure_ascii=False, default=str)


def text_of_value(value: Any) -> str:
    """A value as somebody would paste it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
