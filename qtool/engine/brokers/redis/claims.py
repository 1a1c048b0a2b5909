"""What is asked for in a claim, and what comes of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.reading import leases_of
from qtool.engine.value import Value
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.following import Follower
    from qtool.engine.brokers.redis.reading import Claimed
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.job import Lease


class Asked(Value):
    """One claim."""

    worker: str
    queues: Sequence[str]
    count: int
    lease: float
    token: int
    turn: int

    def arguments(self, store: Store, taken: int = 0) -> tuple[Any, ...]:
        """What ``claim.lua`` takes where so many of them are taken. Raises BrokerError."""
        left, token = self.count - taken, str(self.token)
        return self.worker, self.queues, left, self.lease, token, self.turn, store.tick(), store.up()


class Claims:
    """The claims of one process."""

    def __init__(self, store: Store, follower: Follower) -> None:
        self._store = store
        self._follower = follower
        self._turn = 0
        self.underway: set[str] = set()
        """The tokens of those that a pipeline has asked for and not handed on yet."""
        self._doubtful: list[Asked] = []
        """Those that may have been carried out though no answer came."""

    def asked(self, worker: str, queues: Sequence[str], count: int, lease: float) -> Asked:
        """The next claim. Raises BrokerError if one before it is still in doubt."""
        self.undo_doubtful()
        self._turn += 1
        token = int.from_bytes(os.urandom(8), "big") >> 1
        return Asked(worker, queues, count, lease, token, self._turn)

    def taken(self, asked: Asked, answer: Sequence[Any]) -> tuple[bool, list[Lease]]:
        """Whether there was more to look at, and what was taken. Raises BrokerError."""
        more, packed, *messages = answer
        found = leases_of(packed, messages, asked.token)
        if found.unreadable:
            self._park(asked, found)
        self._follower.note(found.messages)
        return bool(more), found.leases

    def doubt(self, asked: Asked) -> None:
        """No answer has come, or none that is of use."""
        self._doubtful.append(asked)

    def undo_doubtful(self) -> None:
        """Give back what was claimed without our having learned of it: as our own it would never be rescued."""
        while self._doubtful:
            asked = self._doubtful[-1]
            self._store.call("back", False, asked.worker, str(asked.token), False)
            self._doubtful.pop()

    def _park(self, asked: Asked, found: Claimed) -> None:
        """What only now turned out to be unreadable ends as such; its message is kept."""
        try:
            self._store.call("park", [(lease.id, str(lease.token), why) for lease, why in found.unreadable])
        except BrokerError:
            # Nobody gets the others either.
            self.doubt(asked)
            raise
