"""The commands that change jobs and queues."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.broker import WorkerInfo
from qtool.engine.brokers.sqlite.operate import SqliteOperator
from qtool.engine.states import State

if TYPE_CHECKING:
    from tests.cli.conftest import Bench

Call = Any


def states(bench: Bench, *ids: str) -> list[State | None]:
    return [job.state if job else None for job in bench.adapter.inspector.get(ids)]


def test_retry_reports_on_every_job(bench: Bench, call: Call) -> None:
    dead = bench.fail(queue="q")
    (ready,) = bench.add()
    ran = call("retry", dead, ready, "nope")
    assert ran.code == 3
    assert [(row["before"], row["after"], row["changed"]) for row in ran.rows] == [
        ("dead", "ready", True),
        ("ready", "ready", False),
        (None, None, False),
    ]
    assert call("retry", "nope").code == 4


def test_ids_come_from_stdin(bench: Bench, spawn: Any) -> None:
    ids = bench.add(3)
    ran = spawn("cancel", "-", stdin="\n".join(ids) + "\n")
    assert ran.code == 0
    assert states(bench, *ids) == [State.CANCELLED] * 3
    ran = spawn("retry", "-", stdin="".join(json.dumps({"id": id}) + "\n" for id in ids))
    assert ran.code == 0
    assert states(bench, *ids) == [State.READY] * 3


def test_a_filter_needs_a_yes_where_nobody_can_answer(bench: Bench, spawn: Any) -> None:
    ids = bench.add(2)
    for extra in ((), ("-o", "json"), ("-q",)):
        ran = spawn("cancel", "-w", "queue:default", *extra)
        assert ran.code == 2
        assert "Cancel 2 jobs? Nobody is here to answer: add -y" in ran.err
    assert states(bench, *ids) == [State.READY] * 2
    assert spawn("cancel", "-w", "queue:default", "-y").code == 0
    assert states(bench, *ids) == [State.CANCELLED] * 2


def test_a_dry_run_tells_and_does_not(bench: Bench, call: Call) -> None:
    ids = bench.add(2)
    ran = call("cancel", "-w", "queue:default", "-n")
    assert ran.code == 0
    assert {(row["before"], row["after"]) for row in ran.rows} == {("ready", "cancelled")}
    assert call("cancel", "-n", ids[0]).rows[0]["note"].startswith("dry run")
    assert states(bench, *ids) == [State.READY] * 2
    assert call("purge", "default", "-n").rows[0]["deleted"] == 0
    assert states(bench, *ids) == [State.READY] * 2


def test_a_filter_without_a_state_retries_only_the_dead(bench: Bench, call: Call) -> None:
    good, bad = bench.run(queue="q"), bench.fail(queue="q")
    assert [row["id"] for row in call("retry", "-w", "queue:q", "-y").rows] == [bad]
    assert states(bench, good, bad) == [State.SUCCEEDED, State.READY]
    assert [row["id"] for row in call("retry", "-w", "queue:q state:succeeded", "-y").rows] == [good]


def test_acting_on_more_than_a_page(bench: Bench, call: Call) -> None:
    ids = bench.add(1_203)
    ran = call("cancel", "-w", "queue:default", "-y")
    assert ran.code == 0
    assert sorted(row["id"] for row in ran.rows) == ids
    assert bench.adapter.inspector.snapshot().queues[0].counts[State.CANCELLED] == 1_203


def test_which_jobs_must_be_said_once(bench: Bench, call: Call) -> None:
    assert call("retry").code == 2
    assert call("retry", "x", "-w", "queue:a").code == 2
    assert call("cancel", "-w", "queue:nothing", "-y").code == 4


def test_a_running_job_is_asked_to_stop(bench: Bench, call: Call) -> None:
    (id,) = bench.add()
    bench.claim()
    ran = call("cancel", id, "--no-wait")
    assert ran.code == 0
    assert ran.rows[0]["note"] == "asked to stop"


@pytest.mark.parametrize("verb", ["cancel", "kill"])
def test_a_job_that_does_not_stop_is_told_as_still_running(bench: Bench, call: Call, verb: str) -> None:
    silent, live, waiting = bench.add(3)
    bench.claim(worker="live")
    bench.claim(worker="gone")
    bench.adapter.broker.extend(stale("gone"), [])
    ran = call(verb, silent, live, waiting, "--wait", "50ms")
    assert ran.code == 3
    notes = {row["id"]: (row["after"], row["changed"], row["note"]) for row in ran.rows}
    assert notes[waiting] == ("cancelled", True, None)
    told = sorted(notes[id] for id in (silent, live))
    assert told[0] == ("running", False, "asked to stop; still running")
    assert told[1] == ("running", False, "asked to stop; still running: its worker gone gives no sign of life")


@pytest.mark.parametrize("verb", ["cancel", "kill"])
def test_a_job_that_ends_otherwise_while_it_is_asked_to_stop_was_not_cancelled(
    bench: Bench, call: Call, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id,) = bench.add()
    (lease,) = bench.claim()
    asked = getattr(SqliteOperator, verb)

    def and_ends(self: Any, ids: Any) -> Any:
        changes = asked(self, ids)
        bench.end(lease)
        return changes

    monkeypatch.setattr(SqliteOperator, verb, and_ends)
    ran = call(verb, id)
    assert ran.code == 3
    assert (ran.rows[0]["after"], ran.rows[0]["note"]) == ("succeeded", "it had ended by itself")


def stale(name: str) -> WorkerInfo:
    """A worker that was last seen a minute ago."""
    then = time.time() - 60
    return WorkerInfo(
        id=name, host="here", pid=1, queues=(), pool="thread", slots=1, busy=1, started_at=then, seen_at=then
    )


def test_a_filter_without_a_state_kills_only_what_runs(bench: Bench, call: Call) -> None:
    ids = bench.add(2)
    (lease,) = bench.claim()
    ran = call("kill", "-w", "queue:default", "-y", "--no-wait")
    assert ran.code == 0
    assert [(row["id"], row["note"]) for row in ran.rows] == [(lease.id, "to be killed")]
    assert sorted(map(str, states(bench, *ids))) == ["ready", "running"]


def test_purge_tells_counts_and_what_remains(bench: Bench, call: Call) -> None:
    bench.run(queue="q")
    ids = bench.add(4, queue="q")
    bench.claim(queue="q")
    bench.add(2, queue="other")
    ran = call("purge", "q", "-y")
    assert ran.code == 0
    assert ran.rows == [{"queue": "q", "deleted": 4, "remaining": 1, "running": 1}]
    assert "to delete: 4 jobs of q (3 ready, 1 succeeded)" in ran.err
    assert states(bench, *ids) == [State.RUNNING, None, None, None]
    assert bench.adapter.inspector.count() == 3


def test_purge_can_say_less(bench: Bench, call: Call) -> None:
    done = bench.run(queue="q")
    (mine,) = bench.add(queue="q", task="mine")
    (theirs,) = bench.add(queue="q", task="theirs")
    call("purge", "q", "-s", "succeeded", "-y")
    assert states(bench, done, mine) == [None, State.READY]
    call("purge", "q", "--older-than", "1h", "-y")
    assert states(bench, mine, theirs) == [State.READY, State.READY]
    call("purge", "q", "-w", "task:nothing or task:mine", "-y")
    assert states(bench, mine, theirs) == [None, State.READY]


def test_purge_refuses_a_queue_that_is_not_there(bench: Bench, call: Call) -> None:
    (id,) = bench.add()
    assert call("purge", "default", "nope", "-y").code == 4
    assert states(bench, id) == [State.READY]
    assert call("purge", "default").code == 2
    assert states(bench, id) == [State.READY]


def test_pause_and_resume(bench: Bench, call: Call) -> None:
    bench.add(queue="q")
    assert call("pause", "q").rows == [{"queue": "q", "paused": True, "changed": True}]
    assert call("pause", "q").rows[0]["changed"] is False
    assert bench.claim(queue="q") == []
    assert call("resume", "q").rows == [{"queue": "q", "paused": False, "changed": True}]
    assert len(bench.claim(queue="q")) == 1
