"""What a run comes to, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .gauges import Gauge


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown, its columns aligned for the eye."""
    lines = [[*headings], *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def counts(heading: str, what: Mapping[str, int]) -> str:
    """Names and how many, the most frequent first."""
    return table(
        (heading, "count"), [(name, what[name]) for name in sorted(what, key=lambda name: (-what[name], name))]
    )


def gauges(all: Iterable[Gauge]) -> str:
    """First, last, the most, and how much more in an hour."""
    rows = []
    for gauge in all:
        first, last = gauge.ends()
        unit = f" {gauge.unit}" if gauge.unit else ""
        figures = (
            f"{first:.1f}{unit}",
            f"{last:.1f}{unit}",
            f"{gauge.most():.1f}{unit}",
            f"{gauge.slope():+.1f}{unit}",
        )
        rows.append((gauge.name, *figures))
    return table(("steady worker", "first", "last", "most", "an hour"), rows)
