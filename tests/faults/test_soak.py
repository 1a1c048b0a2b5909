"""A short run of ``scripts/soak``: it finds nothing, and everything that it watches was there to be watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
# By hand: of many faults at once some meet, and a process frozen with the file's lock in its hands holds up all.
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_short_soak_breaks_no_rule(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = ["15s", "--every", "0.25s", "--lease", "2s", "--directory", str(tmp_path), "--json", str(figures)]
    ended = subprocess.run(
        [sys.executable, "-m", "soaking", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-5000:] + ended.stdout[-5000:]
    said = json.loads(figures.read_text())
    assert said["violations"] == []
    assert said["judged"] == sum(said["jobs"].values()) > 100
    assert sum(said["faults"].values()) > 10
    assert all(said["gauges"].values())
    assert [path for path in tmp_path.iterdir() if path != figures] == []
