"""Where a run takes place, and how hard it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = Path(__file__).resolve().parents[1]
ROOM = "256m"
"""Of the small disk that the file lives on, so that it can be filled."""


@dataclass(frozen=True)
class Setting:
    """One run."""

    directory: Path
    """The effect log and all that the run itself writes: not on the disk that is filled."""
    disk: Path
    """Where the file lies."""
    mounted: bool
    """The disk is the run's own."""
    why_not: str
    """Why it is not."""
    lease: float
    """Seconds."""
    retention: float = 120.0
    """Seconds that finished jobs are kept: longer than it takes to look at each."""
    swing: float = 5.0
    """Seconds by which some workers' wall clocks jump."""
    backlog: int = 400
    """Unfinished jobs at a time."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.disk / "soak.db"

    @property
    def url(self) -> str:
        """The file as a broker."""
        return f"sqlite://{self.path}"

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the run gets."""
        return {
            **os.environ,
            "PYTHONPATH": str(SCRIPTS),
            "SOAK_DIRECTORY": str(self.directory),
            "QTOOL_BROKER": self.url,
            "XDG_CONFIG_HOME": str(self.directory),
        }


@contextmanager
def settle_in(under: Path, lease: float) -> Iterator[Setting]:
    """A directory for the run with a small disk in it, where mounting one is permitted; both are gone afterwards."""
    under.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=under))
    for name in ("running", "seats", "logs", "ids", "disk"):
        (directory / name).mkdir()
    disk = directory / "disk"
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    try:
        yield Setting(directory, disk, mounted=mount.returncode == 0, why_not=mount.stderr.strip(), lease=lease)
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", "-l", str(disk)], check=False)
        shutil.rmtree(directory, ignore_errors=True)
