"""A real file with real jobs, and three ways to call qtool: in this process, as a process, on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from qtool.__main__ import main
from qtool.engine.broker import Adapter, WorkerInfo
from qtool.engine.ids import new_id
from qtool.engine.job import Chunk, Done, Fail, Failure, Job, Lease, Outcome, Policy
from qtool.engine.policy import decide
from qtool.engine.registry import open_broker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

HOSTILE = "\x1b[31mred\x1b[0m\x1b]0;title\x07 [bold]x[/bold] \u202eevil\x9b1m\x00 caf\u00e9 \udcff"


@dataclass
class Ran:
    """How a call of qtool ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Bench:
    """A broker's file, and hands to work on it."""

    path: Path
    adapter: Adapter

    def add(self, count: int = 1, **fields: Any) -> list[str]:
        """Enqueue jobs."""
        said: dict[str, Any] = {"task": "tests.noop", "created_at": time.time()} | fields
        jobs = [Job(**({"id": new_id()} | said)) for _ in range(count)]
        return list(self.adapter.broker.enqueue(jobs).ids)

    def claim(self, count: int = 1, *, queue: str = "default", worker: str | None = None) -> list[Lease]:
        """Start jobs as a worker would."""
        name = worker or new_id()
        now = time.time()
        info = WorkerInfo(
            id=name, host="here", pid=1, queues=(queue,), pool="process", slots=4, busy=1, started_at=now, seen_at=now
        )
        self.adapter.broker.extend(info, [])
        return self.adapter.broker.claim(name, [queue], count)

    def end(self, lease: Lease, outcome: Outcome | None = None, output: Sequence[Chunk] = ()) -> None:
        """End a run."""
        now = time.time()
        settlement = decide(
            lease,
            outcome or Done("42"),
            Policy(),
            started_at=now - 1,
            now=now,
            random=lambda: 0.5,
            output=tuple(output),
        )
        assert self.adapter.broker.settle([settlement]) == [settlement.state]

    def run(self, outcome: Outcome | None = None, output: Sequence[Chunk] = (), **fields: Any) -> str:
        """A job that has ended."""
        (id,) = self.add(**fields)
        for lease in self.claim(queue=fields.get("queue", "default")):
            assert lease.id == id
            self.end(lease, outcome, output)
        return id

    def fail(self, message: str = "no luck", **fields: Any) -> str:
        """A dead job."""
        return self.run(
            Fail(Failure(type="ValueError", message=message, traceback=f"Traceback:\nValueError: {message}")), **fields
        )

    def exit(self, code: int, **fields: Any) -> str:
        """A command job that ended with an exit code other than 0."""
        failure = Failure(type="ExitCode", message=f"exited with {code}", exit_code=code)
        return self.run(Fail(failure), task="qtool.exec", args=("false",), **fields)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own configuration, broker or colours."""
    for name in [name for name in os.environ if name.startswith("QTOOL_")]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("QTOOL_BROKER", str(tmp_path / "jobs.db"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty file."""
    path = tmp_path / "jobs.db"
    with open_broker(str(path)) as adapter:
        yield Bench(path, adapter)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run qtool in this process, off a terminal."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        code = main(list(arguments))
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


def _ran(command: list[str], environment: dict[str, str], stdin: str | None = None) -> Ran:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=30, env=os.environ | environment, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def spawn() -> Any:
    """Run qtool as a process."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Ran:
        return _ran([sys.executable, "-m", "qtool", *arguments], environment, stdin)

    return run


@pytest.fixture
def shell() -> Any:
    """Run a line of bash in which ``qtool`` is qtool."""

    def run(line: str, **environment: str) -> Ran:
        script = f'set -o pipefail; qtool() {{ "{sys.executable}" -m qtool "$@"; }}; {line}'
        return _ran(["bash", "-c", script], environment)

    return run


@pytest.fixture
def terminal() -> Any:
    """Run qtool on a terminal of a given size; ``keys`` are typed once something is asked."""

    def run(*arguments: str, keys: str = "", width: int = 80, height: int = 24, **environment: str) -> Ran:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (height, width))
        process = subprocess.Popen(
            [sys.executable, "-m", "qtool", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
        )
        os.close(theirs)
        seen = b""
        deadline = time.monotonic() + 30
        try:
            while time.monotonic() < deadline:
                if not select.select([ours], [], [], 1)[0]:
                    continue
                try:
                    piece = os.read(ours, 65536)
                except OSError:
                    break
                if not piece:
                    break
                seen += piece
                if keys and b"[y/N]" in seen:
                    os.write(ours, keys.encode())
                    keys = ""
            return Ran(process.wait(10), seen.decode("utf-8", "replace").replace("\r\n", "\n"), "")
        finally:
            process.kill()
            os.close(ours)

    return run
