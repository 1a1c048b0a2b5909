"""What may come next in a filter that somebody is typing. No Textual here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtool.engine.filter import quote
from qtool.engine.filter.fields import COUNTS, FIELDS, TEXTS
from qtool.engine.filter.parser import REASONS, STATES
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

OFFERED = 30
"""Completions that are offered at most."""

_TERM = re.compile(r'(tag\."(?:[^"\\]|\\.)*"|[^\s()"!<>=~:]+)\s*([!<>=~:]+)\s*(.*)', re.DOTALL)
_BARE = re.compile(r'[^\s()",!<>=~:][^\s()",]*')


class Known(Value, kw_only=True):
    """Words that may be meant, as they are."""

    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]]
    """The values of each tag."""


class Completions(Value):
    """What the text from ``start`` to the cursor may become."""

    start: int
    words: tuple[str, ...]


def complete(text: str, at: int, known: Known) -> Completions:
    """What may stand where the cursor is, at character ``at``: names of fields, or values of the field before it."""
    start = _start(text, at)
    word = text[start:at]
    term = _TERM.fullmatch(word)
    if term is None:
        return Completions(start, _fitting(word, [*_fields(known), "and ", "or ", "not "]))
    name, operator, value = term.groups()
    last = value.rpartition(",")[2] if operator == ":" else value
    values = (_bare(each) for each in _values(name, known))
    return Completions(at - len(last), _fitting(last, values))


def _start(text: str, at: int) -> int:
    """Where the term begins in which the cursor is. A quote holds blanks and parentheses."""
    start, quoted, escaped = 0, False, False
    for index, char in enumerate(text[:at]):
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = char == "\\", char != '"'
        elif char == '"':
            quoted = True
        elif char.isspace() or char in "()":
            start = index + 1
    return start


def _fields(known: Known) -> Iterable[str]:
    for name in FIELDS:
        if name == "tag.NAME":
            yield from (f"tag.{_bare(tag)}:" for tag in known.tags)
        elif name in TEXTS or name in ("state", "reason"):
            yield f"{name}:"
        else:
            yield f"{name}=" if name in COUNTS else f"{name}>"


def _values(name: str, known: Known) -> Iterable[str]:
    if name.startswith("tag."):
        return known.tags.get(name.removeprefix("tag.").strip('"'), ())
    plain = {
        "state": STATES,
        "reason": REASONS,
        "queue": known.queues,
        "task": known.tasks,
        "worker": known.workers,
    }
    return plain.get(name, ())


def _bare(word: str) -> str:
    return word if _BARE.fullmatch(word) else quote(word)


def _fitting(begun: str, words: Iterable[str]) -> tuple[str, ...]:
    """Those that begin so, then those that hold it, each other than it is already."""
    looked = begun.strip('"').lower()
    all_words = [word for word in words if word != begun]
    first = [word for word in all_words if word.strip('"').lower().startswith(looked)]
    rest = [word for word in all_words if looked in word.lower() and word not in first]
    return tuple([*first, *rest][:OFFERED])
