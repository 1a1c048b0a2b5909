"""The FIFOs beside the file: those of listeners that died do not add up."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.doorbell import FifoBell, sweep
from qtool.engine.registry import open_broker

if TYPE_CHECKING:
    from pathlib import Path

DYING = """
import os, sys
from qtool.engine.brokers.sqlite.doorbell import FifoBell
FifoBell(sys.argv[1], "control")
os.kill(os.getpid(), 9)
"""


def test_a_round_of_upkeep_removes_the_bells_of_the_dead(tmp_path: Path) -> None:
    with open_broker(str(tmp_path / "q.db")) as adapter:
        bells = tmp_path / "q.db.d" / "bells"
        subprocess.run([sys.executable, "-c", DYING, str(bells)], check=False)
        (left,) = bells.iterdir()
        with closing(adapter.broker.listen("control")):
            assert len(list(bells.iterdir())) == 2
            adapter.broker.maintain()
            (kept,) = bells.iterdir()
            assert kept != left


def test_a_bell_in_the_making_stays_for_a_while(tmp_path: Path) -> None:
    draft = tmp_path / "new-control-1-00"
    os.mkfifo(draft)
    sweep(str(tmp_path), 30.0)
    assert draft.exists()
    os.utime(draft, (0, 0))
    sweep(str(tmp_path), 30.0)
    assert not draft.exists()


def test_a_sweep_wakes_nobody(tmp_path: Path) -> None:
    bell = FifoBell(str(tmp_path), "ready")
    sweep(str(tmp_path), 0.0)
    assert not bell.wait(0)
    bell.close()
