"""The Broker side: how jobs come in, are claimed and are settled. Each verb is one script, so that it is atomic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from qtool.engine.broker import LEASE_SECONDS, Bell, Maintenance, Receipt, Renewal, Slate, Topic, WorkerInfo
from qtool.engine.brokers.redis import intake
from qtool.engine.brokers.redis.bells import Belfry
from qtool.engine.brokers.redis.claims import Claims
from qtool.engine.brokers.redis.discovery import Discovery
from qtool.engine.brokers.redis.elsewhere import Elsewhere
from qtool.engine.brokers.redis.ends import Ends
from qtool.engine.brokers.redis.following import Follower
from qtool.engine.brokers.redis.pipeline import AT_ONCE, RedisPipeline
from qtool.engine.brokers.redis.rescue import Rescuer
from qtool.engine.brokers.redis.restoring import Restorer
from qtool.engine.brokers.redis.writing import reporting
from qtool.engine.slate import FileSlate
from qtool.engine.states import FINAL
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qtool.engine.brokers.redis.claims import Asked
    from qtool.engine.brokers.redis.journal import RedisJournal
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.job import Job, Lease, Report, Settlement
    from qtool.engine.states import State

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
        self._claims = Claims(store, self._follower)
        self._ends = Ends(store, self._follower)
        self._tidy_at = 0.0
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
        self.belfry.serve(queues)
        asked = self._claims.asked(worker, queues, count, lease)
        return self._rest(asked, [])

    def _rest(self, asked: Asked, taken: list[Lease], looks: int = LOOKS) -> list[Lease]:
        """What was taken, and what else is there."""
        for _ in range(looks):
            try:
                answer = self._store.call("claim", *asked.arguments(self._store, len(taken)))
            except BrokerError:
                self._claims.doubt(asked)
                raise
            more, leases = self._claims.taken(asked, answer)
            taken += leases
            if not more or len(taken) >= asked.count:
                break
        return taken

    def pipeline(self) -> RedisPipeline:
        """See :attr:`qtool.engine.broker.Adapter.pipeline`."""

        def go_on(asked: Asked, answer: Sequence[Any]) -> list[Lease]:
            more, leases = self._claims.taken(asked, answer)
            return self._rest(asked, leases, LOOKS - 1) if more and len(leases) < asked.count else leases

        return RedisPipeline(self._store, self._claims, self._ends, self.belfry, go_on)

    def opens_at(self, queues: Sequence[str]) -> float | None:
        store = self._store
        wait = store.call("opens", queues, store.tick(), store.up())
        return store.clock.now() + float(wait) if wait is not None else None

    def settle(self, settlements: Sequence[Settlement]) -> list[State | None]:
        states: list[State | None] = []
        for first in range(0, len(settlements), AT_ONCE):
            said = self._ends.said(settlements[first : first + AT_ONCE])
            states += self._ends.stood(said, self._store.call("settle", said.rows, raw=said.raw))
        return states

    # --- while it runs -------------------------------------------------------------------------------

    def extend(self, worker: WorkerInfo, leases: Sequence[Lease], seconds: float = LEASE_SECONDS) -> Renewal:
        self._store.recognise()
        self._claims.undo_doubtful()
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
            claims = [(lease.id, str(lease.token)) for lease in leases]
            self._store.call("disown", worker, claims, [*self._claims.underway])
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
