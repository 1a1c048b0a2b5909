"""Whole jobs out of one store and into another, and every step of the way at which somebody may be killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.freight import SAME_QUEUE, THERE_ALREADY, UNDERWAY, Freight, Moved, Parcel, Trip
from qtool.engine.job import NOTHING, Policy
from qtool.engine.moving import Mover, put_back
from qtool.engine.states import FINAL, PENDING, Event, State
from qtool.errors import MoveSuperseded, UsageError
from tests.conformance.drive import LATER, Drive, chunk

if TYPE_CHECKING:
    from tests.conformance.conftest import Fresh

ALL = PENDING | FINAL


class Pair:
    """Two stores on one clock each, and what is at either end."""

    def __init__(self, fresh: Fresh) -> None:
        (self.make_here, self.clock), (self.make_there, self.other_clock) = fresh(), fresh()
        self.here = Drive(self.make_here(), self.clock)
        self.there = Drive(self.make_there(), self.other_clock)
        self.mover = Mover(self.here.adapter, self.there.adapter)

    @property
    def out(self) -> Freight:
        return freight(self.here)

    @property
    def in_(self) -> Freight:
        return freight(self.there)

    def set_out(self, *ids: str) -> tuple[Trip, list[Parcel]]:
        """As far as a mover comes that is killed once it has loaded."""
        trip = self.out.begin(self.in_.identity(), self.there.adapter.url)
        parcels = [each for each in self.out.load(trip, ids, ALL) if isinstance(each, Parcel)]
        assert [each.id for each in parcels] == list(ids)
        return trip, parcels

    def finish(self) -> list[Moved]:
        """What another mover does first of all."""
        return self.move()

    def move(self, *ids: str, states: frozenset[State] = ALL, into: str | None = None) -> list[Moved]:
        mover = Mover(self.here.adapter, self.there.adapter)
        mover.begin()
        left = [each for batch in mover.finish() for each in batch]
        return left + [each for batch in mover.move(ids, states, into) for each in batch]

    def check(self) -> None:
        for drive in (self.here, self.there):
            assert drive.adapter.inspector.check() == []
            assert freight(drive).transits() == []


def freight(drive: Drive) -> Freight:
    found = drive.adapter.freight
    assert found is not None
    return found


@pytest.fixture
def pair(fresh: Fresh) -> Pair:
    if fresh()[0]().freight is None:
        pytest.skip("its jobs cannot be moved as wholes")
    return Pair(fresh)


def everything(drive: Drive, id: str) -> object:
    """All that can be seen of a job."""
    adapter = drive.adapter
    info = drive.info(id)
    outputs = [adapter.results.output(id, attempt=number) for number in range(info.attempt + 1)]
    return info, adapter.inspector.attempts(id), adapter.results.results([id]), outputs


def test_every_state_goes_there_and_back_whole(pair: Pair) -> None:
    here = pair.here
    ids = [here.reach(state) for state in (State.EXPIRED, State.RETRY, State.SUCCEEDED, State.DEAD, State.CANCELLED)]
    ids += [here.reach(State.READY), here.reach(State.SCHEDULED)]
    before = [everything(here, id) for id in ids]
    assert [each.moved for each in pair.move(*ids)] == [True] * len(ids)
    assert here.adapter.inspector.get(ids) == [None] * len(ids)
    assert [everything(pair.there, id) for id in ids] == before
    pair.check()
    back = Mover(pair.there.adapter, here.adapter)
    back.begin()
    assert all(each.moved for batch in back.move(ids, ALL) for each in batch)
    assert [everything(here, id) for id in ids] == before
    pair.check()


def test_all_that_a_job_says_goes_along(pair: Pair) -> None:
    here = pair.here
    id = here.put_one(
        args=(1, "é\0\udcff", None, [1.5]),
        kwargs={"a": {"b": []}},
        queue="q",
        priority=7,
        expires_at=pair.clock.now() + 5 * LATER,
        unique="u",
        key="k",
        key_limit=3,
        tags={"team": "x"},
        parents=("p1", "p2"),
        policy=Policy(retries=4, backoff=2.0, timeout=9.0, on_crash="dead"),
    )
    lease = here.claim_one()
    assert here.retry(lease, output=(chunk("one\n"), chunk("é", 4, "stderr")))
    pair.clock.advance(LATER + 1)
    lease = here.claim_one()
    assert here.retry(lease, output=(chunk("two\n", stream="log"),))
    before = everything(here, id)
    assert [each.moved for each in pair.move(id)] == [True]
    assert everything(pair.there, id) == before
    pair.check()


def test_what_has_arrived_runs_there_and_not_here(pair: Pair) -> None:
    ids = pair.here.put(3)
    assert all(each.moved for each in pair.move(*ids))
    assert pair.here.claim(10) == []
    assert [lease.id for lease in pair.there.claim(10)] == ids
    pair.check()


def test_what_is_due_later_comes_there_when_it_is_due(pair: Pair) -> None:
    id = pair.here.reach(State.RETRY)
    pair.move(id)
    pair.there.clock.advance(LATER + 1)
    assert [lease.id for lease in pair.there.claim(10)] == [id]
    assert pair.there.claim(10) == []


def test_a_deadline_goes_along(pair: Pair) -> None:
    ready = pair.here.put_one(expires_at=pair.clock.now() + LATER)
    scheduled = pair.here.put_one(expires_at=pair.clock.now() + LATER, run_at=pair.clock.now() + 2 * LATER)
    pair.move(ready, scheduled)
    pair.there.clock.advance(LATER + 1)
    assert pair.there.claim(10) == []
    assert [pair.there.state(id) for id in (ready, scheduled)] == [State.EXPIRED] * 2
    pair.check()


def test_age_and_priority_say_who_is_next_there(pair: Pair) -> None:
    old = pair.here.put_one()
    pair.clock.advance(5)
    pair.other_clock.advance(5)
    young, first = pair.there.put_one(id="young"), pair.here.put_one(priority=9)
    pair.move(old, first)
    assert [lease.id for lease in pair.there.claim(10)] == [first, old, young]


def test_a_running_job_stays_and_so_does_one_in_another_state(pair: Pair) -> None:
    lease = pair.here.start()
    scheduled = pair.here.put_one(run_at=pair.clock.now() + LATER)
    running, other, missing = pair.move(lease.id, scheduled, "nope", states=frozenset({State.READY}))
    assert (running.moved, running.state, running.note) == (False, State.RUNNING, "it is running")
    assert (other.moved, other.state, other.note) == (False, State.SCHEDULED, "it is scheduled")
    assert (missing.moved, missing.state) == (False, None)
    (running,) = pair.move(lease.id, states=frozenset(State))
    assert (running.moved, running.note) == (False, "it is running")
    assert pair.here.succeed(lease)
    pair.check()


def test_what_is_there_already_stays_here(pair: Pair) -> None:
    id = pair.here.put_one(id="same")
    pair.there.put_one(id="same", task="theirs")
    (stays,) = pair.move(id)
    assert (stays.moved, stays.state, stays.note) == (False, State.READY, THERE_ALREADY)
    assert pair.here.info(id).task == "t"
    assert pair.there.info(id).task == "theirs"
    pair.check()


def test_a_job_whose_unique_key_is_held_there_stays_here(pair: Pair) -> None:
    id, other = pair.here.put_one(unique="u"), pair.here.put_one()
    holder = pair.there.put_one(id="holder", unique="u")
    before = everything(pair.here, id)
    stays, goes = pair.move(id, other)
    assert (stays.moved, stays.note) == (False, f"job {holder} holds its unique key")
    assert goes.moved
    assert everything(pair.here, id) == before
    assert pair.here.put_one(unique="u") == id
    pair.check()


def test_a_unique_key_goes_along(pair: Pair) -> None:
    id = pair.here.put_one(unique="u")
    pair.move(id)
    assert pair.there.put_one(id="late", unique="u") == id
    assert pair.here.put_one(id="free", unique="u") == "free"


def test_an_ended_job_holds_no_key(pair: Pair) -> None:
    done = pair.here.start(unique="u").id
    assert pair.here.succeed(pair.here.leases[done])
    pair.there.put_one(id="holder", unique="u")
    assert [each.moved for each in pair.move(done)] == [True]
    pair.check()


def test_into_another_queue(pair: Pair) -> None:
    id = pair.here.put_one(queue="a")
    (moved,) = pair.move(id, into="b")
    assert (moved.queue, moved.into) == ("a", "b")
    assert pair.there.info(id).queue == "b"
    assert [lease.id for lease in pair.there.claim(queues=("b",))] == [id]


def test_the_counts_go_along(pair: Pair) -> None:
    ids = pair.here.put(2, queue="a")
    pair.move(*ids)
    (stats,) = pair.there.adapter.inspector.snapshot().queues
    assert (stats.name, stats.counts[State.READY]) == ("a", 2)
    assert pair.here.adapter.inspector.count() == 0


def test_who_waits_for_a_key_goes_on_when_those_before_it_have_left(pair: Pair) -> None:
    first, second = pair.here.put(2, key="k", key_limit=1)
    pair.move(first)
    assert [lease.id for lease in pair.here.claim(10)] == [second]
    pair.there.put_one(id="third", key="k", key_limit=1)
    assert [lease.id for lease in pair.there.claim(10)] == [first]
    assert pair.there.succeed(pair.there.leases[first])
    assert [lease.id for lease in pair.there.claim(10)] == ["third"]
    pair.check()


# --- killed half-way ----------------------------------------------------------------------------------


def test_loaded_is_nowhere_runnable_and_another_mover_goes_on(pair: Pair) -> None:
    id = pair.here.put_one()
    pair.set_out(id)
    assert pair.here.claim(10) == pair.there.claim(10) == []
    assert pair.here.adapter.inspector.get([id]) == [None]
    (transit,) = pair.out.transits()
    assert (transit.outward, transit.jobs, transit.url) == (True, 1, pair.there.adapter.url)
    (moved,) = pair.finish()
    assert (moved.id, moved.moved) == (id, True)
    assert [lease.id for lease in pair.there.claim(10)] == [id]
    assert pair.finish() == []
    pair.check()


def test_unloaded_and_not_dropped_is_there_only_once(pair: Pair) -> None:
    id = pair.here.put_one()
    trip, parcels = pair.set_out(id)
    assert pair.in_.unload(trip, parcels) == [None]
    assert [(each.outward, each.jobs) for each in pair.in_.transits()] == [(False, 1)]
    assert pair.here.claim(10) == []
    assert [each.moved for each in pair.finish()] == [True]
    assert pair.there.adapter.inspector.count() == 1
    pair.check()


def test_what_has_arrived_and_run_and_been_deleted_does_not_arrive_again(pair: Pair) -> None:
    id = pair.here.put_one()
    trip, parcels = pair.set_out(id)
    pair.in_.unload(trip, parcels)
    assert pair.there.succeed(pair.there.claim_one())
    pair.there.adapter.operator.delete([id])
    assert [each.moved for each in pair.finish()] == [True]
    assert pair.there.adapter.inspector.count() == 0
    pair.check()


def test_dropped_and_not_cleared_can_come_again_one_day(pair: Pair) -> None:
    id = pair.here.put_one()
    trip, parcels = pair.set_out(id)
    pair.in_.unload(trip, parcels)
    pair.out.drop(trip, [id])
    assert pair.there.succeed(pair.there.claim_one())
    pair.there.adapter.operator.delete([id])
    pair.here.put_one(id=id)
    assert [each.moved for each in pair.move(id)] == [True]
    assert pair.there.state(id) is State.READY
    pair.check()


def test_who_wakes_up_after_another_went_on_does_no_harm(pair: Pair) -> None:
    id = pair.here.put_one()
    trip, parcels = pair.set_out(id)
    pair.finish()
    assert pair.there.succeed(pair.there.claim_one())
    pair.there.adapter.operator.delete([id])
    with pytest.raises(MoveSuperseded):
        pair.in_.unload(trip, parcels)
    for step in (pair.out.drop, pair.out.put_back):
        with pytest.raises(MoveSuperseded):
            step(trip, [id])
    with pytest.raises(MoveSuperseded):
        pair.out.load(trip, [id], ALL)
    assert pair.there.adapter.inspector.count() == pair.here.adapter.inspector.count() == 0


def test_a_load_of_nothing_tells_the_destination(pair: Pair) -> None:
    old, _ = pair.set_out()
    new, _ = pair.set_out()
    assert new.number > old.number
    pair.in_.unload(new, [])
    with pytest.raises(MoveSuperseded):
        pair.in_.unload(old, [])


def test_what_is_on_its_way_is_not_taken_in_from_elsewhere(pair: Pair, fresh: Fresh) -> None:
    make, clock = fresh()
    third = Drive(make(), clock)
    id = pair.here.put_one()
    pair.set_out(id)
    third.put_one(id=id)
    mover = Mover(third.adapter, pair.here.adapter)
    mover.begin()
    ((stays,),) = mover.move([id], ALL)
    assert (stays.moved, stays.note) == (False, UNDERWAY)
    assert third.state(id) is State.READY


def test_what_is_on_its_way_can_be_put_back(pair: Pair) -> None:
    ids = pair.here.put(2, unique=None)
    held = pair.here.put_one(unique="u")
    before = [everything(pair.here, id) for id in ids]
    pair.set_out(*ids, held)
    late = pair.here.put_one(unique="u")
    (transit,) = pair.out.transits()
    back = [each for batch in put_back(pair.here.adapter, transit) for each in batch]
    assert [(each.id, each.note) for each in back if not each.moved] == [(held, f"job {late} holds its unique key")]
    assert [everything(pair.here, id) for id in ids] == before
    assert [each.jobs for each in pair.out.transits()] == [1]
    assert pair.here.adapter.inspector.check() == []


def test_the_same_store_is_no_destination(pair: Pair) -> None:
    with pytest.raises(UsageError, match="same"):
        Mover(pair.here.adapter, pair.make_here())


def test_a_store_keeps_its_identity(pair: Pair) -> None:
    again = pair.make_here().freight
    assert again is not None
    assert again.identity() == pair.out.identity() != pair.in_.identity()


# --- to another queue of the same store ---------------------------------------------------------------


def test_another_queue_of_the_same_store(pair: Pair) -> None:
    here = pair.here
    ready, again = here.put(2, queue="a", priority=3)
    scheduled = here.put_one(queue="a", run_at=pair.clock.now() + LATER)
    keys = here.adapter.inspector.browse(oldest_first=True).keys
    done = freight(here).transfer([ready, scheduled, "nope"], "b", PENDING)
    assert [(each.moved, each.queue, each.into) for each in done] == [
        (True, "a", "b"),
        (True, "a", "b"),
        (False, None, None),
    ]
    assert here.adapter.inspector.browse(oldest_first=True).keys == keys
    assert [lease.id for lease in here.claim(10, queues=("b",))] == [ready]
    assert [lease.id for lease in here.claim(10, queues=("a",))] == [again]
    pair.clock.advance(LATER + 1)
    assert [lease.id for lease in here.claim(10, queues=("b",))] == [scheduled]
    pair.check()


def test_a_transfer_leaves_what_runs_and_what_is_there(pair: Pair) -> None:
    lease = pair.here.start(queue="a")
    here = pair.here.put_one(queue="b")
    running, same = freight(pair.here).transfer([lease.id, here], "b", ALL)
    assert (running.moved, running.note) == (False, "it is running")
    assert (same.moved, same.note) == (False, SAME_QUEUE)


def test_a_transfer_keeps_to_the_limits_of_keys(pair: Pair) -> None:
    here = pair.here
    first, second, third = here.put(3, queue="a", key="k", key_limit=1)
    assert [each.moved for each in freight(here).transfer([first], "b", PENDING)] == [True]
    assert len(here.claim(10)) == 1
    started = next(iter(here.leases.values()))
    assert here.succeed(started)
    assert len(here.claim(10)) == 1
    assert {first, second, third} >= set(here.leases)
    assert here.adapter.inspector.check() == []


def test_in_batches_of_so_many_bytes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory.freight", "sqlite.freight"):
        monkeypatch.setattr(f"qtool.engine.brokers.{module}.BATCH_BYTES", 1_000, raising=False)
    ids = pair.here.put(12, args=("x" * 300,))
    assert [each.id for each in pair.move(*ids) if each.moved] == ids
    pair.check()


def test_an_event_of_history_is_not_made_twice(pair: Pair) -> None:
    lease = pair.here.start()
    assert pair.here.settle(lease, Event.SUCCESS, State.SUCCEEDED)
    pair.move(lease.id)
    there = pair.there.adapter.inspector.history(0, pair.clock.now() + 1, seconds=3600)
    assert sum(bucket.succeeded + bucket.enqueued for bucket in there) == 0
    assert pair.there.info(lease.id).tags == NOTHING
