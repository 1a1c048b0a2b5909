"""Random operations against a small model of the states: after each step the adapter and the model agree."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from qtool.engine.broker import LEASE_SECONDS, Adapter
from qtool.engine.job import Lease, Report
from qtool.engine.limits import Rate, Scope, default_burst
from qtool.engine.policy import MAX_CRASHES, Retention
from qtool.engine.states import FINAL, PENDING, Event, State, allowed
from tests.conformance.drive import Drive, chunk

if TYPE_CHECKING:
    from tests.conformance.conftest import Fresh

E, S = Event, State
FOR_EVER = Retention(succeeded=None, dead=None, cancelled=None, expired=None)
QUEUES = ("a", "b")
Which = tuple[Scope, str]
WORKERS = ("w1", "w2")

which = st.integers(0, 1_000)
"""Picks one of whatever there is."""

SETTLED: list[tuple[Event, State, float | None]] = [
    (E.SUCCESS, S.SUCCEEDED, None),
    (E.ERROR, S.RETRY, 1.0),
    (E.ERROR, S.RETRY, 10.0),
    (E.ERROR, S.DEAD, None),
    (E.SNOOZE, S.SCHEDULED, 5.0),
    (E.SNOOZE, S.READY, None),
    (E.LEASE_LOST, S.RETRY, 0.0),
    (E.LEASE_LOST, S.DEAD, None),
    (E.CANCEL, S.CANCELLED, None),
]
"""Event, state, and in how many seconds it is due."""


KEYS = {"k": 1, "l": 2}
"""How many jobs of each key may run at once."""

LIMITED: list[Which] = [("queue", "a"), ("queue", "b"), ("task", "slow")]


@dataclass
class Allowed:
    """What the model says of one limit."""

    concurrency: int | None = None
    rate: Rate | None = None
    used: tuple[float, float] = (0.0, 0.0)
    """What an earlier rate had used up, and when."""


@dataclass
class Expected:
    """What the model says of one job."""

    id: str
    order: int
    queue: str
    priority: int
    unique: str | None
    key: str | None
    task: str
    state: State
    ready_at: float | None
    due_at: float | None
    expires_at: float | None
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    recorded: int = 0
    """Attempts kept."""
    ends: int = 0
    """Outcomes since it was last made ready by an operator."""
    worker: str | None = None
    token: int | None = None
    stop: bool = False
    wrote: list[str] = field(default_factory=list)

    def go(self, event: Event, state: State, *, due_at: float | None = None, ready_at: float | None = None) -> None:
        assert state in allowed(self.state, event), (self, event, state)
        self.state, self.due_at, self.token = state, due_at, None
        if ready_at is not None:
            self.ready_at = ready_at
        if state in FINAL:
            self.ends += 1
            self.stop = False

    def end(self, event: Event, state: State, *, due_at: float | None, now: float, crash: bool) -> None:
        """A run ended."""
        if self.stop and state not in FINAL:
            event_then, state, due_at = E.CANCEL, S.CANCELLED, None
        else:
            event_then = event
        self.attempt -= event is E.SNOOZE
        self.failures += event is E.ERROR
        self.crashes += crash
        self.recorded += event in (E.ERROR, E.LEASE_LOST)
        self.go(event_then, state, due_at=due_at, ready_at=now if state is S.READY else None)

    def age(self, now: float) -> None:
        """What time does to it."""
        if self.state in (S.SCHEDULED, S.RETRY) and self.due_at is not None and self.due_at <= now:
            self.go(E.DUE, S.READY, ready_at=self.due_at)
        if self.state in PENDING and self.expires_at is not None and self.expires_at <= now:
            self.go(E.DEADLINE, S.EXPIRED)


class Machine(RuleBasedStateMachine):
    """Every rule does one thing to the adapter and to the model, and ends with upkeep, so that time has no backlog."""

    fresh: Fresh

    def __init__(self) -> None:
        super().__init__()
        make, self.clock = self.fresh()
        self.handles = [Drive(make(FOR_EVER), self.clock), Drive(make(FOR_EVER), self.clock)]
        self.model: dict[str, Expected] = {}
        self.leases: list[Lease] = []
        """All that were ever given."""
        self.paused: set[str] = set()
        self.limits: dict[Which, Allowed] = {}
        self.starts: dict[Which, list[float]] = {}
        """When jobs started since the limit was set."""
        self.beats: dict[str, float] = {}
        """By worker, its last sign of life."""
        self.made = 0

    # --- helpers -------------------------------------------------------------------------------------

    @property
    def adapter(self) -> Adapter:
        return self.handles[0].adapter

    def handle(self, number: int) -> Drive:
        return self.handles[number % 2]

    def upkeep(self) -> None:
        """Rescue, and then what that made due; always through one handle, which thus sees every heartbeat."""
        self.adapter.broker.maintain()
        now = self.clock.now()
        for worker, beat in list(self.beats.items()):
            if now - beat >= LEASE_SECONDS:
                del self.beats[worker]
                for job in self.running(worker):
                    spent = job.crashes + 1 >= MAX_CRASHES
                    state, due_at = (S.DEAD, None) if spent else (S.RETRY, now)
                    job.end(E.LEASE_LOST, state, due_at=due_at, now=now, crash=True)
        self.adapter.broker.maintain()
        for job in self.model.values():
            job.age(now)

    def running(self, worker: str) -> list[Expected]:
        return [job for job in self.model.values() if job.state is S.RUNNING and job.worker == worker]

    def live(self) -> list[Lease]:
        return [lease for lease in self.leases if self.is_live(lease)]

    def is_live(self, lease: Lease) -> bool:
        job = self.model.get(lease.id)
        return job is not None and job.token == lease.token

    def holder(self, unique: str | None) -> Expected | None:
        if unique is None:
            return None
        return next((job for job in self.model.values() if job.unique == unique and job.state not in FINAL), None)

    def pick(self, number: int) -> str:
        ids = [*self.model, "no-such"]
        return ids[number % len(ids)]

    # --- limits --------------------------------------------------------------------------------------

    def running_of(self, key: str) -> int:
        return sum(job.state is S.RUNNING and job.key == key for job in self.model.values())

    def running_in(self, queue: str) -> int:
        return sum(job.state is S.RUNNING and job.queue == queue for job in self.model.values())

    def closed(self, which: Which) -> bool:
        limit = self.limits.get(which)
        if limit is None:
            return False
        full = limit.concurrency is not None and self.running_in(which[1]) >= limit.concurrency
        return full or (limit.rate is not None and limit.rate.allows(self.clock.monotonic()) < 1)

    def blocked(self, job: Expected) -> bool:
        """Whether a limit keeps a ready job from starting."""
        full = job.key is not None and self.running_of(job.key) >= KEYS[job.key]
        return full or self.closed(("queue", job.queue)) or self.closed(("task", job.task))

    def spend(self, job: Expected) -> None:
        now = self.clock.monotonic()
        whose: tuple[Which, Which] = (("queue", job.queue), ("task", job.task))
        for which in whose:
            limit = self.limits.get(which)
            if limit is not None and limit.rate is not None:
                assert limit.rate.allows(now) >= 1, which
                limit.rate = limit.rate.after(1, now)
                self.starts[which].append(now)

    # --- producers -----------------------------------------------------------------------------------

    @rule(
        handle=which,
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from([0, 0, 5]),
        delay=st.sampled_from([None, None, None, 0.0, 5.0, 50.0]),
        ttl=st.sampled_from([None, None, None, None, None, 3.0, 30.0]),
        unique=st.lists(st.sampled_from([None, None, "x", "y"]), min_size=1, max_size=3),
        key=st.sampled_from([None, None, *KEYS]),
        task=st.sampled_from(["t", "t", "slow"]),
    )
    def enqueue(
        self,
        handle: int,
        queue: str,
        priority: int,
        delay: float | None,
        ttl: float | None,
        unique: list[str | None],
        key: str | None,
        task: str,
    ) -> None:
        now = self.clock.now()
        ids, existing, batch = [], set(), []
        for held_by in unique:
            self.made += 1
            id = f"j{self.made}"
            said: dict[str, Any] = {"id": id, "queue": queue, "priority": priority, "unique": held_by, "task": task}
            said |= {"key": key, "key_limit": KEYS.get(key or "", 1)}
            said["run_at"] = None if delay is None else now + delay
            said["expires_at"] = None if ttl is None else now + ttl
            batch.append(self.handles[0].job(**said))
            holder = self.holder(held_by)
            if holder is None:
                later = delay is not None and delay > 0
                self.model[id] = Expected(
                    id=id,
                    order=self.made,
                    queue=queue,
                    priority=priority,
                    unique=held_by,
                    key=key,
                    task=task,
                    state=S.SCHEDULED if later else S.READY,
                    ready_at=None if later else now,
                    due_at=now + (delay or 0.0) if later else None,
                    expires_at=said["expires_at"],
                )
            else:
                existing.add(holder.id)
            ids.append(holder.id if holder is not None else id)
        receipt = self.handle(handle).adapter.broker.enqueue(batch)
        assert (list(receipt.ids), set(receipt.existing)) == (ids, existing)

    @precondition(lambda self: self.model)
    @rule(handle=which, number=which)
    def enqueue_an_id_again(self, handle: int, number: int) -> None:
        ids = list(self.model)
        id = ids[number % len(ids)]
        receipt = self.handle(handle).adapter.broker.enqueue([self.handles[0].job(id=id, queue="a")])
        assert (receipt.ids, set(receipt.existing)) == ((id,), {id})

    # --- workers -------------------------------------------------------------------------------------

    @rule(
        handle=which,
        worker=st.sampled_from(WORKERS),
        queues=st.sampled_from([(), (), ("a",), ("b",), ("a", "b")]),
        count=st.integers(1, 4),
    )
    def claim(self, handle: int, worker: str, queues: tuple[str, ...], count: int) -> None:
        # Where a limit made one job make way for another, the worker is told to look again.
        for _ in range(len(self.model) + 1):
            taken = self.claim_once(handle, worker, queues, count)
            count -= taken
            left = [job for job in self.served(queues) if not self.blocked(job)]
            if not left or not count:
                break
            opens_at = self.adapter.broker.opens_at(queues)
            assert opens_at is not None
            assert opens_at <= self.clock.now()
        assert not left or not count, left

    def served(self, queues: tuple[str, ...]) -> list[Expected]:
        names = [queue for queue in (queues or QUEUES) if queue not in self.paused]
        return [job for job in self.model.values() if job.state is S.READY and job.queue in names]

    def claim_once(self, handle: int, worker: str, queues: tuple[str, ...], count: int) -> int:
        drive = self.handle(handle)
        ready = self.served(queues)
        leases = drive.claim(count, queues, worker)
        assert len(leases) <= count
        now = self.clock.now()
        for lease in leases:
            job = self.model[lease.id]
            assert job in ready
            assert not self.blocked(job), job
            assert (lease.attempt, lease.failures, lease.crashes) == (job.attempt + 1, job.failures, job.crashes)
            assert lease.ready_at == job.ready_at
            self.spend(job)
            job.go(E.CLAIM, S.RUNNING)
            job.attempt += 1
            job.worker, job.token = worker, lease.token
            job.wrote = []
        self.in_order(ready)
        assert not {lease.token for lease in leases if any(same_claim(lease, old) for old in self.leases)}
        self.leases += leases
        if leases:
            # A supervisor gives a sign of life with what it claims.
            self.beats[worker] = now
            drive.beat(*leases, worker=worker)
        return len(leases)

    def in_order(self, ready: list[Expected]) -> None:
        """Nothing that could have started was passed over; nothing at all of the same key and task."""
        for passed in [job for job in ready if job.state is S.READY]:
            later = [job for job in ready if job.state is S.RUNNING and claim_order(passed) < claim_order(job)]
            for taken in [job for job in later if job.queue == passed.queue]:
                alike = (taken.key, taken.task) == (passed.key, passed.task)
                assert not alike, (passed, taken)
                assert passed.key is not None or self.blocked(passed), (passed, taken)

    @precondition(lambda self: self.live())
    @rule(handle=which, settled=st.lists(st.tuples(which, st.sampled_from(SETTLED)), min_size=1, max_size=4))
    def settle(self, handle: int, settled: list[tuple[int, tuple[Event, State, float | None]]]) -> None:
        """A batch, in which a lease may come twice: only the first counts."""
        drive, now, live = self.handle(handle), self.clock.now(), self.live()
        batch, expected = [], []
        for number, (event, state, due_in) in settled:
            lease = live[number % len(live)]
            said = {} if due_in is None else {"due_at": now + due_in}
            batch.append(drive.settlement(lease, event, state, result='"r"' if state is S.SUCCEEDED else None, **said))
            alive = self.is_live(lease)
            if alive:
                self.model[lease.id].end(event, state, due_at=said.get("due_at"), now=now, crash=event is E.LEASE_LOST)
            expected.append(self.model[lease.id].state if alive else None)
        assert drive.adapter.broker.settle(batch) == expected
        self.upkeep()

    @rule(
        handle=which,
        worker=st.sampled_from(WORKERS),
        settled=st.lists(st.sampled_from(SETTLED), min_size=1, max_size=4),
    )
    def work(self, handle: int, worker: str, settled: list[tuple[Event, State, float | None]]) -> None:
        """Claim and settle in one step: chance alone seldom brings a job to its end."""
        before = len(self.leases)
        self.claim(handle, worker, (), len(settled))
        taken = [self.live().index(lease) for lease in self.leases[before:]]
        if taken:
            self.settle(handle, list(zip(taken, settled[: len(taken)], strict=True)))

    @precondition(lambda self: self.leases)
    @rule(handle=which, number=which, settled=st.sampled_from(SETTLED))
    def settle_late(self, handle: int, number: int, settled: tuple[Event, State, float | None]) -> None:
        stale = [lease for lease in self.leases if not self.is_live(lease)]
        if stale:
            event, state, _ = settled
            assert not self.handle(handle).settle(stale[number % len(stale)], event, state)

    @precondition(lambda self: self.leases)
    @rule(handle=which, number=which)
    def report(self, handle: int, number: int) -> None:
        """Output of any lease that ever was; only a live one's is kept."""
        lease = self.leases[number % len(self.leases)]
        job = self.model.get(lease.id)
        offset = sum(map(len, job.wrote)) if job is not None and self.is_live(lease) else 0
        text = f"{lease.token}."
        self.handle(handle).adapter.broker.report([Report(lease, 0.5, "half", (chunk(text, offset),))])
        if job is not None and self.is_live(lease):
            job.wrote.append(text)
            output = self.adapter.results.output(job.id)
            assert b"".join(each.data for each in output).decode() == "".join(job.wrote)

    @rule(handle=which, worker=st.sampled_from(WORKERS))
    def beat(self, handle: int, worker: str) -> None:
        drive = self.handle(handle)
        mine = [lease for lease in self.leases if lease.id in self.model and self.by(lease, worker)]
        renewal = drive.adapter.broker.extend(drive.worker(worker), mine)
        self.beats[worker] = self.clock.now()
        live = {lease.id for lease in mine if self.is_live(lease)}
        stale = {lease.id for lease in mine if not self.is_live(lease)}
        assert renewal.lost == stale
        assert renewal.cancelled == {id for id in live if self.model[id].stop}

    def by(self, lease: Lease, worker: str) -> bool:
        return self.model[lease.id].worker == worker

    @rule(handle=which, worker=st.sampled_from(WORKERS))
    def leave(self, handle: int, worker: str) -> None:
        self.handle(handle).adapter.broker.leave(worker)
        self.beats.pop(worker, None)
        for job in self.running(worker):
            job.attempt -= 1
            job.go(E.CANCEL, S.CANCELLED) if job.stop else job.go(E.SNOOZE, S.READY)
        self.upkeep()

    # --- operators -----------------------------------------------------------------------------------

    @rule(handle=which, number=which)
    def retry(self, handle: int, number: int) -> None:
        id = self.pick(number)
        job = self.model.get(id)
        (change,) = self.handle(handle).adapter.operator.retry([id])
        may = job is not None and job.state in FINAL and self.holder(job.unique) is None
        assert change.changed is may
        if job is not None and may:
            job.go(E.OPERATOR_RETRY, S.READY, ready_at=self.clock.now())
            job.failures = job.crashes = job.ends = 0
            job.expires_at = None

    @rule(handle=which, number=which)
    def cancel(self, handle: int, number: int) -> None:
        id = self.pick(number)
        job = self.model.get(id)
        (change,) = self.handle(handle).adapter.operator.cancel([id])
        assert change.changed is (job is not None and job.state not in FINAL)
        if job is not None and job.state is S.RUNNING:
            job.stop = True
        elif job is not None and job.state in PENDING:
            job.go(E.CANCEL, S.CANCELLED)

    @rule(handle=which, number=which)
    def delete(self, handle: int, number: int) -> None:
        id = self.pick(number)
        job = self.model.get(id)
        (change,) = self.handle(handle).adapter.operator.delete([id])
        may = job is not None and job.state is not S.RUNNING
        assert change.changed is may
        if may:
            del self.model[id]

    @rule(handle=which, queue=st.sampled_from(QUEUES), on=st.sampled_from([True, False, False]))
    def pause_or_resume(self, handle: int, queue: str, on: bool) -> None:
        operator = self.handle(handle).adapter.operator
        assert (operator.pause(queue) if on else operator.resume(queue)) is (on is not (queue in self.paused))
        self.paused = self.paused | {queue} if on else self.paused - {queue}

    @rule(
        handle=which,
        limited=st.sampled_from(LIMITED),
        concurrency=st.sampled_from([None, 1, 2]),
        rate=st.sampled_from([None, None, 0.2, 3.0]),
        burst=st.sampled_from([None, 2]),
    )
    def limit(
        self, handle: int, limited: Which, concurrency: int | None, rate: float | None, burst: int | None
    ) -> None:
        concurrency = concurrency if limited[0] == "queue" else None
        burst = burst if rate is not None else None
        self.handle(handle).adapter.operator.limit(*limited, concurrency=concurrency, rate=rate, burst=burst)
        before = self.limits.setdefault(limited, Allowed())
        if before.rate is not None:
            before.used = (before.rate.used, before.rate.used_at)
        before.concurrency = concurrency
        before.rate = Rate(rate, burst or default_burst(rate), *before.used) if rate is not None else None
        self.starts[limited] = []

    @rule(handle=which, limited=st.sampled_from(LIMITED))
    def unlimit(self, handle: int, limited: Which) -> None:
        assert self.handle(handle).adapter.operator.unlimit(*limited) is (self.limits.pop(limited, None) is not None)

    # --- time ----------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 11.0, 29.0, 31.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.upkeep()
        self.clock.advance(seconds)
        self.upkeep()

    # --- what always holds ---------------------------------------------------------------------------

    @invariant()
    def the_adapter_and_the_model_agree(self) -> None:
        infos = self.handles[1].adapter.inspector.browse(limit=10_000, oldest_first=True).jobs
        found = {i.id: (i.state, i.attempt, i.failures, i.crashes, i.due_at, i.expires_at) for i in infos}
        assert found == {
            job.id: (job.state, job.attempt, job.failures, job.crashes, job.due_at, job.expires_at)
            for job in self.model.values()
        }
        assert [info.id for info in infos] == [j.id for j in sorted(self.model.values(), key=lambda job: job.order)]
        for info in infos:
            if info.state is S.READY:
                assert info.ready_at == self.model[info.id].ready_at
            assert (info.finished_at is not None) is (info.state in FINAL)
            assert (info.reason is not None) is (info.state is S.DEAD)

    @invariant()
    def counters_count(self) -> None:
        counted = Counter((job.queue, job.state) for job in self.adapter.inspector.browse(limit=10_000).jobs)
        snapshot = self.handles[1].adapter.inspector.snapshot()
        said = {(stats.name, state): n for stats in snapshot.queues for state, n in stats.counts.items() if n}
        assert said == counted
        assert {stats.name for stats in snapshot.queues if stats.paused} == self.paused

    @invariant()
    def no_two_unfinished_jobs_hold_a_key(self) -> None:
        infos = self.adapter.inspector.browse(limit=10_000).jobs
        keys = [info.unique for info in infos if info.unique is not None and info.state not in FINAL]
        assert len(keys) == len(set(keys))

    @invariant()
    def one_token_a_running_job_and_one_outcome_a_finished_one(self) -> None:
        live = Counter(lease.id for lease in self.live())
        assert live == {job.id: 1 for job in self.model.values() if job.state is S.RUNNING}
        assert all(job.ends == (job.state in FINAL) for job in self.model.values())

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        infos = self.handles[1].adapter.inspector.browse(limit=10_000).jobs
        keys = Counter(info.key for info in infos if info.state is S.RUNNING and info.key is not None)
        assert all(n <= KEYS[key] for key, n in keys.items())
        for which, limit in self.limits.items():
            times = self.starts[which]
            if limit.rate is not None:
                for first, began in enumerate(times):
                    for last, ended in enumerate(times[first:], 1):
                        assert last <= limit.rate.burst + limit.rate.per_second * (ended - began) + 0.01
        assert all(info.held is None for info in infos if info.state is not S.READY)

    def drain(self) -> None:
        """Whatever happened before: all that is ready starts, as soon as the limits let it."""
        for queue in QUEUES:
            self.pause_or_resume(0, queue, on=False)
        for _ in range(20 * len(self.model) + 20):
            for lease in self.live():
                self.settle(0, [(self.live().index(lease), (E.SUCCESS, S.SUCCEEDED, None))])
            self.claim(1, "w1", (), 3)
            if not self.live():
                opens_at = self.adapter.broker.opens_at(())
                if opens_at is None:
                    break
                self.clock.advance(max(0.0, opens_at - self.clock.now()))
                self.upkeep()
        assert not [job for job in self.model.values() if job.state in (S.READY, S.RUNNING)]

    def teardown(self) -> None:
        self.drain()
        for job in self.model.values():
            assert len(self.adapter.inspector.attempts(job.id)) == job.recorded
            result = self.adapter.results.results([job.id])[0]
            assert result is not None
            assert result.state is job.state
            assert (result.value == '"r"') is (job.state is S.SUCCEEDED)
        for lease in self.leases:
            assert self.handles[1].succeed(lease) is self.is_live(lease)
        assert self.adapter.inspector.check() == []
        for handle in self.handles:
            handle.adapter.close()


def claim_order(job: Expected) -> tuple[int, float, int]:
    assert job.ready_at is not None
    return (-job.priority, job.ready_at, job.order)


def same_claim(one: Lease, other: Lease) -> bool:
    return (one.id, one.token) == (other.id, other.token)


def run(fresh: Fresh, examples: int, steps: int) -> None:
    machine = type("Machine", (Machine,), {"fresh": staticmethod(fresh)})
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=quiet, database=None
        ),
    )


@pytest.mark.slow
def test_random_operations(fresh: Fresh) -> None:
    run(fresh, examples=40, steps=40)


@pytest.mark.soak
@pytest.mark.skipif("QTOOL_SOAK" not in os.environ, reason="takes many minutes: scripts/test --soak")
@pytest.mark.timeout(3600)
def test_random_operations_for_long(fresh: Fresh) -> None:
    run(fresh, examples=3_000, steps=80)
