"""The Broker side: how jobs come in, are claimed and are settled. Each verb is one script, so that it is atomic."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from qtool.engine.broker import LEASE_SECONDS, Bell, Maintenance, Receipt, Renewal, Slate, Topic, WorkerInfo
from qtool.engine.brokers.redis import intake
from qtool.engine.brokers.redis.bells import Belfry
from qtool.engine.brokers.redis.discovery import Discovery
from qtool.engine.brokers.redis.elsewhere import Elsewhere
from qtool.engine.brokers.redis.following import Follower
from qtool.engine.brokers.redis.reading import Claimed, leases_of
from qtool.engine.brokers.redis.rescue import Rescuer
from qtool.engine.brokers.redis.restoring import Restorer
from qtool.engine.brokers.redis.writing import anew, ending, goes_out_again, reporting
from qtool.engine.slate import FileSlate
from qtool.engine.states import FINAL, Event, State
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qtool.engine.brokers.redis.journal import RedisJournal
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.job import Job, Lease, Report, Settlement

AT_ONCE = 512
"""Settlements, leases or reports in one script: nothing holds the server for long."""

LOOKS = 64
"""Times that one claim goes on where it found only what may not start."""

TIDY_SECONDS = 30.0
"""How often a worker looks for jobs to prune."""

TIDY_AT_ONCE = 0.1
"""For how many seconds one round of upkeep prunes; what is left is for the next."""


class RedisBroker:
    """Moves jobs on one server."""

    def __init__(self, store: Store, journal: RedisJournal) -> None:
        self._store = store
        self._journal = journal
        self.belfry = Belfry(store)
        self._follower = Follower(store)
        self._elsewhere = Elsewhere(store)
        self._restorer = Restorer(store)
        self._discovery = Discovery(store)
        self._rescuer = Rescuer(store, self._follower, self.settle)
        self._turn = 0
        self._tidy_at = 0.0
        self._doubtful: list[tuple[str, str]] = []
        """Claims that may have been carried out though no answer came: worker and token."""
        self._compared: dict[str, int] = {}
        """How many connections had been made when what stands as a worker's was last known to be what it holds."""

    # --- in ------------------------------------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job]) -> Receipt:
        return intake.enqueue(self._store, jobs)

    def stream(self, batches: Iterable[Sequence[Job]]) -> Iterator[Receipt]:
        """See :attr:`qtool.engine.broker.Adapter.stream`."""
        return intake.stream(self._store, batches)

    # --- out -----------------------------------------------------------------------------------------

    def claim(self, worker: str, queues: Sequence[str], count: int, lease: float = LEASE_SECONDS) -> list[Lease]:
        if count <= 0:
            return []
        self._undo_doubtful()
        self.belfry.serve(queues)
        self._turn += 1
        token = str(int.from_bytes(os.urandom(8), "big") >> 1)
        taken: list[Lease] = []
        tick = self._store.tick()
        for _ in range(LOOKS):
            asked = (worker, queues, count - len(taken), lease, token, self._turn, tick, self._store.up())
            try:
                more, packed, *messages = self._store.call("claim", *asked)
            except BrokerError:
                self._doubtful.append((worker, token))
                raise
            found = leases_of(packed, messages, int(token))
            if found.unreadable:
                self._park(found)
            taken += found.leases
            self._follower.note(found.messages)
            if not more or len(taken) >= count:
                break
        return taken

    def _undo_doubtful(self) -> None:
        """Give back what was claimed without our having learned of it: as our own it would never be rescued."""
        while self._doubtful:
            worker, token = self._doubtful[-1]
            self._store.call("back", False, worker, token, False)
            self._doubtful.pop()

    def _park(self, found: Claimed) -> None:
        """What only now turned out to be unreadable ends as such; its message is kept."""
        self._store.call("park", [(lease.id, str(lease.token), why) for lease, why in found.unreadable])

    def opens_at(self, queues: Sequence[str]) -> float | None:
        store = self._store
        wait = store.call("opens", queues, store.tick(), store.up())
        return store.clock.now() + float(wait) if wait is not None else None

    def settle(self, settlements: Sequence[Settlement]) -> list[State | None]:
        states: list[State | None] = []
        for first in range(0, len(settlements), AT_ONCE):
            some = settlements[first : first + AT_ONCE]
            raw: list[bytes] = []
            again = self._anew(some)
            followed = self._follower.follow(some)
            ends = [ending(each, raw, again.get(each.settlement.lease.id)) for each in followed]
            answer = self._store.call("settle", ends, raw=raw)
            self._follower.settled(some)
            if answer:
                states += [_STATES[state] if state is not None else None for state in answer]
            else:
                # What could not be sent on has made a failure of a success.
                states += [each.settlement.state for each in followed]
        return states

    def _anew(self, settlements: Sequence[Settlement]) -> dict[str, str | None]:
        """The messages of those that are tried again, by id. They run: nobody else writes them meanwhile."""
        retried = [each for each in settlements if goes_out_again(each)]
        if not retried:
            return {}
        store = self._store
        with store.translated():
            found: Any = store.client.mget([store.layout.messages + each.lease.id for each in retried])
        return {each.lease.id: anew(each, message) for each, message in zip(retried, found, strict=True)}

    # --- while it runs -------------------------------------------------------------------------------

    def extend(self, worker: WorkerInfo, leases: Sequence[Lease], seconds: float = LEASE_SECONDS) -> Renewal:
        self._store.recognise()
        self._undo_doubtful()
        info = msgspec.json.encode({name: getattr(worker, name) for name in WorkerInfo.__slots__}).decode()
        lost: set[str] = set()
        cancelled: set[str] = set()
        killed: set[str] = set()
        slots = None
        for first in range(0, max(1, len(leases)), AT_ONCE):
            some = leases[first : first + AT_ONCE]
            claims = [(lease.id, str(lease.token)) for lease in some]
            wanted, *asked = self._store.call("extend", worker.id, info, seconds, claims)
            if wanted is not None:
                least, _, most = wanted.partition(b" ")
                slots = int(least), int(most)
            for lease, said in zip(some, asked, strict=True):
                if said is None:
                    lost.add(lease.id)
                elif said:
                    (killed if said == b"kill" else cancelled).add(lease.id)
        self._follower.forget(lost)
        self._disown(worker.id, leases)
        return Renewal(frozenset(lost), frozenset(cancelled), frozenset(killed), slots)

    def _disown(self, worker: str, leases: Sequence[Lease]) -> None:
        """Give back what stands as the worker's beyond what it holds.

        A server that is gone takes what it had not passed on with it (to a replica, or to its own disk): also outcomes
        that it had confirmed. At the one that is there then, their jobs run for ever, at a worker that lives.
        """
        connections = self._store.connections
        if connections != self._compared.get(worker, connections):
            self._store.call("disown", worker, [(lease.id, str(lease.token)) for lease in leases])
        self._compared[worker] = connections

    def report(self, reports: Sequence[Report]) -> None:
        for first in range(0, len(reports), AT_ONCE):
            raw: list[bytes] = []
            news = [reporting(each, raw) for each in reports[first : first + AT_ONCE]]
            self._store.call("report", news, raw=raw)

    def maintain(self) -> Maintenance:
        self.belfry.mend()
        with self._store.translated():
            self._discovery.keep()
        rescued = self._rescuer.rescue() + self._restorer.restore()
        promoted = expired = 0
        while True:
            some_promoted, some_expired, more, next_due = self._store.call("maintain")
            promoted += some_promoted
            expired += some_expired
            if not more:
                break
        self._follower.settle_up()
        self._elsewhere.settle()
        due = float(next_due) if next_due is not None else None
        return Maintenance(promoted, expired, rescued, self._tidy(), due)

    def _tidy(self) -> int:
        """Prune every :data:`TIDY_SECONDS`, or as soon as may be while there is more to prune."""
        store = self._store
        seen = store.clock.monotonic()
        if seen < self._tidy_at:
            return 0
        pruned: int = 0
        for state in sorted(FINAL):
            seconds = store.retention.seconds(state)
            while seconds is not None and (some := store.call("prune", state, store.clock.now() - seconds)):
                pruned += some
                if store.clock.monotonic() - seen > TIDY_AT_ONCE:
                    return pruned
        with store.translated():
            self._journal.prune(store.clock.now())
        self._tidy_at = store.clock.monotonic() + TIDY_SECONDS
        return pruned

    # --- workers -------------------------------------------------------------------------------------

    def listen(self, topic: Topic) -> Bell:
        return self.belfry.hang(topic)

    def slate(self, worker: str, slots: int) -> Slate | None:
        try:
            return FileSlate.create(f"{self._store.slates()}/{worker}", slots)
        except OSError as error:
            why = f"a slate for the worker cannot be made ({error.strerror}: {error.filename})"
            raise BrokerError(url=self._store.url, why=why) from None

    def leave(self, worker: str) -> None:
        self._store.call("back", False, worker, False, True)
        self._compared.pop(worker, None)


_STATES = {str(state).encode(): state for state in State}

assert str(Event.LEASE_LOST) == "lease lost", "settle.lua knows it by that name"
