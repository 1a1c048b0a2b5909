"""pytest's plugin, in a pytest of its own: the fixture, and what happens to a test that forgets it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tested_shop"
GUIDE = ROOT / "docs" / "guide" / "testing.md"

APP = """
from qtool import task

@task
def send(to):
    return f"sent to {to}"
"""


class Suite:
    """A project with tests, in a directory and with a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("QTOOL_", "PYTEST_"))}
        self.environ |= {"XDG_STATE_HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home)}
        self.write(app=APP)

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.directory / f"{name}.py").write_text(text)

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir=."]
        return subprocess.run(
            [*command, *words],
            cwd=self.directory,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def outcome(self, *words: str, **environ: str) -> tuple[int, str]:
        """Exit code, and what it printed."""
        done = self.run(*words, **environ)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def test_the_plugin_is_announced() -> None:
    (found,) = entry_points(group="pytest11", name="qtool")
    assert found.value == "qtool.testing.plugin"


def test_the_plugin_loads_nothing_but_itself() -> None:
    code = "import sys, pytest; b = set(sys.modules); import qtool.testing.plugin; print(*sorted(set(sys.modules) - b))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == ["qtool", "qtool.testing", "qtool.testing.plugin"]


def test_the_fixture_isolates_every_test(suite: Suite) -> None:
    suite.write(
        test_app="""
import pytest
from app import send
from qtool.testing import Jobs

@pytest.mark.parametrize("number", [1, 2])
def test(qtool_jobs, number):
    assert isinstance(qtool_jobs, Jobs)
    assert qtool_jobs.all == []
    handle = send.delay("ann")
    qtool_jobs.assert_enqueued(send, args=["ann"])
    (ran,) = qtool_jobs.run()
    assert ran.result == handle.result() == "sent to ann"
"""
    )
    assert suite.outcome()[0] == 0, suite.outcome()[1]
    assert not suite.home.exists()


FORGETS = """
from app import send

def test():
    send.delay("ann")
"""


def test_a_test_that_forgets_it_leaves_the_users_own_file_alone(suite: Suite) -> None:
    suite.write(test_app=FORGETS)
    code, said = suite.outcome()
    assert (code, "BrokerNotNamed: No broker is named, and QTOOL_BROKER_REQUIRED" in said) == (1, True), said
    assert "use the fixture qtool_jobs" in said
    assert not suite.home.exists()


def test_and_the_broker_of_the_users_configuration(suite: Suite) -> None:
    suite.write(test_app=FORGETS)
    (suite.home / "qtool").mkdir(parents=True)
    configured = f'context = "work"\n[contexts.work]\nbroker = "{suite.directory}/work.db"\n'
    (suite.home / "qtool" / "config.toml").write_text(configured)
    code, said = suite.outcome()
    assert (code, "BrokerNotNamed" in said) == (1, True), said
    assert not (suite.directory / "work.db").exists()
    for named in ({"QTOOL_CONTEXT": "work"}, {"QTOOL_CONFIG": str(suite.home / "qtool" / "config.toml")}):
        code, said = suite.outcome(**named)
        assert code == 0, said
    assert (suite.directory / "work.db").exists()


def test_processes_that_tests_start_are_guarded_too(suite: Suite) -> None:
    suite.write(
        test_app="""
import subprocess, sys

def test():
    done = subprocess.run([sys.executable, "-m", "qtool", "enqueue", "app.send", "x"], capture_output=True, text=True)
    assert done.returncode == 77, done.stderr
    assert "No broker is named" in done.stderr
"""
    )
    code, said = suite.outcome()
    assert code == 0, said
    assert not suite.home.exists()


def test_what_a_conftest_imports_is_guarded_too(suite: Suite) -> None:
    suite.write(conftest="import qtool\nqtool.connect()\n", test_app="def test(): pass\n")
    code, said = suite.outcome()
    assert (code, "BrokerNotNamed" in said) == (4, True), said
    assert not suite.home.exists()


@pytest.mark.parametrize("name", ["QTOOL_BROKER", "QTOOL_BROKER_REQUIRED"])
def test_whoever_says_where_may_enqueue_there(suite: Suite, name: str) -> None:
    suite.write(test_app=FORGETS)
    code, said = suite.outcome(**{name: "0" if name.endswith("REQUIRED") else f"sqlite://{suite.directory}/here.db"})
    assert code == 0, said
    assert (suite.directory / "here.db").exists() is (name == "QTOOL_BROKER")
    assert suite.home.exists() is (name != "QTOOL_BROKER")


def inside(suite: Suite, code: str) -> subprocess.CompletedProcess[str]:
    """pytest called by a program; ``code`` gives its exit code."""
    code = f"import os, pytest, sys; run = lambda: pytest.main(['-q', '-W', 'error', '-p', 'no:cacheprovider']); {code}"
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=suite.directory, env=suite.environ, capture_output=True, text=True, check=False)


def test_the_guard_ends_with_pytest(suite: Suite) -> None:
    suite.write(test_app="import os\ndef test():\n    assert os.environ['QTOOL_BROKER_REQUIRED'] == '1'\n")
    done = inside(suite, "sys.exit(run() or 'QTOOL_BROKER_REQUIRED' in os.environ)")
    assert done.returncode == 0, done.stdout


def test_whoever_imported_qtool_before_pytest_gets_no_warning(suite: Suite) -> None:
    suite.write(test_app="def test(qtool_jobs): pass\n")
    done = inside(suite, "import qtool.client; sys.exit(run())")
    assert done.returncode == 0, done.stderr


def test_it_can_be_left_out(suite: Suite) -> None:
    suite.write(test_app="import os\ndef test():\n    assert 'QTOOL_BROKER_REQUIRED' not in os.environ\n")
    assert suite.outcome("-p", "no:qtool")[0] == 0


# --- the example -------------------------------------------------------------------------------------


def test_the_example_project_passes_its_own_tests(suite: Suite) -> None:
    suite.directory = EXAMPLE
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    code, said = suite.outcome(**environ)
    assert code == 0, said
    assert "11 passed" in said
    assert not suite.home.exists()


def test_what_the_guide_shows_stands_in_the_example() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(EXAMPLE.rglob("*.py")))
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        for piece in block.strip("\n").split("\n\n\n"):
            assert piece in text, piece
