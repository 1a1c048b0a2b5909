"""The commands that look."""

from __future__ import annotations

import csv
import io
import json
import threading
from typing import TYPE_CHECKING, Any

from qtool.engine.job import Chunk, Fail, Failure
from qtool.engine.states import Reason
from tests.cli.conftest import HOSTILE, Bench

if TYPE_CHECKING:
    import pytest

Call = Any


def test_queues_tell_depth_and_who_serves_them(bench: Bench, call: Call) -> None:
    bench.add(3, queue="email")
    bench.claim(queue="email")
    bench.fail(queue="bulk")
    rows = {row["queue"]: row for row in call("queues").rows}
    assert (rows["email"]["ready"], rows["email"]["running"], rows["email"]["workers"]) == (2, 1, 1)
    assert rows["bulk"]["dead"] == 1
    assert rows["email"]["oldest_ready_at"].endswith("Z")


def test_one_queue_is_asked_for_by_name(bench: Bench, call: Call) -> None:
    bench.add(queue="a")
    bench.add(queue="b")
    assert [row["queue"] for row in call("queues", "-Q", "a").rows] == ["a"]
    ran = call("queues", "-Q", "nope")
    assert ran.code == 4
    assert ran.err == "qtool: No queue 'nope' here. 'qtool queues' lists them.\n"


def test_jobs_are_filtered_limited_and_ordered(bench: Bench, call: Call) -> None:
    ids = bench.add(5, queue="a")
    bench.add(2, queue="b")
    assert [row["id"] for row in call("jobs", "-Q", "a").rows] == ids[::-1]
    assert [row["id"] for row in call("jobs", "--oldest", "--limit", "2").rows] == ids[:2]
    assert len(call("jobs", "-w", "queue:b", "-s", "ready").rows) == 2
    assert call("jobs", "-s", "dead").rows == []
    assert len(call("jobs", "-s", "dead,ready").rows) == 7
    ran = call("jobs", "-s", "ready,wat")
    assert ran.code == 2
    assert "'wat' is not a state: use waiting, scheduled," in ran.err


def test_a_listing_longer_than_a_page_is_complete(bench: Bench, call: Call) -> None:
    ids = bench.add(523)
    assert call("jobs", "--limit", "0", "--oldest", "-o", "ids").out.split() == ids
    assert len(call("jobs", "--limit", "401", "-o", "ids").out.split()) == 401


def test_a_filter_that_does_not_parse_is_a_usage_error(bench: Bench, call: Call) -> None:
    ran = call("jobs", "-w", "state:")
    assert ran.code == 2
    assert "column" in ran.err


def test_hostile_text_survives_in_machine_formats(bench: Bench, call: Call) -> None:
    bench.add(args=(HOSTILE,))
    assert json.loads(call("jobs", "-o", "json").out)[0]["args"] == [HOSTILE]
    assert call("jobs").rows[0]["args"] == [HOSTILE]
    for ran in (call("jobs", "-o", "json"), call("jobs", "-o", "csv"), call("jobs", "-o", "tsv"), call("jobs")):
        assert ran.code == 0
        assert ran.out.isascii()
        assert "\x1b" not in ran.out
        assert "\x00" not in ran.out


def test_csv_and_tsv_have_one_header_and_the_same_columns(bench: Bench, call: Call) -> None:
    bench.add(kwargs={"text": 'a,"b"\nc\td'}, tags={"team": "x"})
    (row,) = csv.DictReader(io.StringIO(call("jobs", "-o", "csv").out))
    assert json.loads(row["kwargs"]) == {"text": 'a,"b"\nc\td'}
    header, line = call("jobs", "-o", "tsv").out.splitlines()
    assert header.split("\t") == list(row)
    assert len(line.split("\t")) == len(row)


def test_rows_without_an_id_have_no_ids(bench: Bench, call: Call) -> None:
    bench.run()
    ran = call("stats", "-o", "ids")
    assert ran.code == 2
    assert "choose another -o" in ran.err


def test_json_of_nothing_is_an_empty_array(bench: Bench, call: Call) -> None:
    assert json.loads(call("jobs", "-o", "json").out) == []


def test_show_tells_the_attempts(bench: Bench, call: Call) -> None:
    id = bench.fail("no such host")
    (row,) = call("show", id).rows
    assert row["error"]["message"] == "no such host"
    assert [attempt["attempt"] for attempt in row["attempts"]] == [1]


def test_an_id_may_be_shortened_to_what_is_unique(bench: Bench, call: Call) -> None:
    first, second = bench.add(2)
    assert call("show", first[:-1]).rows[0]["id"] == first
    assert call("show", second[:18] + "…").rows[0]["id"] == second
    ran = call("show", first[:8])
    assert ran.code == 2
    assert "begins more than one id" in ran.err
    assert call("show", "nope").code == 4


def test_the_result_is_json_and_its_absence_an_exit_code(bench: Bench, call: Call) -> None:
    ran = call("result", bench.run())
    assert (ran.code, ran.out) == (0, "42\n")
    ran = call("result", bench.fail("boom"))
    assert (ran.code, ran.out) == (1, "")
    assert "boom" in ran.err
    (waiting,) = bench.add()
    ran = call("result", waiting)
    assert ran.code == 1
    assert "--wait" in ran.err
    assert call("result", "nope").code == 4
    assert call("result", "--timeout", "50ms", waiting).code == 124


