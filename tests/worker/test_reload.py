"""Code that changes while a worker runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.engine.worker import reload
from qtool.engine.worker.sources import directories
from tests.worker.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter

pytestmark = pytest.mark.slow

CODE = """
from pathlib import Path
import time

from qtool import task
from .helper import VALUE

@task
def value():
    return VALUE

@task
def gate(path):
    Path(path).mkdir()
    while Path(path).exists():
        time.sleep(0.005)
    return VALUE
"""


class Project:
    """A package that somebody works on, and a worker that runs it."""

    def __init__(self, directory: Path, pool: str) -> None:
        self.directory = directory
        self.package = directory / "project"
        self.package.mkdir()
        (self.package / "__init__.py").touch()
        (self.package / "tasks.py").write_text(CODE)
        self.set(1)
        self.url = f"sqlite://{directory}/q.db"
        self.adapter: Adapter = open_broker(self.url)
        words = [sys.executable, "-m", "qtool", "worker", "-b", self.url, "-A", "project.tasks", "-j", "2", "-q"]
        with (directory / "err").open("wb") as err:
            self.worker = subprocess.Popen([*words, "--pool", pool, "--reload"], cwd=directory, stderr=err)

    def set(self, value: object) -> None:
        """Change the code, at a stroke: nobody imports half of it."""
        draft = self.package / "helper.draft"
        draft.write_text(f"VALUE = {value}\n")
        draft.replace(self.package / "helper.py")

    def add(self, task: str, *args: Any) -> str:
        id = new_id()
        self.adapter.broker.enqueue([Job(id=id, task=f"project.tasks.{task}", args=args, created_at=time.time())])
        return id

    def state(self, id: str) -> State:
        (job,) = self.adapter.inspector.get([id])
        assert job is not None
        assert job.crashes == 0
        return job.state

    def result(self, id: str) -> Any:
        eventually(lambda: self.state(id) is State.SUCCEEDED)
        (result,) = self.adapter.results.results([id])
        assert result is not None
        return json.loads(result.value or "null")

    def says(self, what: str) -> bool:
        return what in (self.directory / "err").read_text()


@pytest.fixture(params=["process", "thread", "async"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path, request.param)
    yield made
    made.worker.kill()
    made.worker.wait()
    made.adapter.close()


def test_a_change_of_the_code_is_there_for_the_next_job_and_not_for_the_one_that_runs(project: Project) -> None:
    path = project.directory / "gate"
    running = project.add("gate", str(path))
    eventually(path.exists)
    assert project.result(project.add("value")) == 1
    # Written again until it is seen: nobody can tell from outside when the watching has begun.
    eventually(lambda: project.set(22) or project.says("the pool starts anew"), within=10)  # type: ignore[func-returns-value]
    eventually(lambda: project.result(project.add("value")) == 22)
    assert project.state(running) is State.RUNNING
    path.rmdir()
    assert project.result(running) == 1


def test_a_slip_in_the_code_keeps_the_jobs_in_the_queue_until_it_is_mended(project: Project) -> None:
    assert project.result(project.add("value")) == 1
    # Of another length: Python tells a changed file by its size and the second it was written in.
    eventually(lambda: project.set("(((") or project.says("the pool starts anew"), within=10)  # type: ignore[func-returns-value]
    eventually(lambda: project.says("SyntaxError"))
    eventually(lambda: project.says("stay in their queues until the code changes again"))
    job = project.add("value")
    time.sleep(0.3)
    assert (project.state(job), project.worker.poll()) == (State.READY, None)
    project.set(333)
    assert project.result(job) == 333


def test_only_directories_that_somebody_works_in_are_watched() -> None:
    found = directories(["tests.worker"])
    assert any(path.endswith("tests/worker") for path in found)
    assert not any("site-packages" in path or path.startswith(sys.base_prefix + "/lib") for path in found)
    assert not any(path.endswith("qtool/engine") for path in found)


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "find_spec", lambda _: None)
    nothing: Any = None
    with pytest.raises(reload.NoWatcher, match=r"pip install 'qtool\[reload\]'") as caught:
        reload.Reload(nothing, nothing, nothing)
    assert caught.value.exit_code == 2
