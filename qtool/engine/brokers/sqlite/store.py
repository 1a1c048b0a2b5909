"""The file itself: opening it safely, its transactions, and SQLite's errors in qtool's words."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import apsw

from qtool.engine.brokers.sqlite import filesystem
from qtool.errors import (
    BadName,
    BrokerBusy,
    BrokerCorrupt,
    BrokerError,
    BrokerFull,
    BrokerReadOnly,
    NewerSchema,
    NotABroker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

APPLICATION_ID = 0x71746F6C
"""``qtol``: tells a qtool file from any other SQLite file."""

SOUND_SQLITE = (3, 51, 3)
"""Earlier versions can damage the file when two connections reset the WAL at once (sqlite.org/wal.html#walresetbug)."""

BUSY_SECONDS = 10.0
"""How long to wait for another process's transaction before giving up with BrokerBusy."""

CACHE_KIB = 4 * 1024
"""What a connection keeps of the file in its own memory. The system's cache serves the rest as fast: with 64 MiB
nothing was measurably quicker, and every worker grew by as much."""
CHECKPOINT_PAGES = 4000
"""The WAL is folded back into the file whenever it exceeds this many pages (16 MB)."""

Row = tuple[Any, ...]
"""What SQLite gives; the schema is STRICT, so each column's type is the one declared there."""

LONG_WAL = 1024 * 1024
"""Bytes of WAL that whoever closes folds back; a one-job command that leaves less ends without waiting for the disk."""

_HERE = os.path.dirname(__file__)


def _read(name: str) -> str:
    with open(os.path.join(_HERE, name), encoding="utf-8") as file:
        return file.read()


def _named(text: str) -> dict[str, str]:
    """The statements of a ``.sql`` file by the ``-- name:`` above each."""
    return {
        name.strip(): statement.strip()
        for name, _, statement in (part.partition("\n") for part in text.split("-- name:")[1:])
    }


SQL = _named(_read("queries.sql"))


def statements(name: str) -> dict[str, str]:
    """Those of another file, for what few commands need: the way of enqueue reads :data:`SQL` only."""
    return _named(_read(name))


def rows(db: apsw.Connection, name: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[Row]:
    """Everything that a named statement gives."""
    found: list[Row] = db.execute(SQL[name], values).fetchall()
    return found


def first(db: apsw.Connection, name: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> Row | None:
    """The first row of a named statement; None where it gives none."""
    row: Row | None = db.execute(SQL[name], values).fetchone()
    return row


MIGRATIONS: tuple[str, ...] = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql")
"""What turns schema version N into N + 1, by index; a new file runs them all."""


class Store:
    """One open file. Its connection belongs to one process: after a fork the child opens its own."""

    def __init__(self, path: str, url: str, patience: float | None = None) -> None:
        """Open or create the file at ``path``; ``patience`` instead of :data:`BUSY_SECONDS`.

        Raises BrokerError and its kin.
        """
        self.path = path
        self.url = url
        self._patience = BUSY_SECONDS if patience is None else patience
        if "\0" in path:
            raise BadName(what="file", name=path, why="it has a NUL in it")
        self.directory = f"{os.path.realpath(path)}.d"
        """Where bells and slates lie: beside the file itself, by whatever link it was named."""
        self.lock = threading.RLock()
        self.forked: list[Callable[[], None]] = []
        """What else starts afresh in a forked child."""
        self._connection: apsw.Connection | None = None
        self._durable: bool | None = None
        self._identity: tuple[int, int] | None = None
        """Which file it is, whatever lies at the path by now."""
        self.connection()
        _STORES.add(self)

    def connection(self) -> apsw.Connection:
        """The connection, opened anew after a close or a fork. Hold :attr:`lock` while using it."""
        if self._connection is None:
            self._connection = self._open()
            self._durable = None
        return self._connection

    def close(self) -> None:
        """Close the connection; another call may open it anew."""
        with self.lock:
            if self._connection is not None:
                self._fold()
                self._connection.close()
                self._connection = None

    def _fold(self) -> None:
        """Fold a long WAL back: each process that opens the file alone has to read through all of it first."""
        with suppress(OSError, apsw.Error):
            if os.path.getsize(f"{self.path}-wal") > LONG_WAL:
                assert self._connection is not None
                self._connection.set_busy_timeout(0)
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def after_fork(self) -> None:
        """In the child: whoever held locks there is gone."""
        self.lock = threading.RLock()
        if self._connection is not None:
            # Carried across by something that forks behind Python's back. It must neither be used nor closed.
            _CARRIED.append(self._connection)
            self._connection = None
        for start_afresh in self.forked:
            start_afresh()

    @contextmanager
    def write(self, *, durable: bool) -> Iterator[apsw.Connection]:
        """One short transaction that takes the write lock at once; ``durable`` waits for the disk before it returns.

        Raises BrokerBusy, BrokerFull, BrokerReadOnly, BrokerCorrupt, BrokerError; nothing is half applied.
        """
        with self.lock, self.translated():
            db = self.connection()
            if db.in_transaction:
                raise BrokerError(url=self.url, why="it was used from within its own transaction, by a signal handler")
            if self._durable is not durable:
                db.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
                self._durable = durable
            try:
                # Inside, because Ctrl-C while it waits for the lock is raised once it has the lock.
                db.execute("BEGIN IMMEDIATE")
                self._refuse_another()
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """One consistent view, short: a long reader would hold back the WAL's checkpoints."""
        with self.lock, self.translated():
            db = self.connection()
            if db.in_transaction:
                raise BrokerError(url=self.url, why="it was used from within its own transaction, by a signal handler")
            try:
                db.execute("BEGIN")
                yield db
            finally:
                if db.in_transaction:
                    db.execute("COMMIT")

    def checkpoint(self) -> None:
        """Fold the WAL back into the file and cut it, if nobody else is at it just now."""
        with self.lock, self.translated():
            db = self.connection()
            db.set_busy_timeout(0)
            try:
                with suppress(apsw.BusyError):
                    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            finally:
                db.set_busy_timeout(int(self._patience * 1000))

    def integrity(self) -> list[str]:
        """What SQLite's own check finds wrong."""
        with self.lock, self.translated():
            rows = self.connection().execute("PRAGMA quick_check").fetchall()
        return [str(text) for (text,) in rows if text != "ok"]

    # --- opening -------------------------------------------------------------------------------------

    def _open(self) -> apsw.Connection:
        refuse_unsound(self.url, apsw.sqlite_lib_version())
        filesystem.refuse_network(self.path, self.url)
        if self._identity is not None:
            self._refuse_another()
        with self.translated():
            filesystem.prepare_file(self.path)
            self._identity = filesystem.identity(self.path)
            db = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                db.set_busy_timeout(int(self._patience * 1000))
                # Whoever closes last need not wait for a checkpoint: a one-job command ends at once. And the WAL stays
                # where another process may still be reading it.
                db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                self._adopt(db)
                db.execute(
                    f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
                    f"PRAGMA journal_size_limit = {16 * 1024 * 1024}; PRAGMA temp_store = MEMORY"
                )
                filesystem.prepare_directory(self.directory)
            except BaseException:
                db.close()
                raise
        return db

    def _refuse_another(self) -> None:
        """Raises BrokerError once the file is no longer the one that was opened: what went there would be lost."""
        if filesystem.identity(self.path) != self._identity:
            raise BrokerError(url=self.url, why="the file was moved, deleted or replaced while it was open")

    def _adopt(self, db: apsw.Connection) -> None:
        """Check whose file it is and of which schema; create or migrate it. Raises NotABroker, NewerSchema."""
        # In one view: between two, another process may have made the tables.
        db.execute("BEGIN")
        version = self._version(db)
        db.execute("COMMIT")
        if version == len(MIGRATIONS):
            return
        # Only now that it is known to be ours or empty: this alone would rewrite another program's file.
        _use_wal(db)
        db.execute("BEGIN IMMEDIATE")
        try:
            # Looked at again under the lock: another process may have been first.
            for script in MIGRATIONS[self._version(db) :]:
                db.execute(_read(script))
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}; PRAGMA application_id = {APPLICATION_ID}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _version(self, db: apsw.Connection) -> int:
        """The file's schema, 0 for an empty one. Raises NotABroker, NewerSchema."""
        if _pragma(db, "application_id") != APPLICATION_ID:
            if db.execute("SELECT count(*) FROM sqlite_schema").get:
                raise NotABroker(url=self.url, why="it is another program's SQLite file")
            return 0
        version = _pragma(db, "user_version")
        if version > len(MIGRATIONS):
            raise NewerSchema(url=self.url, found=version, known=len(MIGRATIONS))
        return version

    # --- errors --------------------------------------------------------------------------------------

    @contextmanager
    def translated(self) -> Iterator[None]:
        """SQLite's and the system's errors as BrokerErrors."""
        try:
            yield
        except apsw.Error as error:
            raise self._meaning(error) from error
        except OSError as error:
            raise filesystem.refusal(error, self.path, self.url) from None
        except UnicodeDecodeError as error:
            raise BrokerCorrupt(url=self.url, why="a row holds bytes that are not UTF-8") from error
        except UnicodeEncodeError as error:
            why = "it is not valid text (bytes that are not UTF-8)"
            raise BadName(what="the text", name=str(error.object)[:80], why=why) from None
        except ValueError as error:
            # A state that there is none of, JSON that is none: qtool writes no such row.
            raise BrokerCorrupt(url=self.url, why=f"a row makes no sense ({error})") from error

    def _meaning(self, error: apsw.Error) -> BrokerError:
        if isinstance(error, apsw.BusyError):
            return BrokerBusy(url=self.url, seconds=self._patience)
        if isinstance(error, apsw.ReadOnlyError):
            return BrokerReadOnly(url=self.url, why="the file or its directory is read-only")
        if isinstance(error, apsw.CorruptError):
            return BrokerCorrupt(url=self.url, why=str(error))
        if isinstance(error, apsw.NotADBError):
            return NotABroker(url=self.url, why="it is not an SQLite file")
        full = isinstance(error, apsw.IOError | apsw.CantOpenError) and filesystem.is_full(self.path)
        if full or isinstance(error, apsw.FullError):
            return BrokerFull(url=self.url, why=str(error))
        return BrokerError(url=self.url, why=str(error))


def refuse_unsound(url: str, version: str) -> None:
    """Raises BrokerError for an SQLite library that can damage files."""
    if tuple(map(int, version.split("."))) < SOUND_SQLITE:
        sound = ".".join(map(str, SOUND_SQLITE))
        why = f"apsw uses SQLite {version}, which can damage it. Install the apsw wheel, or SQLite {sound} or later"
        raise BrokerError(url=url, why=why)


def text_key(text: str) -> str | bytes:
    """``text`` to compare a column with: what no column can hold, lone surrogates, equals and precedes nothing."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


# --- forks -------------------------------------------------------------------------------------------
# SQLite counts its locks in memory, which a fork copies: a child that used or merely kept such a connection would take
# for held what is not. So no connection is open while the process forks: the parent closes it, and opens another when
# it needs one.

_STORES: WeakSet[Store] = WeakSet()
_CARRIED: list[apsw.Connection] = []
_closed: list[Store] = []
"""Locked for the fork that is under way."""


def _before_fork() -> None:
    for store in list(_STORES):
        store.lock.acquire()
        _closed.append(store)
        store.close()


def _after_fork_in_parent() -> None:
    while _closed:
        _closed.pop().lock.release()


def _after_fork_in_child() -> None:
    _closed.clear()
    for store in list(_STORES):
        store.after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _use_wal(db: apsw.Connection) -> None:
    """Raises apsw.BusyError after BUSY_SECONDS."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            # SQLite does not let two wait that both read and want to write: it turns one away at once.
            if time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return


def _pragma(db: apsw.Connection, name: str) -> int:
    value = db.execute(f"PRAGMA {name}").get
    assert isinstance(value, int)
    return value