def test_wait_passes_on_how_jobs_ended(bench: Bench, call: Call) -> None:
    good, bad, crashed = bench.run(), bench.exit(7), bench.fail()
    killed = bench.run(Fail(Failure(type="Signal", message="killed", signal=9)))
    assert call("wait", good).code == 0
    assert call("wait", bad).code == 7
    ran = call("wait", good, bad)
    assert ran.code == 3
    assert call("wait", bad, crashed).code == 1
    assert call("wait", good, bench.run()).code == 0
    assert [(row["id"], row["exit_code"]) for row in ran.rows] == [(good, 0), (bad, 7)]
    assert call("wait", crashed).code == 1
    assert call("wait", killed).code == 137
    late = bench.run(Fail(Failure(type="Timeout", message="too long"), reason=Reason.TIMEOUT))
    assert call("wait", late).code == 124
    assert call("wait", "nope").code == 125
    assert call("wait", "--timeout", "wat", good).code == 2


def test_wait_times_out(bench: Bench, call: Call) -> None:
    (id,) = bench.add()
    ran = call("wait", "--timeout", "50ms", id)
    assert ran.code == 124
    assert "did not finish within 0.05 s" in ran.err


def test_wait_any_leaves_with_the_first(bench: Bench, call: Call) -> None:
    (waiting,) = bench.add()
    done = bench.run(queue="other")
    ran = call("wait", "--any", waiting, done)
    assert ran.code == 0
    assert [row["id"] for row in ran.rows] == [done]


def test_wait_takes_ids_from_stdin(bench: Bench, spawn: Call) -> None:
    id, other = bench.run(), bench.exit(7)
    assert spawn("wait", stdin=f"{id}\n\n").code == 0
    assert spawn("wait", "-", stdin=json.dumps({"id": other}) + "\n").code == 7
    assert spawn("wait", stdin="{}\n").code == 2
    assert spawn("wait", stdin="").code == 2


def test_a_waiting_process_is_woken_by_the_end_of_the_job(bench: Bench, call: Call) -> None:
    (id,) = bench.add()
    (lease,) = bench.claim()
    timer = threading.Timer(0.2, bench.end, [lease])
    timer.start()
    try:
        assert call("wait", "--timeout", "20s", id).code == 0
    finally:
        timer.join()


OUTPUT = (
    Chunk("stdout", 0, b"\x1b[32mgreen\x1b[0m\x1b]0;title\x07\n"),
    Chunk("stderr", 25, b"caf\xc3\xa9 \xff\n"),
)


def test_logs_in_a_pipe_are_the_bytes(bench: Bench, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    from qtool.__main__ import main

    id = bench.run(output=OUTPUT)
    assert main(["logs", id]) == 0
    assert capfdbinary.readouterr().out == OUTPUT[0].data + OUTPUT[1].data
    assert main(["logs", "--stderr", id]) == 0
    assert capfdbinary.readouterr().out == OUTPUT[1].data


def test_logs_as_rows_keep_every_byte(bench: Bench, call: Call) -> None:
    id = bench.run(output=OUTPUT)
    rows = call("logs", "-o", "jsonl", id).rows
    assert [(row["stream"], row["offset"]) for row in rows] == [("stdout", 0), ("stderr", 25)]
    assert rows[1]["text"].encode("utf-8", "surrogateescape") == OUTPUT[1].data
    assert call("logs", "-o", "csv", id).code == 2
    assert call("logs", "nope").code == 4


def test_following_goes_on_until_the_job_has_ended(bench: Bench, call: Call) -> None:
    (id,) = bench.add()

    def work() -> None:
        (lease,) = bench.claim()
        bench.end(lease, output=[Chunk("stdout", 0, b"late\n")])

    timer = threading.Timer(0.2, work)
    timer.start()
    try:
        ran = call("logs", "-f", id)
    finally:
        timer.join()
    assert (ran.code, ran.out) == (0, "late\n")


def test_dropped_output_is_told(bench: Bench, call: Call) -> None:
    id = bench.run(output=[Chunk("stdout", 0, b"begin"), Chunk("stdout", 1005, b"end")])
    ran = call("logs", id)
    assert ran.out == "beginend"
    assert "1,000 bytes were dropped" in ran.err
    assert call("logs", "-q", id).err == ""


def test_a_worker_is_scaled_by_the_beginning_of_its_id(bench: Bench, call: Call) -> None:
    bench.run(queue="a")
    (worker,) = call("workers").rows
    assert call("workers", "list").rows == call("workers").rows
    (row,) = call("workers", "scale", worker["id"][:2], "2:8").rows
    assert row == {"id": worker["id"], "before": worker["slots"], "least": 2, "most": 8, "note": None}
    renewal = bench.adapter.broker.extend(bench.adapter.inspector.snapshot().workers[0], [])
    assert renewal.slots == (2, 8)
    missing = call("workers", "scale", "zzz", "4")
    assert (missing.code, "No worker 'zzz' here" in missing.err) == (4, True)
    wrong = call("workers", "scale", worker["id"], "8:2")
    assert (wrong.code, "'8:2' is not a number of slots" in wrong.err) == (2, True)


def test_workers_and_stats(bench: Bench, call: Call) -> None:
    bench.run(queue="a")
    bench.fail(queue="b")
    assert {row["state"] for row in call("workers").rows} == {"busy"}
    rows = call("stats", "--since", "10m", "--step", "10m").rows
    assert {row["queue"]: (row["succeeded"], row["dead"]) for row in rows} == {"a": (1, 0), "b": (0, 1)}
    assert {row["queue"] for row in call("stats", "-Q", "b").rows} == {"b"}
    assert call("stats", "--since", "soon").code == 2
