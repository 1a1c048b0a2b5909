"""A worker as ``scripts/soak`` needs it, with short leases and short memories: ``python -m soaking.member URL JSON``.

The JSON holds worker options and ``retention`` (seconds), ``seed`` and ``swing`` (seconds): its wall clock jumps back
and forth by up to that much. Its id is written to ``$SOAK_DIRECTORY/ids/$SOAK_MEMBER``.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.clock import SystemClock
from qtool.engine.policy import Retention
from qtool.engine.worker.options import PoolKind, Silence, WorkerOptions
from qtool.engine.worker.supervisor import Worker
from qtool.errors import QtoolError
from qtool.working.run import PATIENCE

if TYPE_CHECKING:
    from qtool.engine.job import Lease

JUMPS = 3.0
"""Seconds between two jumps of the wall clock."""


class Swinging(SystemClock):
    """A wall clock that somebody keeps setting."""

    def __init__(self, seed: int, swing: float) -> None:
        self._seed = seed
        self._swing = swing

    def now(self) -> float:
        return time.time() + random.Random(f"{self._seed} {time.monotonic() // JUMPS}").uniform(-1, 1) * self._swing


class Voice(Silence):
    """Says it on stderr."""

    def say(self, message: str, lease: Lease | None = None) -> None:  # noqa: ARG002 - the listener's shape
        print(message, file=sys.stderr, flush=True)


def main() -> int:
    url, text = sys.argv[1:]
    said = json.loads(text)
    clock = Swinging(said["seed"], said["swing"])
    keep = said["retention"]
    options = WorkerOptions(
        slots=said["slots"],
        pool=cast("PoolKind", said["pool"]),
        queues=tuple(said["queues"]),
        apps=("soaking.load",),
        lease=said["lease"],
        grace=said["grace"],
    )
    retention = Retention(succeeded=keep, dead=keep, cancelled=keep, expired=keep)
    try:
        with open_sqlite(url, clock=clock, retention=retention, patience=PATIENCE) as adapter:
            worker = Worker(adapter, options, Voice(), clock=clock)
            Path(os.environ["SOAK_DIRECTORY"], "ids", os.environ["SOAK_MEMBER"]).write_text(worker.id)
            summary = worker.run(then_exit=True)
    except QtoolError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0 if summary.clean else 1


if __name__ == "__main__":
    sys.exit(main())
