"""Waiting for jobs to end: woken by the broker's bell, with a slow poll as a net."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtool.engine.states import FINAL
from qtool.errors import UnknownJob, WaitTimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Result

POLL_SECONDS = 1.0
"""How long a missed bell may delay the news."""

PAGE = 500
"""Ids asked for at once."""


def as_they_end(
    adapter: Adapter,
    ids: Sequence[str],
    *,
    timeout: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """The result of each job as soon as it has one; ``tick`` is called at every look.

    Raises UnknownJob for an id that is not there, WaitTimedOut after ``timeout`` seconds, BrokerError.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pending = list(dict.fromkeys(ids))
    bell = adapter.broker.listen("finished")
    try:
        while True:
            waiting: list[str] = []
            last = None
            for start in range(0, len(pending), PAGE):
                page = pending[start : start + PAGE]
                for id, result in zip(page, adapter.results.results(page), strict=True):
                    if result is None:
                        raise UnknownJob(id=id)
                    if result.state in FINAL:
                        yield result
                    else:
                        waiting.append(id)
                        last = last or result
            tick()
            pending = waiting
            if last is None:
                return
            left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            if left <= 0:
                assert timeout is not None
                raise WaitTimedOut(id=last.id, seconds=timeout, state=last.state)
            bell.wait(left)
    finally:
        bell.close()
