"""The screen in a real terminal: driven by keys while real work is done, and gone without a trace afterwards."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

PROMPT = "ready$"
QTOOL = [sys.executable, "-m", "qtool"]


class Terminal:
    """A shell in a terminal of its own."""

    def __init__(self, directory: Path, broker: str) -> None:
        self.broker = broker
        self._directory = directory
        self._socket = str(directory / "tmux")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("TMUX", "QTOOL_"))}
        environ |= {"XDG_STATE_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
        environ.pop("NO_COLOR", None)
        self._environ = environ
        self.tmux("-f", "/dev/null", "new", "-d", "-x", "100", "-y", "30", "bash --norc --noprofile")
        self.run(f"PS1='{PROMPT} '")
        self.wait(lambda: f"\n{PROMPT}" in self.text())
        self.settings = self.stty("before")

    def tmux(self, *words: str) -> str:
        """Tell the terminal something."""
        done = subprocess.run(
            ["tmux", "-S", self._socket, *words],
            env=self._environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return done.stdout.strip()

    def keys(self, *keys: str) -> None:
        """Press keys."""
        self.tmux("send-keys", *keys)

    def run(self, line: str) -> None:
        """Type a line for the shell."""
        self.tmux("send-keys", "-l", line)
        self.keys("Enter")

    def top(self, *options: str) -> psutil.Process:
        """Start the screen."""
        self.run(shlex.join([*QTOOL, "top", "-b", self.broker, *options]))
        self.wait(lambda: "● " in self.text())
        (process,) = self.shell().children()
        return process

    def text(self) -> str:
        """What is on it."""
        return self.tmux("capture-pane", "-p")

    def shell(self) -> psutil.Process:
        """The process of the shell."""
        return psutil.Process(int(self.tmux("display", "-p", "#{pane_pid}")))

    def stty(self, name: str) -> str:
        """The terminal's settings."""
        path = self._directory / f"stty-{name}"
        self.run(f"stty -a > {shlex.quote(str(path))}; echo told-{name}")
        self.wait(lambda: f"\ntold-{name}" in self.text())
        return "".join(part for part in path.read_text().split(";") if "rows" not in part and "columns" not in part)

    def wait(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Until it is true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.05)

    def is_clean(self, name: str = "after") -> bool:
        """The shell is back, and the terminal as it was."""
        self.wait(lambda: self.text().rstrip().endswith(PROMPT))
        flags = self.tmux("display", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{bracket_paste_flag}")
        # The shell itself asks for bracketed paste.
        assert flags.split()[:3] == ["0", "1", "0"]
        assert self.stty(name) == self.settings
        return not self.shell().children(recursive=True)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A shell, and a file with a queue."""
    if shutil.which("tmux") is None:
        if os.environ.get("CI"):
            pytest.fail("tmux is not here, and these tests need it: install it")
        pytest.skip("tmux is not here: NOTHING IS KNOWN about the screen in a real terminal; install it")
    made = Terminal(tmp_path, str(tmp_path / "jobs.db"))
    yield made
    subprocess.run(["tmux", "-S", made._socket, "kill-server"], check=False, capture_output=True)


def fill(terminal: Terminal, count: int) -> None:
    """Enqueue commands that take a moment."""
    with open_sqlite(f"sqlite://{terminal.broker}") as adapter:
        now = time.time()
        ids = (f"019b0000-0000-7000-8000-{number:012d}" for number in range(count))
        jobs = [Job(id=id, task="qtool.exec", args=("sleep", "0.3"), queue="email", created_at=now) for id in ids]
        adapter.broker.enqueue(jobs)


def gone(process: psutil.Process) -> bool:
    """It has ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_queue_is_drained_while_somebody_looks(terminal: Terminal) -> None:
    fill(terminal, 40)
    terminal.top()
    terminal.wait(lambda: "email" in terminal.text())
    worker = subprocess.Popen(
        [*QTOOL, "worker", "-b", terminal.broker, "-j", "2", "--burst"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        terminal.wait(lambda: "busy" in terminal.text())
        # By the palette to the workers and what they run; back, and by a digit to the jobs.
        terminal.keys(":")
        terminal.wait(lambda: "Search for commands" in terminal.text())
        terminal.run("go to workers")
        terminal.wait(lambda: "sleep 0.3" in terminal.text())
        terminal.keys("2")
        terminal.wait(lambda: "succeeded" in terminal.text())
        terminal.keys("1", "?")
        terminal.wait(lambda: "Everywhere" in terminal.text())
        terminal.keys("Escape")
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
    terminal.wait(lambda: any(line.split()[:3] == ["▸", "email", "·"] for line in terminal.text().splitlines()))
    terminal.keys("q")
    assert terminal.is_clean()


def test_a_resize_in_the_middle(terminal: Terminal) -> None:
    fill(terminal, 3)
    terminal.top()
    terminal.tmux("resize-window", "-x", "180", "-y", "45")
    terminal.wait(lambda: "OK" in terminal.text() and max(map(len, terminal.text().splitlines())) > 150)
    terminal.tmux("resize-window", "-x", "50", "-y", "12")
    terminal.wait(lambda: max(map(len, terminal.text().splitlines())) <= 50 and "email" in terminal.text())
    terminal.keys("q")
    assert terminal.is_clean()


def test_to_the_shell_and_back(terminal: Terminal) -> None:
    fill(terminal, 3)
    process = terminal.top()
    terminal.keys("C-z")
    terminal.wait(lambda: "Stopped" in terminal.text())
    assert process.status() == psutil.STATUS_STOPPED
    assert terminal.tmux("display", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}") == "0 1 0"
    assert terminal.stty("stopped") == terminal.settings
    fill_more = [*QTOOL, "enqueue", "-b", terminal.broker, "-Q", "meanwhile", "--", "true"]
    subprocess.run(fill_more, check=True, capture_output=True)
    terminal.run("fg")
    terminal.wait(lambda: "meanwhile" in terminal.text())
    terminal.keys("j")
    terminal.wait(lambda: "▸ meanwhile" in terminal.text())
    terminal.keys("q")
    assert terminal.is_clean()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_leaves_a_clean_terminal(terminal: Terminal, number: signal.Signals) -> None:
    process = terminal.top()
    process.send_signal(number)
    terminal.wait(lambda: gone(process))
    assert terminal.is_clean()
    terminal.run("true; false; echo")
    assert "Traceback" not in terminal.text()


@pytest.mark.parametrize("how", ["q", "TERM"])
def test_a_broker_that_hangs_holds_nothing_up(terminal: Terminal, tmp_path: Path, how: str) -> None:
    script = tmp_path / "hangs.py"
    script.write_text(
        "import sys, time\n"
        "from qtool.tui import run\n"
        "from qtool.tui.app import Place, Top\n"
        "sys.exit(run.live(Top(Place(where='shop', opener=lambda: time.sleep(1000)))))\n"
    )
    terminal.run(shlex.join([sys.executable, str(script)]))
    terminal.wait(lambda: "connecting" in terminal.text())
    (process,) = terminal.shell().children()
    terminal.wait(lambda: "no answer for" in terminal.text())
    terminal.keys("3")
    terminal.wait(lambda: "It runs nothing." in terminal.text())
    terminal.keys("q")
    asked_at = time.monotonic()
    terminal.keys("q") if how == "q" else process.terminate()
    terminal.wait(lambda: gone(process))
    assert time.monotonic() - asked_at < 2.5
    assert terminal.is_clean()


def test_told_to_end_while_it_is_stopped(terminal: Terminal) -> None:
    process = terminal.top()
    terminal.keys("C-z")
    terminal.wait(lambda: "Stopped" in terminal.text())
    process.terminate()
    terminal.run("fg")
    terminal.wait(lambda: gone(process))
    assert terminal.is_clean()


def test_a_terminal_that_goes_takes_it_along(terminal: Terminal) -> None:
    process = terminal.top()
    terminal.tmux("kill-server")
    deadline = time.monotonic() + 10
    while not gone(process):
        assert time.monotonic() < deadline, process.status()
        time.sleep(0.05)


def test_the_mouse_is_given_back_while_it_runs(terminal: Terminal) -> None:
    terminal.top()
    assert terminal.tmux("display", "-p", "#{mouse_any_flag}") == "1"
    terminal.keys(":")
    terminal.wait(lambda: "Search for commands" in terminal.text())
    terminal.run("mouse off")
    terminal.wait(lambda: "mouse off" in terminal.text().splitlines()[0])
    assert terminal.tmux("display", "-p", "#{mouse_any_flag}") == "0"
    terminal.keys("C-c")
    assert terminal.is_clean()


def test_a_few_lines_under_the_prompt_stay_there(terminal: Terminal) -> None:
    fill(terminal, 3)
    terminal.top("--inline", "--no-mouse")
    terminal.wait(lambda: "email" in terminal.text())
    assert PROMPT in terminal.text()
    assert terminal.tmux("display", "-p", "#{alternate_on} #{mouse_any_flag}") == "0 0"
    terminal.keys("q")
    assert terminal.is_clean()
    assert "▸ email" in terminal.text()


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [*QTOOL, "top", "-b", str(tmp_path / "jobs.db")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert "--once" in done.stderr
