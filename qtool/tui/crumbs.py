"""The line that says where one is, made to fit: what is long is shortened in its middle. No Textual here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MARK = " › "  # noqa: RUF001  the field's own mark for a way down
LEAST = 4
"""Cells below which a crumb says nothing."""
STEM = 4
"""Letters of a tab's title that are left where there is little room."""


def fitted(crumbs: Sequence[str], room: int) -> list[str]:
    """The crumbs in so many cells, marks included: the longest give way first; then those that lie higher up go."""
    texts = list(crumbs)
    while texts and room - len(texts) * len(MARK) < LEAST * len(texts):
        if len(texts) == 1 and cell_len(texts[0]) + len(MARK) <= room:
            break
        del texts[0]
    limit = max(map(cell_len, texts), default=0)
    while limit and sum(min(cell_len(text), limit) for text in texts) > room - len(texts) * len(MARK):
        limit -= 1
    return [shorten(text, limit) for text in texts]


def shorten(text: str, room: int) -> str:
    """In at most so many cells, with what is cut out of its middle: both ends of a name tell more than one."""
    if cell_len(text) <= room:
        return text
    return f"{_first(text, room // 2)}…{_first(text[::-1], (room - 1) // 2)[::-1]}" if room > 0 else ""


def _first(text: Iterable[str], room: int) -> str:
    found = ""
    for char in text:
        if (room := room - cell_len(char)) < 0:
            break
        found += char
    return found


def titles(names: Sequence[tuple[str, str]], here: str, crumbs: Sequence[str], width: int) -> list[str]:
    """The tabs in a line so wide: those that one is not on are cut where the way down needs their room."""
    whole = [f" {number} {title} " for number, (_, title) in enumerate(names, start=1)]
    if not crumbs or sum(map(cell_len, [*whole, *(f"{MARK}{crumb}" for crumb in crumbs)])) <= width:
        return whole
    return [
        line if mode == here else f" {number} {title[:STEM].rstrip()} "
        for number, (line, (mode, title)) in enumerate(zip(whole, names, strict=True), start=1)
    ]
