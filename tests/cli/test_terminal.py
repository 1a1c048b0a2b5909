"""qtool on a terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qtool.engine.filter import parse
from qtool.engine.job import Chunk, Done
from qtool.engine.states import State
from tests.cli.conftest import HOSTILE, Bench

Terminal = Any
SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def busy(bench: Bench) -> Bench:
    bench.run(Done('{"sum":"caf\\u00e9"}'), queue="email", kwargs={"to": "ann@example.com"})
    bench.fail(HOSTILE, queue="email", task="mail.send", args=(HOSTILE,))
    bench.add(1_234, queue="a-queue-with-quite-a-long-name-for-a-small-terminal")
    bench.add(queue="later", run_at=4e9, task="qtool.exec", args=("sha256sum", "a file"))
    return bench


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("command", ["queues", "jobs", "workers", "stats", "doctor"])
def test_tables_fit(busy: Bench, terminal: Terminal, command: str, width: int) -> None:
    from rich.cells import cell_len

    ran = terminal(command, width=width)
    assert ran.code == 0
    table = [line for line in SGR.sub("", ran.out).splitlines() if not line.startswith("qtool: ")]
    assert len(table) > 1
    for line in table:
        assert cell_len(line) <= width, line


def test_colours_follow_the_terminal_and_the_wish(busy: Bench, terminal: Terminal, spawn: Any) -> None:
    assert SGR.search(terminal("queues").out)
    assert "\x1b" not in terminal("queues", NO_COLOR="1").out
    assert "\x1b" not in terminal("queues", "--color", "never").out
    assert "\x1b" not in terminal("queues", TERM="dumb").out
    assert "\x1b" not in spawn("queues", "-o", "table").out
    assert re.search(r"\x1b\[[0-9;]*3[0-7]", spawn("queues", "-o", "table", "--color", "always").out)
    assert re.search(r"\x1b\[[0-9;]*3[0-7]", spawn("queues", "-o", "table", "--color", "always", NO_COLOR="1").out)


@pytest.mark.parametrize("command", ["jobs", "show", "result", "queues"])
def test_nothing_from_outside_reaches_the_terminal(busy: Bench, terminal: Terminal, command: str) -> None:
    (dead,) = busy.adapter.inspector.browse(parse("state:dead")).jobs
    arguments = {"jobs": ["-w", "state:dead"], "show": [dead.id], "result": [dead.id], "queues": []}[command]
    ran = terminal(command, *arguments, width=200)
    text = SGR.sub("", ran.out)
    assert "\x1b" not in text
    for bad in "\x07\x00\x9b\u202e":
        assert bad not in text
    if command != "queues":
        assert "[bold]x[/bold]" in text
        assert "\\udcff" in text


def test_the_listing_says_when_there_is_more(busy: Bench, terminal: Terminal) -> None:
    ran = terminal("jobs", "--limit", "5")
    assert "5 of 1,237 jobs; --limit 0 shows all" in ran.out
    assert "--limit 0" not in terminal("jobs", "-w", "state:dead").out


def test_an_empty_table_says_so(bench: Bench, terminal: Terminal) -> None:
    assert "No queues yet" in terminal("queues").out
    assert "No such jobs" in terminal("jobs").out
    assert "No workers" in terminal("workers").out


def test_logs_keep_colours_and_nothing_else(bench: Bench, terminal: Terminal) -> None:
    pieces = [b"\x1b[3", b"2mgreen\x1b[0m \x1b]0;ti", b"tle\x07plain\x1b[2J\ttab caf\xc3", b"\xa9 \xff\r\nend\n"]
    chunks, at = [], 0
    for piece in pieces:
        chunks.append(Chunk("stdout", at, piece))
        at += len(piece)
    id = bench.run(output=chunks)
    ran = terminal("logs", id)
    assert ran.out.removesuffix("\x1b[0m") == "\x1b[32mgreen\x1b[0m plain\ttab café \ufffd\nend\n"


def test_the_answer_is_no_unless_it_is_yes(bench: Bench, terminal: Terminal) -> None:
    bench.add(3)
    for keys in ("\r", "n\r", "what\r", "\x04"):
        ran = terminal("cancel", "-w", "queue:default", keys=keys)
        assert ran.code == 1
        assert "Cancel 3 jobs? [y/N]" in ran.out
        assert "Nothing was changed" in ran.out
    ran = terminal("purge", "default", keys="\r")
    assert ran.code == 1
    assert "Delete 3 jobs? It cannot be undone. [y/N]" in ran.out
    assert bench.adapter.inspector.snapshot().queues[0].counts[State.READY] == 3
    assert terminal("cancel", "-w", "queue:default", keys="y\r").code == 0
    assert terminal("purge", "default", keys="yes\r").code == 0
    assert bench.adapter.inspector.count() == 0


def test_a_question_in_production_says_so(bench: Bench, terminal: Terminal, tmp_path: Any) -> None:
    (tmp_path / "c.toml").write_text(f'[contexts.live]\nbroker = "{bench.path}"\nproduction = true\n')
    bench.add()
    ran = terminal("cancel", "-c", "live", "-w", "queue:default", keys="\r", QTOOL_CONFIG=str(tmp_path / "c.toml"))
    assert "PRODUCTION (live): Cancel 1 job? [y/N]" in ran.out


def test_a_card_tells_result_and_error(busy: Bench, terminal: Terminal) -> None:
    jobs = busy.adapter.inspector.browse(limit=9_999).jobs
    good = next(job.id for job in jobs if job.state is State.SUCCEEDED)
    later = next(job.id for job in jobs if job.state is State.SCHEDULED)
    shown = SGR.sub("", terminal("show", good).out)
    assert '"sum": "café"' in shown
    assert 'to = "ann@example.com"' in shown
    shown = SGR.sub("", terminal("show", later).out)
    assert shown.splitlines()[0].strip() == "$ sha256sum 'a file'"
    assert re.search(r"due\s+\d{4}-", shown)


def test_a_result_is_spread_out_for_people(busy: Bench, terminal: Terminal, call: Any) -> None:
    good = next(job.id for job in busy.adapter.inspector.browse(limit=9_999).jobs if job.state is State.SUCCEEDED)
    assert terminal("result", good).out == '{\n  "sum": "café"\n}\n'
    assert call("result", good).out == '{"sum":"caf\\u00e9"}\n'
