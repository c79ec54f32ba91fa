"""A copy of the open database, made by SQLite through the store's own connection, and the proof that it is whole.

Promised: analysers are served between steps of ``PAGES`` pages; what is committed meanwhile is in the copy, because
pages changed through the connection a backup uses are changed in the copy too (https://www.sqlite.org/c3ref/backup_finish.html,
"Concurrent Usage of Database Handles"; a change through another connection would begin it again, and there is no
other). A copy is believed only after ``examine`` opened it as the agent would: ours, not newer, ``quick_check``, audit
chain. Not promised: that a copy which a crash interrupted is of any use; ``forget_unfinished`` takes it away.
"""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.states import OPEN_MESSAGE_STATES, MessageState
from edge_agent.store import schema
from edge_agent.store.audit import Audit
from edge_agent.store.connection import Database
from edge_agent.store.directory import UNFINISHED, database_files, forget_unfinished
from edge_agent.store.errors import BackupError, StoreCorruptError
from edge_agent.store.figures import unread
from edge_agent.store.outbox import Outbox
from edge_agent.store.store import Store
from edge_agent.store.times import from_us, to_us

PAGES = 64  # of 4 KiB: well under a millisecond from memory, a few from a disk
_FACT = "last_backup"
_CHECK_OFTEN = 100_000  # virtual machine instructions between two looks at ``given_up``

Nothing = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a database that nobody has open says of itself."""

    identity: str
    schema: int
    messages: dict[MessageState, int]
    held: int
    failed: int
    unconverted: int  # transmissions nobody has read yet
    audit_entry: int
    audit_hash: str  # hex
    newest: datetime | None  # the last commit

    @property
    def unfiled(self) -> int:
        return sum(self.messages.get(state, 0) for state in OPEN_MESSAGE_STATES)


@dataclass(frozen=True, slots=True)
class LastBackup:
    at: datetime
    name: str


def size(store: Store) -> int:
    """Bytes a copy will have."""
    pages, page = (store.database.value(f"PRAGMA {name}") for name in ("page_count", "page_size"))
    return int(pages) * int(page)


def copy(store: Store, folder: Path, between: Nothing, told: Callable[[int, int], None]) -> None:
    """Copy into ``folder``, an empty one, calling ``between`` after each step; ``told`` hears pages done and in all.

    For ``StoreThread.stepwise``: inside a transaction it would wait for ever. Raises BackupError, and what ``between``
    raises. Nothing of the copy is synced yet: that could take seconds in which an analyser would wait.
    """
    target = database_files(folder)[0]
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def stepped(_status: int, remaining: int, total: int) -> None:
        told(total - remaining, total)
        between()

    made = sqlite3.connect(target, isolation_level=None)
    try:
        for setting in ("journal_mode = OFF", "synchronous = OFF"):
            made.execute(f"PRAGMA {setting}").fetchall()
        store.database.connection.backup(made, pages=PAGES, progress=stepped)
    except sqlite3.Error as error:
        raise BackupError(f"the database cannot be copied: {error}") from error
    finally:
        made.close()


class _Copy(Outbox, Audit):
    """A database without a store around it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def facts(self) -> Facts:
        counts, (entry, hash_) = self.counts(), self.audit_head()
        at = (self._database.fact("commits").split() or ["", ""])[1]
        return Facts(
            identity=self._database.fact("identity"),
            schema=int(self._database.value("PRAGMA user_version")),
            messages=dict(counts.messages),
            held=sum(counts.held.values()),
            failed=sum(counts.failed.values()),
            unconverted=unread(self._database),
            audit_entry=entry,
            audit_hash=hash_,
            newest=from_us(int(at)) if at else None,
        )


def examine(folder: Path, clock: Clock, given_up: Callable[[], bool] = lambda: False, *, keep: bool = False) -> Facts:
    """Check the database in ``folder``, which nobody has open, and leave one file of it; ``keep``: a synced one.

    A copy that is only sent is not synced: that would hold up every commit on the same disk, a tenth of a second for
    some hundred megabytes. Raises BackupError, OpenError.
    """
    database = Database(folder, clock)
    try:
        database.open()
        database.connection.set_progress_handler(given_up, _CHECK_OFTEN)
        facts = _checked(database)
        if keep:
            database.rows("PRAGMA journal_mode = DELETE")  # everything in the one file
        database.connection.set_progress_handler(None, 0)
    except StoreCorruptError as error:
        raise BackupError(f"the copy fails its check: {error.sentence}") from error
    finally:
        database.close()
    for file in database_files(folder)[1:]:
        file.unlink(missing_ok=True)
    if keep:
        sync(database.path)
    return facts


def peek(data_dir: Path, clock: Clock) -> Facts:
    """What the database in ``data_dir`` says of itself, left as it was found. For who holds the directory's lock.

    Raises OpenError, StorageFailedError.
    """
    database = Database(data_dir, clock)
    database.open()
    try:
        return _Copy(database).facts()
    finally:
        database.close_untouched()


def _checked(database: Database) -> Facts:
    schema.check(database)
    if schema.is_new(database):
        raise BackupError("the copy is empty")
    made = _Copy(database)
    bad = made.audit_verify()
    if bad is not None:
        raise BackupError(f"the audit chain does not verify from entry {bad}")
    return made.facts()


def sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def begin(data_dir: Path) -> Path:
    """An empty folder for a copy, for the owner alone."""
    forget_unfinished(data_dir)
    folder = data_dir / UNFINISHED
    folder.mkdir(mode=0o700)
    return folder


def note(store: Store, name: str, at: datetime, facts: dict[str, str]) -> None:
    """In the audit chain and where `status` finds it, once the file of the backup is in its place."""
    with store.database.writing():
        store.audit("backup", facts)
        store.database.set_fact(_FACT, f"{to_us(at)} {name}")


def last(store: Store) -> LastBackup | None:
    at, _, name = store.database.fact(_FACT).partition(" ")
    return LastBackup(from_us(int(at)), name) if at else None
