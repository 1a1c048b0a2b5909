"""Tasks at a real worker: what only shows with processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qtool import JobFailed, connect

ROOT = Path(__file__).parents[2]

APP = """
from qtool import CurrentJob, Discard, current_job, shared_task, task

@task
def parent(x):
    job = current_job()
    job.progress(0.5, "half way")
    job.log.warning("enqueueing a child")
    print("printed", x)
    return child.delay(x + 1).id

@task
def child(x):
    return x

@shared_task(bind=True, max_retries=3, default_retry_delay=0)
def bound(self: CurrentJob):
    if self.request.retries < 2:
        raise self.retry(exc=OSError("not yet"))
    return self.attempt

@task
def broken():
    raise ValueError("from the worker")

@task
def not_json():
    return {1, 2}

@task(unique=True)
async def coroutine():
    return current_job().queue
"""


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_tasks_at_a_worker(tmp_path: Path, pool: str) -> None:
    (tmp_path / "shop.py").write_text(APP)
    url = f"sqlite://{tmp_path}/jobs.db"
    # A default that is not the worker's broker: what its tasks enqueue must not go there.
    environ = {**os.environ, "XDG_STATE_HOME": f"{tmp_path}/elsewhere", "QTOOL_CONFIG": f"{tmp_path}/none"}
    for name in ("QTOOL_BROKER", "QTOOL_CONTEXT"):
        environ.pop(name, None)
    with connect(url) as client:
        handles = {
            name: client.enqueue(f"shop.{name}", *args)
            for name, *args in (("parent", 1), ("bound",), ("broken",), ("not_json",), ("coroutine",), ("absent",))
        }
        done = subprocess.run(
            [sys.executable, "-m", "qtool", "worker", "-b", url, "-A", "shop", "-j", "2", "--pool", pool, "--burst"],
            cwd=tmp_path,
            env={**environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        child = client.job(str(handles["parent"].result(timeout=0)))
        assert child.result(timeout=0) == 2
        assert handles["bound"].result(timeout=0) == 3
        assert handles["coroutine"].result(timeout=0) == "default"
        with pytest.raises(JobFailed, match="ValueError: from the worker") as caught:
            handles["broken"].result(timeout=0)
        assert 'File "' + str(tmp_path / "shop.py") in caught.value.__notes__[0]
        assert "qtool/engine" not in caught.value.__notes__[0]
        with pytest.raises(JobFailed, match=r"The result \(set\) cannot be written as JSON"):
            handles["not_json"].result(timeout=0)
        with pytest.raises(JobFailed, match=r"dead \(unknown-task\)"):
            handles["absent"].result(timeout=0)
        written = b"".join(chunk.data for chunk in client.adapter().results.output(handles["parent"].id))
        assert b"printed 1\n" in written
        assert b"enqueueing a child" in written
    assert not (tmp_path / "elsewhere").exists()
