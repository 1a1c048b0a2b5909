"""Tasks that fail, each in its own way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qtool import CurrentJob, Discard, Retry, Snooze, current_job, task

if TYPE_CHECKING:
    from qtool.engine.on_error import Answer


class Busy(Exception):
    pass


class Stale(Exception):
    pass


class Slow(ConnectionError):
    pass


def by_attempt(error: Exception, job: CurrentJob) -> Answer | None:
    """Patience until the third attempt."""
    return "discard" if job.attempt >= 3 else None


@task(
    retries=2,
    backoff=0.01,
    on_error={
        ConnectionError: "dead",
        Slow: Retry(in_=0.01),
        Stale: "discard",
        (ValueError, KeyError): "dead",
        Busy: Snooze(0.01),
        LookupError: by_attempt,
    },
)
def errs(path: str, name: str, until: int) -> int:
    """Raise the named error until this has been the ``until``-th start."""
    with Path(path).open("a") as log:
        log.write("x")
    starts = Path(path).stat().st_size
    if starts < until:
        kinds = {"Busy": Busy, "Stale": Stale, "Slow": Slow, "Lookup": LookupError, "Value": ValueError}
        raise kinds[name](f"start {starts}")
    return current_job().attempt


@task(retries=2)
def asks(path: str, what: str) -> int:
    """Ask to run again, or not, by raising."""
    with Path(path).open("a") as log:
        log.write("x")
    if Path(path).stat().st_size < 3:
        raise {"retry": Retry(in_=0.01), "snooze": Snooze(0.01), "discard": Discard("the account is closed")}[what]
    return current_job().attempt


@task(on_crash="dead")
def crashes() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(on_crash="dead")
def charge(path: str) -> None:
    """Never twice: it says that it began, and goes on for long."""
    with Path(path).open("a") as log:
        log.write("x")
    time.sleep(600)


@task(soft_time_limit=0.1, time_limit=0.3)
def deaf(path: str) -> None:
    """Hear nothing of the end of its time."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        try:
            time.sleep(60)
        except Exception:  # noqa: BLE001  it is deaf
            Path(path).write_text(str(time.monotonic() - began))
