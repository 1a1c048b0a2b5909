"""Power cuts: whatever the disk had kept by then, the file opens, is sound, and holds every job that was acknowledged.

A process's writes and syncs are recorded (:mod:`tests.faults.recorder`), and the disk is rebuilt as a cut after any of
them may have left it: what had been synced is all there; of what had not, some writes are, some are not, and some are
in part, sector by sector. ``QTOOL_SEED`` repeats a run; the soak cuts after every event.
"""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qtool.engine.registry import open_broker

from .tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .recorder import Event

SECTOR = 512
CUTS = 80
"""How many cuts a normal run makes."""


@pytest.fixture(scope="module")
def seed() -> int:
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    return seed


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory, seed: int) -> list[Event]:
    """What a working process did to its disk."""
    place = tmp_path_factory.mktemp("work")
    words = [sys.executable, "-m", "tests.faults.recorder", f"{place}/q.db", f"{place}/tape", str(seed)]
    subprocess.run(words, cwd=ROOT, check=True)
    events: list[Event] = pickle.loads((place / "tape").read_bytes())
    kinds = {event[0] for event in events}
    assert kinds >= {"write", "sync", "truncate", "promised"}, "the work did not do all that a disk is asked to do"
    return events


class Platter:
    """One file as it is on the disk, and what has been asked of it since it was last synced."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.exists = False
        self.pending: list[Event] = []

    def sync(self) -> None:
        """All of it is kept."""
        for event in self.pending:
            self._apply(event)
        self.pending.clear()

    def sync_entry(self) -> None:
        """If it was deleted, that is kept, with what had been asked of it before."""
        gone = [index for index, event in enumerate(self.pending) if event[0] == "delete"]
        if gone:
            for event in self.pending[: gone[-1] + 1]:
                self._apply(event)
            del self.pending[: gone[-1] + 1]

    def cut(self, choose: random.Random) -> bytes | None:
        """What a power cut leaves of it; None for no file."""
        kept = Platter()
        kept.content, kept.exists = bytearray(self.content), self.exists
        for event in self.pending:
            fate = choose.choice(("kept", "lost", "torn"))
            if fate == "kept" or (fate == "torn" and event[0] != "write"):
                kept._apply(event)
            elif fate == "torn":
                _, suffix, offset, data = event
                for start in range(0, len(data), SECTOR):
                    if choose.random() < 0.5:
                        kept._apply(("write", suffix, offset + start, data[start : start + SECTOR]))
        return bytes(kept.content) if kept.exists else None

    def _apply(self, event: Event) -> None:
        if event[0] == "delete":
            self.content.clear()
            self.exists = False
            return
        self.exists = True
        if event[0] == "truncate":
            del self.content[event[2] :]
            return
        _, _, offset, data = event
        if len(self.content) < offset:
            self.content.extend(bytes(offset - len(self.content)))
        self.content[offset : offset + len(data)] = data


def play(tape: list[Event], at: int) -> tuple[dict[str, Platter], list[str]]:
    """The disk after the first ``at`` events, and the jobs that had been acknowledged by then."""
    disk: dict[str, Platter] = {suffix: Platter() for suffix in ("", "-wal", "-journal")}
    promised: list[str] = []
    entered: set[str] = set()
    for event in tape[:at]:
        if event[0] == "promised":
            promised += event[1]
        elif event[0] == "sync":
            disk[event[1]].sync()
            if event[1] not in entered:
                # With a journal or WAL that it has just made SQLite syncs the directory.
                entered.add(event[1])
                for platter in disk.values():
                    platter.sync_entry()
        elif event[0] == "delete":
            entered.discard(event[1])
            disk[event[1]].pending.append(event)
        else:
            disk[event[1]].pending.append(event)
    return disk, promised


def cuts(tape: list[Event], moments: Iterable[int], directory: Path, choose: random.Random) -> None:
    """Cut the power at each of these moments, on a disk of its own."""
    for at in moments:
        cut(tape, at, directory, choose)


def cut(tape: list[Event], at: int, directory: Path, choose: random.Random) -> None:
    """Cut the power after ``at`` events, and look what is left."""
    disk, promised = play(tape, at)
    path = directory / f"{at}.db"
    for suffix, platter in disk.items():
        content = platter.cut(choose)
        if content is not None:
            Path(f"{path}{suffix}").write_bytes(content)
    with open_broker(str(path)) as adapter:
        assert adapter.inspector.check() == [], f"cut after event {at} of {len(tape)}"
        missing = [id for id, job in zip(promised, adapter.inspector.get(promised), strict=True) if job is None]
        assert missing == [], f"cut after event {at} of {len(tape)}: {len(missing)} of {len(promised)} are lost"
        adapter.broker.claim("after", [], 1)
    for left in directory.glob(f"{at}.db*"):
        if left.is_file():
            left.unlink()


@pytest.mark.slow
def test_a_power_cut_at_any_moment_keeps_what_was_acknowledged(tape: list[Event], tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    cuts(tape, sorted(choose.sample(range(len(tape) + 1), min(CUTS, len(tape)))), tmp_path, choose)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_power_cut_at_every_moment_keeps_what_was_acknowledged(tape: list[Event], tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    cuts(tape, range(len(tape) + 1), tmp_path, choose)


@pytest.mark.slow
def test_the_model_of_the_disk_would_notice_a_promise_without_a_sync(
    tape: list[Event], tmp_path: Path, seed: int
) -> None:
    """The same cuts on a tape without its syncs of the WAL lose jobs or damage the file: none of this is empty."""
    without = [event for event in tape if event != ("sync", "-wal")]
    choose = random.Random(seed)
    moments = sorted(choose.sample(range(len(without) // 2, len(without)), 50))
    with pytest.raises(AssertionError, match="cut after event"):
        cuts(without, moments, tmp_path, choose)
