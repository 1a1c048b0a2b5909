"""The file itself: opening it safely, its transactions, and SQLite's errors in qtool's words."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import apsw

from qtool.engine.brokers.sqlite import filesystem
from qtool.errors import (
    BrokerBusy,
    BrokerCorrupt,
    BrokerError,
    BrokerFull,
    BrokerReadOnly,
    NewerSchema,
    NotABroker,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

APPLICATION_ID = 0x71746F6C
"""``qtol``: tells a qtool file from any other SQLite file."""

BUSY_SECONDS = 10.0
"""How long to wait for another process's transaction before giving up with BrokerBusy."""

CACHE_KIB = 64 * 1024
CHECKPOINT_PAGES = 4000
"""The WAL is folded back into the file whenever it exceeds this many pages (16 MB)."""

Row = tuple[Any, ...]
"""What SQLite gives; the schema is STRICT, so each column's type is the one declared there."""

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


def rows(db: apsw.Connection, name: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[Row]:
    """Everything that a named statement gives."""
    found: list[Row] = db.execute(SQL[name], values).fetchall()
    return found


def first(db: apsw.Connection, name: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> Row | None:
    """The first row of a named statement; None where it gives none."""
    row: Row | None = db.execute(SQL[name], values).fetchone()
    return row


MIGRATIONS: tuple[str, ...] = ("schema.sql",)
"""What turns schema version N into N + 1, by index; a new file runs them all."""


class Store:
    """One open file. Its connection belongs to one process: after a fork the child opens its own."""

    def __init__(self, path: str, url: str) -> None:
        """Open or create the file at ``path``. Raises BrokerError and its kin."""
        self.path = path
        self.url = url
        self.directory = f"{path}.d"
        """Where bells and slates lie."""
        self.lock = threading.RLock()
        self._pid = 0
        self._connection: apsw.Connection | None = None
        self._inherited: list[apsw.Connection] = []
        self._durable: bool | None = None
        self.connection()

    def connection(self) -> apsw.Connection:
        """This process's connection. Hold :attr:`lock` while using it."""
        if self._connection is None or self._pid != os.getpid():
            if self._connection is not None:
                # Closing it here would run SQLite's shutdown over the parent's file; it must only never be used.
                self._inherited.append(self._connection)
                self.lock = threading.RLock()
            self._connection = self._open()
            self._pid = os.getpid()
            self._durable = None
        return self._connection

    def close(self) -> None:
        """Close this process's connection; another call may open it anew."""
        with self.lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
                self._connection = None

    @contextmanager
    def write(self, *, durable: bool) -> Iterator[apsw.Connection]:
        """One short transaction that takes the write lock at once; ``durable`` waits for the disk before it returns.

        Raises BrokerBusy, BrokerFull, BrokerReadOnly, BrokerCorrupt, BrokerError; nothing is half applied.
        """
        with self.lock, self.translated():
            db = self.connection()
            if self._durable is not durable:
                db.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
                self._durable = durable
            db.execute("BEGIN IMMEDIATE")
            try:
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
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("COMMIT")

    def checkpoint(self) -> None:
        """Fold the WAL back into the file and cut it, as far as other connections allow."""
        with self.lock, self.translated():
            self.connection().wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def integrity(self) -> list[str]:
        """What SQLite's own check finds wrong."""
        with self.lock, self.translated():
            rows = self.connection().execute("PRAGMA quick_check").fetchall()
        return [str(text) for (text,) in rows if text != "ok"]

    # --- opening -------------------------------------------------------------------------------------

    def _open(self) -> apsw.Connection:
        filesystem.refuse_network(self.path, self.url)
        with self.translated():
            new = filesystem.prepare(self.path, self.directory)
            db = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                db.set_busy_timeout(int(BUSY_SECONDS * 1000))
                # Whoever closes last need not wait for a checkpoint: a one-job command ends at once.
                db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                self._adopt(db, new=new)
                db.execute(
                    f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
                    f"PRAGMA journal_size_limit = {16 * 1024 * 1024}; PRAGMA temp_store = MEMORY"
                )
            except BaseException:
                db.close()
                raise
        return db

    def _adopt(self, db: apsw.Connection, *, new: bool) -> None:
        """Check whose file it is and of which schema; create or migrate it. Raises NotABroker, NewerSchema."""
        version = _pragma(db, "user_version")
        if version == len(MIGRATIONS) and _pragma(db, "application_id") == APPLICATION_ID:
            return
        if new or not version:
            db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        try:
            # Looked at again under the lock: another process may have been first.
            version, owner = _pragma(db, "user_version"), _pragma(db, "application_id")
            tables = db.execute("SELECT count(*) FROM sqlite_schema").get
            if owner != APPLICATION_ID and tables:
                raise NotABroker(url=self.url, why="it is another program's SQLite file")
            if version > len(MIGRATIONS):
                raise NewerSchema(url=self.url, found=version, known=len(MIGRATIONS))
            for script in MIGRATIONS[version:]:
                db.execute(_read(script))
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}; PRAGMA application_id = {APPLICATION_ID}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    # --- errors --------------------------------------------------------------------------------------

    @contextmanager
    def translated(self) -> Iterator[None]:
        """SQLite's and the system's errors as BrokerErrors."""
        try:
            yield
        except apsw.BusyError:
            raise BrokerBusy(url=self.url, seconds=BUSY_SECONDS) from None
        except apsw.FullError:
            raise BrokerFull(url=self.url, why="the disk is full") from None
        except apsw.ReadOnlyError:
            raise BrokerReadOnly(url=self.url, why="the file or its directory is read-only") from None
        except apsw.CorruptError as error:
            raise BrokerCorrupt(url=self.url, why=str(error)) from None
        except apsw.NotADBError:
            raise NotABroker(url=self.url, why="it is not an SQLite file") from None
        except (apsw.IOError, apsw.CantOpenError) as error:
            if filesystem.is_full(self.path):
                raise BrokerFull(url=self.url, why=str(error)) from None
            raise BrokerError(url=self.url, why=str(error)) from None
        except apsw.Error as error:
            raise BrokerError(url=self.url, why=str(error)) from error
        except OSError as error:
            raise filesystem.refusal(error, self.path, self.url) from None


def _pragma(db: apsw.Connection, name: str) -> int:
    value = db.execute(f"PRAGMA {name}").get
    assert isinstance(value, int)
    return value
