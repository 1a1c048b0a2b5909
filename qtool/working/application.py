"""What a Celery application named with ``-A`` says of where its jobs are: its broker, and its queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 60.0
"""Seconds that its modules may take to be imported."""


class Application(Value):
    """A Celery application, as far as a worker has to know it before it starts."""

    broker: str | None
    """None: it names none."""
    queues: tuple[str, ...]
    """That a worker serves which is told of none."""


def ask(apps: Sequence[str]) -> Application | None:
    """Import the modules in a process of their own and see; None where there is no application, or it does not import.

    The processes of the pool import them again, and say what is wrong with them.
    """
    import json
    import subprocess
    import sys
    from importlib.util import find_spec

    if not apps or find_spec("celery") is None:
        return None
    command = [sys.executable, "-P", "-m", "qtool.engine.worker.celery.describe", *apps]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and module
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
        said = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return Application(said["broker"], tuple(said["queues"])) if said is not None else None
