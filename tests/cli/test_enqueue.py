"""``qtool enqueue`` in every form: what it adds, what it prints, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qtool.__main__ import main
from qtool.engine.job import Chunk, Done, Fail, Failure, Policy
from qtool.engine.policy import decide
from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.intake.input import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Adapter
    from qtool.engine.job import JobInfo


class Shop:
    """A broker file, and the ways to enqueue into it."""

    def __init__(self, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capfd = capfd
        self.command = [sys.executable, "-m", "qtool", "enqueue", "-b", str(path)]

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Run in this process: exit code, stdout, stderr."""
        code = main(["enqueue", "-b", str(self.path), *words])
        captured = self._capfd.readouterr()
        return code, captured.out, captured.err

    def pipe(self, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run as a process of its own, with ``data`` on stdin."""
        return subprocess.run([*self.command, *words], input=data, capture_output=True, check=False, timeout=60)

    def open(self) -> Adapter:
        return open_broker(str(self.path))

    def jobs(self) -> list[JobInfo]:
        """All jobs, oldest first."""
        with self.open() as adapter:
            return list(adapter.inspector.browse(limit=1000, oldest_first=True).jobs)

    def count(self) -> int:
        with self.open() as adapter:
            return adapter.inspector.count()

    def one(self, *words: str) -> JobInfo:
        """Enqueue one job and look at it."""
        code, out, err = self(*words)
        assert (code, err) == (0, "")
        (job,) = self.jobs()
        assert out == job.id + "\n"
        return job


@pytest.fixture
def shop(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shop:
    for name in ("QTOOL_BROKER", "QTOOL_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QTOOL_CONFIG", str(tmp_path / "config.toml"))
    return Shop(tmp_path / "q.db", capfd)


# --- tasks -------------------------------------------------------------------------------------------


def test_words_become_arguments(shop: Shop) -> None:
    job = shop.one(
        "mail.send", "ann", "n=1", "n2:=1", ':={"a": [1.5, null]}', "https://h/?q=1", "a-b=c", "=x", "q==", ""
    )
    assert job.task == "mail.send"
    assert job.args == ("ann", {"a": [1.5, None]}, "https://h/?q=1", "a-b=c", "=x", "")
    assert job.kwargs == {"n": "1", "n2": 1, "q": "="}
    assert (job.queue, job.priority, job.state, job.policy) == ("default", 0, State.READY, Policy())


def test_json_arguments_come_before_words(shop: Shop) -> None:
    job = shop.one("a.b", "x", "--args", "[1, 2]", "--kwargs", '{"k": true}', "j=1", ':="a=b"')
    assert (job.args, job.kwargs) == ((1, 2, "x", "a=b"), {"k": True, "j": "1"})


def test_after_a_task_dashes_end_the_options(shop: Shop) -> None:
    job = shop.one("a.b", "x", "--", "-Q", "--y")
    assert (job.task, job.args, job.queue) == ("a.b", ("x", "-Q", "--y"), "default")


def test_options(shop: Shop) -> None:
    words = ["-Q", "bulk", "-p", "7", "--in", "1h", "--expires", "2h", "--retries", "3", "--backoff", "1s"]
    words += [
        "--timeout",
        "90s",
        "--grace",
        "20s",
        "--on-crash",
        "dead",
        "--unique",
        "k 1",
        "--id",
        "my-id",
        "--tag",
        "team=billing",
        "--tag",
        "x=a=b",
    ]
    before = time.time()
    job = shop.one("a.b", *words)
    assert (job.id, job.queue, job.priority, job.state) == ("my-id", "bulk", 7, State.SCHEDULED)
    assert job.policy == Policy(retries=3, backoff=1.0, timeout=90.0, grace=20.0, on_crash="dead")
    assert (job.unique, job.tags) == ("k 1", {"team": "billing", "x": "a=b"})
    assert job.due_at == pytest.approx(before + 3600, abs=60)
    assert job.expires_at == pytest.approx(before + 7200, abs=60)


def test_at_and_expires_take_times(shop: Shop) -> None:
    job = shop.one("a.b", "--at", "+5m", "--expires", "2090-01-01")
    assert job.due_at == pytest.approx(time.time() + 300, abs=60)
    assert job.expires_at is not None
    assert job.expires_at > time.time() + 86400


def test_an_id_is_enqueued_once(shop: Shop) -> None:
    assert shop("a.b", "--id", "x")[0] == 0
    code, out, err = shop("a.b", "--id", "x", "-o", "jsonl")
    assert (code, json.loads(out), shop.count()) == (0, {"id": "x", "existing": True}, 1)
    assert "1 of 1 stood already" in err


def test_a_unique_key_gives_its_holder(shop: Shop) -> None:
    first = shop("a.b", "--unique", "k")[1]
    assert shop("a.b", "--unique", "k")[1] == first
    assert shop.count() == 1


def test_routes_serve_where_options_say_nothing(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[routes]\n"mail.*" = {queue = "email", priority = 5}\n')
    for words in (["mail.send"], ["mail.send", "-Q", "q"], ["mail.send", "-p0"], ["other"]):
        assert shop(*words)[0] == 0
    assert [(job.queue, job.priority) for job in shop.jobs()] == [("email", 5), ("q", 5), ("email", 0), ("default", 0)]


# --- commands ----------------------------------------------------------------------------------------


def test_a_command_keeps_its_directory_and_words(shop: Shop) -> None:
    job = shop.one("--", "sh", "-c", "echo $1 > x", "k=v", "--", "-Q")
    assert (job.task, job.args) == ("qtool.exec", ("sh", "-c", "echo $1 > x", "k=v", "--", "-Q"))
    assert job.kwargs == {"cwd": str(Path.cwd())}


def test_a_script_with_directory_and_environment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "yes")
    job = shop.one("--shell", "a | b", "--cwd", "sub", "--env", "HERE", "--env", "SET=a=b")
    assert job.args == ("a | b",)
    assert job.kwargs == {"cwd": str(Path.cwd() / "sub"), "shell": True, "env": {"HERE": "yes", "SET": "a=b"}}


def test_a_task_that_is_a_program_is_pointed_out(shop: Shop) -> None:
    code, _, err = shop("sh", "x")
    assert code == 0
    assert "qtool enqueue -- sh" in err
    assert shop("no-such-program")[2] == ""


# --- lines -------------------------------------------------------------------------------------------


def test_lines_become_the_last_argument(shop: Shop) -> None:
    done = shop.pipe(b"a b\n\n c=d\nlast", "a.b", "first", "k=v", "--lines")
    assert (done.returncode, done.stderr) == (0, b"")
    jobs = shop.jobs()
    assert [job.args for job in jobs] == [("first", "a b"), ("first", " c=d"), ("first", "last")]
    assert [job.kwargs for job in jobs] == [{"k": "v"}] * 3
    assert done.stdout.decode().split() == [job.id for job in jobs]


def test_names_that_are_not_utf8_survive(shop: Shop) -> None:
    names = [b"ok", b"\xff\xfe", "ü".encode(), b"new\nline"]
    done = shop.pipe(b"".join(name + b"\0" for name in names), "-0", "-q", "--", "sha256sum", "{}", "out-{}-{}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [[os.fsencode(arg) for arg in job.args] for job in shop.jobs()] == [
        [b"sha256sum", name, b"out-" + name + b"-" + name] for name in names
    ]


def test_a_command_without_a_hole_gets_the_line_at_its_end(shop: Shop) -> None:
    shop.pipe(b"x\ny\n", "--lines", "--", "echo", "-n")
    assert [job.args for job in shop.jobs()] == [("echo", "-n", "x"), ("echo", "-n", "y")]


def test_a_script_gets_the_line_quoted(shop: Shop) -> None:
    shop.pipe(b"a; rm -rf $HOME\nplain\n", "--lines", "--shell", "cat {} | wc")
    shop.pipe(b"it's\n", "--lines", "--shell", "cat")
    assert [job.args for job in shop.jobs()] == [
        ("cat 'a; rm -rf $HOME' | wc",),
        ("cat plain | wc",),
        ("cat 'it'\"'\"'s'",),
    ]


def test_holes_of_a_task(shop: Shop) -> None:
    done = shop.pipe(b"x\ny\n", "a.b", "in/{}", "to={}.out", "opts:={}", "--lines", "--unique", "k-{}")
    assert done.returncode == 0
    assert [(job.args, job.kwargs, job.unique) for job in shop.jobs()] == [
        ((f"in/{line}",), {"to": f"{line}.out", "opts": {}}, f"k-{line}") for line in "xy"
    ]


def test_lines_from_a_file(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"1\n2\n")
    code, out, _ = shop("a.b", "--lines", "--from", str(tmp_path / "lines"))
    assert (code, len(out.split())) == (0, 2)
    assert [job.args for job in shop.jobs()] == [("1",), ("2",)]


def test_no_lines_are_no_jobs(shop: Shop) -> None:
    done = shop.pipe(b"", "a.b", "--lines", "-o", "json")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"[]\n", b"")


def test_nul_in_a_command_is_refused_by_line(shop: Shop) -> None:
    done = shop.pipe(b"good\nb\0d\nfine\n", "--lines", "--", "echo")
    assert done.returncode == 3
    assert b"line 2 is left out: a command's argument cannot hold a NUL" in done.stderr
    assert [job.args[1] for job in shop.jobs()] == ["good", "fine"]


def test_a_task_takes_nul(shop: Shop) -> None:
    assert shop.pipe(b"b\0d\n", "a.b", "--lines").returncode == 0
    assert shop.jobs()[0].args == ("b\0d",)


def test_a_line_beyond_the_limit_is_left_out(shop: Shop) -> None:
    big = b"x" * (17 * 1024 * 1024)
    done = shop.pipe(b"a\n" + big + b"\nb\n" + big, "a.b", "--lines", "-q")
    assert done.returncode == 3
    assert b"line 2 is left out: the payload is 17825792 bytes" in done.stderr
    assert b"line 4 is left out" in done.stderr
    assert [job.args for job in shop.jobs()] == [("a",), ("b",)]


def test_many_lines(shop: Shop) -> None:
    lines = b"".join(b"%d\n" % number for number in range(100_000))
    done = shop.pipe(lines, "a.b", "--lines")
    ids = done.stdout.split()
    assert (done.returncode, len(ids), len(set(ids))) == (0, 100_000, 100_000)
    assert ids == sorted(ids)
    with shop.open() as adapter:
        assert adapter.inspector.count() == 100_000
        assert [job.args for job in adapter.inspector.browse(limit=2).jobs] == [("99999",), ("99998",)]


def test_a_reader_that_leaves_ends_it_quietly(shop: Shop) -> None:
    lines = b"".join(b"%d\n" % number for number in range(300_000))
    source = shop.path.with_name("lines")
    source.write_bytes(lines)
    command = [*shop.command, "a.b", "--lines", "--from", str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline().decode().strip()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    with shop.open() as adapter:
        assert adapter.inspector.get([first])[0] is not None
        # Whole blocks: the lines of a block that was read are enqueued, whoever reads their ids.
        assert adapter.inspector.count() in {lines[:end].count(b"\n") for end in range(BLOCK, len(lines), BLOCK)}


def test_lines_are_committed_as_they_come(shop: Shop) -> None:
    with subprocess.Popen([*shop.command, "a.b", "--lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for expected in (1, 2):
            process.stdin.write(b"x\n")
            process.stdin.flush()
            assert process.stdout.readline()
            assert shop.count() == expected
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize("reading", [False, True], ids=["at-once", "while-reading"])
def test_an_interrupt_says_how_many_stand(shop: Shop, reading: bool) -> None:
    command = [*shop.command, "a.b", "--lines"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"x\ny\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.readline()
        if reading:
            # Linux tells which system call a process is in: 0 is read, and so is its first argument, stdin.
            system_call = Path(f"/proc/{process.pid}/syscall")
            until(lambda: system_call.read_text().startswith("0 0x0 "))
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=30) == 130
    assert said == b"qtool: Interrupted: 2 jobs were enqueued and stay.\n"
    assert shop.count() == 2


# --- JSON lines --------------------------------------------------------------------------------------


def test_json_lines_for_a_task(shop: Shop) -> None:
    lines = ['["a", 1]', "", '{"k": 2, "task": "x"}', '[{"deep": [null]}]', "{}"]
    done = shop.pipe("\n".join(lines).encode(), "a.b", "first", "k=v", "--jsonl")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [(job.task, job.args, job.kwargs) for job in shop.jobs()] == [
        ("a.b", ("first", "a", 1), {"k": "v"}),
        ("a.b", ("first",), {"k": 2, "task": "x"}),
        ("a.b", ("first", {"deep": [None]}), {"k": "v"}),
        ("a.b", ("first",), {"k": "v"}),
    ]


def test_bad_json_lines_are_reported_and_left_out(shop: Shop) -> None:
    lines = [b"[1]", b"{nope", b"3", b"[NaN]", b"[1e999]", b"[" * 100_000, b'["\xff"]', b"[2]"]
    done = shop.pipe(b"\n".join(lines) + b"\n", "a.b", "--jsonl", "-q")
    said = done.stderr.decode().splitlines()
    assert done.returncode == 3
    assert [line.split(" is left out")[0] for line in said[:-1]] == [f"qtool: line {at}" for at in (2, 3, 4, 5, 6)]
    assert said[-1] == "qtool: 5 lines were left out."
    assert "it is not JSON: expecting property name enclosed in double quotes (character 2)" in said[0]
    assert [job.args for job in shop.jobs()] == [(1,), ("\udcff",), (2,)]


def test_many_bad_lines_are_counted(shop: Shop) -> None:
    done = shop.pipe(b"x\n" * 1000, "a.b", "--jsonl")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 21)
    assert b"1,000 lines were left out" in done.stderr


def test_envelopes(shop: Shop) -> None:
    envelopes: list[dict[str, Any]] = [
        {"task": "a.b", "args": [1], "kwargs": {"k": 2}, "queue": "q", "priority": 3, "id": "one", "retries": 4},
        {"task": "c.d", "tags": {"x": "y"}, "unique": "u", "run_at": 4e9, "v": 1, "created_at": 5.0},
    ]
    done = shop.pipe("\n".join(map(json.dumps, envelopes)).encode(), "--jsonl", "--tag", "z=1", "-p", "9")
    assert (done.returncode, done.stderr) == (0, b"")
    first, second = shop.jobs()
    assert (first.id, first.task, first.args, first.kwargs, first.queue) == ("one", "a.b", (1,), {"k": 2}, "q")
    assert (first.priority, first.policy.retries, first.tags) == (9, 4, {"z": "1"})
    assert (second.queue, second.unique, second.due_at, second.created_at) == ("default", "u", 4e9, 5.0)
    assert second.tags == {"x": "y", "z": "1"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[1]", "it is not an envelope"),
        ('{"args": []}', "it is not an envelope"),
        ('{"task": 3}', 'its "task" is not a string'),
        ('{"task": "a b"}', "it has a space in it"),
        ('{"task": "a", "queue": ""}', "it is empty"),
        ('{"task": "a", "priority": 10}', 'its "priority" is not a whole number from 0 to 9'),
        ('{"task": "a", "priority": true}', 'its "priority" is not a whole number'),
        ('{"task": "a", "timeout": "5m"}', 'its "timeout" is not a number of seconds'),
        ('{"task": "a", "grace": "5m"}', 'its "grace" is not a number of seconds'),
        ('{"task": "a", "on_crash": "discard"}', "on_crash is one of retry, dead, not 'discard'"),
        ('{"task": "a", "jitter": 0}', "jitter is one of False, True, not 0"),
        ('{"task": "a", "tags": {"x": 1}}', 'its "tags" are not an object of strings'),
        ('{"task": "a", "colour": 1}', "'colour' is not a field"),
        ('{"task": "a", "v": 2}', "version 2 is not known"),
        ('{"task": "a", "args": {}}', "args is not an array"),
        ('{"task": "a", "parents": ["x"]}', "its parents cannot be waited for yet"),
    ],
)
def test_bad_envelopes(shop: Shop, tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "lines").write_text(f'{line}\n{{"task": "good"}}\n')
    code, _, err = shop("--jsonl", "--from", str(tmp_path / "lines"))
    assert code == 3
    assert err.startswith("qtool: line 1 is left out: ")
    assert why in err
    assert [job.task for job in shop.jobs()] == ["good"]


# --- what it prints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["ids", "json", "jsonl", "csv", "tsv", "table"])
def test_formats(shop: Shop, format: str) -> None:
    out = shop.pipe(b"x\ny\n", "a.b", "--lines", "-o", format).stdout.decode()
    ids = [job.id for job in shop.jobs()]
    rows = [{"id": id, "existing": False} for id in ids]
    if format == "json":
        assert json.loads(out) == rows
    elif format == "jsonl":
        assert [json.loads(line) for line in out.splitlines()] == rows
    elif format in ("csv", "tsv"):
        comma = "," if format == "csv" else "\t"
        assert out.splitlines() == [f"id{comma}existing", *(f"{id}{comma}false" for id in ids)]
    else:
        assert out.split() == ids


def test_quiet_prints_nothing(shop: Shop) -> None:
    assert shop("a.b", "-q") == (0, "", "")
    assert shop.count() == 1


# --- what it refuses ---------------------------------------------------------------------------------

LONG = "x" * 256

REFUSED: list[tuple[list[str], str]] = [
    ([], "There is nothing to enqueue"),
    (["--"], "There is no command after --"),
    (["--", ""], "There is no command after --"),
    (["--shell", " "], "The script after --shell is empty"),
    (["--shell", "a", "b"], "--shell already says what to run: 'b' is one too many"),
    (["--shell", "a", "--", "b"], "--shell already says what to run"),
    (["a.b", "--cwd", "/"], "--cwd is for commands"),
    (["a.b", "--env", "HOME"], "--env is for commands"),
    (["--env", "NO_SUCH_VARIABLE", "--", "a"], "--env NO_SUCH_VARIABLE: there is no such variable here"),
    (["--env", "=x", "--", "a"], "names no variable"),
    (["--cwd", "", "--", "a"], "--cwd names no directory"),
    (["--args", "[]", "--", "a"], "--args and --kwargs go with a task"),
    (["a b"], "task 'a b' cannot be used: it has a space in it"),
    (["a\x1bb"], "it has a control or invisible character in it"),
    (["a\udcff"], "it is not valid text"),
    ([""], "task '' cannot be used: it is empty"),
    ([LONG], "it has 256 bytes and the limit is 255"),
    (["a.b", "-Q", ""], "queue '' cannot be used"),
    (["a.b", "-Q", "x y"], "queue 'x y' cannot be used"),
    (["a.b", "-Q", "ü" * 128], "it has 256 bytes"),
    (["a.b", "--id", "a\nb"], "it has a space in it"),
    (["a.b", "--tag", "x"], "has no value: write NAME=VALUE"),
    (["a.b", "--tag", " =1"], "tag ' ' cannot be used"),
    (["a.b", "--tag", "x=\udcff"], "cannot hold bytes that are not UTF-8"),
    (["a.b", "--unique", ""], "unique key '' cannot be used"),
    (["a.b", "-p", "10"], "'10' is not a priority"),
    (["a.b", "-p", "-1"], "'-1' is not a priority"),
    (["a.b", "-p", "high"], "'high' is not a priority"),
    (["a.b", "-p", "²"], "is not a priority"),
    (["a.b", "--retries", "-1"], "'-1' is not a number of retries"),
    (["a.b", "--retries", "many"], "'many' is not a number of retries"),
    (["a.b", "--in", "5 parsecs"], "--in: '5 parsecs' is not a duration"),
    (["a.b", "--timeout", "x"], "--timeout: 'x' is not a duration"),
    (["a.b", "--timeout", "0"], "--timeout 0 would end every attempt"),
    (["a.b", "--grace", "x"], "--grace: 'x' is not a duration"),
    (["a.b", "--backoff", "-1s"], "--backoff: '-1s' is not a duration"),
    (["a.b", "--at", "teatime"], "--at: 'teatime' is not a time"),
    (["a.b", "--in", "1h", "--at", "+1h"], "--in and --at both say when"),
    (["a.b", "--expires", "soon"], "'soon' is neither a duration"),
    (["a.b", "--expires", "2001-01-01"], "--expires 2001-01-01 has passed already"),
    (["a.b", "--expires", "1h", "--in", "2h"], "comes before the job may start"),
    (["a.b", "--args", "{}"], "--args takes an array"),
    (["a.b", "--kwargs", "[]"], "--kwargs takes an object"),
    (["a.b", "--args", "[1"], "The value of --args is not JSON"),
    (["a.b", "k:=nope"], "'k:=nope' is not JSON: expecting value"),
    (["a.b", "k:=NaN"], "NaN is not a JSON number"),
    (["a.b", ":=" + "[" * 100_000], "it is nested too deeply"),
    (["a.b", "k=1", "k=2"], "The argument 'k' is given twice"),
    (["a.b", "k=1", "--kwargs", '{"k": 1}'], "The argument 'k' is given twice"),
    (["a.b", "x" * (17 * 1024 * 1024)], "The payload is 17825801 bytes"),
    (["a.b", "--lines", "-0"], "three ways to read lines"),
    (["a.b", "--from", "x"], "add --lines, -0 or --jsonl"),
    (["a.b", "--lines", "--from", "/no/such/file"], "--from /no/such/file: No such file or directory"),
    (["a.b", "--lines", "--from", "/"], "--from /: Is a directory"),
    (["a.b", "--lines", "--id", "x"], "--id names one job"),
    (["--jsonl", "--", "a"], "a command takes --lines or -0"),
    (["--jsonl", "--args", "[]"], "go with a task: name it"),
    (["--lines"], "There is nothing to enqueue"),
    (["a.b", "--wait-timeout", "1s"], "--wait-timeout limits --wait"),
    (["a.b", "--after", "x"], "No such option: --after"),
    (["a.b", "-b", "ftp://x"], "No broker speaks 'ftp'"),
]


@pytest.mark.parametrize(("words", "why"), REFUSED, ids=lambda value: str(value)[:40].replace("\0", " "))
def test_refused(shop: Shop, words: list[str], why: str) -> None:
    code, out, err = shop(*words)
    assert (code, out) == (2, "")
    assert why in err
    assert err.startswith("qtool: ")
    if "--after" not in words:
        assert err.count("\n") == 1
    assert not shop.path.exists()


def test_a_directory_that_is_gone(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    code, _, err = shop("--", "true")
    monkeypatch.chdir(tmp_path)
    assert (code, err) == (2, "qtool: The current directory is gone: name another one with --cwd.\n")


def test_a_broken_file(shop: Shop) -> None:
    shop.path.write_text("not a database, but long enough to be looked at\n" * 100)
    code, out, err = shop("a.b")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert str(shop.path) in err


# --- waiting -----------------------------------------------------------------------------------------


def ended(shop: Shop, outcome: Done | Fail, *words: str, output: bytes = b"") -> tuple[int, str, str]:
    """Enqueue with ``words``, end the job with ``outcome``, and give what the process that waits ends with."""
    with (
        shop.open() as adapter,
        subprocess.Popen([*shop.command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        until(lambda: adapter.inspector.count() == 1)
        (lease,) = adapter.broker.claim("w", [], 1)
        now = time.time()
        chunks = (Chunk("stdout", 0, output),) if output else ()
        settlement = decide(lease, outcome, Policy(), started_at=now, now=now, random=lambda: 0.0, output=chunks)
        assert adapter.broker.settle([settlement]) == [settlement.state]
        out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def failure(**fields: Any) -> Fail:
    return Fail(Failure(type="ExitCode", message="it ended badly", **fields))


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Done('{"exit_code":0}'), 0), (failure(exit_code=3), 3), (failure(signal=9), 137), (failure(), 125)],
)
def test_wait_passes_on_a_commands_code(shop: Shop, outcome: Done | Fail, code: int) -> None:
    assert ended(shop, outcome, "--wait", "-q", "--", "x")[0] == code


def test_wait_for_a_task(shop: Shop) -> None:
    code, out, err = ended(shop, failure(), "--wait", "a.b")
    assert (code, len(out.split())) == (1, 1)
    assert "ended dead: ExitCode: it ended badly" in err


@pytest.mark.parametrize(("outcomes", "code"), [([True, True], 0), ([True, False], 3), ([False, False], 1)])
def test_wait_for_many(shop: Shop, outcomes: list[bool], code: int) -> None:
    with shop.open() as adapter:
        words = ["a.b", "--lines", "--wait", "--from", "/dev/stdin"]
        with subprocess.Popen([*shop.command, *words], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stdin is not None
            process.stdin.write(b"x\n" * len(outcomes))
            process.stdin.close()
            until(lambda: adapter.inspector.count() == len(outcomes))
            now = time.time()
            ends = [Done() if good else failure() for good in outcomes]
            adapter.broker.settle(
                [
                    decide(lease, end, Policy(), started_at=now, now=now, random=lambda: 0.0)
                    for lease, end in zip(adapter.broker.claim("w", [], 9), ends, strict=True)
                ]
            )
            assert process.wait(timeout=30) == code


def test_follow_shows_the_output(shop: Shop) -> None:
    code, out, err = ended(shop, Done(), "--follow", "--", "x", output=b"hello\n")
    assert (code, out) == (0, "hello\n")
    assert "following" in err


def test_waiting_has_a_limit(shop: Shop) -> None:
    code, out, err = shop("a.b", "--wait", "--wait-timeout", "0.05s")
    assert (code, len(out.split())) == (124, 1)
    assert "did not finish within 0.05 s (it is ready)" in err
    assert shop.count() == 1
