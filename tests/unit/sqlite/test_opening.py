"""Opening: whose file it is, where it lies, who may read it, and which schema it has."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from qtool.engine.brokers.sqlite import open_sqlite, store
from qtool.engine.brokers.sqlite.store import APPLICATION_ID, MIGRATIONS, Store, refuse_unsound
from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.errors import BadName, BrokerError, NewerSchema, NotABroker, QtoolError
from tests.conformance.drive import Drive
from tests.unit.sqlite.tools import job, query

if TYPE_CHECKING:
    from qtool.engine.clock import ManualClock

ROOT = Path(__file__).resolve().parents[3]


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], env=env, stdout=pipe, stderr=pipe, stdin=pipe, text=True
    )


# --- names and places --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a b.db", "é😀.db", "what?.db", "a#b.db", "100%20.db", "file:x.db", "-q.db", "'\".db"]
)
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    for url in (f"sqlite://{path}", path):
        with open_broker(url) as adapter:
            assert adapter.url == f"sqlite://{path}"
    assert os.path.getsize(path) > 0
    assert {entry.name for entry in tmp_path.iterdir()} - {f"{name}-wal", f"{name}-shm"} == {name, f"{name}.d"}


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_broker("sqlite:sub/q.db") as adapter:
        assert adapter.url == f"sqlite://{tmp_path}/sub/q.db"
        monkeypatch.chdir("/")
        adapter.broker.enqueue([job()])
    assert stat.S_IMODE(os.stat(tmp_path / "sub").st_mode) == 0o700


@pytest.mark.parametrize("name", ["a\0b.db", "a\udcff.db"])
def test_a_name_that_sqlite_cannot_take(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadName):
        open_broker(f"{tmp_path}/{name}")


def test_a_missing_directory_that_may_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BrokerError, match="File exists"):
        open_broker(f"{tmp_path}/file/q.db")


def test_a_link_shares_bells_and_slates_with_its_target(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to("far/q.db")
    with open_broker(str(link)) as by_link, open_broker(f"{tmp_path}/far/q.db") as by_name:
        bell = by_name.broker.listen("ready")
        by_link.broker.enqueue([job()])
        assert bell.wait(0)
        bell.close()
    assert not os.path.exists(f"{link}.d")


# --- whose ---------------------------------------------------------------------------------------------


def test_an_empty_file_is_adopted(path: str) -> None:
    with open(path, "wb"):
        os.chmod(path, 0o644)
    with open_broker(path) as adapter:
        assert adapter.inspector.check() == []
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize("version", [0, 1, 999])
def test_another_programs_file_stays_as_it_is(tmp_path: Path, path: str, version: int) -> None:
    query(path, f"CREATE TABLE theirs(x); PRAGMA user_version = {version}")
    before = Path(path).read_bytes()
    with pytest.raises(NotABroker, match="another program's"):
        open_broker(path)
    assert Path(path).read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["q.db"]


def test_a_file_that_only_bears_a_version_is_empty(path: str) -> None:
    query(path, f"PRAGMA user_version = {len(MIGRATIONS)}")
    with open_broker(path) as adapter:
        assert adapter.inspector.check() == []


def test_an_unsound_sqlite_is_refused() -> None:
    with pytest.raises(BrokerError, match=r"3\.51\.2.*3\.51\.3"):
        refuse_unsound("sqlite:///q.db", "3.51.2")
    for version in ("3.51.3", "3.54.1", "4.0.0"):
        refuse_unsound("sqlite:///q.db", version)


# --- who may read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", ["000", "022", "777"])
def test_all_of_it_is_private_whatever_the_umask(tmp_path: Path, umask: str) -> None:
    """As an unprivileged user where root runs the tests: root may read everything."""
    home = tmp_path / "home"
    home.mkdir()
    if os.geteuid() == 0:
        for parent in (home, *home.parents):
            if str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
        os.chown(home, 65534, 65534)
    script = """
import os, sys
from qtool.engine.job import Job
from qtool.engine.brokers import sqlite
from qtool.engine.registry import open_broker
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.umask(int(sys.argv[2], 8))
with open_broker(sys.argv[1]) as adapter:
    bell = adapter.broker.listen("ready")
    slate = adapter.broker.slate("w", 1)
    adapter.broker.enqueue([Job(id="a", task="t", created_at=1.0)])
    assert bell.wait(0), "the bell"
    adapter.broker.maintain()
    for folder, folders, files in os.walk(os.path.dirname(sys.argv[1])):
        for name in folders:
            print("d", oct(os.stat(os.path.join(folder, name)).st_mode & 0o777))
        for name in files:
            print(name.rpartition("-")[2][:3], oct(os.stat(os.path.join(folder, name)).st_mode & 0o777))
