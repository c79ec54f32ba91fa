"""The one connection to the database, its settings, and what a COMMIT is worth.

Promised: a ``Committed`` is made after COMMIT returned under ``synchronous=FULL`` in WAL mode, every setting was read
back, and after any storage error every further statement fails until ``reopen``. Not promised: that a COMMIT which
returned an error left nothing behind; it may be there after a restart, and the analyser's resend is recognised then.

Group commit (``group.py``) opens one transaction around many jobs; a write outside a group is its own transaction.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from edge_agent.clock import Clock
from edge_agent.store.directory import database_files, hidden_name, refuse_half_salvaged
from edge_agent.store.errors import (
    OpenError,
    StorageFailedError,
    StoreCorruptError,
    StoreLockedError,
    UnsafeSettingsError,
)
from edge_agent.store.receipt import Committed, Promise, Stored
from edge_agent.store.steady import Steady
from edge_agent.store.times import to_us

APPLICATION_ID = 0x49564445  # "IVDE"
LOG_EVERY = 1000  # commits between two looks at whether the log still gets into the database
_LEAST = 512  # bytes of the smallest page SQLite has

# In this order: auto_vacuum only counts before the first table, locking_mode before WAL keeps the index in our memory
# (no -shm, no second process), synchronous after the journal mode it is meant for.
_PRAGMAS = (
    ("auto_vacuum", "INCREMENTAL", "2"),
    ("locking_mode", "EXCLUSIVE", "exclusive"),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", "2"),
    ("foreign_keys", "ON", "1"),
    ("busy_timeout", "10000", "10000"),
    ("mmap_size", "0", "0"),
    ("trusted_schema", "OFF", "0"),
    ("cell_size_check", "ON", "1"),
    ("journal_size_limit", "67108864", "67108864"),
    ("wal_autocheckpoint", "1000", "1000"),
    ("secure_delete", "ON", "1"),
    ("recursive_triggers", "OFF", "0"),
    ("temp_store", "MEMORY", "2"),
)
# What these raise is a defect of one job and leaves the file well; everything else says that storage does not work.
DANGLING = "SQLITE_CONSTRAINT_FOREIGNKEY"  # a row refers to none, or an index says so: no agent wrote it like that
_ONE_JOB = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.NotSupportedError)

Row = tuple[Any, ...]
Values = Sequence[object] | Mapping[str, object]


class Database:
    """One connection, used from one thread at a time."""

    def __init__(self, data_dir: Path, clock: Clock, *, synchronous: str = "FULL") -> None:
        """Touches nothing; ``open`` does."""
        self.data_dir = data_dir
        self.path = database_files(data_dir)[0]
        self.clock = clock
        self._steady = Steady(clock)
        self.broken = ""
        self.in_group = False
        self.on_commit: Callable[[int, int], None] | None = None  # number of the commit, its time
        self._synchronous = synchronous
        self._connection: sqlite3.Connection | None = None
        self._committed = Committed(0)
        self._changes = 0

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageFailedError("the database is not open")
        return self._connection

    def open(self) -> None:
        """Raises StoreLockedError, StoreCorruptError or UnsafeSettingsError; then nothing is open."""
        refuse_half_salvaged(self.data_dir)
        self._refuse_remains()
        _create_private(self.path)
        self._connect()

    def _connect(self) -> None:
        try:
            self._connection = connect(self.path)
            self._set_up()
        except sqlite3.DatabaseError as error:
            self.close_untouched()
            raise _as_open_error(error) from error
        except OpenError:
            self.close_untouched()
            raise
        self.broken = ""

    def _refuse_remains(self) -> None:
        # SQLite would begin a new database and empty the log of the lost one: the newest results.
        log = database_files(self.data_dir)[1]
        size = self.path.stat().st_size if self.path.exists() else 0
        if log.exists() and log.stat().st_size and not size:
            raise StoreCorruptError("its log (-wal) is there without the database")
        if 0 < size < _LEAST:
            raise StoreCorruptError("it is cut off")  # to SQLite it would be an empty one

    def _set_up(self) -> None:
        # On a database with tables the first pragma would change nothing, but read it, and so open its log shared.
        fresh = self.path.stat().st_size == 0
        if not fresh:
            self.connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
            self._refuse_foreign()
        for name, value, _ in _PRAGMAS if fresh else _PRAGMAS[1:]:
            self.connection.execute(f"PRAGMA {name} = {self._chosen(name, value)}").fetchall()
        # The exclusive lock is taken by the first access, and held from then on.
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("ROLLBACK")
        for name, value, wanted in _PRAGMAS:
            row = self.connection.execute(f"PRAGMA {name}").fetchone()
            found = str(row[0]).lower() if row else wanted  # a build without mmap has no such setting
            if found != wanted:
                raise UnsafeSettingsError(name, value, found)
        if database_files(self.data_dir)[2].exists():
            raise UnsafeSettingsError("shared memory file (-shm)", "none", "present")

    def _refuse_foreign(self) -> None:
        """Another program's database is not even switched to WAL. An empty one a crash may leave."""
        application = self.connection.execute("PRAGMA application_id").fetchone()[0]
        tables = self.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != APPLICATION_ID and (application or tables):
            raise StoreCorruptError("it is not a database of this agent")

    def _chosen(self, name: str, value: str) -> str:
        return self._synchronous if name == "synchronous" else value

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # the last checkpoint; the log is kept when it fails
                self._connection.close()
            self._connection = None

    def close_untouched(self) -> None:
        """Close without the checkpoint SQLite makes on the last close, so that a damaged store stays as it was found.

        SQLite leaves the log alone when the database is not where it was opened (``databaseIsUnmoved``, pager.c).
        """
        if self._connection is None:
            return
        hidden = hidden_name(self.path)
        self.path.rename(hidden)
        try:
            self.close()
        finally:
            hidden.rename(self.path)
        log = database_files(self.data_dir)[1]
        if log.exists() and log.stat().st_size == 0:
            log.unlink()  # made by opening

    def reopen(self) -> None:
        """After a storage error: a new connection, which sees what really became durable."""
        self.in_group = False
        self.close()
        if not self.path.exists():
            raise StorageFailedError("the database file is gone")  # never go on with an empty one
        self._connect()

    def empty_log(self) -> None:
        """Put everything in the log into the database. Raises StorageFailedError.

        After a sync that failed the kernel counts pages of the log as written that may never have reached the disk, and
        a later sync says nothing of them. What follows such a page in the log would be lost by a power failure.
        """
        busy, frames, moved = self.rows("PRAGMA wal_checkpoint(RESTART)")[0]
        if busy or moved < frames:
            raise self.fail(sqlite3.OperationalError("its log cannot be emptied"))

    def now_us(self) -> int:
        """The wall clock: for people, never to count from."""
        return to_us(self.clock.now())

    @property
    def steady(self) -> Steady:
        """The store's own time: whatever is counted from is kept by it."""
        if not self._steady.begun:
            self._steady.begin(self.fact("commits"))
        return self._steady

    def execute(self, sql: str, values: Values = ()) -> sqlite3.Cursor:
        """Raises StorageFailedError when storage does not work, sqlite3.IntegrityError and the like for a defect."""
        if self.broken:
            raise StorageFailedError(self.broken)
        try:
            return self.connection.execute(sql, values)
        except _ONE_JOB as error:
            if getattr(error, "sqlite_errorname", "") == DANGLING:
                raise self.fail(error) from error
            raise
        except sqlite3.Error as error:
            raise self.fail(error) from error

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        try:
            return self.execute(sql, values).fetchall()
        except _ONE_JOB:  # a value no column can have: who asked is told, and analysers are served on
            raise
        except sqlite3.Error as error:
            raise self.fail(error) from error

    def each(self, sql: str, values: Values = ()) -> Iterator[Row]:
        """As ``rows``, one at a time: for more than should be in memory at once."""
        try:
            yield from self.execute(sql, values)
        except _ONE_JOB:
            raise
        except sqlite3.Error as error:
            raise self.fail(error) from error

    def row(self, sql: str, values: Values = ()) -> Row | None:
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    def value(self, sql: str, values: Values = ()) -> Any:
        row = self.row(sql, values)
        return None if row is None else row[0]

    def run_many(self, sql: str, values: Sequence[Values]) -> int:
        """How many rows were written in all."""
        if self.broken:
            raise StorageFailedError(self.broken)
        try:
            return self.connection.executemany(sql, values).rowcount if values else 0
        except _ONE_JOB:
            raise
        except sqlite3.Error as error:
            raise self.fail(error) from error

    def fail(self, error: sqlite3.Error | OSError) -> StorageFailedError:
        """Remember that storage does not work. Whatever was open is lost; nothing of it may be acknowledged."""
        self.broken = _why(error)
        if self._connection is not None and self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        return StorageFailedError(self.broken)

    def begin(self) -> None:
        self.execute("BEGIN IMMEDIATE")
        self._changes = self.connection.total_changes

    def commit(self) -> Committed:
        """The only place a ``Committed`` comes from. A transaction that only read writes and syncs nothing."""
        if self.connection.total_changes == self._changes:
            self.execute("COMMIT")
            return self._committed
        at = self.now_us()
        note = self.steady.note()  # read before it is written for the first time
        number = int(self.fact("commits").partition(" ")[0] or 0) + 1
        self.set_fact("commits", f"{number} {at} {note}")
        self.execute("COMMIT")
        self._committed = Committed(number)
        if self.on_commit is not None:
            self.on_commit(number, at)
        if number % LOG_EVERY == 0:
            self._look_at_log()
        return self._committed

    def _look_at_log(self) -> None:
        """What was committed is safe, but nothing more is taken when the log cannot be put into the database.

        SQLite keeps to itself that the checkpoint after a COMMIT failed; the log would grow until the disk is full.
        """
        try:
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            self.broken = _why(error)

    def rollback(self) -> None:
        if self.connection.in_transaction:
            self.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction of one's own, or a part of the one that is open."""
        if self.connection.in_transaction:
            yield
            return
        self.begin()
        try:
            yield
        except BaseException:
            if not self.broken:
                self.rollback()
            raise
        self.commit()

    def receipt(self, promise: Promise) -> Stored:
        """A receipt after a transaction of one's own; inside a group the promise, which its COMMIT redeems."""
        if self.in_group:
            return cast(Stored, promise)
        return promise.redeem(self._committed)

    def fact(self, name: str) -> str:
        return self.value("SELECT value FROM fact WHERE name = ?", (name,)) or ""

    def set_fact(self, name: str, value: str) -> None:
        self.execute(
            "INSERT INTO fact VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (name, value),
        )


def connect(path: Path) -> sqlite3.Connection:
    """No implicit transactions (``isolation_level=None``). A store another program uses is reported within a second."""
    return sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=256)


def _create_private(path: Path) -> None:
    """Patient data is for the owner alone, from the first byte on; ``-wal`` gets the same mode from SQLite."""
    if path.exists():
        path.chmod(0o600)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _why(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return os.strerror(error.errno or 0)
    name = getattr(error, "sqlite_errorname", "")
    return f"{error} ({name})" if name else str(error)


def _as_open_error(error: sqlite3.DatabaseError) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreLockedError("it has the database open")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorruptError(_why(error))
    return StorageFailedError(_why(error))
