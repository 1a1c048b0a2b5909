"""The parts of a worker's voice that need no worker: numbers, addresses, lines, commands after jobs."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.clock import ManualClock
from qtool.engine.job import Chunk, Failure, Lease, Report, Settlement
from qtool.engine.states import Event, Reason, State
from qtool.engine.worker.notify import STATUS, Notify, Service
from qtool.engine.worker.reactor import Reactor
from qtool.errors import UsageError
from qtool.output import Format, Output
from qtool.working.echo import LONGEST, Echo
from qtool.working.echo import MOST as MOST_BEGUN
from qtool.working.log import Log
from qtool.working.metrics import EVERYWHERE, address, buckets
from qtool.working.on_finish import OnFinish
from qtool.working.run import telling
from qtool.working.tally import BOUNDS, MOST, OTHER, Histogram, Tally
from tests.worker.conftest import alive, eventually

if TYPE_CHECKING:
    from pathlib import Path


def settlement(
    state: State = State.SUCCEEDED, *, number: int = 0, task: str = "shop.send", seconds: float = 1.0, **fields: Any
) -> Settlement:
    lease = Lease(f"job-{number}", task, "mail", 1, 1, 0, 0, "", None, number, 100.0)
    event = {State.SUCCEEDED: Event.SUCCESS, State.READY: Event.SNOOZE}.get(state, Event.ERROR)
    return Settlement(lease, event, state, 102.0 + seconds, 102.0, **fields)


# --- numbers -----------------------------------------------------------------------------------------


def test_a_value_on_a_bound_counts_under_it() -> None:
    histogram = Histogram()
    for seconds in (BOUNDS[0], BOUNDS[0] * 1.01, BOUNDS[-1] * 2):
        histogram.add(seconds)
    counted = buckets(histogram)
    assert counted[0] == ("0.001", 1)
    assert counted[1] == ("0.005", 2)
    assert counted[-2:] == [("14400.0", 2), ("+Inf", 3)]


def test_runs_and_waits_are_counted_by_queue_and_task_and_what_goes_back_only_as_that() -> None:
    tally = Tally()
    tally.settled([settlement(seconds=0.5), settlement(State.DEAD), settlement(State.RETRY), settlement(State.READY)])
    row = tally.rows["mail", "shop.send"]
    assert row.ends == {"succeeded": 1, "dead": 1, "retry": 1, "returned": 1}
    assert (sum(row.run.counts), row.run.sum) == (3, 2.5)
    assert row.wait.sum == 6.0


def test_names_from_outside_do_not_grow_a_scrape_without_end() -> None:
    tally = Tally()
    tally.settled([settlement(task=f"task.{n}") for n in range(MOST + 50)])
    assert len(tally.rows) == MOST + 1
    assert tally.rows[OTHER].ends == {"succeeded": 50}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9100", ("127.0.0.1", 9100)),
        (":9100", (EVERYWHERE, 9100)),
        ("[::1]:9100", ("::1", 9100)),
        ("[::]:0", ("::", 0)),
        ("metrics.example.com:1", ("metrics.example.com", 1)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected


@pytest.mark.parametrize("text", ["9100", "localhost", "::1:9100", "localhost:", "localhost:65536", "a:b", "x:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address for metrics"):
        address(text)


# --- lines -------------------------------------------------------------------------------------------


def test_a_line_of_the_log_is_json_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(Output(Format.JSONL), json=True)
    log.worker = "me"
    log.say("warning", "two\nlines \ud800 \x1b[31m", id="x")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert line.isascii()
    assert (said["level"], said["worker"], said["message"], said["id"]) == (
        "warning",
        "me",
        "two\nlines \ud800 \x1b[31m",
        "x",
    )
    assert said["time"].endswith("Z")


@pytest.mark.parametrize(("level", "states"), [("info", 3), ("warning", 2), ("error", 1), ("debug", 3)])
def test_ends_have_the_level_that_they_deserve(level: str, states: int) -> None:
    log = Log(Output(Format.JSONL), json=True, level=level)
    failure = Failure(type="ValueError", message="no")
    batch = [settlement(), settlement(State.RETRY), settlement(State.DEAD, reason=Reason.FAILED, failure=failure)]
    lines = [json.loads(line) for line in log.ends(batch).splitlines()]
    assert len(lines) == states
    assert (lines[-1]["level"], lines[-1]["reason"], lines[-1]["error"]) == ("error", "failed", "ValueError: no")


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(Output(Format.JSONL), level="warning")
    log.say("info", "nobody asked")
    log.say("error", "look here", id="x")
    assert capsys.readouterr().err == "qtool: look here\n"


@pytest.mark.parametrize("wrong", [{"log_format": "xml"}, {"log_level": "loud"}, {"on_finish_states": ["ready"]}])
def test_words_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    said: dict[str, Any] = dict.fromkeys(("on_finish", "metrics", "log_format", "log_level")) | {"on_finish_states": ()}
    with pytest.raises(UsageError, match="Choose"):
        telling(**said | wrong)


# --- a command after each job --------------------------------------------------------------------------


def test_no_more_commands_than_allowed_run_at_once_and_none_waits_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "log"
    hooks = OnFinish(f"echo + >> {log}; sleep 0.02; echo - >> {log}", at_once=2)
    hooks.settled([settlement(number=n) for n in range(10)])
    assert hooks.finish() is None
    running = most = 0
    for word in log.read_text().split():
        running += 1 if word == "+" else -1
        most = max(most, running)
    assert (running, most, hooks.ran) == (0, 2, 10)


def test_whoever_is_behind_says_so_and_forgets_nothing(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    hooks = OnFinish(f"until [ -e {gate} ]; do sleep 0.01; done", at_once=1, waiting=2)
    hooks.settled([settlement(number=0)])
    eventually(lambda: not hooks._ends.qsize())
    began = time.monotonic()
    hooks.settled([settlement(number=1)])
    assert not hooks.behind()
    hooks.settled([settlement(number=n) for n in range(2, 6)])
    assert hooks.behind()
    assert time.monotonic() - began < 0.5
    gate.touch()
    assert hooks.finish() is None
    assert hooks.ran == 6
    assert not hooks.behind()


def test_a_command_that_runs_too_long_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hooks = OnFinish(f"sleep 600 & echo $! > {pid}; wait", limit=0.3)
    hooks.settled([settlement()])
    hooks.finish()
    assert hooks.trouble() == "the --on-finish command ran longer than 0.3 s and was killed, for job job-0"
    # It is nobody's child any more: gone, or waiting for init to notice.
    eventually(lambda: not alive(int(pid.read_text())))


def test_a_command_that_reads_nothing_is_no_failure() -> None:
    hooks = OnFinish("exit 0")
    failure = Failure(type="ValueError", message="x" * 200_000)
    hooks.settled([settlement(State.DEAD, failure=failure)])
    assert hooks.finish() is None
    assert hooks.failed == 0


def test_an_error_with_a_nul_in_it_reaches_the_command(tmp_path: Path) -> None:
    hooks = OnFinish(f'printf %s "$QTOOL_ERROR" > {tmp_path}/error')
    hooks.settled([settlement(State.DEAD, failure=Failure(type="E", message="a\0b\ud800c"))])
    hooks.finish()
    assert (tmp_path / "error").read_text() == "E: ab\\ud800c"


def test_the_threads_that_run_commands_keep_no_process_from_ending() -> None:
    hooks = OnFinish("exit 0")
    hooks.settled([settlement()])
    hooks.finish()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "on-finish")


# --- systemd -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": ""}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, None),
        ({"NOTIFY_SOCKET": "/run/x"}, (None,)),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "2000000"}, (2.0,)),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, (2.0,)),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, (None,)),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"}, (None,)),
    ],
)
def test_systemd_is_told_what_it_asks_for(environ: dict[str, str], expected: tuple[float | None] | None) -> None:
    notify = Notify.from_environ(environ)
    assert (notify and (notify.watchdog,)) == expected
    assert not environ


def test_a_manager_that_does_not_listen_stops_nothing(tmp_path: Path) -> None:
    Notify(str(tmp_path / "nobody")).send("READY=1")


class Ear(Notify):
    def __init__(self, watchdog: float | None) -> None:
        super().__init__("@nobody", watchdog)
        self.heard: list[str] = []

    def send(self, *lines: str) -> None:
        self.heard += lines


def test_it_is_ready_once_the_pool_serves_and_told_of_seldom() -> None:
    clock, ear = ManualClock(), Ear(watchdog=4.0)
    reactor = Reactor(clock)
    serves = False
    service = Service(ear, reactor, lambda: serves, lambda: "well")
    service.open()
    for _ in range(10):
        clock.advance(1.0)
        reactor.turn(sleep=False)
    assert set(ear.heard) == {"WATCHDOG=1"}
    assert len(ear.heard) == 6
    serves = True
    ear.heard.clear()
    for _ in range(int(4 * STATUS)):
        clock.advance(1.0)
        reactor.turn(sleep=False)
    assert ear.heard.count("READY=1") == 1
    assert 3 <= ear.heard.count("STATUS=well") <= 5
    reactor.close()


# --- what jobs write ---------------------------------------------------------------------------------


def texts(echo: Echo, *news: Report | Settlement) -> list[str]:
    return [f"{line.stream} {line.text}" for line in echo.lines(news)]


def test_pieces_become_lines_and_the_last_one_needs_no_end() -> None:
    echo = Echo()
    end = settlement(output=(Chunk("stdout", 11, b"ree"),))
    assert texts(echo, Report(end.lease, output=(Chunk("stdout", 0, b"one\ntw"), Chunk("stderr", 6, b"\xff\r\n")))) == [
        "stdout one",
        "stderr \\xff",
    ]
    assert texts(echo, Report(end.lease, output=(Chunk("stdout", 9, b"o\nth"),))) == ["stdout two"]
    assert texts(echo, end) == ["stdout three"]
    assert texts(echo, end) == ["stdout ree"]


def test_lines_of_different_jobs_do_not_mix() -> None:
    echo = Echo()
    first, second = settlement(number=1), settlement(number=2)
    for each, data in ((first, b"a"), (second, b"b"), (first, b"a")):
        assert texts(echo, Report(each.lease, output=(Chunk("log", 0, data),))) == []
    assert texts(echo, second, first) == ["log b", "log aa"]


def test_a_line_without_end_is_cut_and_forgotten_ones_do_not_pile_up() -> None:
    echo = Echo()
    lease = settlement().lease
    (cut,) = echo.lines([Report(lease, output=(Chunk("stdout", 0, b"x" * (LONGEST + 5)),))])
    assert len(cut.text) == LONGEST
    for number in range(MOST_BEGUN + 10):
        list(echo.lines([Report(settlement(number=number).lease, output=(Chunk("log", 0, b"x"),))]))
    assert len(echo._begun) == MOST_BEGUN
