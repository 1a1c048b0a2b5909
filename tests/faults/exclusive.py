"""The task of the limits' fault runs. It takes a lock of its own, which the kernel gives back when its process dies.

So the locks tell exactly, whoever was killed when, whether ever more runs were under way than the limit allows.
"""

from __future__ import annotations

import fcntl
import os
import random
import time

from qtool import current_job, task

_directory = os.environ["QTOOL_EFFECTS"]


def _note(word: str, name: str) -> None:
    log = os.open(f"{_directory}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, f"{word} {name} {current_job().id}\n".encode())
    os.close(log)


@task
def alone(name: str, places: int, seconds: float) -> None:
    """Run for about so long in one of so many places, and note when there is none."""
    for place in range(places):
        lock = os.open(f"{_directory}/{name}.{place}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _note("start", name)
        time.sleep(seconds * 2 * random.random())
        _note("end", name)
        os.close(lock)
        return
    _note("TOO-MANY", name)
