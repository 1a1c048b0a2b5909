"""This checkout beside another one, an earlier one say: the same rows, by turns, so that a drift hits both alike."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from .measure import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Figures = dict[str, list[dict[str, Any]]]
"""The rows of all rounds, by name."""


def compare(other: Path, rows: Sequence[str], options: Sequence[str], rounds: int) -> None:
    """Run ``scripts/bench`` of both, ``rounds`` times each, and print the medians side by side.

    Raises CalledProcessError where one of them cannot be run.
    """
    here, there = SCRIPTS.parent, other.resolve()
    taken: dict[Path, Figures] = {there: defaultdict(list), here: defaultdict(list)}
    for number in range(1, rounds + 1):
        for name in rows:
            for checkout, figures in taken.items():
                print(f"round {number} of {rounds}: {name}, in {checkout.name}", file=sys.stderr)
                for row in _run(checkout, name, options):
                    figures[row["name"]].append(row)
    _show(taken[there], taken[here])


def _run(checkout: Path, row: str, options: Sequence[str]) -> list[dict[str, Any]]:
    command = [str(checkout / "scripts" / "bench"), row, "--repeats", "1", "--json", "-", *options]
    # From its own directory: an older checkout's workers may look for their modules in the current one first.
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=checkout)
    missed = 3
    if done.returncode not in (0, missed):
        print(done.stderr[-2000:], file=sys.stderr)
        done.check_returncode()
    found: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return found


def _show(before: Figures, after: Figures) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("what", "before", "after", "", "after/before"):
        table.add_column(heading, justify="left" if heading in ("what", "") else "right")
    for name, rounds in after.items():
        mine = statistics.median(row["figure"] for row in rounds)
        if name not in before:
            table.add_row(name, "", f"{mine:,.2f}", rounds[0]["unit"], "")
            continue
        theirs = statistics.median(row["figure"] for row in before[name])
        table.add_row(name, f"{theirs:,.2f}", f"{mine:,.2f}", rounds[0]["unit"], f"{mine / theirs:.2f}")
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
