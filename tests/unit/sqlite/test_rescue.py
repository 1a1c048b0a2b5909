"""Who is dead, who is blamed, and who takes back: slates, heartbeats, and rescuers that race."""

from __future__ import annotations

import fcntl
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qtool.engine.broker import LEASE_SECONDS
from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.brokers.sqlite.rescue import Rescuer
from qtool.engine.job import Report
from qtool.engine.slate import DeadSlate, FileSlate, read_slate
from qtool.engine.states import Reason, State
from qtool.errors import BrokerBusy
from tests.conformance.drive import Drive, chunk
from tests.unit.sqlite.tools import query, store_of

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from qtool.engine.clock import ManualClock
    from qtool.engine.job import Lease


def die(slate: FileSlate) -> None:
    """As when all its processes are killed: the descriptor is closed, the file stays."""
    slate._map.close()
    os.close(slate.fd)


def slate_of(adapter: Adapter, worker: str, *started: Lease) -> FileSlate:
    slate = adapter.broker.slate(worker, 4)
    assert isinstance(slate, FileSlate)
    for slot, lease in enumerate(started):
        slate.mark(slot, lease.key, lease.token)
    return slate


def test_only_what_had_started_is_blamed(drive: Drive, adapter: Adapter) -> None:
    ids = drive.put(4)
    leases = drive.claim(4)
    adapter.operator.cancel([ids[3]])
    slate = slate_of(adapter, "w1", leases[0])
    assert adapter.broker.maintain().rescued == 0
    die(slate)
    assert adapter.broker.maintain().rescued == 4
    blamed, *innocent, cancelled = (drive.info(id) for id in ids)
    assert (blamed.state, blamed.crashes, blamed.attempt) == (State.READY, 1, 1)
    for info in innocent:
        assert (info.state, info.crashes, info.attempt, info.error) == (State.READY, 0, 0, None)
        assert adapter.inspector.attempts(info.id) == []
    assert (cancelled.state, cancelled.crashes) == (State.CANCELLED, 0)
    assert not os.path.exists(slate.path)
    assert adapter.inspector.check() == []
    assert adapter.broker.maintain().rescued == 0


def test_a_job_that_ran_here_before_and_is_only_claimed_ahead_again_is_not_blamed(
    drive: Drive, adapter: Adapter
) -> None:
    before = drive.start()
    slate = slate_of(adapter, "w1", before)
    drive.snooze(before)
    again = drive.claim_one()
    assert (again.key, again.token == before.token) == (before.key, False)
    die(slate)
    assert adapter.broker.maintain().rescued == 1
    assert (drive.info(again.id).state, drive.info(again.id).crashes) == (State.READY, 0)


@pytest.mark.parametrize(("key", "token"), [(1, 2**63 - 1), (5, 5), (2**62, 2**62 + 1)])
def test_a_mark_is_never_mistaken_for_an_empty_slot(tmp_path: Path, key: int, token: int) -> None:
    slate = FileSlate.create(f"{tmp_path}/w1", 2)
    slate.mark(1, key, token)
    started = read_slate(slate.path)
    assert started is not None
    assert (started.has(key, token), started.fatal(key, token), started.has(key, token - 2)) == (True, False, False)
    slate.mark_fatal(1, key, token)
    started = read_slate(slate.path)
    assert started is not None
    assert (started.has(key, token), started.fatal(key, token), started.has(key, token - 2)) == (True, True, False)
    slate.close()


def test_a_started_job_whose_task_wants_no_second_try_is_dead_after_the_first_crash(
    drive: Drive, adapter: Adapter
) -> None:
    ids = drive.put(3)
    leases = drive.claim(3)
    slate = slate_of(adapter, "w1", leases[0])
    slate.mark_fatal(1, leases[1].key, leases[1].token)
    die(slate)
    assert adapter.broker.maintain().rescued == 3
    ends = [(info.state, info.reason, info.crashes) for info in map(drive.info, ids)]
    again = (State.READY, None, 1)
    assert ends == [again, (State.DEAD, Reason.CRASHED, 1), (State.READY, None, 0)]


