"""What may start now: the limits of queues, tasks and keys, inside the transactions that move jobs.

No slot is acquired or released. How many jobs of a queue run is its counter; how many of a key, an index that holds
nothing else. So a slot is back by construction when its holder dies and its job is taken back.

A ready job that its key or its task keeps from starting is *held*: it leaves the index that claims read. Two rules see
to it that none stays behind:

- Of a key's jobs in a queue, in the order of claiming, as many are free as slots of the key are. :func:`reopen` makes
  that so again, at the end of each transaction in which one of them ended, left or was passed on.
- What waits for a task's rate is looked at by each claim, beside what is free, as far as the rate allows.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from qtool.engine.brokers.sqlite.store import SQL, Row, first, rows, text_key
from qtool.engine.limits import Rate, default_burst

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw

    from qtool.engine.brokers.sqlite.ledger import Ledger
    from qtool.engine.job import Job, Settlement

HELD = "held"
"""Counts, among the counters of states, the ready jobs that are held."""

STRETCH = 1000
"""Jobs that one claim passes over at most; the next goes on from there."""

Which = tuple[str, str]
"""Scope and name."""


class Start(NamedTuple):
    """What a claim writes into the jobs it takes."""

    token: int
    worker: str
    at: float


class Said(NamedTuple):
    """A row of the limits."""

    scope: str
    name: str
    explicit: bool
    concurrency: int | None
    rate: Rate | None


def said(db: apsw.Connection) -> list[Said]:
    """All limits, an operator's word over the code's."""
    found = []
    for scope, name, explicit, concurrency, rate, burst, declared, used, used_at in rows(db, "limits"):
        counts = rate if explicit else declared
        pace = Rate(counts, burst or default_burst(counts), used, used_at) if counts is not None else None
        found.append(Said(scope, name, bool(explicit), concurrency, pace))
    return found


def ready_queues(db: apsw.Connection, queues: Sequence[str]) -> list[Row]:
    """Those of ``queues`` (of all, when empty) with something ready; how much of it nothing holds back; any limits?"""
    if not queues:
        return rows(db, "claimable")
    found = [first(db, "claimable_in", {"queue": text_key(queue)}) for queue in dict.fromkeys(queues)]
    return [row for row in found if row is not None]


class Gates:
    """The limits as one transaction sees them."""

    def __init__(self, db: apsw.Connection, now: float) -> None:
        """``now`` is monotonic."""
        self._db = db
        self._now = now
        self._limits: dict[Which, Said] = {}
        self._rates: dict[Which, Rate] = {}
        self._used: set[Which] = set()
        self._tasks: list[str] | None = None
        self._running: dict[str, int] = {}
        self._stretch = STRETCH
        self._plain = True
        """No limit has to be looked at."""

    # --- looking -------------------------------------------------------------------------------------

    def open_queues(self, queues: Sequence[str]) -> Iterator[str]:
        """Those of ``queues`` (of all, when empty) from which something may start now."""
        for queue, free in self._ready(queues):
            if self._opens_in(queue, free) == 0:
                yield queue

    def opens_in(self, queues: Sequence[str]) -> float | None:
        """Seconds until something of ``queues`` may start; None where no rate is what it waits for."""
        waits = [self._opens_in(queue, free) for queue, free in self._ready(queues)]
        return min((wait for wait in waits if wait is not None), default=None)

    def _ready(self, queues: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Queues with something ready, and how much of it nothing holds back."""
        for queue, free, limited in ready_queues(self._db, queues):
            if limited and self._plain:
                self._plain = False
                self._limits = {(each.scope, each.name): each for each in said(self._db)}
                self._rates = {which: each.rate for which, each in self._limits.items() if each.rate is not None}
            yield queue, free

    def _opens_in(self, queue: str, free: int) -> float | None:
        if self._plain:
            return 0.0
        if self._limits and self._slots(queue) <= 0:
            return None
        wait = self._rate_opens_in(("queue", queue))
        if free > 0:
            return wait
        held = (task for task in self._held_tasks() if first(self._db, "held_task_in", (task, queue)))
        return min((max(wait, self._rate_opens_in(("task", task))) for task in held), default=None)

    def _slots(self, queue: str) -> int:
        """How many more of the queue may run."""
        limit = self._limits.get(("queue", queue))
        if limit is None or limit.concurrency is None:
            return STRETCH
        running = self._db.execute(SQL["running_in"], (queue,)).get
        return limit.concurrency - (running if isinstance(running, int) else 0)

    def _rate_opens_in(self, which: Which) -> float:
        rate = self._rates.get(which)
        return rate.opens_in(self._now) if rate is not None else 0.0

    def _held_tasks(self) -> list[str]:
        """Every task with jobs that wait for its rate, also where it has none any more."""
        if self._tasks is None:
            self._tasks = []
            task = ""
            while (found := first(self._db, "held_task", (task,))) is not None:
                task = found[0]
                self._tasks.append(task)
        return self._tasks

    # --- taking --------------------------------------------------------------------------------------

    def take(self, queue: str, count: int, start: Start, ledger: Ledger) -> list[Row]:
        """Start up to ``count`` jobs of the queue that no limit keeps from that."""
        if self._plain:
            some = rows(self._db, "claim", {"token": start.token, "queue": queue, "count": count})
            self._start(some, start)
            return some
        count = self._room(queue, count)
        taken: list[Row] = []
        while len(taken) < count and self._stretch > 0:
            passing: list[Row] = []
            blocked: list[tuple[Row, str]] = []
            for row in self._next(queue, count - len(taken), start.token):
                why = self._blocks(row)
                if why is None:
                    passing.append(row)
                else:
                    blocked.append((row, why))
            self._pass(passing, start, ledger)
            self._hold(blocked, ledger)
            taken += [row[:11] for row in passing]
            self._stretch -= len(blocked)
            if not blocked:
                break
        self._spend(("queue", queue), len(taken))
        return taken

    def write(self) -> None:
        """Store how far the rates are used up."""
        if not self._used:
            return
        used = [(self._rates[which].used, self._rates[which].used_at, *which) for which in self._used]
        self._db.executemany(SQL["use_up"], used)

    def _room(self, queue: str, count: int) -> int:
        rate = self._rates.get(("queue", queue))
        return min(count, self._slots(queue), rate.allows(self._now) if rate is not None else count)

    def _next(self, queue: str, count: int, token: int) -> list[Row]:
        """The first ``count`` in the claim's order, of what is free and what its task's rate may let through."""
        found = rows(self._db, "claim_limited", {"token": token, "queue": queue, "count": count})
        free = len(found)
        for task in self._held_tasks():
            rate = self._rates.get(("task", task))
            most = min(count, rate.allows(self._now)) if rate is not None else count
            if most > 0:
                found += rows(self._db, "claim_held", {"token": token, "task": task, "queue": queue, "count": most})
        if len(found) > free:
            found.sort(key=lambda row: (-row[11], row[10], row[9]))
        return found[:count]

    def _blocks(self, row: Row) -> Literal["key", "task"] | None:
        """The limit that keeps a job from starting; None once it is counted among those that do."""
        task, key, key_limit = row[1], row[12], row[13]
        if key is not None and self._key_running(key) >= key_limit:
            return "key"
        rate = self._rates.get(("task", task))
        if rate is not None and rate.allows(self._now) < 1:
            return "task"
        self._spend(("task", task), 1)
        if key is not None:
            self._running[key] += 1
        return None

    def _key_running(self, key: str) -> int:
        if key not in self._running:
            self._running[key] = running(self._db, key)
        return self._running[key]

    def _spend(self, which: Which, count: int) -> None:
        rate = self._rates.get(which)
        if rate is not None and count:
            self._rates[which] = rate.after(count, self._now)
            self._used.add(which)

    def _start(self, some: list[Row], start: Start) -> None:
        token, worker, at = start
        self._db.executemany(SQL["start"], [(token, worker, at, row[9]) for row in some])

    def _pass(self, some: list[Row], start: Start, ledger: Ledger) -> None:
        waited = [row for row in some if row[14] is not None]
        self._db.executemany(SQL["hold"], [(None, row[9]) for row in waited])
        for row in waited:
            ledger.move(row[2], HELD, None)
        self._start(some, start)

    def _hold(self, blocked: list[tuple[Row, str]], ledger: Ledger) -> None:
        self._db.executemany(SQL["hold"], [(why, row[9]) for row, why in blocked if row[14] != why])
        for row, why in blocked:
            if row[14] is None:
                ledger.move(row[2], None, HELD)
                if why == "task":
                    # It makes way for the next of its key.
                    ledger.free(row[12])


