"""Measures qtool beside its peers, all in one run on this machine: the embedded engine, and with ``brokers`` Redis.

Each row: our figure, the budget, whether it is met, and what the peers do with the same work; the ratio says how many
times better ours is. Figures are medians of the repeats, and what is compared is measured by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from . import brokers, embedded, huge, tui
from .against import compare
from .measure import SCRIPTS, Row, Setting, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GROUPS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "enqueue": embedded.enqueue,
    "drain": embedded.drain,
    "commands": embedded.commands,
    "latency": embedded.latency,
    "idle": embedded.idle,
    "start": embedded.start,
    "rescue": embedded.rescue,
    "huge": huge.huge,
    "tui": tui.tui,
    "brokers": brokers.brokers,
}
ASKED = ("brokers",)
"""Only when named: it takes minutes, and installs the peers."""


def main() -> int:
    options = _options()
    # It was for this process only: what is measured finds its modules as it would anywhere.
    os.environ.pop("PYTHONPATH", None)
    if options.against is not None:
        said = [f"--jobs={options.jobs}"] if options.jobs else []
        compare(
            options.against,
            options.rows or [name for name in GROUPS if name not in ("huge", "tui", *ASKED)],
            said,
            options.repeats or 3,
        )
        return 0
    options.directory.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=options.directory))
    setting = Setting(
        directory=directory,
        jobs=options.jobs or (1_000_000 if options.full else 200_000),
        repeats=options.repeats or (5 if options.full else 3),
        idle_seconds=60.0 if options.full else 10.0,
        huge=int(1_000_000 * (options.million or (10 if options.full else 0))),
    )
    rows: list[Row] = []
    try:
        for name in options.rows or [name for name in GROUPS if name not in ASKED]:
            print(f"measuring: {name}", file=sys.stderr)
            rows += GROUPS[name](setting)
    finally:
        shutil.rmtree(directory)
    if options.json == "-":
        json.dump(_data(rows), sys.stdout, indent=2)
        print()
    else:
        show(rows)
        if options.json:
            Path(options.json).write_text(json.dumps(_data(rows), indent=2) + "\n")
    return 0 if all(row.met is not False for row in rows) else 3


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"only these: {', '.join(GROUPS)}")
    parser.add_argument(
        "--jobs", type=int, help="jobs for enqueue and drain (200 000; 1 000 000 with --full); slow peers get fewer"
    )
    parser.add_argument("--repeats", type=int, help="how often each is measured (3; 5 with --full)")
    parser.add_argument("--million", type=float, metavar="N", help="also the rows on a file of N million jobs")
    parser.add_argument("--full", action="store_true", help="more of everything, and ten million jobs (3 GB of disk)")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="beside another checkout of qtool, by turns")
    parser.add_argument(
        "--json", metavar="FILE", help="also write the figures as JSON; - for stdout instead of the table"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=SCRIPTS.parent / ".bench",
        help="where to put the files: a local disk, or a sync costs nothing (default: .bench in the checkout)",
    )
    options = parser.parse_args()
    if unknown := set(options.rows) - set(GROUPS):
        parser.error(f"no row is called {unknown.pop()}; known: {', '.join(GROUPS)}")
    return options


def _data(rows: Sequence[Row]) -> dict[str, object]:
    return {
        "machine": machine(),
        "rows": [
            {
                "name": row.name,
                "figure": row.figure,
                "unit": row.unit,
                "better": row.better,
                "budget": row.budget,
                "met": row.met,
                "note": row.note,
                "peers": [{"name": peer.name, "figure": peer.figure, "ratio": row.ratio(peer)} for peer in row.peers],
            }
            for row in rows
        ],
    }


def show(rows: Sequence[Row]) -> None:
    """Print the table, then the notes and the machine."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("what", "figure", "", "budget", "met", "peer", "its figure", "ratio"):
        table.add_column(heading, justify="right" if heading in ("figure", "budget", "its figure", "ratio") else "left")
    for row in rows:
        budget = "" if row.budget is None else ("≥ " if row.better == "more" else "≤ ") + _number(row.budget)
        met = {None: "", True: "yes", False: "NO"}[row.met]
        ours = [row.name, _number(row.figure), row.unit, budget, met]
        for number, peer in enumerate(row.peers or (None,)):
            theirs = ["", "", ""]
            if peer is not None:
                ratio = row.ratio(peer)
                figure = "" if peer.figure is None else _number(peer.figure)
                theirs = [peer.name, figure, "" if ratio is None else f"{ratio:.2f}"]
            table.add_row(*(ours if number == 0 else [""] * 5), *theirs)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", markup=False)
    console.print(", ".join(f"{name} {value}" for name, value in machine().items()), markup=False)


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