"""
    process = python(script, str(home / "q.db"), umask)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert len(lines) == 8, out
    for line in lines:
        assert line.endswith("0o700" if line.startswith("d ") else "0o600"), out


def locks_on(path: str) -> int:
    """How many locks this process holds on the file."""
    inode, pid = str(os.stat(path).st_ino), str(os.getpid())
    words = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return sum(word[4] == pid and word[5].endswith(f":{inode}") for word in words if word[1] != "->")


def test_opening_a_file_again_lets_go_of_no_lock_on_it(path: str) -> None:
    with open_broker(path) as adapter:
        adapter.inspector.count()
        held = locks_on(path)
        assert held > 0
        open_broker(path).close()
        assert locks_on(path) == held


# --- schemas -----------------------------------------------------------------------------------------------


@pytest.fixture
def two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second step that adds a column and a table."""
    step = tmp_path / "step.sql"
    step.write_text("ALTER TABLE jobs ADD COLUMN colour TEXT;\nCREATE TABLE shades (name TEXT) STRICT;\n")
    monkeypatch.setattr(store, "MIGRATIONS", (*MIGRATIONS, str(step)))
    return step


def old_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the present schema, made before there was another step."""
    with monkeypatch.context() as before:
        before.setattr(store, "MIGRATIONS", MIGRATIONS)
        with open_broker(path) as adapter:
            adapter.broker.enqueue([job()])


def test_an_older_file_is_migrated(path: str, two_steps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_file(path, monkeypatch)
    for _ in range(2):
        with open_broker(path) as adapter:
            assert adapter.inspector.count() == 1
            assert adapter.inspector.check() == []
    assert query(path, "SELECT colour FROM jobs") == [(None,)]
    assert query(path, "SELECT * FROM shades") == []
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]
    monkeypatch.undo()
    with pytest.raises(NewerSchema):
        open_broker(path)


def test_a_file_of_version_1_keeps_its_jobs(path: str, clock: ManualClock) -> None:
    query(path, Path(__file__).with_name("version_1.sql").read_text(encoding="utf-8"))
    clock.advance(2_001)
    with open_sqlite(f"sqlite:{path}", clock=clock) as adapter:
        drive = Drive(adapter, clock, made=100)
        assert adapter.inspector.check() == []
        jobs = adapter.inspector.browse(oldest_first=True).jobs
        assert Counter(job.state for job in jobs) == dict.fromkeys(set(State) - {State.WAITING}, 1) | {State.READY: 3}
        assert {(job.key, job.key_limit, job.held) for job in jobs} == {(None, 1, None)}
        (retried,) = [job for job in jobs if job.state is State.RETRY]
        assert (retried.tags, retried.policy.retries, retried.kwargs) == ({"team": "billing"}, 3, {"n": 1})
        # What ran while the file was migrated goes on, and everything that is new works on what is old.
        adapter.operator.resume("email")
        adapter.operator.limit("queue", "email", concurrency=2)
        assert len(drive.claim(9, ("email",))) == 1
        drive.lose_worker()
        assert drive.state("job-0009") in (State.READY, State.RETRY)
        assert len(drive.claim(9, ("email",))) == 2
        drive.put(2, key="k")
        assert drive.info(drive.put_one(key="k")).held == "key:k"
        assert adapter.inspector.check() == []


def test_a_file_of_version_2_keeps_its_jobs_and_takes_notes(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(store, "MIGRATIONS", MIGRATIONS[:2])
        with open_broker(path) as adapter:
            adapter.broker.enqueue([job(key="k")])
    assert query(path, "PRAGMA user_version") == [(2,)]
    with open_broker(path) as adapter:
        note = adapter.journal.note("deploy 1.4", 5.0)
        assert adapter.journal.notes(0, 10) == [note]
        assert [each.key for each in adapter.inspector.browse().jobs] == ["k"]
        assert sum(each.enqueued for each in adapter.inspector.history(0, 4e9, seconds=3600)) == 1
        assert adapter.inspector.check() == []
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    monkeypatch.setattr(store, "MIGRATIONS", MIGRATIONS[:2])
    with pytest.raises(NewerSchema):
        open_broker(path)


def test_a_migration_that_breaks_off_leaves_the_file_as_it_was(
    path: str, two_steps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_file(path, monkeypatch)
    good = two_steps.read_text()
    two_steps.write_text(good + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(BrokerError, match="nowhere"):
        open_broker(path)
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert query(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'shades'") == [(0,)]
    two_steps.write_text(good)
    with open_broker(path) as adapter:
        assert adapter.inspector.count() == 1


@pytest.mark.slow
def test_many_processes_make_or_migrate_one_file_at_once(path: str, two_steps: Path) -> None:
    script = """
