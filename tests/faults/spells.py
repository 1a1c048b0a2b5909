"""The task of the frozen workers: when each of its runs began and ended."""

from __future__ import annotations

import os
import time

from qtool import current_job, task

_log = os.open(os.environ["QTOOL_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@task
def spell(seconds: float) -> None:
    """``+`` with job and run when it begins, ``-`` when it ends; an attempt that was given back is another run."""
    job, run = current_job().id, f"{os.getpid()}/{time.monotonic_ns()}"
    os.write(_log, f"+ {job} {run}\n".encode())
    time.sleep(seconds)
    os.write(_log, f"- {job} {run}\n".encode())
