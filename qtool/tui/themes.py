"""Our own themes: a dark one, a light one, and one without any colour. Textual's own come beside them."""

from __future__ import annotations

from textual.theme import BUILTIN_THEMES, Theme

_COLOURS = (
    "ansi-background",
    "ansi-foreground",
    "border-blurred",
    "block-cursor-foreground",
    "block-cursor-background",
    "block-cursor-blurred-foreground",
    "block-cursor-blurred-background",
    "input-cursor-background",
    "input-cursor-foreground",
    "input-selection-background",
    "input-selection-foreground",
    "screen-selection-background",
    "screen-selection-foreground",
)

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
        "block-cursor-text-style": "reverse",
        "block-cursor-blurred-text-style": "reverse",
        "input-cursor-text-style": "reverse",
    },
)
"""The terminal's own two colours. What others show by colour it shows by reverse, bold, underline and dim."""

OWN = (DARK, LIGHT, MONOCHROME)

NAMES = (*(theme.name for theme in OWN), *BUILTIN_THEMES)
"""What ``--theme`` takes."""
