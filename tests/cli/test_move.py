"""``qtool move``: to another broker, into another queue, and what it says of jobs that stay."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.brokers.sqlite.freight import SqliteFreight
from qtool.engine.freight import Parcel
from qtool.engine.job import Chunk, Job
from qtool.engine.registry import open_broker
from qtool.engine.states import FINAL, PENDING, State
from qtool.errors import BrokerFull

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter
    from tests.cli.conftest import Bench

Call = Any


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Adapter]:
    with open_broker(str(tmp_path / "there.db")) as adapter:
        yield adapter


@pytest.fixture
def to(tmp_path: Path) -> tuple[str, str]:
    return "--to", str(tmp_path / "there.db")


def states(adapter: Adapter, *ids: str) -> list[State | None]:
    return [job.state if job else None for job in adapter.inspector.get(ids)]


def set_out(bench: Bench, there: Adapter, *ids: str) -> None:
    """As far as a move comes that is killed once it has loaded."""
    freight, other = bench.adapter.freight, there.freight
    assert freight is not None
    assert other is not None
    trip = freight.begin(other.identity(), there.url)
    assert all(isinstance(each, Parcel) for each in freight.load(trip, ids, PENDING | FINAL))


def test_pending_jobs_go_and_ended_ones_stay(bench: Bench, there: Adapter, to: tuple[str, str], call: Call) -> None:
    ended = bench.fail(queue="q")
    ready, scheduled = *bench.add(queue="q"), *bench.add(queue="q", run_at=2e9)
    ran = call("move", *to, "-y")
    assert ran.code == 0
    assert [(row["id"], row["state"], row["moved"], row["to"]) for row in ran.rows] == [
        (ready, "ready", True, there.url),
        (scheduled, "scheduled", True, there.url),
    ]
    assert states(there, ended, ready, scheduled) == [None, State.READY, State.SCHEDULED]
    assert states(bench.adapter, ended, ready, scheduled) == [State.DEAD, None, None]


def test_all_takes_ended_jobs_along_with_what_they_left(
    bench: Bench, there: Adapter, to: tuple[str, str], call: Call
) -> None:
    good, bad = bench.run(output=[Chunk("stdout", 0, b"hello")]), bench.fail()
    assert call("move", *to, "--all", "-y").code == 0
    assert states(there, good, bad) == [State.SUCCEEDED, State.DEAD]
    result = there.results.results([good])[0]
    assert result is not None
    assert result.value == "42"
    assert there.results.output(good) == [Chunk("stdout", 0, b"hello")]
    assert len(there.inspector.attempts(bad)) == 1
    assert bench.adapter.inspector.count() == 0


def test_only_some_queues_and_what_matches(bench: Bench, there: Adapter, to: tuple[str, str], call: Call) -> None:
    (a,), (b,), (tagged,) = bench.add(queue="a"), bench.add(queue="b"), bench.add(queue="a", tags={"t": "x"})
    assert [row["id"] for row in call("move", *to, "a", "-w", "tag.t=x", "-y").rows] == [tagged]
    assert [row["id"] for row in call("move", *to, "a", "-y").rows] == [a]
    assert states(bench.adapter, b) == [State.READY]
    dead = bench.fail(queue="c")
    assert [row["id"] for row in call("move", *to, "-w", "state:dead", "-y").rows] == [dead]
    assert call("move", *to, "nothing", "-y").code == 4
    assert states(there, a, b, tagged, dead) == [State.READY, None, State.READY, State.DEAD]


def test_ids_from_stdin_and_into_another_queue(bench: Bench, there: Adapter, to: tuple[str, str], spawn: Any) -> None:
    ids = bench.add(3)
    ran = spawn("move", *to, "-", "--into", "new", stdin="\n".join(ids[:2]) + "\nnope\n")
    assert ran.code == 3
    assert {(row["id"], row["moved"], row["into"]) for row in ran.rows} == {
        (ids[0], True, "new"),
        (ids[1], True, "new"),
        ("nope", False, None),
    }
    assert [job.queue for job in there.inspector.get(ids[:2]) if job] == ["new", "new"]


def test_running_jobs_stay_and_are_told(bench: Bench, there: Adapter, to: tuple[str, str], call: Call) -> None:
    ids = bench.add(2)
    (lease,) = bench.claim()
    ran = call("move", *to, "-y")
    assert ran.code == 0
    assert [row["id"] for row in ran.rows] == [id for id in ids if id != lease.id]
    assert "1 job runs and stays: move again later." in ran.err
    bench.end(lease)
    assert there.inspector.count() == 1


def test_what_is_there_already_stays(bench: Bench, there: Adapter, to: tuple[str, str], call: Call) -> None:
    first, second = bench.add(2)
    there.broker.enqueue([Job(id=first, task="theirs", created_at=1.0)])
    ran = call("move", *to, "-y")
    assert ran.code == 3
    assert {(row["id"], row["moved"], row["note"]) for row in ran.rows} == {
        (first, False, "a job with its id is there already"),
        (second, True, None),
    }
    assert states(bench.adapter, first, second) == [State.READY, None]


def test_it_asks_and_a_dry_run_does_not_make_a_file(bench: Bench, tmp_path: Path, call: Call, spawn: Any) -> None:
    ids = bench.add(2)
    path = tmp_path / "none.db"
    ran = call("move", "--to", str(path), "-n")
    assert ran.code == 0
    assert [(row["moved"], row["note"]) for row in ran.rows] == [(True, "dry run")] * 2
    assert not path.exists()
    ran = spawn("move", "--to", str(path))
    assert ran.code == 2
    assert f"Move 2 jobs to sqlite://{path}? Nobody is here to answer: add -y" in ran.err
    assert states(bench.adapter, *ids) == [State.READY] * 2


def test_contexts_guard_both_ends(
    bench: Bench, there: Adapter, to: tuple[str, str], tmp_path: Path, call: Call, spawn: Any
) -> None:
    bench.add()
    assert call("context", "add", "look", to[1], "--read-only").code == 0
    assert call("context", "add", "live", to[1], "--production").code == 0
    assert call("move", "--to", "look", "-y").code == 77
    assert call("move", "-c", "look", "--to", str(tmp_path / "x.db"), "-y").code == 77
    assert "PRODUCTION (live): Move 1 job to" in spawn("move", "--to", "live").err
    assert call("move", "--to", "live", "-y").code == 0
    assert there.inspector.count() == 1


def test_what_and_where_must_be_said(bench: Bench, to: tuple[str, str], call: Call) -> None:
    for wrong in (
        (),
        ("someid",),
        ("--into", "q"),
        ("x", "-w", "queue:a", "--into", "q"),
        (*to, "-", "-w", "queue:a"),
        ("--put-back", *to),
        ("--to", str(bench.path)),
    ):
        assert call("move", *wrong, "-y").code == 2, wrong


def test_into_another_queue_of_the_same_broker(bench: Bench, call: Call, spawn: Any) -> None:
    one, two, three = *bench.add(2, queue="a"), *bench.add(queue="b")
    done = bench.fail(queue="c")
    ran = call("move", one, done, "nope", "--into", "z")
    assert ran.code == 3
    assert [(row["queue"], row["into"], row["moved"], row["note"]) for row in ran.rows if row["id"] != "nope"] == [
        ("a", "z", True, None),
        ("c", None, False, "it is dead already"),
    ]
    assert call("move", done[:35], "--into", "z", "--all").code == 0
    ran = call("move", "-w", "queue:a,b", "--into", "z", "-n")
    assert [(row["id"], row["note"]) for row in ran.rows] == [(two, "dry run"), (three, "dry run")]
    assert "add -y" in spawn("move", "-w", "queue:a,b", "--into", "z").err
    assert call("move", "-w", "queue:a,b", "--into", "z", "-y").code == 0
    assert {job.queue for job in bench.adapter.inspector.get([one, two, three, done]) if job} == {"z"}
    assert call("move", "-w", "queue:a", "--into", "z", "-y").code == 4


# --- half-way -----------------------------------------------------------------------------------------


def test_the_same_command_goes_on_and_the_doctor_tells(
    bench: Bench, there: Adapter, to: tuple[str, str], call: Call
) -> None:
    begun, other = bench.add(2)
    set_out(bench, there, begun)
    told = [row for row in call("doctor").rows if row["check"] == "moves"]
    assert told[0]["found"] == f"left on the way to {there.url} by a move, and run nowhere: 1 job"
    assert f"qtool move --to {there.url}" in told[0]["advice"]
    ran = call("move", *to, "nothing", "-y")
    assert (ran.code, [row["id"] for row in ran.rows]) == (0, [begun])
    assert "An earlier move left 1 job on the way there: that goes first." in ran.err
    assert states(there, begun, other) == [State.READY, None]
    assert not [row for row in call("doctor").rows if row["check"] == "moves"]


def test_a_failure_half_way_says_what_is_nowhere(
    bench: Bench, there: Adapter, to: tuple[str, str], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = bench.add(2)
    unload = SqliteFreight.unload

    def full(self: Any, trip: Any, parcels: Any) -> Any:
        if parcels:
            raise BrokerFull(url=there.url)
        return unload(self, trip, parcels)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteFreight, "unload", full)
        ran = call("move", *to, "-y")
    assert ran.code == 1
    assert "Left on the way: 2 jobs. They run nowhere until the same command goes on with them." in ran.err
    assert states(bench.adapter, *ids) == states(there, *ids) == [None, None]
    assert call("move", *to, "-y").code == 0
    assert states(there, *ids) == [State.READY] * 2


def test_ctrl_c_stops_between_two_batches(
    bench: Bench, there: Adapter, to: tuple[str, str], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(1_100)
    unload = SqliteFreight.unload

    def pressed(self: Any, trip: Any, parcels: Any) -> Any:
        if parcels:
            signal.raise_signal(signal.SIGINT)
        return unload(self, trip, parcels)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteFreight, "unload", pressed)
        ran = call("move", *to, "-y")
    assert ran.code == 130
    assert len(ran.rows) == 500
    assert "Interrupted: 500 jobs were moved; the others are where they were. The same command goes on." in ran.err
    assert (bench.adapter.inspector.count(), there.inspector.count()) == (600, 500)
    assert call("move", *to, "-y").code == 0
    assert there.inspector.count() == 1_100
    assert there.inspector.check() == bench.adapter.inspector.check() == []


def test_back_from_a_broker_that_is_gone(bench: Bench, there: Adapter, call: Call, spawn: Any) -> None:
    (id,) = bench.add()
    assert call("move", "--put-back", "-y").code == 4
    set_out(bench, there, id)
    assert call("move", "--put-back", "-n").code == 0
    assert "What has arrived there is in both places then. Nobody is here" in spawn("move", "--put-back").err
    ran = call("move", "--put-back", "-y")
    assert (ran.code, ran.rows[0]["id"], ran.rows[0]["moved"]) == (0, id, True)
    assert states(bench.adapter, id) == [State.READY]
