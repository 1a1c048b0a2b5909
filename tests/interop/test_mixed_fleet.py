"""Celery's workers and qtool's on one queue, one of each killed at work."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.interop.conftest import Fleet, until

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

JOBS = 240
VISIBLE = 5
"""Seconds after which Celery's workers take back what nobody acknowledged; nobody's long task may be taken for that."""
LONG = 12.0


def effects(file: Path) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Of each word, who began it and who ended it."""
    found: dict[str, dict[str, list[int]]] = {"begin": defaultdict(list), "end": defaultdict(list)}
    for line in file.read_text().splitlines() if file.exists() else []:
        what, word, pid = line.split()
        found[what][word].append(int(pid))
    return found["begin"], found["end"]


def kill(worker: subprocess.Popen[bytes]) -> set[int]:
    """With -9, and all of its processes: their ids."""
    pids = {worker.pid, *(child.pid for child in psutil.Process(worker.pid).children(recursive=True))}
    os.killpg(worker.pid, signal.SIGKILL)
    for pid in pids:
        with_it = psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        if with_it:
            os.kill(pid, signal.SIGKILL)
    worker.wait()
    return pids


@pytest.mark.slow
def test_every_task_is_run_and_none_is_stolen(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_VISIBLE", str(VISIBLE))
    file = tmp_path / "effects"
    theirs = [fleet.send("mark", str(file), f"theirs-{n}", 0.03) for n in range(JOBS // 2)]
    lines = "\n".join(f'["{file}", "ours-{n}", 0.03]' for n in range(JOBS // 2))
    ours = fleet.qtool("enqueue", "--jsonl", "proj.mark", "-Q", "celery", "-p", "9", input=lines).stdout.split()
    words = {f"theirs-{n}" for n in range(JOBS // 2)} | {f"ours-{n}" for n in range(JOBS // 2)}

    def ended(share: float) -> bool:
        return len(words & effects(file)[1].keys()) >= JOBS * share

    celery = fleet.celery_worker("-P", "prefork", "-c", "2", "-Q", "celery")
    first, _second = (fleet.qtool_worker("-Q", "celery", "-j", "2", "--lease", "4s") for _ in range(2))
    until(lambda: ended(0.3) and _both(file, celery))
    gone = kill(first) | kill(celery)
    until(lambda: ended(0.5))
    # Longer than anything is left alone that nobody watches over.
    long = fleet.send("mark", str(file), "long", LONG)
    until(lambda: "long" in effects(file)[0])
    # A worker of Celery's looks for what was left behind when it starts, and then every 100 s.
    client: Any = fleet.app.backend.client
    index = f"{fleet.prefix}unacked_index"
    until(lambda: client.zcount(index, "-inf", time.time()) == client.zcount(index, "-inf", time.time() - VISIBLE) > 0)
    fleet.celery_worker("-P", "prefork", "-c", "2", "-Q", "celery")
    until(lambda: ended(1), 60)
    assert long.get(30) == "long"
    until(lambda: all(each.state == "SUCCESS" for each in theirs))
    until(lambda: all(each and each.state == "succeeded" for each in fleet.adapter.results.results(ours)))
    begun, done = effects(file)
    assert done.keys() == words | {"long"}
    for word, pids in begun.items():
        assert len([pid for pid in pids if pid not in gone]) <= 1, f"{word} was run again while it ran"
    assert len(begun["long"]) == 1
    until(lambda: client.hlen(f"{fleet.prefix}unacked") == 0)
    assert client.llen(f"{fleet.prefix}celery") == 0


def _both(file: Path, celery: subprocess.Popen[bytes]) -> bool:
    """Whether workers of both kinds have work in their hands."""
    mine = {child.pid for child in psutil.Process(celery.pid).children(recursive=True)}
    pids = {pid for each in effects(file)[0].values() for pid in each}
    return bool(pids & mine) and bool(pids - mine)
