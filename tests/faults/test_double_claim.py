"""Two processes at one broker: every job is given to exactly one of them, and ends exactly once."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import State

from .tools import ROOT, counts, jobs

JOBS = 100_000


@pytest.mark.slow
def test_two_processes_never_get_the_same_job(broker: str) -> None:
    with open_broker(broker) as adapter:
        sent = [id for _ in range(0, JOBS, 5000) for id in adapter.broker.enqueue(jobs(5000)).ids]
    claimers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.claimer", broker, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for name in ("one", "two")
    ]
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == "open\n"
    outputs = [process.communicate("go\n", timeout=100)[0].split() for process in _started(claimers)]
    assert [process.returncode for process in claimers] == [0, 0]
    given = [output[:-1] for output in outputs]
    assert all(given), "one of them got nothing: they did not compete"
    assert sorted(given[0] + given[1]) == sorted(sent)
    assert [output[-1] for output in outputs] == ["0", "0"]
    with open_broker(broker) as adapter:
        assert counts(adapter)[State.SUCCEEDED] == JOBS
        buckets = adapter.inspector.history(0, time.time() + 1, seconds=3600)
        assert sum(bucket.succeeded for bucket in buckets) == JOBS
        assert adapter.inspector.check() == []


def _started(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """The processes, all told to begin before the first is waited for."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes
