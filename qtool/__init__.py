"""Run and inspect job queues: the Python API.

::

    from qtool import task

    @task(retries=3)
    def resize(path: str, width: int) -> str: ...

    handle = resize.delay("cat.jpg", 320)
    print(handle.result(timeout=60))

``import qtool`` alone loads nothing: every name is imported when it is first used.

PYTEST_DONT_REWRITE: where qtool is imported first, pytest would warn that it cannot rewrite its plugin's package.
"""

TYPE_CHECKING = False  # not from typing, which takes 10 ms to import

if TYPE_CHECKING:
    from qtool.client import Client, connect
    from qtool.engine.current import (
        CurrentJob,
        Discard,
        JobCancelled,
        JobTimeout,
        Retry,
        Snooze,
        current_job,
    )
    from qtool.engine.handle import Batch, Handle
    from qtool.engine.hooks import before_enqueue, on_start, on_stop
    from qtool.engine.job import Job
    from qtool.engine.middleware import middleware
    from qtool.engine.tasks import Task, shared_task, task
    from qtool.errors import JobFailed, QtoolError, WaitTimedOut

__all__ = [
    "Batch",
    "Client",
    "CurrentJob",
    "Discard",
    "Handle",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobTimeout",
    "QtoolError",
    "Retry",
    "Snooze",
    "Task",
    "WaitTimedOut",
    "before_enqueue",
    "connect",
    "current_job",
    "middleware",
    "on_start",
    "on_stop",
    "shared_task",
    "task",
]

_HOMES = {
    "qtool.client": ("Client", "connect"),
    "qtool.engine.current": (
        "CurrentJob",
        "Discard",
        "JobCancelled",
        "JobTimeout",
        "Retry",
        "Snooze",
        "current_job",
    ),
    "qtool.engine.handle": ("Batch", "Handle"),
    "qtool.engine.hooks": ("before_enqueue", "on_start", "on_stop"),
    "qtool.engine.job": ("Job",),
    "qtool.engine.middleware": ("middleware",),
    "qtool.engine.tasks": ("Task", "shared_task", "task"),
    "qtool.errors": ("JobFailed", "QtoolError", "WaitTimedOut"),
}


def _load(name: str) -> object:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(module), name)
            if module == "qtool.engine.tasks":
                _introduce()
            globals()[name] = found
            return found
    raise AttributeError(f"module 'qtool' has no attribute {name!r}")


if not TYPE_CHECKING:
    # Kept from the type checker, which would believe that every name is here.
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _introduce() -> None:
    """Tell the engine's tasks where they enqueue: at the process's own client, opened when one does."""
    from qtool.engine import tasks

    def default() -> tasks.Producer:
        from qtool.client import default_client

        return default_client()

    if tasks.producer is None:
        tasks.producer = default
