"""Writes docs/reference, or with ``--check`` prints how it differs and exits with 1."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import commands, engine, outputs, python, settings

if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = Path(__file__).parents[2] / "docs" / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "filter.md": engine.filter_page,
    "states.md": engine.states_page,
    "configuration.md": settings.page,
    "outputs.md": outputs.page,
    "exit-codes.md": engine.exit_codes_page,
    "python.md": python.page,
}


def main() -> int:
    """Write every page, or compare; the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is out of step")
    check = parser.parse_args().check
    wanted = {name: make() for name, make in PAGES.items()}
    found = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.md")}
    stale = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    for name in stale:
        path = DIRECTORY / name
        if check:
            before, after = (pages.get(name, "").splitlines(keepends=True) for pages in (found, wanted))
            sys.stdout.writelines(difflib.unified_diff(before, after, f"{name} as it is", f"{name} from the code"))
        elif name in wanted:
            DIRECTORY.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
            print(f"wrote {path.name}")
        else:
            path.unlink()
            print(f"removed {path.name}")
    if check and stale:
        print(f"Out of step: {', '.join(stale)}. Run scripts/reference.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