def test_what_was_claimed_ahead_by_a_silent_worker_is_not_blamed(drive: Drive, adapter: Adapter) -> None:
    """It is frozen, not dead, so its slate stays locked; it can be read all the same."""
    ids = drive.put(2)
    leases = drive.claim(2)
    slate = slate_of(adapter, "w1", leases[1])
    drive.lose_worker()
    assert [drive.info(id).crashes for id in ids] == [0, 1]
    assert os.path.exists(slate.path)
    slate.close()


def test_a_slate_outlives_its_workers_row(drive: Drive, adapter: Adapter, path: str) -> None:
    (lease,) = [drive.start()]
    slate = slate_of(adapter, "w1", lease)
    query(path, "DELETE FROM workers")
    die(slate)
    assert adapter.broker.maintain().rescued == 1
    assert drive.info(lease.id).crashes == 1


def test_a_job_without_any_trace_of_its_worker_comes_back(drive: Drive, adapter: Adapter, path: str) -> None:
    lease = drive.start()
    query(path, "DELETE FROM workers")
    drive.lose_worker()
    assert drive.info(lease.id).crashes == 1


def test_a_slate_that_goes_between_the_listing_and_the_look(
    drive: Drive, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir = os.listdir
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", lambda path: ["gone", *listdir(path)])
        assert adapter.broker.maintain().rescued == 0


def test_two_rescuers_race_for_a_slate(tmp_path: Path) -> None:
    path = f"{tmp_path}/w1"
    slate = FileSlate.create(path, 1)
    assert DeadSlate.seize(path) is None
    die(slate)
    first = DeadSlate.seize(path)
    assert first is not None
    assert DeadSlate.seize(path) is None
    first.close(remove=False)
    again = DeadSlate.seize(path)
    assert again is not None
    again.close(remove=True)
    assert DeadSlate.seize(path) is None


def test_a_slate_that_was_removed_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{tmp_path}/w1"
    die(FileSlate.create(path, 1))
    flock = fcntl.flock

    def late(fd: int, how: int) -> None:
        os.unlink(path)
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert DeadSlate.seize(path) is None


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 23])
def test_a_torn_slate_says_what_is_whole(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w1"
    path.write_bytes((b"\x05" + bytes(7) + bytes(8) + b"\x07" + bytes(7))[:length])
    dead = DeadSlate.seize(str(path))
    assert dead is not None
    whole = length >= 8
    started = read_slate(str(path))
    assert started is not None
    assert (
        [dead.started().has(5, token) for token in (0, 2)] == [whole, False] == [started.has(5, 0), started.has(5, 2)]
    )
    dead.close(remove=True)
    assert read_slate(str(path)) is None


def test_what_is_no_slate_is_left_alone(drive: Drive, adapter: Adapter, tmp_path: Path) -> None:
    slates = Path(store_of(adapter).directory) / "workers"
    (slates / "folder").mkdir()
    os.mkfifo(slates / "fifo")
    (slates / "link").symlink_to("nowhere")
    assert adapter.broker.maintain().rescued == 0
    assert {entry.name for entry in slates.iterdir()} == {"folder", "fifo", "link"}


def test_a_slate_in_the_making_is_not_seized(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def slow(fd: int, how: int) -> None:
        adapter.broker.maintain()
        flock(fd, how)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", slow)
        slate = adapter.broker.slate("w1", 1)
    assert slate is not None
    assert os.path.exists(slate.path)
    slate.close()


def test_the_directory_of_slates_may_be_gone(drive: Drive, adapter: Adapter) -> None:
    slate = slate_of(adapter, "w9")
    os.unlink(slate.path)
    os.rmdir(os.path.dirname(slate.path))
    assert adapter.broker.maintain().rescued == 0
    slate.close()


def test_a_rescue_that_fails_lets_go_of_every_slate(
    drive: Drive, adapter: Adapter, path: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slate kept locked by a rescuer would look like a living worker to all others."""
    drive.put(3)
    for worker in ("w1", "w2", "w3"):
        die(slate_of(adapter, worker, drive.claim_one(worker=worker)))

    def busy(*_: object, **__: object) -> int:
        raise BrokerBusy(url=path, seconds=0)

    with monkeypatch.context() as patched:
        patched.setattr(Rescuer, "_take_back", busy)
        with pytest.raises(BrokerBusy):
            adapter.broker.maintain()
    with open_sqlite(f"sqlite:{path}", clock=clock) as other:
        assert other.broker.maintain().rescued == 3


def test_a_worker_that_comes_back_between_the_look_and_the_rescue_keeps_its_jobs(
    drive: Drive, adapter: Adapter, path: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = drive.start()
    adapter.broker.maintain()
    clock.advance(LEASE_SECONDS + 1)
    take_back = Rescuer._take_back

    def after_a_beat(self: Rescuer, worker: str, *rest: object, **named: object) -> int:
        with monkeypatch.context() as undone:
            undone.setattr(Rescuer, "_take_back", take_back)
            drive.beat(lease)
        return take_back(self, worker, *rest, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Rescuer, "_take_back", after_a_beat)
        assert adapter.broker.maintain().rescued == 0
    assert drive.succeed(lease)


def test_a_second_rescuer_leaves_alone_what_the_first_dealt_with(
    drive: Drive, adapter: Adapter, path: str, clock: ManualClock
) -> None:
    """The worker was frozen, both saw it, one took its jobs back; it came to life again and claimed anew."""
    drive.start()
    with open_sqlite(f"sqlite:{path}", clock=clock) as other:
        for each in (adapter, other):
            each.broker.maintain()
        clock.advance(LEASE_SECONDS + 1)
        assert other.broker.maintain().rescued == 1
        again = drive.claim_one(worker="w1")
        assert adapter.broker.maintain().rescued == 0
    assert drive.succeed(again)


def test_a_claim_is_a_sign_of_life_to_every_handle(
    drive: Drive, adapter: Adapter, path: str, clock: ManualClock
) -> None:
    drive.put(2)
    with open_sqlite(f"sqlite:{path}", clock=clock) as other:
        drive.claim_one()
        other.broker.maintain()
        clock.advance(LEASE_SECONDS - 1)
        drive.claim_one()
        other.broker.maintain()
        clock.advance(LEASE_SECONDS - 1)
        assert other.broker.maintain().rescued == 0
        clock.advance(2)
        assert other.broker.maintain().rescued == 2


def test_a_claim_does_not_wipe_what_the_worker_says_of_itself(drive: Drive, adapter: Adapter) -> None:
    drive.beat()
    drive.start()
    assert [worker.id for worker in adapter.inspector.snapshot().workers] == ["w1"]


def test_no_jump_of_the_wall_clock_rescues_anything(
    drive: Drive, adapter: Adapter, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = drive.start()
    drive.beat(lease)
    adapter.broker.maintain()
    for hours in (1, -1, 24):
        shown = clock.monotonic() + hours * 3600
        monkeypatch.setattr(clock, "now", partial(float, shown))
        assert adapter.broker.maintain().rescued == 0
    assert drive.succeed(lease)


def test_leaving_and_then_dying_costs_nobody_anything(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    slate = slate_of(adapter, "w1", lease)
    adapter.broker.leave("w1")
    die(slate)
    assert adapter.broker.maintain().rescued == 0
    assert (drive.info(lease.id).crashes, drive.state(lease.id)) == (0, State.READY)


def test_output_of_what_was_not_started_is_not_kept(drive: Drive, adapter: Adapter) -> None:
    """A slate that was lost with the power says that nothing had started; the next attempt bears the same number."""
    lease = drive.start()
    adapter.broker.report([Report(lease, output=(chunk("x"),))])
    die(slate_of(adapter, "w1"))
    adapter.broker.maintain()
    assert adapter.results.output(lease.id) == []
    assert drive.claim_one(worker="w2").attempt == 1
