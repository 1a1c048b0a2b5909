"""qtool's own commands, all the time: none may break, whatever happens around it."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from typing import TYPE_CHECKING

from .kinds import BIN
from .producer import QTOOL

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from .setting import Setting

COMMANDS = (
    ("jobs",),
    ("jobs", "-w", "state:running age>1s"),
    ("queues",),
    ("workers",),
    ("stats",),
    ("doctor",),
    ("purge", BIN, "-y"),
)
PAUSE = 1.0
EXCUSES = ("full", "locked", "disk I/O")
"""What a command may say when it fails: the disk is full, or somebody keeps the write lock."""


class Readers(threading.Thread):
    """Runs one command after another."""

    def __init__(self, setting: Setting, random: Random, violation: Callable[[str], None]) -> None:
        super().__init__(name="readers", daemon=True)
        self._setting = setting
        self._random = random
        self._violation = violation
        self._closed = threading.Event()
        self.ran: Counter[str] = Counter()
        """By command."""

    def close(self) -> None:
        """End."""
        self._closed.set()
        self.join(timeout=60)

    def run(self) -> None:
        while not self._closed.wait(self._random.expovariate(1 / PAUSE)):
            self._run(self._random.choice(COMMANDS))

    def _run(self, words: tuple[str, ...]) -> None:
        said = f"qtool {' '.join(words)}"
        try:
            ended = subprocess.run(
                [str(QTOOL), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env=self._setting.environment,
            )
        except subprocess.TimeoutExpired:
            self._violation(f"{said} did not end within a minute")
            return
        self.ran[words[0]] += 1
        told = ended.stdout if words[0] == "doctor" else ended.stderr
        excused = ended.returncode == 1 and any(excuse in told for excuse in EXCUSES)
        # 4: a queue is gone once it is empty.
        missing = words[0] == "purge" and ended.returncode == 4
        if "Traceback" in ended.stderr or not (ended.returncode == 0 or excused or missing):
            self._violation(f"{said} ended with {ended.returncode}: {told.strip()[-300:]}")