# --- keys --------------------------------------------------------------------------------------------


def running(db: apsw.Connection, key: str) -> int:
    """How many jobs with this key run."""
    found = db.execute(SQL["key_running"], (key,)).get
    assert isinstance(found, int)
    return found


def free_keys(db: apsw.Connection, ledger: Ledger, settlements: Sequence[Settlement]) -> None:
    """The runs end: their keys' slots fall free."""
    if not ledger.slots_in_use(db)[0]:
        return
    for each in settlements:
        ledger.free(db.execute(SQL["key_of"], (each.lease.key,)).get)


class Admission:
    """Whether new jobs are held from the start, so that no claim has to pass over a million of them."""

    def __init__(self, db: apsw.Connection, ledger: Ledger) -> None:
        self._db = db
        self._ledger = ledger
        self._full: set[tuple[str, str, int, int]] = set()

    def held(self, job: Job) -> str | None:
        """``key`` where as many as may run do, or stand before it; the ledger counts it."""
        assert job.key is not None
        which = (job.key, job.queue, job.priority, job.key_limit)
        if which not in self._full:
            slots = job.key_limit - running(self._db, job.key)
            if slots > 0:
                asked = {"key": job.key, "queue": job.queue, "priority": job.priority, "count": slots}
                if self._db.execute(SQL["key_ahead"], asked).get != slots:
                    return None
            self._full.add(which)
            # Where the clock was set back, the new job may come before those.
            self._ledger.free(job.key)
        self._ledger.move(job.queue, None, HELD)
        return "key"


_ORDER = itemgetter(0, 1, 2)


def reopen(db: apsw.Connection, ledger: Ledger, key: str) -> bool:
    """Let as many of the key's jobs go as slots are free, the first of each queue; whether any were held until now."""
    opened = False
    taken = None
    queue = ""
    while (found := first(db, "key_queue", {"key": key, "after": queue})) is not None:
        queue = found[0]
        taken = running(db, key) if taken is None else taken
        opened |= _reopen_in(db, ledger, key, queue, taken)
    return opened


def _reopen_in(db: apsw.Connection, ledger: Ledger, key: str, queue: str, taken: int) -> bool:
    opened = False
    free: list[tuple[int, float, int]] = []
    known = 0
    which = {"key": key, "queue": queue}
    while (head := first(db, "key_first", which)) is not None:
        priority, ready_at, seq, key_limit = head
        slots = key_limit - taken
        if slots <= 0:
            break
        if slots > known:
            free = [_ORDER(row) for row in rows(db, "key_free", {**which, "count": slots})]
            known = slots
        mine = (-priority, ready_at, seq)
        if bisect_left(free, mine) >= slots:
            break
        db.execute(SQL["hold"], (None, seq))
        ledger.move(queue, HELD, None)
        insort(free, mine)
        opened = True
    return opened
