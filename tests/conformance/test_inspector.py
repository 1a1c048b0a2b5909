"""Looking: snapshots, listings, searches, history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.filter import parse
from qtool.engine.policy import DAY
from qtool.engine.rollup import COUNTERS
from qtool.engine.states import Event, State
from qtool.errors import AmbiguousJob, UnknownJob

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter, Bucket
    from qtool.engine.clock import ManualClock
    from tests.conformance.drive import Drive

# --- snapshot ----------------------------------------------------------------------------------------


def test_an_empty_broker(adapter: Adapter, clock: ManualClock) -> None:
    snapshot = adapter.inspector.snapshot()
    assert (snapshot.at, snapshot.queues, snapshot.workers) == (clock.now(), (), ())
    assert adapter.inspector.count() == 0
    assert adapter.inspector.browse().jobs == ()
    assert adapter.inspector.check() == []


def test_counts_of_every_state(drive: Drive, adapter: Adapter) -> None:
    here = [state for state in State if state is not State.WAITING]
    drive.reach(State.EXPIRED)
    for state in here:
        # Ready ones last: they would be claimed instead of the next.
        if state not in (State.READY, State.EXPIRED):
            drive.reach(state)
    drive.reach(State.READY)
    (stats,) = adapter.inspector.snapshot().queues
    assert stats.counts == {state: int(state in here) for state in State}
    assert adapter.inspector.count() == len(here)


def test_queues_are_apart_and_in_order(drive: Drive, adapter: Adapter) -> None:
    drive.put(2, queue="b")
    drive.put(1, queue="a")
    queues = adapter.inspector.snapshot().queues
    assert [(stats.name, stats.counts[State.READY], stats.paused) for stats in queues] == [
        ("a", 1, False),
        ("b", 2, False),
    ]


def test_since_when_the_oldest_has_been_ready(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    start = clock.now()
    drive.put(queue="other")
    drive.put_one(queue="q", run_at=start + 1000)
    clock.advance(5)
    drive.put_one(queue="q", priority=0)
    clock.advance(5)
    drive.put_one(queue="q", priority=9)
    stats = {each.name: each for each in adapter.inspector.snapshot().queues}
    assert (stats["q"].oldest_ready_at, stats["other"].oldest_ready_at) == (start + 5, start)
    drive.claim(2, ("q",))
    stats = {each.name: each for each in adapter.inspector.snapshot().queues}
    assert stats["q"].oldest_ready_at is None
    newer = drive.put_one(queue="other")
    oldest = adapter.inspector.browse(parse("queue:other"), oldest_first=True).jobs[0]
    adapter.operator.cancel([oldest.id])
    stats = {each.name: each for each in adapter.inspector.snapshot().queues}
    assert stats["other"].oldest_ready_at == drive.info(newer).ready_at == start + 10


def test_rates_are_those_of_the_last_minute(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    drive.put(60)
    clock.advance(1)
    for number, lease in enumerate(drive.claim(30)):
        drive.fail(lease) if number < 6 else drive.succeed(lease)
    clock.advance(30)
    (stats,) = adapter.inspector.snapshot().queues
    assert (stats.in_rate, stats.out_rate, stats.failed_rate) == (1.0, 0.5, 0.1)
    assert stats.drain_seconds is None
    clock.advance(60)
    (stats,) = adapter.inspector.snapshot().queues
    assert (stats.in_rate, stats.out_rate, stats.failed_rate) == (0.0, 0.0, 0.0)


def test_rates_are_those_of_the_queue(drive: Drive, adapter: Adapter) -> None:
    drive.put(60, queue="a")
    drive.put(30, queue="b")
    drive.claim(30, ("a",))
    stats = {each.name: each for each in adapter.inspector.snapshot().queues}
    assert (stats["a"].in_rate, stats["b"].in_rate) == (1.0, 0.5)
    assert stats["a"].wait is not None
    assert stats["b"].wait is None


def test_latencies_are_those_of_the_last_ten_minutes(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    drive.put()
    clock.advance(4)
    lease = drive.claim_one()
    began = clock.now()
    clock.advance(16)
    drive.succeed(lease, started_at=began)
    (stats,) = adapter.inspector.snapshot().queues
    assert stats.wait is not None
    assert stats.run is not None
    assert (stats.wait.count, stats.run.count) == (1, 1)
    assert [stats.wait.mean, stats.run.mean] == pytest.approx([4, 16])
    assert [stats.wait.p50, stats.run.p95] == pytest.approx([4, 16], rel=0.1)
    clock.advance(540)
    (stats,) = adapter.inspector.snapshot().queues
    assert stats.run is not None
    clock.advance(120)
    (stats,) = adapter.inspector.snapshot().queues
    assert (stats.wait, stats.run) == (None, None)


# --- listings ----------------------------------------------------------------------------------------


def test_newest_first_unless_asked(drive: Drive, adapter: Adapter) -> None:
    ids = drive.put(5)
    assert [job.id for job in adapter.inspector.browse().jobs] == ids[::-1]
    assert [job.id for job in adapter.inspector.browse(oldest_first=True).jobs] == ids


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("where", [None, "queue:q", "priority:0"])
@pytest.mark.parametrize(("count", "limit"), [(10, 3), (9, 3), (1, 1), (3, 100)])
def test_pages_hold_everything_once(
    drive: Drive, adapter: Adapter, count: int, limit: int, where: str | None, oldest_first: bool
) -> None:
    ids = drive.put(count, queue="q")
    filter_ = parse(where) if where else None
    found: list[str] = []
    after: int | None = None
    for _ in range(count):
        page = adapter.inspector.browse(filter_, after=after, limit=limit, oldest_first=oldest_first)
        assert len(page.jobs) <= limit
        found += [job.id for job in page.jobs]
        after = page.next
        if after is None:
            break
    assert after is None
    assert found == (ids if oldest_first else ids[::-1])


def test_pages_hold_when_jobs_come_and_go_between_them(drive: Drive, adapter: Adapter) -> None:
    ids = drive.put(6)
    page = adapter.inspector.browse(limit=2)
    adapter.operator.delete([ids[4], ids[2]])
    drive.put(3)
    rest = adapter.inspector.browse(after=page.next, limit=10)
    assert [job.id for job in page.jobs] == [ids[5], ids[4]]
    assert [job.id for job in rest.jobs] == [ids[3], ids[1], ids[0]]


@pytest.mark.parametrize("where", [None, "queue:q", "priority:0"])
def test_every_job_has_a_key_from_which_one_goes_on_in_both_directions(
    drive: Drive, adapter: Adapter, where: str | None
) -> None:
    filter_ = parse(where) if where else None
    ids = drive.put(7, queue="q")
    page = adapter.inspector.browse(filter_, limit=7)
    assert list(page.keys) == sorted(set(page.keys), reverse=True)
    key = page.keys[3]
    older = adapter.inspector.browse(filter_, after=key, limit=2)
    newer = adapter.inspector.browse(filter_, after=key, limit=2, oldest_first=True)
    assert [job.id for job in older.jobs] == [ids[2], ids[1]]
    assert [job.id for job in newer.jobs] == [ids[4], ids[5]]
    again = adapter.inspector.browse(filter_, after=key + 1, limit=1)
    assert ([job.id for job in again.jobs], again.keys) == ([ids[3]], (key,))
    # A job keeps its key, whatever becomes of it and of others.
    adapter.operator.cancel([ids[3]])
    adapter.operator.retry([ids[3]])
    adapter.operator.delete([ids[6]])
    drive.put(2, queue="q")
    assert adapter.inspector.browse(filter_, limit=8).keys[2:] == page.keys[1:]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("state:dead", {"bad"}),
        ("state:ready,dead", {"bad", "mail", "new", "tagged"}),
        ("queue:post", {"mail"}),
        ("queue:post state:dead", set()),
        ("queue:nowhere", set()),
        ("task:send_*", {"mail"}),
        ("error~boom", {"bad"}),
        ('args~"@example.com"', {"mail"}),
        ("tag.team=billing", {"tagged"}),
        ("state:dead or queue:post", {"bad", "mail"}),
        ("not state:ready", {"bad"}),
        ("attempt>0", {"bad"}),
        ("age<30s", {"new"}),
    ],
)
def test_filters(drive: Drive, adapter: Adapter, clock: ManualClock, where: str, expected: set[str]) -> None:
    drive.fail(drive.start(id="bad"))
    drive.put(id="mail", queue="post", task="send_mail", args=("a@example.com",))
    drive.put(id="tagged", tags={"team": "billing"})
    clock.advance(60)
    drive.put(id="new")
    found = adapter.inspector.browse(parse(where))
    assert {job.id for job in found.jobs} == expected
    assert adapter.inspector.count(parse(where)) == len(expected)


@pytest.mark.parametrize("oldest_first", [False, True])
def test_jobs_in_several_states_are_one_listing(drive: Drive, adapter: Adapter, oldest_first: bool) -> None:
    some = (State.DEAD, State.RETRY, State.CANCELLED, State.SCHEDULED)
    ids = [drive.reach(state) for state in some * 3]
    found: list[str] = []
    after: int | None = None
    while True:
        page = adapter.inspector.browse(
            parse("state:dead,retry,cancelled"), after=after, limit=2, oldest_first=oldest_first
        )
        found += [job.id for job in page.jobs]
        after = page.next
        if after is None:
            break
    expected = [id for id in ids if drive.state(id) is not State.SCHEDULED]
    assert found == (expected if oldest_first else expected[::-1])


def test_get_keeps_the_order_and_says_what_is_unknown(drive: Drive, adapter: Adapter) -> None:
    first, second = drive.put(2)
    infos = adapter.inspector.get([second, "no-such", first, second])
    assert [info.id if info else None for info in infos] == [second, None, first, second]
    assert adapter.inspector.get([]) == []


def test_a_prefix_finds_the_one_job_it_begins(drive: Drive, adapter: Adapter) -> None:
    adapter.broker.enqueue([drive.job(id=id) for id in ("abc", "abd", "b", "bc", "x%y", "x_y")])
    assert adapter.inspector.find("abc") == "abc"
    assert adapter.inspector.find("b") == "b"
    assert adapter.inspector.find("x%") == "x%y"
    with pytest.raises(AmbiguousJob):
        adapter.inspector.find("ab")
    for unknown in ("zzz", "abcd", "", "c", "%"):
        with pytest.raises(UnknownJob):
            adapter.inspector.find(unknown)


def test_attempts_are_the_failed_starts_in_order(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    drive.retry(lease, 1.0)
    clock.advance(1)
    drive.settle(drive.claim_one(worker="w2"), Event.LEASE_LOST, State.RETRY, due_at=clock.now())
    drive.succeed(drive.claim_one())
    attempts = adapter.inspector.attempts(lease.id)
    assert [(a.attempt, a.worker, a.event) for a in attempts] == [(1, "w1", Event.ERROR), (2, "w2", Event.LEASE_LOST)]
    assert adapter.inspector.attempts("no-such") == []


# --- history -----------------------------------------------------------------------------------------


def total(buckets: list[Bucket]) -> dict[str, int]:
    return {name: sum(getattr(bucket, name) for bucket in buckets) for name in COUNTERS}


def happen(drive: Drive) -> dict[str, int]:
    """One of everything; what the history should say of it."""
    ids = drive.put(5)
    drive.put(run_at=drive.clock.now() + 10)
    leases = drive.claim(3)
    drive.succeed(leases[0])
    drive.fail(leases[1])
    drive.retry(leases[2])
    drive.adapter.operator.cancel([ids[3]])
    drive.put(expires_at=drive.clock.now())
    drive.adapter.broker.maintain()
    return {"enqueued": 7, "started": 3, "succeeded": 1, "dead": 1, "retried": 1, "cancelled": 1, "expired": 1}


def test_history_tells_what_happened_when(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    start = clock.now()
    expected = happen(drive)
    (bucket,) = adapter.inspector.history(start - 10, start + 10, seconds=1)
    assert (bucket.at, bucket.seconds, bucket.queue) == (int(start), 1, "default")
    assert total([bucket]) == expected
    assert bucket.wait is not None
    assert bucket.run is not None
    assert (bucket.wait.count, bucket.run.count) == (3, 3)


def test_history_is_by_time_and_queue_and_may_be_gathered(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    clock.advance(60 - clock.now() % 60)
    start = clock.now()
    for _ in range(90):
        drive.put(queue="b")
        drive.put(queue="a")
        clock.advance(1)
    history = adapter.inspector.history(start, start + 90, seconds=1)
    assert [(b.at, b.queue) for b in history[:4]] == [(start, "a"), (start, "b"), (start + 1, "a"), (start + 1, "b")]
    assert len(history) == 180
    minutes = adapter.inspector.history(start, start + 90, seconds=60)
    assert [(b.at, b.queue, b.enqueued) for b in minutes] == [
        (start, "a", 60),
        (start, "b", 60),
        (start + 60, "a", 30),
        (start + 60, "b", 30),
    ]
    assert {b.queue for b in adapter.inspector.history(start, start + 90, seconds=1, queues=["b"])} == {"b"}
    assert adapter.inspector.history(start + 90, start + 100, seconds=1) == []
    assert adapter.inspector.history(start - 100, start, seconds=1) == []


def test_history_of_all_queues_together(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    clock.advance(60 - clock.now() % 60)
    start = clock.now()
    for queue, took in (("a", 0.01), ("b", 10.0), ("b", 10.0)):
        drive.put(queue=queue)
        lease = drive.claim_one()
        clock.advance(took)
        drive.adapter.broker.settle(
            [drive.settlement(lease, Event.SUCCESS, State.SUCCEEDED, started_at=clock.now() - took)]
        )
    (apart,) = [b for b in adapter.inspector.history(start, start + 60, seconds=60) if b.queue == "b"]
    (both,) = adapter.inspector.history(start, start + 60, seconds=60, together=True)
    assert (both.at, both.seconds, both.queue, both.enqueued, both.succeeded) == (start, 60, "", 3, 3)
    # The median of all runs, not of the queues' medians.
    assert both.run is not None
    assert apart.run is not None
    assert (both.run.count, both.run.p50) == (3, apart.run.p50)
    (only,) = adapter.inspector.history(start, start + 60, seconds=60, queues=["a"], together=True)
    assert (only.queue, only.enqueued) == ("", 1)


@pytest.mark.parametrize("seconds", [1, 7, 30, 60, 90, 300, 3600, 5000, 86400])
def test_history_is_gathered_as_its_arithmetic_says(
    drive: Drive, adapter: Adapter, clock: ManualClock, seconds: int
) -> None:
    """Over spans of all three widths; nothing is lost or counted twice."""
    for step in (9 * DAY, 3 * 3600, 1800, 61, 1, 0):
        drive.put(2, queue="a")
        drive.put(queue="b")
        clock.advance(step)
    adapter.broker.maintain()
    fine = adapter.inspector.history(0, clock.now() + 1, seconds=1)
    assert {bucket.seconds for bucket in fine} == {1, 60, 3600}
    wide = adapter.inspector.history(0, clock.now() + 1, seconds=seconds)
    assert wide == sorted(wide, key=lambda b: (b.at, b.seconds, b.queue))
    assert all(b.seconds >= seconds and b.at % b.seconds == 0 for b in wide)
    for bucket in wide:
        inside = [
            each for each in fine if each.queue == bucket.queue and bucket.at <= each.at < bucket.at + bucket.seconds
        ]
        assert total([bucket]) == total(inside)
    assert total(wide) == total(fine)


def test_history_thins_out_and_loses_nothing(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    clock.advance(3600 - clock.now() % 3600)
    start = clock.now()
    drive.put(queue="q")
    clock.advance(1)
    drive.put(queue="q")
    for age, width in ((3600, 1), (4 * 3600, 60), (10 * DAY, 3600)):
        clock.advance(start + age - clock.now())
        adapter.broker.maintain()
        buckets = adapter.inspector.history(start - 3600, clock.now() + 1, seconds=1)
        assert {bucket.seconds for bucket in buckets} == {width}
        assert sum(bucket.enqueued for bucket in buckets) == 2
    clock.advance(400 * DAY)
    adapter.broker.maintain()
    assert adapter.inspector.history(0, clock.now() + 1, seconds=1) == []


def test_history_outlives_its_jobs(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    ids = drive.put(3)
    adapter.operator.delete(ids)
    assert sum(b.enqueued for b in adapter.inspector.history(0, clock.now() + 1, seconds=1)) == 3
