"""Our own themes: a dark one, a light one, and one without any colour. Textual's own come beside them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.filter import LineFilter
from textual.theme import BUILTIN_THEMES, Theme

if TYPE_CHECKING:
    from textual.color import Color as TextualColor

_COLOURS = (
    "ansi-background",
    "ansi-foreground",
    "border-blurred",
    "block-cursor-foreground",
    "block-cursor-blurred-foreground",
    "input-cursor-background",
    "input-cursor-foreground",
    "input-selection-foreground",
    "screen-selection-foreground",
)
_BEHIND = (
    "block-cursor-background",
    "block-cursor-blurred-background",
    "input-selection-background",
    "screen-selection-background",
)
"""What is told by its background alone; :class:`Colourless` makes reverse of it."""


def _scrollbar(behind: str, bar: str, held: str) -> dict[str, str]:
    """A quiet one."""
    return {
        **dict.fromkeys(("scrollbar-background", "scrollbar-background-hover", "scrollbar-background-active"), behind),
        "scrollbar-corner-color": behind,
        "scrollbar": bar,
        "scrollbar-hover": held,
        "scrollbar-active": held,
    }


DARK = Theme(
    name="qtool-dark",
    primary="#5aa9e6",
    secondary="#8f9bf0",
    accent="#e6b450",
    warning="#e6b450",
    error="#c94f55",
    success="#7bc275",
    foreground="#d5dbe5",
    background="#11151c",
    surface="#181e28",
    panel="#232b39",
    variables=_scrollbar("#181e28", "#3a4659", "#55657f"),
)
LIGHT = Theme(
    name="qtool-light",
    primary="#1f6fb2",
    secondary="#5653c4",
    accent="#8a5200",
    warning="#c98a1b",
    error="#b3261e",
    success="#2e7d32",
    foreground="#20252d",
    background="#fbfaf7",
    surface="#f1efe9",
    panel="#e2dfd6",
    dark=False,
    variables=_scrollbar("#f1efe9", "#c9c4b6", "#a9a392"),
)
MONOCHROME = Theme(
    name="monochrome",
    ansi=True,
    primary="ansi_default",
    secondary="ansi_default",
    accent="ansi_default",
    warning="ansi_default",
    error="ansi_default",
    success="ansi_default",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        **dict.fromkeys(_COLOURS, "ansi_default"),
        **dict.fromkeys(_BEHIND, "ansi_white"),
        **_scrollbar("ansi_default", "ansi_white", "ansi_white"),
        "input-cursor-text-style": "reverse",
    },
)
"""The terminal's own two colours. What others show by colour it shows by reverse, bold, underline and dim."""


class Colourless(LineFilter):
    """Takes colours out of what is drawn; a background of another colour becomes reverse."""

    def apply(
        self,
        segments: list[Segment],
        background: TextualColor,  # noqa: ARG002  Textual's own signature
    ) -> list[Segment]:
        return [
            Segment(text, None if style is None else _without_colour(style), control)
            for text, style, control in segments
        ]


@lru_cache(1024)
def _without_colour(style: Style) -> Style:
    told = style.bgcolor is not None and not style.bgcolor.is_default
    return style + (_PLAIN_REVERSED if told else _PLAIN)


_PLAIN = Style(color=Color.default(), bgcolor=Color.default())
_PLAIN_REVERSED = _PLAIN + Style(reverse=True)

OWN = (DARK, LIGHT, MONOCHROME)

NAMES = (*(theme.name for theme in OWN), *BUILTIN_THEMES)
"""What ``--theme`` takes."""
