"""Docstrings and tables as Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ROLE = re.compile(r":[a-z]+:`~?(?:[^`<]*\.)?([^`.]+)`")
_CODE = re.compile(r"``(.+?)``")
_COMMAND = re.compile(r"'(qtool [^']*)'")
_SPECIAL = re.compile(r"([\\*_<|~])")
_KEPT = re.compile(r"(`[^`]+`)")


def prose(text: str) -> str:
    """A paragraph of a docstring on one line: its code marked as code, everything else as plain text."""
    text = " ".join(text.split())
    text = _COMMAND.sub(r"`\1`", _CODE.sub(r"`\1`", _ROLE.sub(r"`\1`", text)))
    return "".join(
        part.replace("|", "\\|") if _KEPT.fullmatch(part) else _SPECIAL.sub(r"\\\1", part) for part in _KEPT.split(text)
    )


def paragraphs(text: str) -> str:
    """Paragraphs of a docstring; what is indented after ``::`` becomes a block of code."""
    done: list[str] = []
    listing: list[str] = []
    for block in [*text.strip("\n").split("\n\n"), ""]:
        if block.startswith("    "):
            listing.append("\n".join(line[4:] for line in block.split("\n")))
            continue
        if listing:
            done.append(fence("\n\n".join(listing), "python"))
            listing = []
        if block.strip() not in ("", "::"):
            done.append(prose(re.sub("::$", ":", block.rstrip())))
    return "\n\n".join(done)


def code(text: str) -> str:
    """Text as code that may stand in a table."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def fence(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip(chr(10))}\n```"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; columns in which no row says anything are left out."""
    lines = [tuple(row) for row in rows]
    used = [at for at in range(len(head)) if any(line[at] for line in lines)]
    shown = [[head[at] for at in used], ["---"] * len(used), *([line[at] for at in used] for line in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in shown)


def page(title: str, *parts: str) -> str:
    """A whole page."""
    head = f"<!-- Written by scripts/reference from the code: change the code, not this page. -->\n\n# {title}"
    return "\n\n".join([head, *(part.strip("\n") for part in parts if part)]) + "\n"
