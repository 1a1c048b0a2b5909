"""What a worker tells others: a command after each job, metrics, systemd, a log for machines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from qtool.engine.job import Policy
from qtool.engine.states import State
from tests.worker.conftest import PATIENCE, ROOT, Shop, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


# --- on-finish ---------------------------------------------------------------------------------------


def test_on_finish_runs_once_for_each_final_end_and_is_told_everything(shop: Shop) -> None:
    log = shop.directory / "log"
    log.mkdir()
    good, bad, again = (
        shop.add("echo", 7, queue="mail"),
        shop.add("fail", "a 'quoted'\nmessage"),
        shop.add("flaky", str(shop.directory / "tries")),
    )
    told = {}
    command = 'printf "%s|" "$QTOOL_STATE" "$QTOOL_TASK" "$QTOOL_REASON" "$QTOOL_ATTEMPT"; cat'
    assert shop.burst("--on-finish", f"{{ {command}; }} >> {log}/$QTOOL_JOB_ID") == 0
    for file in log.iterdir():
        state, task, reason, attempt, event = file.read_text().split("|", 4)
        row = json.loads(event)
        assert event.endswith("}\n")
        assert file.name == row["id"]
        told[row["id"]] = (state, task.rpartition(".")[2], reason, attempt, row["kind"], row["queue"], row["error"])
    assert told == {
        good: ("succeeded", "echo", "", "1", "succeeded", "mail", None),
        bad: ("dead", "fail", "failed", "1", "dead", "default", "ValueError: a 'quoted'\nmessage"),
        again: ("succeeded", "flaky", "", "3", "succeeded", "default", None),
    }


def test_every_variable_is_there_and_the_outcome_is_stored_by_then(shop: Shop) -> None:
    log = shop.directory / "log"
    job = shop.add("fail", "no")
    qtool = f"{sys.executable} -m qtool"
    command = f"env | grep ^QTOOL_ | sort > {log}; {qtool} jobs -o ids -w state:dead > {log}.ids"
    assert shop.burst("--on-finish", command) == 0
    said = dict(line.split("=", 1) for line in log.read_text().splitlines())
    assert float(said.pop("QTOOL_SECONDS")) >= 0
    expected = {
        "QTOOL_ATTEMPT": "1",
        "QTOOL_BROKER": shop.url,
        "QTOOL_ERROR": "ValueError: no",
        "QTOOL_JOB_ID": job,
        "QTOOL_QUEUE": "default",
        "QTOOL_REASON": "failed",
        "QTOOL_STATE": "dead",
        "QTOOL_TASK": "tests.worker.app.fail",
    }
    assert {name: said.get(name) for name in expected} == expected
    assert (shop.directory / "log.ids").read_text().split() == [job]


def test_on_finish_may_be_for_some_states_only(shop: Shop) -> None:
    log = shop.directory / "log"
    shop.add("echo", 7)
    bad = shop.add("fail", "no")
    assert shop.burst("--on-finish-state", "dead,cancelled", "--on-finish", f"echo $QTOOL_JOB_ID >> {log}") == 0
    assert log.read_text().split() == [bad]


def test_a_burst_waits_for_every_on_finish_command(shop: Shop) -> None:
    log = shop.directory / "log"
    shop.add_many("echo", 200)
    assert shop.burst("--on-finish", f"echo $QTOOL_JOB_ID >> {log}") == 0
    assert len(set(log.read_text().split())) == 200


def test_a_worker_that_is_faster_than_its_on_finish_commands_waits_for_them(shop: Shop) -> None:
    log, gate = shop.directory / "log", shop.directory / "gate"
    ids = shop.add_many("echo", 4000)
    command = f"until [ -e {gate} ]; do sleep 0.05; done; echo $QTOOL_JOB_ID >> {log}"
    worker = shop.start("--burst", "-j", "2", "--on-finish", command)
    eventually(lambda: shop.count(State.SUCCEEDED) >= 1000)
    with pytest.raises(AssertionError, match="not within"):
        # Without a brake it takes the rest in a moment.
        eventually(lambda: shop.count(State.SUCCEEDED) > 3500, within=2)
    gate.touch()
    assert worker.wait(PATIENCE) == 0
    assert sorted(log.read_text().split()) == sorted(ids)


def test_on_finish_from_the_configuration(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    log = shop.directory / "log"
    config = shop.directory / "config.toml"
    config.write_text(f'[worker]\non_finish = "echo $QTOOL_STATE >> {log}"\non_finish_state = "dead"\n')
    monkeypatch.setenv("QTOOL_CONFIG", str(config))
    shop.add("echo", 7)
    shop.add("fail", "no")
    assert shop.burst() == 0
    assert log.read_text() == "dead\n"


def test_what_an_on_finish_command_prints_is_not_among_the_events(shop: Shop) -> None:
    job = shop.add("echo", 1)
    assert shop.burst("--on-finish", "echo I was there") == 0
    assert [event["id"] for event in shop.events] == [job, job]
    assert "I was there" in shop.stderr


def test_an_on_finish_command_that_fails_is_said_once_and_holds_up_nothing(shop: Shop) -> None:
    jobs = shop.add_many("echo", 20)
    assert shop.burst("--on-finish", "exit 3") == 0
    assert all(shop.job(id).state is State.SUCCEEDED for id in jobs)
    assert shop.stderr.count("--on-finish command exited with 3") == 1
    assert "20 of 20 --on-finish commands failed" in shop.stderr


def test_jobs_run_on_while_on_finish_commands_hang_and_a_signal_ends_the_waiting(shop: Shop) -> None:
    pids = shop.directory / "pids"
    jobs = shop.add_many("echo", 30)
    worker = shop.start("--on-finish", f"echo $$ >> {pids}; exec sleep 600")
    for id in jobs:
        shop.until(id, State.SUCCEEDED)
    eventually(lambda: pids.exists() and len(pids.read_text().split()) == 4)
    worker.send_signal(signal.SIGTERM)
    eventually(lambda: not shop.adapter.inspector.snapshot().workers)
    # As often as it takes: one that comes while the worker signs off is not heard.
    while worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(0.2)
    assert worker.returncode == 0
    assert "30 jobs ended without their --on-finish command" in shop.stderr
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.read_text().split())


def test_a_state_that_no_job_ends_in_is_refused(shop: Shop) -> None:
    assert shop.burst("--on-finish", "true", "--on-finish-state", "retry") == 2
    assert "No job ends as 'retry' at a worker" in shop.stderr


# --- metrics -----------------------------------------------------------------------------------------


def free_port(family: socket.AddressFamily = socket.AF_INET) -> int:
    with socket.socket(family) as sock:
        sock.bind(("::1" if family is socket.AF_INET6 else "127.0.0.1", 0))
        return int(sock.getsockname()[1])


def scrape(url: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name and sorted label values."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[key] = sample.value
    return found


def test_a_scrape_tells_what_the_worker_did(shop: Shop) -> None:
    jobs = [shop.add("echo", n, queue="mail") for n in range(5)]
    jobs += [shop.add("fail", "no"), shop.add("fail", "no", policy=Policy(retries=1, backoff=0.01))]
    port = free_port()
    worker = shop.start("--metrics", f"127.0.0.1:{port}", "-j", "3", "-q")
    for id in jobs:
        shop.until(id)
    url = f"http://127.0.0.1:{port}/metrics"
    # Counted when it was stored, a moment after the store can be asked.
    eventually(lambda: sum(scrape(url)["qtool_worker_jobs_total"].values()) == 8)
    said = scrape(url)
    app = "tests.worker.app"
    assert said["qtool_worker_jobs_total"] == {
        ("succeeded", "mail", f"{app}.echo"): 5,
        ("dead", "default", f"{app}.fail"): 2,
        ("retry", "default", f"{app}.fail"): 1,
    }
    assert said["qtool_worker_run_seconds_count"] == {("mail", f"{app}.echo"): 5, ("default", f"{app}.fail"): 3}
    assert said["qtool_worker_wait_seconds_bucket"]["+Inf", "mail", f"{app}.echo"] == 5
    run = [said["qtool_worker_run_seconds_bucket"][le, "mail", f"{app}.echo"] for le in ("0.001", "0.1", "14400.0")]
    assert run == sorted(run)
    assert run[-1] == 5
    assert (said["qtool_worker_slots"], said["qtool_worker_running"]) == ({(): 3}, {(): 0})
    assert said["qtool_worker_claimed_jobs_total"][()] >= 8
    assert 0 < said["qtool_worker_settle_batches_total"][()] <= 8
    assert said["qtool_worker_broker_errors_total"] == said["qtool_worker_child_deaths_total"] == {(): 0}
    assert "process_resident_memory_bytes" in said
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_an_open_scrape_does_not_keep_the_worker_from_ending(shop: Shop) -> None:
    port = free_port()
    worker = shop.start("--metrics", f"127.0.0.1:{port}")
    eventually(lambda: "metrics at" in shop.stderr)
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"GET /metrics HTTP/1.1\r\n")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0


def test_children_that_die_are_counted(shop: Shop) -> None:
    port = free_port()
    shop.start("--metrics", f"127.0.0.1:{port}", "-j", "1")
    shop.until(shop.add("crash", "exit"))
    assert scrape(f"http://127.0.0.1:{port}/metrics")["qtool_worker_child_deaths_total"][()] >= 3


def test_a_port_in_use_ends_the_worker_at_its_start_and_says_so(shop: Shop) -> None:
    job = shop.add("echo", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert shop.burst("--metrics", f"127.0.0.1:{port}") == 1
    assert f"Metrics cannot be served at 127.0.0.1:{port}: Address already in use" in shop.stderr
    assert shop.job(job).state is State.READY


def test_metrics_on_ipv6(shop: Shop) -> None:
    try:
        port = free_port(socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    shop.start("--metrics", f"[::1]:{port}")
    eventually(lambda: "metrics at" in shop.stderr)
    assert scrape(f"http://[::1]:{port}/metrics")["qtool_worker_slots"][()] >= 1


def test_metrics_without_their_library_are_refused(shop: Shop) -> None:
    words = ["worker", "-b", shop.url, "--burst", "--metrics", "127.0.0.1:0"]
    script = f"import sys; sys.modules['prometheus_client'] = None; from qtool.__main__ import main; main({words!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "pip install 'qtool[metrics]'" in done.stderr


# --- systemd -----------------------------------------------------------------------------------------


class Manager:
    """The service manager's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0"))
        self.socket.settimeout(20)

    def until(self, line: str) -> list[str]:
        """All lines up to the message that has this one."""
        lines: list[str] = []
        while line not in lines:
            lines += self.socket.recv(4096).decode().split("\n")
        return lines


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "file" else f"@qtool-test-{os.getpid()}"
    manager = Manager(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    yield manager
    manager.socket.close()


def test_systemd_is_told_when_the_worker_serves_and_when_it_stops(shop: Shop, manager: Manager) -> None:
    worker = shop.start("-j", "1")
    before = manager.until("READY=1")
    assert "WATCHDOG=1" not in before
    assert manager.until("STATUS=0 running, 0 ended, 0 of them dead")
    shop.until(shop.add("echo", 1))
    worker.send_signal(signal.SIGTERM)
    assert manager.until("STOPPING=1")
    assert worker.wait(20) == 0


def test_an_app_that_does_not_import_is_never_ready(shop: Shop, manager: Manager) -> None:
    assert shop.burst("-A", "tests.worker.no_such_app", apps=False) == 2
    manager.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        manager.until("READY=1")


def test_the_watchdog_is_fed_by_the_supervisor_and_starves_when_that_hangs(
    shop: Shop, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    worker = shop.start("-j", "1")
    manager.until("READY=1")
    for _ in range(3):
        manager.until("WATCHDOG=1")
    worker.send_signal(signal.SIGSTOP)
    manager.socket.settimeout(1.0)
    with pytest.raises(TimeoutError):
        manager.until("never said")
    worker.send_signal(signal.SIGCONT)
    manager.socket.settimeout(20)
    manager.until("WATCHDOG=1")


def test_the_variables_of_systemd_do_not_reach_jobs(shop: Shop, manager: Manager) -> None:
    job = shop.command("echo $NOTIFY_SOCKET", shell=True)
    assert shop.burst() == 0
    assert shop.output(job) == b"\n"


# --- a log for machines ------------------------------------------------------------------------------


def lines(shop: Shop) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shop.stderr.splitlines()]


def test_all_that_a_worker_says_is_json_and_says_which_job_it_is_about(shop: Shop) -> None:
    good, bad = shop.add("echo", 1), shop.add("fail", "no", policy=Policy(retries=1, backoff=0.01))
    assert shop.burst("--log-format", "json", "-q", "--log-level", "info") == 0
    said = lines(shop)
    assert not (shop.directory / "out").read_text()
    assert {"time", "level", "worker", "message"} <= set.intersection(*map(set, said))
    assert len({line["worker"] for line in said}) == 1
    ends = {(line["id"], line["state"]): line for line in said if "state" in line}
    assert set(ends) == {(good, "succeeded"), (bad, "retry"), (bad, "dead")}
    dead = ends[bad, "dead"]
    assert (dead["level"], dead["error"], dead["reason"], dead["attempt"], dead["queue"], dead["task"]) == (
        "error",
        "ValueError: no",
        "failed",
        2,
        "default",
        "tests.worker.app.fail",
    )
    assert (ends[bad, "retry"]["level"], ends[good, "succeeded"]["level"]) == ("warning", "info")
    assert said[-1]["message"].startswith("2 jobs: 1 succeeded, 1 dead")
    assert (said[-1]["succeeded"], said[-1]["dead"]) == (1, 1)


def test_the_level_says_what_is_left_out(shop: Shop) -> None:
    shop.add("echo", 1)
    shop.add("fail", "no")
    assert shop.burst("--log-format", "json", "--log-level", "error") == 0
    (only,) = lines(shop)
    assert only["state"] == "dead"


def test_an_error_that_ends_the_worker_is_json_too(shop: Shop) -> None:
    assert shop.burst("--log-format", "json", "-A", "tests.worker.no_such_app", apps=False) == 2
    last = lines(shop)[-1]
    assert (last["level"], last["error"]) == ("error", "AppNotImported")
    assert "tests.worker.no_such_app" in last["message"]


def test_text_stays_text(shop: Shop) -> None:
    shop.add("fail", "no")
    assert shop.burst() == 0
    assert [line.split()[0] for line in shop.stderr.splitlines()] == ["qtool:", "qtool:"]


def test_a_format_that_is_none_is_refused(shop: Shop) -> None:
    assert shop.burst("--log-format", "xml") == 2
    assert "There is no log format 'xml'" in shop.stderr


# --- what jobs write ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_echo_copies_what_jobs_write_line_by_line(shop: Shop, pool: str) -> None:
    said, command = shop.add("say", "hello"), shop.command("printf 'one\\ntwo'; echo three >&2", shell=True)
    assert shop.burst("--echo", "-q", "--pool", pool) == 0
    lines = sorted(line for line in shop.stderr.splitlines() if said in line or command in line)
    assert lines == sorted(
        [
            f"qtool: tests.worker.app.say {said}: hello",
            f"qtool: tests.worker.app.say {said}: WARNING shop: hello",
            *(f"qtool: qtool.exec {command}: {word}" for word in ("one", "two", "three")),
        ]
    )


def test_echo_follows_a_job_that_still_runs(shop: Shop) -> None:
    job = shop.add("advance", 600)
    worker = shop.start("--echo", "--log-format", "json")
    eventually(lambda: '"working"' in shop.stderr)
    (line,) = [line for line in lines(shop) if line["message"] == "working"]
    assert (line["id"], line["stream"], line["task"], line["attempt"]) == (job, "stdout", "tests.worker.app.advance", 1)
    # Two kinds: two of a kind may arrive as one.
    for signum in (signal.SIGTERM, signal.SIGINT):
        worker.send_signal(signum)
    assert worker.wait(20) == 0
