"""Celery's own tasks, which its canvas sends where a group would be too much: ``map``, ``starmap``, ``chunks``.

They call another task for one item after the other, in this process (WIRE.md section 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.engine import tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def each(task: Mapping[str, Any], it: Iterable[Any]) -> list[Any]:
    """``celery.map``: what the task of a signature makes of every item."""
    call = _call(task)
    return [call(item) for item in it]


def each_star(task: Mapping[str, Any], it: Iterable[Iterable[Any]]) -> list[Any]:
    """``celery.starmap``: the same, an item being all of the arguments. What ``chunks`` sends, too."""
    call = _call(task)
    return [call(*item) for item in it]


def accumulate(*args: Any, index: int | None = None) -> Any:
    """``celery.accumulate``: its arguments, or one of them; a task was replaced by a group."""
    return args if index is None else args[index]


def _call(signature: Mapping[str, Any]) -> Callable[..., Any]:
    """Raises UnknownTask."""
    task = tasks.find(signature["task"])
    if not task.is_async:
        return task
    from qtool.engine.run import run_coroutine

    return lambda *args: run_coroutine(task(*args))
