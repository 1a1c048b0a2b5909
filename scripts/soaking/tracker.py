"""What became of every job: looked up again and again, until it has ended and before it is pruned."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qtool.engine.states import FINAL, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from random import Random

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Attempt, Job, JobInfo

    from .kinds import Kind


@dataclass
class Sent:
    """A job that was handed to the broker."""

    kind: Kind
    sure: bool = False
    """The broker said that it has it."""
    open: bool = True
    """It may still get there."""
    asked: bool = False
    """It was asked to stop, or to be killed."""


@dataclass(frozen=True)
class Ended:
    """A job that has ended."""

    kind: Kind
    asked: bool
    info: JobInfo
    attempts: list[Attempt] = field(default_factory=list)


class Tracker:
    """Knows every job of the run; used from several threads."""

    def __init__(self, adapter: Adapter, violation: Callable[[str], None]) -> None:
        self._adapter = adapter
        self._violation = violation
        self._lock = threading.Lock()
        self._open: dict[str, Sent] = {}
        self.ended: dict[str, Ended] = {}
        """Since the last judgement."""
        self.sent: Counter[str] = Counter()
        """By kind, all that were ever acknowledged or found."""
        self.states: Counter[State] = Counter()
        """How all of them ended."""

    @property
    def unfinished(self) -> int:
        """How many have not ended, as far as is known."""
        return len(self._open)

    # --- from the producer ---------------------------------------------------------------------------

    def announce(self, jobs: Sequence[tuple[Job, Kind]]) -> None:
        """They are about to be enqueued."""
        with self._lock:
            self._open |= {job.id: Sent(kind) for job, kind in jobs}

    def acknowledge(self, ids: Iterable[str]) -> None:
        """They stand: from now on they must never be missing."""
        with self._lock:
            for id in ids:
                if (sent := self._open.get(id)) is not None and not sent.sure:
                    sent.sure = True
                    self.sent[sent.kind.name] += 1

    def conclude(self, ids: Iterable[str]) -> None:
        """Who enqueued them was killed: what has not got there now never will."""
        with self._lock:
            for id in ids:
                if (sent := self._open.get(id)) is not None:
                    sent.open = False

    def withdraw(self, ids: Iterable[str]) -> None:
        """They were not added: an unfinished job has their key, or there was an error."""
        with self._lock:
            for id in ids:
                self._open.pop(id, None)

    # --- from the faults -----------------------------------------------------------------------------

    def some(self, random: Random, most: int) -> list[str]:
        """Ids of jobs that have not ended, marked as asked to stop."""
        with self._lock:
            ids = random.sample(list(self._open), min(most, len(self._open)))
            for id in ids:
                self._open[id].asked = True
        return ids

    # --- looking -------------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at all that have not ended. Raises BrokerError."""
        with self._lock:
            before = {id: (sent.sure, sent.open) for id, sent in self._open.items()}
        ids = list(before)
        found = self._adapter.inspector.get(ids)
        gone: list[str] = []
        for id, info in zip(ids, found, strict=True):
            sure, open = before[id]
            if info is not None:
                if not sure:
                    self.acknowledge([id])
                if info.state in FINAL:
                    self._end(id, info)
            elif sure:
                self._violation(f"job {id} was acknowledged and is lost")
                gone.append(id)
            elif not open:
                gone.append(id)
        self.withdraw(gone)

    def _end(self, id: str, info: JobInfo) -> None:
        attempts = self._adapter.inspector.attempts(id) if info.attempt != 1 or info.crashes or info.failures else []
        with self._lock:
            sent = self._open.pop(id)
            self.ended[id] = Ended(sent.kind, sent.asked, info, attempts)
            self.states[info.state] += 1

    def unfinished_ids(self) -> list[str]:
        """Those that have not ended."""
        with self._lock:
            return list(self._open)

    def clear(self) -> None:
        """All that has ended has been judged."""
        self.ended.clear()
