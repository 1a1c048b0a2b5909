"""An app with hooks and middleware. ``HOOKED`` names the file they write to, ``HOOKED_FAILS`` the one that fails."""

from __future__ import annotations

import asyncio
import os
import time
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtool.engine.current import CurrentJob, current_job
from qtool.engine.hooks import on_start, on_stop
from qtool.engine.middleware import middleware
from qtool.engine.tasks import task

if TYPE_CHECKING:
    from collections.abc import Callable

loops: list[Any] = []


def note(word: str) -> None:
    """One line, in one write."""
    if os.environ.get("HOOKED_FAILS") == word:
        raise RuntimeError(f"{word} went wrong")
    with Path(os.environ["HOOKED"]).open("a") as log:
        log.write(f"{os.getpid()} {word}\n")


@on_start
def first() -> None:
    note("start")


@on_stop
def last() -> None:
    note("last")


@on_stop
def stop() -> None:
    print("said at the end")
    note("stop")
    if os.environ.get("HOOKED_FAILS") == "never ends":
        time.sleep(600)


if os.environ.get("HOOKED_FAILS") in ("async", "async hook"):

    @on_start
    async def begin() -> None:
        loops.append(asyncio.get_running_loop())

    @on_stop
    async def end() -> None:
        note(f"same loop: {loops == [asyncio.get_running_loop()]}")


@middleware(tasks="tests.worker.hooked.w*")
def plain(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
    return [*call_next(), "plain"]


@middleware(tasks="tests.worker.hooked.wait")
async def awaited(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
    return [*await call_next(), "awaited"]


def outside(job: CurrentJob, call_next: Callable[[], Any]) -> Any:
    """The operator's."""
    return [*call_next(), "outside"]


@task
def work() -> list[str]:
    note("job")
    return [current_job().queue]


@task
async def wait() -> list[str]:
    note("job")
    await asyncio.sleep(0)
    return [f"same loop: {loops == [asyncio.get_running_loop()]}"] if loops else [current_job().queue]


left: ContextVar[str] = ContextVar("left", default="nothing")


@task
async def leave(word: str) -> list[str]:
    """What an earlier job left in the context; takes long enough for the next one to wait at the door."""
    found = left.get()
    left.set(word)
    await asyncio.sleep(0.05)
    return [found]
