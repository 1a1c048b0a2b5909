"""Enqueueing: receipts, duplicates, unique keys, times, all or nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.broker import Adapter, Receipt
from qtool.engine.codec import MAX_PAYLOAD, decode_body, decode_options
from qtool.engine.job import Job, Policy
from qtool.engine.states import State
from qtool.errors import NotSerialisable, PayloadTooLarge

if TYPE_CHECKING:
    from qtool.engine.clock import ManualClock
    from tests.conformance.drive import Drive


def test_a_receipt_names_the_jobs_in_order(drive: Drive, adapter: Adapter) -> None:
    receipt = adapter.broker.enqueue([drive.job(id="b"), drive.job(id="a"), drive.job(id="c")])
    assert receipt.ids == ("b", "a", "c")
    assert receipt.existing == frozenset()
    assert [job.id for job in adapter.inspector.browse(oldest_first=True).jobs] == ["b", "a", "c"]


def test_an_empty_batch_is_nothing(adapter: Adapter) -> None:
    assert adapter.broker.enqueue([]).ids == ()
    assert adapter.inspector.count() == 0


def test_everything_a_job_says_is_kept(drive: Drive, adapter: Adapter) -> None:
    now = drive.clock.now()
    said: dict[str, Any] = {
        "id": "x",
        "task": "mail.send",
        "args": (1, "zwölf\x00\udcff", [True, None, 1.5]),
        "kwargs": {"a": {"b": []}},
        "queue": "Ωmega",
        "priority": 9,
        "created_at": now - 5,
        "expires_at": now + 100,
        "unique": "key",
        "key": "account-7",
        "key_limit": 3,
        "tags": {"team": "billing"},
        "parents": ("p",),
        "policy": Policy(retries=3, backoff=0.5, backoff_cap=9.0, timeout=60.0),
    }
    adapter.broker.enqueue([Job(**said)])
    info = drive.info("x")
    assert {name: getattr(info, name) for name in said} == said
    assert (info.state, info.ready_at, info.due_at) == (State.READY, now, None)
    assert (info.attempt, info.failures, info.crashes) == (0, 0, 0)
    assert (info.started_at, info.finished_at, info.worker) == (None, None, None)
    assert (info.reason, info.error, info.progress, info.message) == (None, None, None, None)

    lease = drive.claim_one()
    assert decode_body(lease.body) == (said["args"], said["kwargs"])
    policy, tags, parents = decode_options(lease.options)
    assert (policy, tags, parents) == (said["policy"], said["tags"], said["parents"])


def test_a_job_that_says_nothing_more_has_no_options(drive: Drive) -> None:
    lease = drive.start()
    assert lease.options is None
    assert decode_body(lease.body) == ((), {})


def test_an_id_that_stands_is_not_enqueued_again(drive: Drive, adapter: Adapter) -> None:
    adapter.broker.enqueue([drive.job(id="a", args=(1,))])
    receipt = adapter.broker.enqueue([drive.job(id="a", args=(2,)), drive.job(id="b")])
    assert receipt.ids == ("a", "b")
    assert receipt.existing == {"a"}
    assert drive.info("a").args == (1,)
    assert adapter.inspector.count() == 2


def test_an_id_counts_also_when_its_job_is_finished(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start(id="a")
    drive.succeed(lease)
    assert adapter.broker.enqueue([drive.job(id="a")]).existing == {"a"}
    assert drive.state("a") is State.SUCCEEDED


def test_an_id_twice_in_a_batch_is_one_job(drive: Drive, adapter: Adapter) -> None:
    receipt = adapter.broker.enqueue([drive.job(id="a", args=(1,)), drive.job(id="a", args=(2,))])
    assert receipt == Receipt(("a", "a"), frozenset({"a"}))
    assert adapter.inspector.count() == 1
    assert drive.info("a").args == (1,)


def test_a_unique_key_is_held_by_one_unfinished_job(drive: Drive, adapter: Adapter) -> None:
    first = drive.put_one(unique="k")
    receipt = adapter.broker.enqueue([drive.job(unique="k"), drive.job(unique="other"), drive.job()])
    assert receipt.ids[0] == first
    assert receipt.existing == {first}
    assert adapter.inspector.count() == 3


def test_a_unique_key_holds_within_a_batch(drive: Drive, adapter: Adapter) -> None:
    receipt = adapter.broker.enqueue([drive.job(id="a", unique="k"), drive.job(id="b", unique="k")])
    assert receipt == Receipt(("a", "a"), frozenset({"a"}))
    assert adapter.inspector.count() == 1


@pytest.mark.parametrize("state", [State.SCHEDULED, State.READY, State.RUNNING, State.RETRY])
def test_a_unique_key_is_held_in_every_unfinished_state(drive: Drive, adapter: Adapter, state: State) -> None:
    later = {"run_at": drive.clock.now() + 10} if state is State.SCHEDULED else {}
    holder = drive.put_one(unique="k", **later)
    if state in (State.RUNNING, State.RETRY):
        lease = drive.claim_one()
        if state is State.RETRY:
            drive.retry(lease)
    assert drive.state(holder) is state
    assert adapter.broker.enqueue([drive.job(unique="k")]).existing == {holder}


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.DEAD, State.CANCELLED, State.EXPIRED])
def test_a_finished_job_lets_its_unique_key_go(drive: Drive, adapter: Adapter, state: State) -> None:
    holder = drive.put_one(unique="k", expires_at=drive.clock.now() + 1)
    if state is State.CANCELLED:
        adapter.operator.cancel([holder])
    elif state is State.EXPIRED:
        drive.clock.advance(2)
        adapter.broker.maintain()
    else:
        lease = drive.claim_one()
        assert drive.succeed(lease) if state is State.SUCCEEDED else drive.fail(lease)
    assert drive.state(holder) is state
    receipt = adapter.broker.enqueue([drive.job(id="next", unique="k")])
    assert (receipt.ids, receipt.existing) == (("next",), frozenset())


def test_a_deleted_job_lets_its_unique_key_go(drive: Drive, adapter: Adapter) -> None:
    adapter.operator.delete([drive.put_one(unique="k")])
    assert adapter.broker.enqueue([drive.job(unique="k")]).existing == frozenset()


def test_a_job_for_later_is_scheduled(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    due = clock.now() + 10
    info = drive.info(drive.put_one(run_at=due))
    assert (info.state, info.due_at, info.ready_at) == (State.SCHEDULED, due, None)
    assert drive.claim() == []


def test_a_job_for_a_time_gone_by_is_ready(drive: Drive, clock: ManualClock) -> None:
    for run_at in (clock.now(), clock.now() - 10):
        info = drive.info(drive.put_one(run_at=run_at))
        assert (info.state, info.due_at) == (State.READY, None)


def test_a_job_that_is_too_late_already_expires_before_it_can_start(drive: Drive, clock: ManualClock) -> None:
    id = drive.put_one(expires_at=clock.now() - 1)
    assert drive.claim() == []
    assert drive.state(id) is State.EXPIRED


@pytest.mark.parametrize("bad", [object(), math.nan, {1, 2}], ids=["object", "nan", "set"])
def test_one_job_that_cannot_be_written_keeps_the_whole_batch_out(drive: Drive, adapter: Adapter, bad: object) -> None:
    with pytest.raises(NotSerialisable):
        adapter.broker.enqueue([drive.job(), drive.job(args=(bad,)), drive.job()])
    assert adapter.inspector.count() == 0
    assert adapter.inspector.check() == []


def test_a_payload_beyond_the_limit_keeps_the_whole_batch_out(drive: Drive, adapter: Adapter) -> None:
    with pytest.raises(PayloadTooLarge):
        adapter.broker.enqueue([drive.job(), drive.job(args=("x" * MAX_PAYLOAD,))])
    assert adapter.inspector.count() == 0