import sys
from qtool.engine.brokers.sqlite import store
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
if sys.argv[2]:
    store.MIGRATIONS += (sys.argv[2],)
print("here", flush=True)
sys.stdin.readline()
with open_broker(sys.argv[1]) as adapter:
    adapter.broker.enqueue([Job(id=sys.argv[3], task="t", created_at=1.0)])
"""
    for step in ("", str(two_steps)):
        processes = [python(script, path, step, f"{len(step)}-{number}") for number in range(6)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        ended = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
        assert ended == [("", 0)] * 6
    with open_broker(path) as adapter:
        assert adapter.inspector.count() == 12
        assert adapter.inspector.check() == []


def test_a_file_that_another_is_about_to_write_is_waited_for(path: str) -> None:
    """SQLite's own waiting does not cover the change to a WAL: it says at once that the file is locked."""
    other = apsw.Connection(path)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.05, other.execute, ("COMMIT",))
    timer.start()
    with open_broker(path) as adapter:
        assert adapter.inspector.count() == 0
    timer.join()
    other.close()


# --- transactions --------------------------------------------------------------------------------------------


def test_an_interrupt_while_it_waits_for_the_lock_leaves_no_transaction(path: str) -> None:
    """As with Ctrl-C: what the signal raises comes up once SQLite has the lock."""
    opened = Store(path, path)
    db = opened.connection()

    def interrupt(_cursor: object, statement: str, _values: object) -> bool:
        if statement == "BEGIN IMMEDIATE":
            db.exec_trace = None
            db.execute("BEGIN IMMEDIATE")
            raise KeyboardInterrupt
        return True

    db.exec_trace = interrupt
    with pytest.raises(KeyboardInterrupt), opened.write(durable=True):
        pytest.fail("it never got here")
    with opened.write(durable=True):
        pass
    opened.close()


def test_a_transaction_within_another_is_refused_and_harms_it_not(path: str) -> None:
    opened = Store(path, path)
    with opened.write(durable=True) as db:
        db.execute("INSERT INTO paused VALUES ('a', 1)")
        with pytest.raises(BrokerError, match="own transaction"), opened.write(durable=False):
            pass
        with pytest.raises(BrokerError, match="own transaction"), opened.read():
            pass
        db.execute("INSERT INTO paused VALUES ('b', 1)")
    assert query(path, "SELECT queue FROM paused ORDER BY queue") == [("a",), ("b",)]
    opened.close()


def test_an_error_within_a_transaction_undoes_all_of_it(path: str) -> None:
    opened = Store(path, path)
    with pytest.raises(QtoolError), opened.write(durable=True) as db:
        db.execute("INSERT INTO paused VALUES ('a', 1); INSERT INTO jobs (id) VALUES ('a')")
    assert query(path, "SELECT count(*) FROM paused") == [(0,)]
    opened.close()


def test_a_closed_broker_opens_anew(path: str) -> None:
    adapter = open_sqlite(f"sqlite:{path}")
    adapter.close()
    adapter.close()
    assert adapter.inspector.count() == 0
    adapter.close()


def test_the_file_is_marked_as_ours(path: str) -> None:
    open_broker(path).close()
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


def test_what_one_process_holds_is_not_waited_for_at_the_end(path: str) -> None:
    """A worker that leaves folds the WAL back only if nobody is reading."""
    with open_broker(path) as adapter:
        reader = apsw.Connection(path)
        reader.execute("BEGIN; SELECT count(*) FROM jobs")
        adapter.broker.enqueue([job()])
        started = os.times().elapsed
        adapter.broker.leave("w")
        assert os.times().elapsed - started < 2
        reader.close()


# --- forks -----------------------------------------------------------------------------------------------------


FORKS = """
import os, sys, threading
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
adapter = open_broker(sys.argv[1])
store = adapter.broker._store
stop = threading.Event()

def busy():
    number = 0
    while not stop.is_set():
        number += 1
        adapter.broker.enqueue([Job(id=f"{os.getpid()}-{number}", task="t", created_at=1.0)])

threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
for number in range(30):
    child = os.fork()
    if child == 0:
        try:
            assert store._connection is None and adapter.broker._intake._waiting == []
            adapter.broker.enqueue([Job(id=f"child-{number}", task="t", created_at=1.0)])
            assert adapter.inspector.get([f"child-{number}"]) != [None]
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
assert adapter.inspector.check() == []
assert all(adapter.inspector.get([f"child-{number}" for number in range(30)]))
print(adapter.inspector.count())
"""


@pytest.mark.slow
def test_forks_while_threads_enqueue_hang_nothing_and_carry_no_connection(path: str) -> None:
    process = python(FORKS, path)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert int(out) > 30
