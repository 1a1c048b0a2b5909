"""Hooks: functions that are called when a pool's process starts and ends, and before a job is sent from Python."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from qtool.engine.job import PRIORITIES
from qtool.engine.names import check_name
from qtool.errors import HookFailed

if TYPE_CHECKING:
    from qtool.engine.job import Job

Hook = Callable[[], Any]
S = TypeVar("S", bound=Hook)
B = TypeVar("B", bound=Callable[..., Any])

starts: list[Hook] = []
stops: list[Hook] = []
producers: list[Callable[[Job], Job]] = []


def on_start(function: S) -> S:
    """Call a function in each process of the pool, after the apps were imported and before its first job.

    An ``async def`` one runs on the event loop of the process's jobs; not in the thread pool, which has many. If it
    raises, the worker ends, as for a module that does not import.
    """
    starts.append(_checked(function))
    return function


def on_stop(function: S) -> S:
    """Call a function in each process of the pool at its orderly end, the last that was registered first.

    It has the worker's grace (5 s) to return, and does not run in a process that is killed. What it raises is told on
    the worker's stderr.
    """
    stops.append(_checked(function))
    return function


def before_enqueue(function: B) -> B:
    """Call a function with each :class:`~qtool.engine.job.Job` that this process is about to enqueue from Python.

    It returns the job or a changed one, ``dataclasses.replace(job, queue="slow")``; the id stays. What it raises,
    whoever enqueues gets, and nothing is sent.
    """
    producers.append(_checked(function))
    return function


def _checked(function: Any) -> Any:
    if not callable(function):
        raise TypeError(f"a hook is a function: got {function!r}")
    return function


# --- a pool's process --------------------------------------------------------------------------------


def start(run: Callable[[Coroutine[Any, Any, Any]], object] | None) -> None:
    """Call those for the start; ``run`` runs a coroutine to its end. Raises HookFailed."""
    for hook in starts:
        try:
            _settled(hook, hook(), run)
        except HookFailed:
            raise
        except BaseException as error:
            raise _failed(hook, error) from error


async def start_on_loop() -> None:
    """The same on a running event loop. Raises HookFailed."""
    for hook in starts:
        try:
            value = hook()
            if isinstance(value, Coroutine):
                await value
        except BaseException as error:
            raise _failed(hook, error) from error


def stop(run: Callable[[Coroutine[Any, Any, Any]], object] | None) -> None:
    """Call those for the end; one that fails does not keep the others from running."""
    for hook in reversed(stops):
        try:
            _settled(hook, hook(), run)
        except BaseException:  # noqa: BLE001  the process ends anyhow
            _tell(hook)
    _flush()


async def stop_on_loop() -> None:
    """The same on a running event loop."""
    for hook in reversed(stops):
        try:
            value = hook()
            if isinstance(value, Coroutine):
                await value
        except BaseException:  # noqa: BLE001  the process ends anyhow
            _tell(hook)
    _flush()


def _settled(hook: Hook, value: Any, run: Callable[[Coroutine[Any, Any, Any]], object] | None) -> None:
    if not isinstance(value, Coroutine):
        return
    if run is None:
        value.close()
        raise HookFailed(hook=_name(hook), why="an async def hook needs the process or the async pool")
    run(value)


def _flush() -> None:
    """What they printed: the process ends without what Python does at its end."""
    import sys

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _tell(hook: Hook) -> None:
    import sys
    import traceback

    sys.stderr.write(f"{_name(hook)} failed at the end of its process.\n{traceback.format_exc()}")
    sys.stderr.flush()


def _failed(hook: Hook, error: BaseException) -> HookFailed:
    frames = error.__traceback__
    place = ""
    while frames is not None:
        if frames.tb_frame.f_code.co_filename != __file__:
            place = f" ({frames.tb_frame.f_code.co_filename}, line {frames.tb_lineno})"
        frames = frames.tb_next
    return HookFailed(hook=_name(hook), why=f"{type(error).__name__}: {error}{place}")


def _name(hook: Callable[..., Any]) -> str:
    return f"{getattr(hook, '__module__', '?')}.{getattr(hook, '__qualname__', repr(hook))}"


# --- a producer --------------------------------------------------------------------------------------


def changed(job: Job) -> Job:
    """The job as the hooks want it sent. Raises TypeError, ValueError and BadName for one that cannot be, and
    whatever a hook raises."""
    from qtool.engine.job import Job

    for hook in producers:
        sent = hook(job)
        if not isinstance(sent, Job):
            raise TypeError(f"{_name(hook)} returned {sent!r}: a before_enqueue hook returns the job")
        if sent is job:
            continue
        if sent.id != job.id:
            raise ValueError(f"{_name(hook)} changed the job's id")
        if sent.priority not in PRIORITIES:
            raise ValueError(f"{_name(hook)} chose priority {sent.priority!r}: it goes from 0 to 9")
        for what, name in (("queue", sent.queue), ("task", sent.task), *(("tag", tag) for tag in sent.tags)):
            check_name(what, name)
        job = sent
    return job
