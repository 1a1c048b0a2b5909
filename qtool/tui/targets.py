"""What a key that acts would act on."""

from __future__ import annotations

from collections.abc import Callable

from qtool.engine.filter import Filter
from qtool.engine.job import JobInfo
from qtool.engine.states import State
from qtool.engine.value import Value


class Targets(Value, kw_only=True):
    """Jobs by id, or all that match a filter; or a queue; or a worker. One of the four is set."""

    what: str
    """For people: ``job 019ab3c2-7f10-7000``, ``3 marked jobs``, ``all jobs that match state:dead``."""
    ids: tuple[str, ...] = ()
    where: Filter | None = None
    only: Callable[[JobInfo], bool] | None = None
    """Of those that match ``where``, which are meant, where a filter cannot say it: asked of every job while paging."""
    queue: str | None = None
    worker: str | None = None
    states: frozenset[State] | None = None
    """The states that these jobs are in, where the screen knows them: what applies to none of them is not offered."""
