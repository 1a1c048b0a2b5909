"""Contexts, and the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtool.tables import Column, Table
from qtool.views.text import always


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRow:
    """A named broker."""

    name: str
    broker: str
    """Without its password."""
    current: bool
    """The one that commands use when nothing else is said."""
    read_only: bool
    """Commands that change anything are refused."""
    production: bool
    """Every question says so."""


CONTEXTS = Table(
    ContextRow,
    (
        Column("", lambda r: "*" if r.current else "", style=always("bold")),
        Column("CONTEXT", lambda r: r.name, style=lambda r: "bold red" if r.production else "bold"),
        Column("BROKER", lambda r: r.broker, least=20),
        Column(
            "GUARDS",
            lambda r: ", ".join(w for w, on in (("read-only", r.read_only), ("production", r.production)) if on),
            style=always("yellow"),
        ),
    ),
    id="name",
    empty="No contexts yet. 'qtool context add NAME URL' makes one.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One thing the doctor looked at."""

    check: str
    """What was looked at."""
    verdict: Literal["ok", "warning", "bad"]
    found: str
    """What it is like."""
    advice: str | None = None
    """What to do."""


_VERDICTS = {"ok": "green", "warning": "yellow", "bad": "red"}

CHECKS = Table(
    CheckRow,
    (
        Column("", lambda r: {"ok": "✓", "warning": "!", "bad": "✗"}[r.verdict], style=lambda r: _VERDICTS[r.verdict]),
        Column("CHECK", lambda r: r.check, style=always("bold")),
        Column("FOUND", lambda r: f"{r.found}{f' → {r.advice}' if r.advice else ''}", least=20, wrap=True),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuaranteeRow:
    """Whether one of the seven guarantees holds on the broker in use."""

    number: int
    guarantee: str
    holds: bool
    why: str | None
    """What weakens it."""


GUARANTEES = Table(
    GuaranteeRow,
    (
        Column("", lambda r: "✓" if r.holds else "✗", style=lambda r: "green" if r.holds else "red"),
        Column("#", lambda r: str(r.number), right=True, style=always("dim")),
        Column("GUARANTEE", lambda r: r.guarantee, least=40, wrap=True),
        Column("WEAKENED BY", lambda r: r.why or "", least=20, wrap=True, rank=1, style=always("yellow")),
    ),
)
