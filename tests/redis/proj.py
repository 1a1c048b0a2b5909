"""A Celery application with no qtool in it; its broker is named by CELERY_URL and CELERY_PREFIX."""

from __future__ import annotations

import os
import time

from celery import Celery


def add(x: int, y: int, note: str = "") -> int:
    return x + y


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def boom() -> None:
    raise ValueError("boom")


def application(url: str, prefix: str) -> Celery:
    """The client's side and the worker's: late acknowledgement, and one message ahead."""
    app = Celery("proj", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        broker_transport_options={"global_keyprefix": prefix},
        result_backend_transport_options={"global_keyprefix": prefix},
        broker_connection_retry_on_startup=True,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
    )

    for name, task in {"add": add, "sleep": sleep, "boom": boom}.items():
        app.task(shared=False, name=f"proj.{name}")(task)
    app.task(shared=False, name="proj.quiet", ignore_result=True)(add)
    return app


if "CELERY_URL" in os.environ:
    app = application(os.environ["CELERY_URL"], os.environ["CELERY_PREFIX"])
