"""Files that cannot be used as they are: the right error, one clear line, and nothing made worse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

from qtool.engine.brokers.sqlite import filesystem, store
from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.errors import (
    BrokerBusy,
    BrokerCorrupt,
    BrokerError,
    BrokerReadOnly,
    ExitCode,
    NetworkFileSystem,
    NewerSchema,
    NotABroker,
)

from .tools import ROOT, counts, jobs, qtool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file that holds 3000 ready jobs, all of it in the main file."""
    path = str(tmp_path / "q.db")
    with open_broker(path) as adapter:
        adapter.broker.enqueue(jobs(3000))
    with closing(apsw.Connection(path)) as db:
        # A connection that has not read yet does not know that there is a WAL.
        db.execute("SELECT count(*) FROM jobs").fetchall()
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert not os.path.exists(f"{path}-wal")
    return path


def refused(path: str, code: ExitCode, *words: str) -> None:
    """``qtool`` says all of ``words`` on one or two lines of stderr, prints nothing and ends with ``code``."""
    for arguments in (["enqueue", "-b", path, "some.task"], ["jobs", "-b", path]):
        ended = qtool(*arguments)
        assert ended.returncode == code, ended.stderr
        assert ended.stdout == ""
        assert len(ended.stderr.splitlines()) <= 2
        assert path in ended.stderr
        for word in words:
            assert word in ended.stderr


# --- not to be opened --------------------------------------------------------------------------------


@pytest.fixture
def read_only(path: str, tmp_path: Path) -> Iterator[str]:
    """The file where nobody may write: root is only stopped by a read-only mount."""
    if os.geteuid() != 0:
        os.chmod(path, 0o400)
        yield path
        return
    point = tmp_path / "mount"
    point.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], capture_output=True, text=True, check=False)
    if mount.returncode:
        pytest.skip(f"root can write everywhere, and mount is not permitted here: {mount.stderr.strip()}")
    try:
        for name in tmp_path.glob("q.db*"):
            if name.is_file():
                shutil.copy(name, point)
        subprocess.run(["mount", "-o", "remount,ro", point], check=True)
        yield str(point / "q.db")
    finally:
        subprocess.run(["umount", "-l", point], check=True)


def test_a_read_only_file(read_only: str) -> None:
    with pytest.raises(BrokerReadOnly):
        open_broker(read_only)
    refused(read_only, ExitCode.REFUSED, "cannot be written")


def test_another_programs_database(tmp_path: Path) -> None:
    path = str(tmp_path / "theirs.db")
    with closing(apsw.Connection(path)) as db:
        db.execute("CREATE TABLE theirs(x); INSERT INTO theirs VALUES (1)")
    with pytest.raises(NotABroker):
        open_broker(path)
    refused(path, ExitCode.FAILED, "is not a qtool file", "another program's")
    with closing(apsw.Connection(path)) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Remember the milk.\n" * 1000)
    with pytest.raises(NotABroker):
        open_broker(str(path))
    refused(str(path), ExitCode.FAILED, "is not a qtool file")
    assert path.read_text() == "Remember the milk.\n" * 1000


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(BrokerError):
        open_broker(str(tmp_path))
    refused(str(tmp_path), ExitCode.FAILED, "directory")


def test_a_newer_schema(path: str) -> None:
    with closing(apsw.Connection(path)) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(NewerSchema, match="999"):
        open_broker(path)
    refused(path, ExitCode.FAILED, "newer qtool", "Upgrade")
    with closing(apsw.Connection(path)) as db:
        assert db.execute("PRAGMA user_version").get == 999


def test_a_network_file_system(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mount table is written for the test: a real network mount is not to be had on every machine."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/root / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n")
    assert filesystem.kind_of(path, str(mounts)) == "nfs4"
    with pytest.raises(NetworkFileSystem, match="nfs4"):
        filesystem.refuse_network(path, path, str(mounts))
    kind_of = filesystem.kind_of
    monkeypatch.setattr(filesystem, "kind_of", lambda at, _: kind_of(at, str(mounts)))
    with pytest.raises(NetworkFileSystem):
        open_broker(path)


