"""Code around every run: a log of what took long, one database connection for all jobs of a process, a retry policy.

In one terminal, from the checkout::

    qtool worker -A examples.middleware

and in another::

    python -m examples.middleware
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtool import (
    CurrentJob,
    Discard,
    Job,
    JobFailed,
    Retry,
    before_enqueue,
    current_job,
    middleware,
    on_start,
    on_stop,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DATABASE = os.path.join(tempfile.gettempdir(), "orders.db")


# --- a log of what took long ---


@middleware
def timed(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
    began = time.monotonic()
    try:
        return call_next()
    finally:
        job.log.info("%s took %.3f s", job.task, time.monotonic() - began)


# --- one connection for all jobs of a process ---

connection: sqlite3.Connection


@on_start
def connect() -> None:
    global connection
    connection = sqlite3.connect(DATABASE, timeout=10, check_same_thread=False)
    connection.execute("CREATE TABLE IF NOT EXISTS orders (number PRIMARY KEY, state)")


@on_stop
def disconnect() -> None:
    connection.close()


@middleware(tasks="examples.middleware.*")
def in_a_transaction(_job: CurrentJob, call_next: Callable[[], Any]) -> Any:
    with connection:  # commits, or rolls back when the task raises
        return call_next()


# --- a retry policy ---


class Busy(Exception):
    """The other side asks for time."""


@middleware
def patient(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
    try:
        return call_next()
    except Busy as error:
        raise Retry(in_=0.1 * 2**job.failures) from error
    except sqlite3.IntegrityError as error:
        raise Discard(f"it is there already: {error}") from error


# --- what is sent from here ---


@before_enqueue
def labelled(job: Job) -> Job:
    return replace(job, tags={**job.tags, "sender": "examples.middleware"})


@task(retries=3)
def book(number: int) -> str:
    connection.execute("INSERT INTO orders VALUES (?, 'booked')", [number])
    if current_job().failures < 1:
        raise Busy  # and the order above is rolled back
    return f"order {number} is booked"


if __name__ == "__main__":
    handle = book.delay(17)
    print(handle.result(timeout=30), "after", handle.info().attempt, "attempts")
    try:
        book.delay(17).result(timeout=30)
    except JobFailed as error:
        print(error)
