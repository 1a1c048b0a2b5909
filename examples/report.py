"""A report over a CSV file: each part of it is a job, and one more adds the parts up.

The data is real: the modules of the Python that runs this, with their size and lines, written to a CSV file.
In one terminal, from the checkout::

    qtool worker -A examples.report

and in another::

    python -m examples.report [FILE.csv]
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from qtool import current_job, task

ROWS = 200
"""Rows of the file that one job reads."""


@task
def summarise(path: str, start: int, rows: int = ROWS) -> dict[str, dict[str, int]]:
    """Modules, lines and bytes by package, in ``rows`` rows from row ``start`` on."""
    job = current_job()
    totals: dict[str, Counter[str]] = {}
    with Path(path).open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number < start:
                continue
            if number >= start + rows:
                break
            package = totals.setdefault(row["package"], Counter())
            package.update(modules=1, lines=int(row["lines"]), bytes=int(row["bytes"]))
            if number % 50 == 0:
                job.progress((number - start) / rows, row["module"])
    job.log.info("%d packages in rows %d to %d", len(totals), start, start + rows)
    return {name: dict(counts) for name, counts in totals.items()}


def write_modules(path: Path) -> int:
    """Describe the standard library's modules in a CSV file; how many there are."""
    library = Path(os.__file__).parent
    count = 0
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["package", "module", "lines", "bytes"])
        for module in sorted(library.rglob("*.py")):
            relative = module.relative_to(library)
            if {"site-packages", "test", "tests"} & set(relative.parts):
                continue
            data = module.read_bytes()
            rows.writerow([relative.parts[0].removesuffix(".py"), relative, data.count(b"\n"), len(data)])
            count += 1
    return count


def main() -> None:
    """Write the data if none is given, enqueue its parts, add up what comes back, print the largest."""
    if len(sys.argv) > 1:
        path = Path(sys.argv[1]).resolve()
        with path.open(newline="") as file:
            count = sum(1 for _ in csv.reader(file)) - 1
    else:
        path = Path(tempfile.mkdtemp(prefix="report-")) / "modules.csv"
        count = write_modules(path)
    totals: dict[str, Counter[str]] = {}
    for part in summarise.starmap((str(path), start) for start in range(0, count, ROWS)).results(timeout=120):
        for package, counts in part.items():
            totals.setdefault(package, Counter()).update(counts)
    print(f"{'package':<20} {'modules':>8} {'lines':>8} {'bytes':>10}")
    for package, counts in sorted(totals.items(), key=lambda item: -item[1]["lines"])[:10]:
        print(f"{package:<20} {counts['modules']:>8} {counts['lines']:>8} {counts['bytes']:>10}")
    print(f"{sum(counts['modules'] for counts in totals.values())} modules in {path}")


if __name__ == "__main__":
    main()
