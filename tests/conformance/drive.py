"""A short hand for tests: enqueue, claim and settle in a line each, and bring a job into any state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtool.engine.broker import LEASE_SECONDS, Adapter, WorkerInfo
from qtool.engine.job import Chunk, Failure, Job, JobInfo, Lease, Settlement
from qtool.engine.states import Event, Reason, State

if TYPE_CHECKING:
    from qtool.engine.clock import ManualClock

BOOM = Failure(type="ValueError", message="boom", traceback="Traceback…\n", exit_code=None, signal=None)

LATER = 1_000.0
"""Seconds until what :meth:`Drive.reach` leaves scheduled or in retry is due."""

DEADLINE = 2_000.0
"""Seconds until what :meth:`Drive.reach` makes expires."""


@dataclass
class Drive:
    """An adapter and its clock."""

    adapter: Adapter
    clock: ManualClock
    leases: dict[str, Lease] = field(default_factory=dict)
    """The last lease that each job was claimed under."""
    made: int = 0

    # --- jobs ----------------------------------------------------------------------------------------

    def job(self, **said: Any) -> Job:
        """A job; ids count up."""
        self.made += 1
        values: dict[str, Any] = {"id": f"job-{self.made:04}", "task": "t", "created_at": self.clock.now()}
        return Job(**(values | said))

    def put(self, count: int = 1, **said: Any) -> list[str]:
        """Enqueue ``count`` alike; their ids."""
        return list(self.adapter.broker.enqueue([self.job(**said) for _ in range(count)]).ids)

    def put_one(self, **said: Any) -> str:
        return self.put(**said)[0]

    def info(self, id: str) -> JobInfo:
        found = self.adapter.inspector.get([id])[0]
        assert found is not None
        return found

    def state(self, id: str) -> State:
        return self.info(id).state

    # --- runs ----------------------------------------------------------------------------------------

    def claim(self, count: int = 1, queues: tuple[str, ...] = (), worker: str = "w1") -> list[Lease]:
        leases = self.adapter.broker.claim(worker, queues, count)
        self.leases |= {lease.id: lease for lease in leases}
        return leases

    def claim_one(self, **said: Any) -> Lease:
        leases = self.claim(**said)
        assert len(leases) == 1
        return leases[0]

    def start(self, **said: Any) -> Lease:
        """Enqueue one and claim it."""
        id = self.put_one(**said)
        lease = self.claim_one()
        assert lease.id == id
        return lease

    def settlement(self, lease: Lease, event: Event, state: State, **said: Any) -> Settlement:
        """What ends a run, with the parts that the state needs filled in."""
        now = self.clock.now()
        values: dict[str, Any] = {"at": now, "started_at": now}
        if event in (Event.ERROR, Event.LEASE_LOST):
            values |= {"failure": BOOM, "crash": event is Event.LEASE_LOST}
        if state is State.DEAD:
            values["reason"] = Reason.CRASHED if event is Event.LEASE_LOST else Reason.FAILED
        if state in (State.RETRY, State.SCHEDULED):
            values["due_at"] = now + LATER
        return Settlement(lease=lease, event=event, state=state, **(values | said))

    def settle(self, lease: Lease, event: Event, state: State, **said: Any) -> bool:
        return self.adapter.broker.settle([self.settlement(lease, event, state, **said)])[0] is not None

    def succeed(self, lease: Lease, result: str | None = None, **said: Any) -> bool:
        return self.settle(lease, Event.SUCCESS, State.SUCCEEDED, result=result, **said)

    def fail(self, lease: Lease, **said: Any) -> bool:
        """Without a retry."""
        return self.settle(lease, Event.ERROR, State.DEAD, **said)

    def retry(self, lease: Lease, in_: float = LATER, **said: Any) -> bool:
        return self.settle(lease, Event.ERROR, State.RETRY, due_at=self.clock.now() + in_, **said)

    def snooze(self, lease: Lease, in_: float = 0.0, **said: Any) -> bool:
        if in_ > 0:
            return self.settle(lease, Event.SNOOZE, State.SCHEDULED, due_at=self.clock.now() + in_, **said)
        return self.settle(lease, Event.SNOOZE, State.READY, **said)

    # --- workers -------------------------------------------------------------------------------------

    def worker(self, id: str = "w1", **said: Any) -> WorkerInfo:
        now = self.clock.now()
        values: dict[str, Any] = {"id": id, "host": "here", "pid": 1, "queues": (), "pool": "thread", "slots": 4}
        return WorkerInfo(**(values | {"busy": 0, "started_at": now, "seen_at": now} | said))

    def beat(self, *leases: Lease, worker: str = "w1") -> None:
        """A heartbeat."""
        self.adapter.broker.extend(self.worker(worker), leases)

    def lose_worker(self) -> None:
        """Let every lease run out and be noticed. A rescuer has to see a heartbeat before it can see it stand still."""
        self.adapter.broker.maintain()
        self.clock.advance(LEASE_SECONDS + 1)
        self.adapter.broker.maintain()

    # --- states --------------------------------------------------------------------------------------

    def reach(self, state: State) -> str:
        """The id of a job in ``state``: what is to come is due in LATER and expires in DEADLINE seconds."""
        now = self.clock.now()
        if state is State.SCHEDULED:
            return self.put_one(run_at=now + LATER, expires_at=now + DEADLINE)
        id = self.put_one(expires_at=now + DEADLINE)
        if state is State.EXPIRED:
            self.clock.advance(DEADLINE + 1)
            self.adapter.broker.maintain()
        elif state is not State.READY:
            lease = self.claim_one()
            assert lease.id == id
            if state is State.RETRY:
                assert self.retry(lease)
            elif state is State.SUCCEEDED:
                assert self.succeed(lease, "1")
            elif state is State.DEAD:
                assert self.fail(lease)
            elif state is State.CANCELLED:
                assert self.settle(lease, Event.CANCEL, State.CANCELLED)
        assert self.state(id) is state
        return id

    def stale(self, id: str) -> Lease:
        """The last lease of the job, or a made-up one if it never had any."""
        return self.leases.get(id) or Lease(
            id=id,
            task="t",
            queue="default",
            token=12345,
            attempt=1,
            failures=0,
            crashes=0,
            body="[[],{}]",
            options=None,
            key=1,
            ready_at=self.clock.now(),
        )


def chunk(text: str, offset: int = 0, stream: str = "stdout") -> Chunk:
    return Chunk(stream, offset, text.encode())
