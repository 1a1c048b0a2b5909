"""What a producer holds after enqueueing: a job's handle, and a batch of them. Waiting is woken, not polled."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from qtool.engine.states import FINAL, State
from qtool.engine.waiting import Patience
from qtool.errors import JobFailed, UnknownJob, WaitTimedOut

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from qtool.engine.broker import Adapter, Change
    from qtool.engine.job import JobInfo, Result

R = TypeVar("R")


class Opener(Protocol):
    """Gives the open broker."""

    def __call__(self, *, write: bool = False) -> Adapter:
        """Raises BrokerError and its kin; ReadOnlyContext for ``write`` where only looking is allowed."""
        ...


POLL = 1.0
"""Seconds between two looks at a job nobody rang for: the net under the bell."""


class Handle(Generic[R]):
    """One enqueued job."""

    __slots__ = ("_open", "existing", "id")

    def __init__(self, id: str, open: Opener, *, existing: bool = False) -> None:
        self.id = id
        self.existing = existing
        """Whether the job stood already: it holds the same unique key, or this very id."""
        self._open = open

    @property
    def state(self) -> State:
        """Where the job is now. Raises UnknownJob."""
        return _results(self._open(), [self.id])[0].state

    def ready(self) -> bool:
        """Whether the job has ended, however it did. Raises UnknownJob."""
        return self.state in FINAL

    def successful(self) -> bool:
        """Whether the job has succeeded. Raises UnknownJob."""
        return self.state is State.SUCCEEDED

    def failed(self) -> bool:
        """Whether the job is dead. Raises UnknownJob."""
        return self.state is State.DEAD

    def result(self, timeout: float | None = None) -> R:
        """Wait for the job, at most ``timeout`` seconds, and give what its task returned (as it comes back from JSON).

        Raises JobFailed with the remote traceback as a note, WaitTimedOut, UnknownJob.
        """
        value: R = _value(next(_ends(self._open(), [self.id], timeout)))
        return value

    get = result

    def info(self) -> JobInfo:
        """Everything known about the job. Raises UnknownJob."""
        info = self._open().inspector.get([self.id])[0]
        if info is None:
            raise UnknownJob(id=self.id)
        return info

    def cancel(self) -> bool:
        """Cancel the job if it has not started, ask it to stop if it runs; whether that changed anything.

        Raises UnknownJob, ReadOnlyContext.
        """
        return self._changed(self._open(write=True).operator.cancel([self.id]))

    def kill(self) -> bool:
        """As :meth:`cancel`, but what runs is killed without being asked, where its worker can do that.

        Raises UnknownJob, ReadOnlyContext.
        """
        return self._changed(self._open(write=True).operator.kill([self.id]))

    def _changed(self, changes: list[Change]) -> bool:
        (change,) = changes
        if change.before is None:
            raise UnknownJob(id=self.id)
        return change.changed

    def __repr__(self) -> str:
        return f"<job {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class Batch(Sequence[Handle[R]]):
    """The jobs of one :meth:`~qtool.engine.tasks.Task.map`, in order: a sequence of handles that keeps only ids."""

    # A million ids as separate strings take 85 MB; joined by the chunk they take 37.
    __slots__ = ("_chunks", "_length", "_open", "_starts")

    def __init__(self, open: Opener) -> None:
        self._open = open
        self._chunks: list[str] = []
        self._starts: list[int] = []
        self._length = 0

    def add(self, ids: Sequence[str]) -> None:
        """Append the ids of one commit."""
        self._starts.append(self._length)
        self._chunks.append("\n".join(ids))
        self._length += len(ids)

    @property
    def ids(self) -> Iterator[str]:
        """Every id, in the order of the items."""
        for chunk in self._chunks:
            yield from chunk.split("\n")

    def results(self, timeout: float | None = None) -> Iterator[R]:
        """What the tasks returned, in the order of the items, each as soon as it and those before it have ended.

        ``timeout``, in seconds, bounds the wait for all. Raises JobFailed at the first that did not succeed,
        WaitTimedOut, UnknownJob.
        """
        for result in self.ends(timeout):
            yield _value(result)

    def ends(self, timeout: float | None = None) -> Iterator[Result]:
        """As :meth:`results`, but gives the stored end of every job, and raises for none that failed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for chunk in self._chunks:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            yield from _ends(self._open(), chunk.split("\n"), left)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Handle[R]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Handle[R]]: ...
    def __getitem__(self, index: int | slice) -> Handle[R] | list[Handle[R]]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(self._length))]
        if not -self._length <= index < self._length:
            raise IndexError(f"the batch has {self._length} jobs")
        from bisect import bisect_right

        index %= self._length
        chunk = bisect_right(self._starts, index) - 1
        return Handle(self._chunks[chunk].split("\n")[index - self._starts[chunk]], self._open)

    def __iter__(self) -> Iterator[Handle[R]]:
        return (Handle(id, self._open) for id in self.ids)

    def __repr__(self) -> str:
        return f"<batch of {self._length} jobs>"


def _results(adapter: Adapter, ids: Sequence[str]) -> list[Result]:
    """The present results. Raises UnknownJob."""
    found = []
    for id, result in zip(ids, adapter.results.results(ids), strict=True):
        if result is None:
            raise UnknownJob(id=id)
        found.append(result)
    return found


def _ends(adapter: Adapter, ids: Sequence[str], timeout: float | None) -> Iterator[Result]:
    """The result of each job as soon as it and those before it have ended. Raises UnknownJob, WaitTimedOut."""
    deadline = None if timeout is None else time.monotonic() + timeout
    patience = Patience(deadline)
    done = yield from _finished(patience.ask(partial(_results, adapter, ids)))
    if done == len(ids):
        return
    # The bell is hung before the next look, so that nothing that ends in between goes unheard.
    with closing(adapter.broker.listen("finished")) as bell:
        while done < len(ids):
            # A busy broker rings all the time: only the job that is next in turn is looked at.
            state = patience.ask(partial(_results, adapter, [ids[done]]))[0].state
            if state in FINAL:
                done += yield from _finished(patience.ask(partial(_results, adapter, ids[done:])))
                continue
            left = POLL if deadline is None else min(POLL, deadline - time.monotonic())
            if left <= 0:
                raise WaitTimedOut(id=ids[done], seconds=timeout, state=state)
            bell.wait(left)


def _finished(results: Iterable[Result]) -> Generator[Result, None, int]:
    done = 0
    for result in results:
        if result.state not in FINAL:
            break
        done += 1
        yield result
    return done


def _value(result: Result) -> Any:
    if result.state is State.SUCCEEDED:
        return None if result.value is None else json.loads(result.value)
    state = f"{result.state} ({result.reason})" if result.reason else str(result.state)
    error = JobFailed(id=result.id, state=state, error=result.error or "no error is recorded", failure=result.error)
    if result.error is not None and result.error.traceback:
        error.add_note(f"In the worker:\n{result.error.traceback.rstrip()}")
    raise error
