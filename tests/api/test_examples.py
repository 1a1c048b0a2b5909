"""Every example runs as its first lines say: with a real worker beside it, on a broker of its own."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qtool import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTOOL_BROKER", f"sqlite://{tmp_path}/jobs.db")
    monkeypatch.setenv("QTOOL_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("QTOOL_CONTEXT", raising=False)
    monkeypatch.chdir(ROOT)


@contextmanager
def worker(log: Path, *apps: str, pool: str = "process") -> Iterator[None]:
    """``qtool worker`` for as long as the block runs; it ends well when it is told to."""
    command = [sys.executable, "-m", "qtool", "worker", "-j", "2", "--pool", pool]
    with log.open("w+b") as file:
        process = subprocess.Popen(
            [*command, *(word for app in apps for word in ("-A", app))], stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield
            process.send_signal(signal.SIGTERM)
            code = process.wait(20)
        finally:
            process.kill()
            process.wait()
    assert code == 0, log.read_text()


def example(*words: str) -> str:
    """What an example prints; it must end well."""
    run = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("words", [("-m", "examples.email_tasks"), ("examples/email_tasks.py",)])
def test_email(tmp_path: Path, words: tuple[str, ...]) -> None:
    with worker(tmp_path / "log", "examples.email_tasks"):
        said = example(*words)
    assert "{'status': 'sent', 'to': 'ann@example.com', 'subject': 'Welcome aboard'}" in said


def test_celerys_tutorial_differs_by_its_import_alone() -> None:
    text = (ROOT / "examples/email_tasks.py").read_text()
    names = [line for line in text.splitlines() if line.startswith("from qtool")]
    assert names == ["from qtool import shared_task"]


def test_thumbnails(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        image.new("RGB", (300 + number, 200), "teal").save(pictures / f"{number}.png")
    with worker(tmp_path / "log", "examples.thumbnails"):
        said = example("-m", "examples.thumbnails", str(pictures)).splitlines()
        painted = example("-m", "examples.thumbnails").splitlines()
    assert said[-1].startswith("3 thumbnails in ")
    assert painted[-1].startswith("6 thumbnails in ")
    for line in said[:-1] + painted[:-1]:
        size, file = line.split("  ", 1)
        with image.open(file) as small:
            assert f"{small.width}x{small.height}" == size
            assert max(small.size) == 160


def test_a_file_that_is_no_picture_is_discarded(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    (tmp_path / "text.png").write_text("not a picture")
    with worker(tmp_path / "log", "examples.thumbnails"), connect() as client:
        handle = client.enqueue("examples.thumbnails.thumbnail", str(tmp_path / "text.png"), str(tmp_path / "out.jpg"))
        next(iter(_ends(client, handle.id)))
        info = handle.info()
    assert (info.state, info.attempt) == ("dead", 1)
    assert info.error is not None
    assert info.error.message.endswith("text.png is not a picture")


def _ends(client: object, id: str) -> Iterator[object]:
    from qtool import Batch, Client

    assert isinstance(client, Client)
    batch: Batch[object] = Batch(client.adapter)
    batch.add([id])
    yield from batch.ends(timeout=30)


def test_report(tmp_path: Path) -> None:
    with worker(tmp_path / "log", "examples.report"):
        said = example("-m", "examples.report").splitlines()
    path = Path(said[-1].partition(" modules in ")[2])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert said[-1].startswith(f"{len(rows)} modules in ")
    name, modules, lines, size = said[1].split()
    mine = [row for row in rows if row["package"] == name]
    assert [int(modules), int(lines), int(size)] == [
        len(mine),
        sum(int(row["lines"]) for row in mine),
        sum(int(row["bytes"]) for row in mine),
    ]


def test_webhook(tmp_path: Path) -> None:
    with worker(tmp_path / "log"):
        said = example("-m", "examples.webhook")
    assert "delivered: {'status': 200, 'body': 'order 17 taken'} after 3 attempts" in said
    assert "refused for good: " in said
    assert "answered 404 Not Found: no such hook" in said
    keys = {line.split(" as ")[1].split(":")[0] for line in said.splitlines() if "'order': 17" in line}
    assert len(keys) == 1


def test_flaky_api(tmp_path: Path) -> None:
    with worker(tmp_path / "log", "examples.flaky_api"):
        said = example("-m", "examples.flaky_api")
    assert "Lisbon: 15.0 degrees, in attempt 3" in said
    assert "Discard: there is no Atlantis" in said


def test_middleware(tmp_path: Path) -> None:
    with worker(tmp_path / "log", "examples.middleware"):
        said = example("-m", "examples.middleware")
    assert "order 17 is booked after 2 attempts" in said
    assert "Discard: it is there already: UNIQUE constraint failed: orders.number" in said
    with connect() as client:
        (id,) = [row.id for row in client.adapter().inspector.browse(None, limit=10).jobs if row.state == "succeeded"]
        output = b"".join(chunk.data for chunk in client.adapter().results.output(id)).decode()
    assert "INFO examples.middleware.book: examples.middleware.book took 0." in output


def test_pipeline(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        (tmp_path / f"file {number}.py").write_text("x = 1\n" * number)
    run = subprocess.run(
        ["examples/pipeline.sh", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["3", "2", "1"]


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_the_tiny_tasks_in_every_pool(tmp_path: Path, pool: str) -> None:
    from examples import tasks

    assert tasks.sleep(0.01) == 0.01
    with worker(tmp_path / "log", "examples.tasks", pool=pool), connect() as client:

        def result(name: str, *args: object, **kwargs: object) -> object:
            return client.enqueue(f"examples.tasks.{name}", *args, **kwargs).result(timeout=30)

        assert result("noop", 1, x=2) is None
        assert result("echo", "\udcff\x00") == "\udcff\x00"
        assert result("echo", 1, x=2) == {"args": [1], "kwargs": {"x": 2}}
        assert result("add", 2, 3) == 5
        assert result("sleep", 0.05) == 0.05
        assert result("asleep", 0.05) == 0.05
        batch = client.send_many(tasks.add, ((number, number) for number in range(300)))
        assert list(batch.results(timeout=30)) == [2 * number for number in range(300)]


def test_every_example_is_tested_and_says_how_to_run_it() -> None:
    own = Path(__file__).read_text()
    for path in sorted((ROOT / "examples").glob("*.*")):
        if path.name in ("__init__.py", "README.md"):
            continue
        text = path.read_text()
        assert f"examples.{path.stem}" in own or f"examples/{path.name}" in own, path
        if path.suffix == ".py":
            assert f"qtool worker -A examples.{path.stem}" in text or path.stem == "webhook", path
