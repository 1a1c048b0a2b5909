"""Two hosts on one server: each a namespace with a name, a boot and processes of its own, so that only the server tells
one of the other. One dies: the other has its jobs within a lease or two. While both live, neither takes what runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import State

from .tools import QTOOL, ROOT, jobs, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter

LEASE = 3.0
BECOME = 'hostname "$0" && mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"'
UNSHARE = ("unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", BECOME)
"""What a process finds out about its host is another's here: its name, its start, its processes."""


@contextmanager
def host(name: str, directory: Path, *words: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program on a host of its own, which is gone with all that runs there when this process is killed."""
    runtime = directory / name
    runtime.mkdir(0o700)
    boot = directory / f"{name}.boot"
    boot.write_text(f"{uuid4()}\n")
    with (directory / f"{name}.log").open("wb") as said:
        process = subprocess.Popen(
            [*UNSHARE, name, str(boot), *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(runtime), **env},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def _hosts(tmp_path: Path) -> None:
    """Only where a process may be given a host of its own."""
    with host("probe", tmp_path, "true") as probe:
        if probe.wait(timeout=20):
            pytest.skip("NOTHING IS TESTED BETWEEN HOSTS: this user may not make namespaces (unshare)")


def stand(adapter: Adapter, ids: list[str]) -> list[tuple[State, int, int]]:
    """Their states, attempts and crashes."""
    found = adapter.inspector.get(ids)
    return [(info.state, info.attempt, info.crashes) for info in found if info is not None]


@pytest.mark.slow
@pytest.mark.usefixtures("_hosts")
def test_a_host_that_dies_leaves_its_jobs_to_another(redis_url: str, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    effects.touch()
    with open_broker(redis_url) as adapter:

        def worker(*queues: str) -> list[str]:
            options = ("-b", redis_url, "-A", "tests.faults.spells", "-j", "2", "--lease", f"{LEASE:g}s", "-q")
            return [str(QTOOL), "worker", *options, *(word for queue in queues for word in ("-Q", queue))]

        def run(queue: str) -> list[str]:
            """Two that take a minute, once both have begun."""
            begun = len(effects.read_text().splitlines())
            made = [replace(job, queue=queue, args=(60,)) for job in jobs(2, "tests.faults.spells.spell")]
            adapter.broker.enqueue(made)
            until(lambda: len(effects.read_text().splitlines()) == begun + 2, "a start")
            return [job.id for job in made]

        with (
            host("one", tmp_path, *worker("a"), QTOOL_EFFECTS=str(effects)) as one,
            host("two", tmp_path, *worker("b", "a"), QTOOL_EFFECTS=str(effects)),
        ):
            theirs, ours = run("b"), run("a")
            began = {each.host: each.seen_at for each in adapter.inspector.snapshot().workers}
            assert set(began) == {"one", "two"}
            until(
                lambda: all(
                    each.seen_at > began[each.host] + 2.5 * LEASE for each in adapter.inspector.snapshot().workers
                ),
                "heartbeats for two leases and a half",
            )
            assert stand(adapter, ours + theirs) == [(State.RUNNING, 1, 0)] * 4

            os.killpg(one.pid, signal.SIGKILL)
            seconds = until(lambda: {crashes for *_, crashes in stand(adapter, ours)} == {1}, "a rescue")
            print(f"back after {seconds:.1f} s")
            assert {state for state, *_ in stand(adapter, ours)} <= {State.READY, State.RETRY}
            assert stand(adapter, theirs) == [(State.RUNNING, 1, 0)] * 2
            assert [each.host for each in adapter.inspector.snapshot().workers] == ["two"]

            adapter.operator.kill(theirs)
            until(lambda: stand(adapter, ours) == [(State.RUNNING, 2, 1)] * 2, "their next runs")
            until(lambda: effects.read_text().count("+") == 6, "their first lines")
            assert adapter.inspector.check() == []
