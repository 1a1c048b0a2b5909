"""A Celery application with no qtool in it; its broker is named by CELERY_URL and CELERY_PREFIX."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery, current_task


class Odd(Exception):
    """Nobody else has it."""


def application(url: str, prefix: str) -> Celery:
    """The client's side and the worker's."""
    app = Celery("proj", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        broker_transport_options={
            "global_keyprefix": prefix,
            "visibility_timeout": int(os.environ.get("CELERY_VISIBLE", "3600")),
        },
        result_backend_transport_options={"global_keyprefix": prefix},
        broker_connection_retry_on_startup=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        task_acks_late=True,
        task_track_started=True,
        task_routes={"proj.elsewhere": {"queue": "other"}},
    )
    for name, function in TASKS.items():
        app.task(shared=False, name=f"proj.{name}")(function)
    app.task(shared=False, name="proj.theirs_only")(add)
    return app


def add(x: Any, y: Any) -> Any:
    return x + y


def total(values: list[Any]) -> Any:
    return sum(values)


def same(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


def boom(*args: Any) -> None:
    raise ValueError("boom", {"k": 1})


def odd() -> None:
    raise Odd("how")


def missing() -> None:
    raise KeyError("key")


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def mark(path: str, word: str, seconds: float = 0.0) -> str:
    """Write down that it begins and that it ended, a line each."""
    with Path(path).open("a") as file:
        file.write(f"begin {word} {os.getpid()}\n")
    time.sleep(seconds)
    with Path(path).open("a") as file:
        file.write(f"end {word} {os.getpid()}\n")
    return word


def request() -> dict[str, Any]:
    """What the task is told of the message that it answers."""
    return {name: getattr(current_task.request, name) for name in ("id", "retries", "parent_id")}


TASKS = {
    "add": add,
    "total": total,
    "same": same,
    "boom": boom,
    "odd": odd,
    "missing": missing,
    "sleep": sleep,
    "mark": mark,
    "request": request,
    "elsewhere": same,
}

if "CELERY_URL" in os.environ:
    app = application(os.environ["CELERY_URL"], os.environ["CELERY_PREFIX"])
