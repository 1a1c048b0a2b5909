"""A full disk while jobs are enqueued, claimed and settled: an error, and nothing lost or half applied."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from qtool.engine.job import Chunk, Report
from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.errors import BrokerFull, BrokerReadOnly

from .tools import counts, done, jobs, qtool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtool.engine.job import Lease

pytestmark = pytest.mark.slow

JOBS = 2000


def fill(disk: Path) -> Path:
    """Take every free byte of the disk; the file to delete afterwards."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def until_full(action: Callable[[], None]) -> None:
    """Repeat until the disk is full; after a thousand times it never will be."""

    def repeat() -> None:
        for _ in range(1000):
            action()

    with pytest.raises(BrokerFull, match="full"):
        repeat()


def test_enqueue_keeps_what_it_promised_and_no_more(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    path = str(small_disk / "q.db")
    promised: list[str] = []
    with open_broker(path) as adapter:
        until_full(lambda: promised.extend(adapter.broker.enqueue(jobs(300)).ids))
        assert promised
        assert counts(adapter)[State.READY] == len(promised)
        assert adapter.inspector.check() == []
    ballast.unlink()
    with open_broker(path) as adapter:
        assert adapter.inspector.check() == []
        assert None not in adapter.inspector.get(promised)
        adapter.broker.enqueue(jobs(300))
        assert counts(adapter)[State.READY] == len(promised) + 300


def test_claim_gives_nothing_that_it_could_not_record(small_disk: Path) -> None:
    path = str(small_disk / "q.db")
    leases: list[Lease] = []
    with open_broker(path) as adapter:
        adapter.broker.enqueue(jobs(JOBS))
        ballast = fill(small_disk)
        until_full(lambda: leases.extend(adapter.broker.claim("w", [], 20)))
        assert counts(adapter)[State.RUNNING] == len(leases) < JOBS
        ballast.unlink()
    with open_broker(path) as adapter:
        assert adapter.inspector.check() == []
        leases += adapter.broker.claim("w", [], JOBS)
        assert len({lease.id for lease in leases}) == len(leases) == JOBS
        assert all(adapter.broker.settle([done(lease) for lease in leases]))
        assert counts(adapter)[State.SUCCEEDED] == JOBS


def test_settle_applies_a_batch_or_none_of_it(small_disk: Path) -> None:
    path = str(small_disk / "q.db")
    with open_broker(path) as adapter:
        adapter.broker.enqueue(jobs(JOBS))
        leases = adapter.broker.claim("w", [], JOBS)
        assert len(leases) == JOBS
        batches = (leases[start : start + 20] for start in range(0, JOBS, 20))
        ballast = fill(small_disk)
        applied: list[State | None] = []
        until_full(lambda: applied.extend(adapter.broker.settle([done(lease) for lease in next(batches)])))
        settled = len(applied)
        assert all(applied)
        assert counts(adapter)[State.SUCCEEDED] == settled < JOBS
        assert counts(adapter)[State.RUNNING] == JOBS - settled
        ballast.unlink()
    with open_broker(path) as adapter:
        assert adapter.inspector.check() == []
        again = adapter.broker.settle([done(lease) for lease in leases])
        assert again == [None] * settled + [State.SUCCEEDED] * (JOBS - settled)
        assert counts(adapter)[State.SUCCEEDED] == JOBS


def test_a_report_is_stored_whole_or_not_at_all(small_disk: Path) -> None:
    path = str(small_disk / "q.db")
    with open_broker(path) as adapter:
        adapter.broker.enqueue(jobs(1))
        (lease,) = adapter.broker.claim("w", [], 1)
        ballast = fill(small_disk)
        stored = 0

        def report() -> None:
            nonlocal stored
            data = bytes([65 + stored % 26]) * 4000
            adapter.broker.report([Report(lease, (stored + 1) / 1000, None, (Chunk("stdout", stored * 4000, data),))])
            stored += 1

        until_full(report)
        assert adapter.inspector.check() == []
        ballast.unlink()
        (info,) = adapter.inspector.get([lease.id])
        assert info is not None
        assert (info.progress or 0.0) == stored / 1000
        assert sum(len(chunk.data) for chunk in adapter.results.output(lease.id)) == stored * 4000
        assert adapter.broker.settle([done(lease)]) == [State.SUCCEEDED]


def test_folding_the_wal_back_waits_for_room(small_disk: Path) -> None:
    """A checkpoint that finds no room leaves all of it in the WAL, and is made up for later."""
    path = str(small_disk / "q.db")
    with open_broker(path) as adapter:
        sent = [id for _ in range(8) for id in adapter.broker.enqueue(jobs(300)).ids]
        ballast = fill(small_disk)
        wal = (small_disk / "q.db-wal").stat().st_size
        adapter.broker.leave("nobody")
        assert (small_disk / "q.db-wal").stat().st_size == wal > 0
        assert None not in adapter.inspector.get(sent)
        assert adapter.inspector.check() == []
        ballast.unlink()
        adapter.broker.leave("nobody")
        assert (small_disk / "q.db-wal").stat().st_size == 0
    with open_broker(path) as adapter:
        assert None not in adapter.inspector.get(sent)
        assert adapter.inspector.check() == []


def test_a_file_system_that_turns_read_only_under_a_broker(small_disk: Path) -> None:
    path = str(small_disk / "q.db")
    with open_broker(path) as adapter:
        sent = adapter.broker.enqueue(jobs(20)).ids
        adapter.broker.leave("nobody")
    # Nobody may have a file open for writing while that happens.
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(BrokerReadOnly):
        open_broker(path)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with open_broker(path) as adapter:
        assert None not in adapter.inspector.get(sent)
        adapter.broker.enqueue(jobs(1))


def test_the_command_says_that_the_disk_is_full_and_counts_only_what_it_stored(small_disk: Path) -> None:
    path = small_disk / "q.db"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    lines = "".join(f"line {number}\n" for number in range(100_000))
    ended = qtool("enqueue", "-b", path, "some.task", "--lines", "-o", "ids", stdin=lines)
    assert ended.returncode == 1
    assert "full" in ended.stderr
    assert "Traceback" not in ended.stderr
    ids = ended.stdout.split()
    ballast.unlink()
    with open_broker(str(path)) as adapter:
        assert adapter.inspector.check() == []
        assert counts(adapter)[State.READY] == len(ids)
        assert None not in adapter.inspector.get(ids)


def test_the_command_says_so_too_when_it_cannot_even_make_the_file(small_disk: Path) -> None:
    fill(small_disk)
    ended = qtool("enqueue", "-b", small_disk / "q.db", "some.task")
    assert ended.returncode == 1
    assert "full" in ended.stderr
    assert ended.stderr.count("\n") == 1
