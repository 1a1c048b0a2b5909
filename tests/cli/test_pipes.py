"""qtool among other processes: pipes that close, streams that are not there, disks that are full."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from qtool.engine.states import State
from tests.cli.conftest import HOSTILE, Bench

Shell = Any


@pytest.mark.parametrize("format", ["table", "jsonl", "json", "csv", "tsv", "ids"])
def test_a_reader_that_leaves_ends_it_quietly(bench: Bench, shell: Shell, format: str) -> None:
    bench.add(3_000, args=("x" * 100,))
    ran = shell(f"qtool jobs --limit 0 -o {format} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("\n") == 1


def test_a_change_is_not_stopped_by_a_reader_that_leaves(bench: Bench, shell: Shell) -> None:
    ids = bench.add(3_000)
    ran = shell("qtool cancel -y -w queue:default | head -1")
    assert (ran.code, ran.err) == (0, "")
    assert bench.adapter.inspector.snapshot().queues[0].counts[State.CANCELLED] == len(ids)


def test_jq_reads_it(bench: Bench, shell: Shell) -> None:
    bench.add(2, args=(HOSTILE,))
    assert shell("qtool jobs -o json | jq length").out == "2\n"
    assert shell("qtool jobs | jq -r .state").out == "ready\nready\n"
    assert shell("qtool jobs -o json | jq -e 'all(.args[0] | startswith(\"\\u001b[31mred\"))'").code == 0


def test_a_full_disk_is_told(bench: Bench, shell: Shell) -> None:
    bench.add()
    for format in ("jsonl", "table", "csv"):
        ran = shell(f"qtool jobs -o {format} > /dev/full")
        assert ran.code == 1
        assert ran.err == "qtool: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_trouble(bench: Bench, shell: Shell, closed: str) -> None:
    (id,) = bench.add()
    ran = shell(f"qtool jobs {closed}; exit $?")
    assert ran.code == 0
    assert ran.err == ""
    assert bench.adapter.inspector.check() == []
    assert shell(f"qtool cancel {id} {closed}").code == 0


def test_errors_are_one_line_and_tracebacks_are_asked_for(bench: Bench, spawn: Any) -> None:
    ran = spawn("show", "nope\x1b[31m")
    assert ran.code == 4
    assert (
        ran.err
        == "qtool: No job 'nope\\x1b[31m' here. 'qtool jobs' lists them; 'qtool context' tells which broker this is.\n"
    )
    assert "Traceback" in spawn("show", "nope", "-v").err
    assert "Traceback" in spawn("show", "nope", QTOOL_DEBUG="1").err


def test_a_broker_that_is_not_there(spawn: Any, tmp_path: Any) -> None:
    assert spawn("queues", "-b", "carrier-pigeon://roof").code == 2
    (tmp_path / "text").write_text("hello " * 1000)
    ran = spawn("queues", "-b", str(tmp_path / "text"))
    assert ran.code == 1
    assert ran.err.startswith("qtool: ")
    assert ran.err.count("\n") == 1


def test_an_interrupt_is_130_and_quiet(bench: Bench) -> None:
    (id,) = bench.add()
    process = subprocess.Popen(
        [sys.executable, "-m", "qtool", "wait", id], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 20
    while not list((Path(f"{bench.path}.d") / "bells").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 130


def test_a_locale_without_utf8_is_no_trouble(bench: Bench, spawn: Any) -> None:
    bench.add(args=(HOSTILE,))
    for format in ("table", "json", "csv"):
        ran = spawn(
            "jobs", "-o", format, LC_ALL="POSIX", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", PYTHONIOENCODING="ascii"
        )
        assert (ran.code, ran.err) == (0, "")


def test_lines_are_out_before_the_rest_is_read(bench: Bench) -> None:
    """A listing streams: the first line is there although the last was never asked for."""
    bench.add(2_000)
    process = subprocess.Popen([sys.executable, "-m", "qtool", "jobs", "--limit", "0"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["state"] == "ready"
    process.stdout.close()
    assert process.wait(20) == 0


def test_an_exit_code_is_passed_on_although_nobody_reads(bench: Bench, shell: Shell) -> None:
    id = bench.exit(7)
    assert shell(f"qtool wait {id} | true; exit ${{PIPESTATUS[0]}}").code == 7
    assert shell(f"qtool wait {id} -o table | true; exit ${{PIPESTATUS[0]}}").code == 7
