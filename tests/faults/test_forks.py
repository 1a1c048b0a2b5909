"""Forks of a process that has a broker open, from any thread, in any way Python knows: no connection is carried across.

Each in an interpreter of its own, because forking one that runs a test suite is another story.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

HEAD = """
import multiprocessing, os, sys, threading, warnings
from qtool.engine.registry import open_broker
from tests.faults.tools import done, jobs

# That forking with threads is dangerous is what this is about.
warnings.simplefilter("ignore", DeprecationWarning)
path = sys.argv[1]
adapter = open_broker(path)
adapter.broker.enqueue(jobs(10))


def work(count):
    adapter.broker.enqueue(jobs(count))
    leases = adapter.broker.claim(f"w{os.getpid()}", [], 3)
    assert all(adapter.broker.settle([done(lease) for lease in leases]))


def forked(count):
    child = os.fork()
    if child == 0:
        try:
            work(count)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def ended(*children):
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


def hold(count):
    assert adapter.inspector.count() == count, adapter.inspector.count()
    assert adapter.inspector.check() == []
"""

WAYS = {
    "many children while the parent goes on": """
children = [forked(5) for _ in range(8)]
for _ in range(20):
    work(1)
ended(*children)
hold(10 + 40 + 20)
""",
    "multiprocessing": """
context = multiprocessing.get_context("fork")
processes = [context.Process(target=work, args=(5,)) for _ in range(4)]
for process in processes:
    process.start()
for process in processes:
    process.join()
assert [process.exitcode for process in processes] == [0] * 4
hold(10 + 20)
""",
    "a pool of processes": """
pool = multiprocessing.get_context("fork").Pool(3)
pool.map(work, [2] * 12)
# Not terminated, as by a with block: a process that is killed there may hold a lock of the pool's own queues.
pool.close()
pool.join()
hold(10 + 24)
""",
    "while other threads write": """
going = threading.Event()
def write():
    while not going.is_set():
        work(1)
threads = [threading.Thread(target=write) for _ in range(3)]
for thread in threads:
    thread.start()
children = [forked(5) for _ in range(10)]
ended(*children)
going.set()
for thread in threads:
    thread.join()
adapter.broker.enqueue(jobs(1))
assert adapter.inspector.check() == []
""",
    "from threads": """
def fork():
    ended(forked(5))
threads = [threading.Thread(target=fork) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
hold(10 + 30)
""",
    "grandchildren, and a parent that has closed": """
child = os.fork()
if child == 0:
    ended(forked(5))
    work(5)
    os._exit(0)
adapter.close()
ended(child)
hold(10 + 10)
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_no_connection_crosses_a_fork(tmp_path: Path, way: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HEAD + WAYS[way], str(tmp_path / "q.db")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_broker_in_memory_is_each_process_s_own(tmp_path: Path) -> None:
    script = HEAD.replace("open_broker(path)", 'open_broker("memory:")') + "ended(forked(5))\nhold(10)\n"
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "unused")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