# --- held, damaged, incomplete -----------------------------------------------------------------------


def test_a_file_that_another_process_keeps_locked(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.1)
    script = (
        "import apsw, sys\n"
        f"db = apsw.Connection({path!r})\n"
        "db.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        with open_broker(path) as adapter:
            with pytest.raises(BrokerBusy, match="locked"):
                adapter.broker.enqueue(jobs(1))
            with pytest.raises(BrokerBusy, match="locked"):
                adapter.broker.claim("w", [], 1)
            assert counts(adapter)[State.READY] == 3000
            holder.stdin.close()
            holder.wait(timeout=10)
            adapter.broker.enqueue(jobs(1))
            assert counts(adapter)[State.READY] == 3001


def test_damaged_pages_are_found_where_they_lie(path: str) -> None:
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        # The first pages stay, where the schema lies: the file opens, and the damage is found where it is.
        for page in range(16, size // PAGE, 2):
            file.seek(page * PAGE)
            file.write(os.urandom(PAGE))
    with open_broker(path) as adapter:
        assert adapter.inspector.check() != []
        with pytest.raises(BrokerCorrupt, match=r"damaged"):
            adapter.broker.claim("w", [], 3000)
    ended = qtool("jobs", "-b", path)
    assert ended.returncode == ExitCode.FAILED
    assert "damaged" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_damaged_header(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(os.urandom(100))
    with pytest.raises(NotABroker):
        open_broker(path)
    refused(path, ExitCode.FAILED)


def test_a_wal_cut_short_loses_whole_commits_only(path: str, tmp_path: Path) -> None:
    """What a power cut without fsync leaves: the commits before the cut stand, the one that was cut is gone whole."""
    with open_broker(path) as adapter:
        adapter.broker.enqueue(jobs(100))
        kept = os.path.getsize(f"{path}-wal")
        adapter.broker.enqueue(jobs(100))
        copy = str(tmp_path / "copy.db")
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    os.truncate(f"{copy}-wal", kept + (os.path.getsize(f"{copy}-wal") - kept) // 2)
    with open_broker(copy) as adapter:
        assert counts(adapter)[State.READY] == 3100
        assert adapter.inspector.check() == []
        adapter.broker.enqueue(jobs(1))
        assert len(adapter.broker.claim("w", [], 5000)) == 3101


def test_a_missing_index_of_the_wal_is_made_anew(path: str, tmp_path: Path) -> None:
    with open_broker(path) as adapter:
        adapter.broker.enqueue(jobs(100))
        copy = str(tmp_path / "copy.db")
        for suffix in ("", "-wal"):
            shutil.copy(path + suffix, copy + suffix)
    assert not os.path.exists(f"{copy}-shm")
    with open_broker(copy) as adapter:
        assert counts(adapter)[State.READY] == 3100
        assert adapter.inspector.check() == []


def test_a_fork_after_open_gives_the_child_a_connection_of_its_own(path: str) -> None:
    """A carried connection believes in locks that only the parent has: others take the WAL away under it.

    In an interpreter of its own, because forking one that runs threads is another story.
    """
    script = f"""
import os
import apsw
from qtool.engine.registry import open_broker
from tests.faults.tools import jobs

adapter = open_broker({path!r})
adapter.broker.enqueue(jobs(10))
waiting, go = os.pipe()
child = os.fork()
if child == 0:
    os.read(waiting, 1)
    adapter.broker.enqueue(jobs(5))
    os._exit(0)
adapter.close()
other = apsw.Connection({path!r})
other.execute("SELECT count(*) FROM jobs").fetchall()
other.close()
os.write(go, b"!")
assert os.waitpid(child, 0)[1] == 0
with open_broker({path!r}) as adapter:
    adapter.broker.enqueue(jobs(1))
    assert adapter.inspector.count() == 3016, adapter.inspector.count()
    assert adapter.inspector.check() == []
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_files_and_directories_are_private(path: str) -> None:
    assert os.stat(path).st_mode & 0o777 == 0o600
    for name in (f"{path}.d", f"{path}.d/bells", f"{path}.d/workers"):
        assert os.stat(name).st_mode & 0o777 == 0o700
