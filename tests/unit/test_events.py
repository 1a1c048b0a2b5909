"""What happened, derived by looking: complete where little happens, and honest where much does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.broker import WorkerInfo
from qtool.engine.brokers.memory import open_memory
from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.clock import ManualClock
from qtool.engine.events import DONE, FIRST, NEWEST, Events, Kind, News
from qtool.engine.job import UNSAID, Done, Fail, Failure, Job, Lease, Outcome, Policy
from qtool.engine.policy import decide
from qtool.engine.watch import Watch
from qtool.errors import BrokerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter

NOW = 1_767_225_600.0
FAILURE = Failure(type="ValueError", message="no")


class Hall:
    """A broker in which things happen."""

    def __init__(self, adapter: Adapter, clock: ManualClock) -> None:
        self.adapter, self.clock = adapter, clock
        self.watch, self.events = Watch(), Events()
        self._number = 0

    def put(self, count: int = 1, **said: object) -> list[str]:
        """Enqueue so many."""
        ids = [f"j{self._number + n:07}" for n in range(count)]
        self._number += count
        now = self.clock.now()
        jobs = [Job(id=id, task="t", queue="q", **({"created_at": now} | said)) for id in ids]  # type: ignore[arg-type]  # what a job may say
        self.adapter.broker.enqueue(jobs)
        return ids

    def start(self, count: int = 1) -> list[Lease]:
        """Claim so many."""
        return self.adapter.broker.claim("w", [], count)

    def end(self, leases: list[Lease], outcome: Outcome, policy: Policy = UNSAID) -> None:
        """They end so, half a second later."""
        began = self.clock.now()
        self.clock.advance(0.5)
        now = self.clock.now()
        self.adapter.broker.settle(
            [decide(each, outcome, policy, now=now, started_at=began, random=lambda: 0.5) for each in leases]
        )

    def worker(self, **said: object) -> None:
        """A sign of life."""
        plain: dict[str, object] = {"id": "w", "host": "h", "pid": 1, "queues": (), "pool": "thread", "slots": 4}
        plain |= {"busy": 1, "started_at": NOW, "seen_at": self.clock.now()}
        self.adapter.broker.extend(WorkerInfo(**(plain | said)), [])  # type: ignore[arg-type]  # as above

    def news(self) -> News:
        """Look, a second after the last look."""
        self.clock.advance(1.0)
        return self.events.look(self.adapter.inspector, self.watch.look(self.adapter))

    def kinds(self) -> list[str]:
        """What is new, without what it is about."""
        return [str(event.kind) for event in self.news().occurrences]


@pytest.fixture(params=["memory", "sqlite"])
def hall(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hall]:
    clock = ManualClock(NOW)
    adapter = (
        open_memory(clock=clock) if request.param == "memory" else open_sqlite(f"sqlite://{tmp_path}/e.db", clock=clock)
    )
    with adapter:
        made = Hall(adapter, clock)
        made.worker()
        yield made


def test_the_life_of_a_job_is_told_once(hall: Hall) -> None:
    assert hall.kinds() == []
    hall.put()
    assert hall.kinds() == ["enqueued"]
    leases = hall.start()
    assert hall.kinds() == ["started"]
    hall.end(leases, Done())
    assert hall.kinds() == ["succeeded"]
    assert hall.kinds() == []


def test_what_is_over_before_anybody_looks_is_told_in_order(hall: Hall) -> None:
    hall.news()
    hall.put()
    hall.clock.advance(0.1)
    hall.end(hall.start(), Fail(FAILURE, final=True))
    news = hall.news().occurrences
    assert [event.kind for event in news] == [Kind.ENQUEUED, Kind.STARTED, Kind.DEAD]
    assert [event.at for event in news] == [NOW + 1, NOW + 1.1, NOW + 1.6]
    dead = news[-1].job
    assert dead is not None
    assert str(dead.error) == "ValueError: no"


def test_retries_cancelling_and_expiry_are_told(hall: Hall) -> None:
    hall.news()
    hall.put()
    hall.end(hall.start(), Fail(FAILURE), Policy(retries=2))
    assert hall.kinds() == ["enqueued", "started", "retry"]
    ids = hall.put()
    hall.put(expires_at=hall.clock.now() + 0.2)
    hall.adapter.operator.cancel(ids)
    hall.clock.advance(0.5)
    hall.adapter.broker.maintain()
    assert sorted(hall.kinds()) == ["cancelled", "enqueued", "enqueued", "expired"]


def test_a_job_among_many_older_ones_is_followed_to_its_end(hall: Hall) -> None:
    (old,) = hall.put()
    leases = hall.start()
    hall.put(500)
    hall.news()
    hall.end(leases, Done())
    (event,) = hall.news().occurrences
    assert event.job is not None
    assert (event.kind, event.job.id) == (Kind.SUCCEEDED, old)


def test_workers_and_queues_are_told(hall: Hall) -> None:
    hall.put()
    hall.news()
    hall.worker(id="x", pid=2)
    hall.adapter.operator.pause("q")
    assert sorted(hall.kinds()) == ["paused", "worker came"]
    hall.worker(id="x", pid=2, stopping=True)
    hall.adapter.operator.resume("q")
    assert sorted(hall.kinds()) == ["resumed", "worker stopping"]
    hall.adapter.broker.leave("x")
    assert hall.kinds() == ["worker gone"]


def test_what_had_happened_before_is_told_as_far_as_it_is_seen(hall: Hall) -> None:
    hall.put(200)
    hall.end(hall.start(5), Done())
    assert len(hall.news().occurrences) <= FIRST


def test_a_flood_is_sampled_and_says_so(hall: Hall) -> None:
    hall.news()
    for _ in range(9):
        hall.put(300)
        hall.end(hall.start(300), Done())
        news = hall.news()
        assert len(news.occurrences) <= 3 * (2 * NEWEST + DONE)
    assert news.sampled
    assert 0 < news.seen < news.real
    for _ in range(70):
        news = hall.news()
    assert not news.sampled


def test_a_trickle_is_complete(hall: Hall) -> None:
    hall.news()
    for _ in range(9):
        hall.put(3)
        hall.end(hall.start(3), Done())
        news = hall.news()
    assert news.real > 0
    assert not news.sampled


def test_time_without_a_look_is_told(hall: Hall) -> None:
    hall.news()
    hall.clock.advance(60)
    (event,) = hall.news().occurrences
    assert (event.kind, event.seconds) == (Kind.MISSED, 61.0)


def test_a_look_that_fails_leaves_everything_to_the_next(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.news()
    hall.put()
    hall.worker(id="x")

    def broken(*_: object, **__: object) -> None:
        raise BrokerUnreachable(url="q", why="down")

    with monkeypatch.context() as patched:
        patched.setattr(type(hall.adapter.inspector), "get", broken)
        with pytest.raises(BrokerUnreachable):
            hall.news()
    assert sorted(hall.kinds()) == ["enqueued", "worker came"]


def test_where_nothing_moves_nothing_is_asked(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.put()
    # Whoever watches asks what busy workers run.
    hall.worker(busy=0)
    hall.news()
    for _ in range(70):
        hall.news()

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(hall.adapter.inspector), "browse", never)
    assert hall.kinds() == []


def test_long_arguments_are_left_out(hall: Hall) -> None:
    hall.news()
    hall.put(args=("x" * 100_000,))
    (event,) = hall.news().occurrences
    assert event.job is not None
    assert event.job.args == ("…",)


@pytest.mark.parametrize("outcome", [Done("1"), Fail(FAILURE, final=True)])
def test_an_operators_retry_is_told_as_what_it_was(hall: Hall, outcome: Outcome) -> None:
    (id,) = hall.put()
    hall.end(hall.start(), outcome)
    assert hall.kinds()[-1] in ("succeeded", "dead")
    hall.adapter.operator.retry([id])
    at = hall.clock.now()
    (event,) = hall.news().occurrences
    assert (str(event.kind), event.at) == ("run again", at)
    assert event.job is not None
    assert event.job.state == "ready"
    assert hall.kinds() == []
    leases = hall.start()
    assert hall.kinds() == ["started"]
    hall.end(leases, Done("1"))
    assert hall.kinds() == ["succeeded"]


def test_an_operators_retry_is_told_of_what_never_started_too(hall: Hall) -> None:
    (id,) = hall.put()
    hall.adapter.operator.cancel([id])
    assert hall.kinds() == ["enqueued", "cancelled"]
    hall.adapter.operator.retry([id])
    assert hall.kinds() == ["run again"]


def test_an_operators_retry_of_what_was_not_seen_to_end_is_told_once_it_starts(hall: Hall) -> None:
    (id,) = hall.put()
    hall.end(hall.start(), Fail(FAILURE, final=True))
    hall.adapter.operator.retry([id])
    hall.start()
    assert "run again" in hall.kinds()
    assert hall.kinds() == []


def test_a_retry_after_a_failure_is_nobodys(hall: Hall) -> None:
    policy = Policy(retries=3, backoff=1.0, jitter=False)
    hall.put(policy=policy)
    hall.end(hall.start(), Fail(FAILURE), policy)
    seen = hall.kinds()
    for _ in range(3):
        hall.clock.advance(2.0)
        hall.adapter.broker.maintain()
        hall.start()
        seen += hall.kinds()
    assert "started" in seen
    assert "run again" not in seen
