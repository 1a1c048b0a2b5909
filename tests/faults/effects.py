"""The task of the kill runs: every run leaves one line, whatever becomes of its process afterwards."""

from __future__ import annotations

import os
import random
import time

from qtool import current_job, task

SECONDS = float(os.environ.get("QTOOL_EFFECT_SECONDS", "0.002"))
_log = os.open(os.environ["QTOOL_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@task
def effect(number: int) -> int:
    """Append job and attempt to the log in one write, somewhere in the middle of the run."""
    job = current_job()
    time.sleep(random.random() * SECONDS)
    os.write(_log, f"{job.id} {job.attempt}\n".encode())
    time.sleep(random.random() * SECONDS)
    return number
