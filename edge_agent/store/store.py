"""The store: everything the agent must not forget, behind one connection, one lock and one thread at a time.

Promised: what ``append`` returned a ``Stored`` for survives a crash and a power failure on a disk that keeps what it
synced; a row reaches a state only through the table of states; a message keeps its id and bytes. Not promised: anything
about a disk that lies about syncing, or about a program that writes to the files in spite of both locks.

The parts are written by noun: intake, conversion, held, outbox, delivery, reconciliation, audit, retention,
tally. Each write is a
transaction of its own or, inside ``group``, part of one COMMIT.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_agent.clock import Clock
from edge_agent.store import schema, soundness
from edge_agent.store.audit import Audit
from edge_agent.store.connection import DANGLING, Database
from edge_agent.store.conversion import Conversion
from edge_agent.store.delivery import Delivery
from edge_agent.store.directory import (
    DirectoryLock,
    database_files,
    forget_unfinished,
    prepare,
    put_back,
    refuse_root,
    refuse_unsafe,
)
from edge_agent.store.disk import MB, Disk
from edge_agent.store.errors import DirectoryError, OpenError, StorageFailedError, StoreCorruptError
from edge_agent.store.group import Outcome, run_group
from edge_agent.store.held import Held
from edge_agent.store.identity import Former, Identity, random_identity, refuse_emptied
from edge_agent.store.intake import Intake
from edge_agent.store.outbox import Outbox
from edge_agent.store.reconciliation import Reconciliation
from edge_agent.store.retention import Retention
from edge_agent.store.tally import Tally
from edge_agent.store.verification import Anchor, Verification
from edge_agent.store.wal import read_log

Job = Callable[["Store"], Any]


class Store(Intake, Conversion, Held, Outbox, Delivery, Reconciliation, Audit, Retention, Tally):
    """One open store. ``open`` makes one; it is used from one thread at a time."""

    def __init__(self, database: Database, identity: Identity, disk: Disk, lock: DirectoryLock) -> None:
        self._database = database
        self._identity = identity
        self._disk = disk
        self._lock = lock

    @classmethod
    def open(
        cls,
        data_dir: Path,
        clock: Clock,
        *,
        reserve_mb: int = 8,
        low_water_mb: int = 64,
        synchronous: str = "FULL",
        allow_unsafe: bool = False,
        new_identity: Callable[[], str] = random_identity,
    ) -> "Store":
        """Lock, open, check, migrate, recognise.

        Raises OpenError (DirectoryError, StoreLockedError, StoreCorruptError, StoreTooNewError, UnsafeFilesystemError,
        UnsafeSettingsError) with the files as they were found, or StorageFailedError. ``allow_unsafe`` takes any file
        system (tests in memory).
        """
        lock = _lock(data_dir)
        database = Database(data_dir, clock, synchronous=synchronous)
        try:
            if not allow_unsafe:
                refuse_unsafe(data_dir)
            put_back(data_dir)
            forget_unfinished(data_dir)
            identity = _start(database, new_identity)
        except BaseException:
            database.close()
            lock.release()
            raise
        disk = Disk(data_dir, reserve_mb=reserve_mb, low_water_mb=low_water_mb)
        disk.restore()
        return cls(database, identity, disk, lock)

    @property
    def identity(self) -> str:
        """8 characters [0-9A-Z]: the first part of every message id given out from now on."""
        return self._identity.text

    @property
    def former(self) -> Former | None:
        """Set when this start found another or an older database than the directory had before."""
        return self._identity.former

    def verification(self, anchor: Anchor | None = None) -> Verification:
        """Of the audit chain and the rows it tells of, in steps."""
        return Verification(self._database, anchor)

    def close(self) -> None:
        """The lock goes last."""
        try:
            self._identity.close()
        finally:
            self._database.close()
            self._lock.release()

    def group(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run ``jobs`` in one transaction; one outcome each, made after COMMIT (see group.py)."""
        outcomes = run_group(self._database, self, jobs)
        missing = len(jobs) - len(outcomes)
        return outcomes + [Outcome(error=StorageFailedError(self._database.broken))] * missing

    @property
    def database(self) -> Database:
        """The connection, for the thread that runs groups on it."""
        return self._database

    @property
    def broken(self) -> str:
        """Why storage does not work, or "". Every call fails until ``reopen``."""
        return self._database.broken

    def reopen(self) -> None:
        """After a storage error: a new connection, an empty log, a COMMIT to prove it.

        Raises StorageFailedError, OpenError.
        """
        why = self._database.broken
        if "SQLITE_FULL" in why or self._disk.free_bytes() < MB:
            self._disk.release()
        self._database.reopen()
        self._database.empty_log()
        if any(word in why for word in ("CORRUPT", "NOTADB", DANGLING)):
            self._check_again(why)
        self.prove()

    def _check_again(self, why: str) -> None:
        try:
            schema.check(self._database, thorough=True)
            soundness.check(self._database)
        except OpenError:
            self._database.broken = why
            raise

    def prove(self) -> None:
        """One durable write."""
        with self._database.writing():
            self._database.set_fact("proved", str(self._database.now_us()))

    def limit_disk(self, *, reserve_mb: int, low_water_mb: int) -> None:
        """Other limits than those it was opened with, and the reserve taken by them if there is room."""
        self._disk.limit(reserve_mb=reserve_mb, low_water_mb=low_water_mb)
        self._disk.restore()

    def disk_low(self) -> bool:
        """Whether new work is to be refused: below the low-water mark, or the reserve is used up."""
        return self._disk.low()

    def disk_free_mb(self) -> int:
        return self._disk.free_bytes() // MB

    def release_reserve(self) -> bool:
        return self._disk.release()

    def restore_reserve(self) -> bool:
        return self._disk.restore()


def _lock(data_dir: Path) -> DirectoryLock:
    """Before anything else is touched."""
    try:
        prepare(data_dir)
        refuse_root(data_dir)
        return DirectoryLock(data_dir)
    except OSError as error:
        raise DirectoryError(os.strerror(error.errno or 0)) from error


def _start(database: Database, new_identity: Callable[[], str]) -> Identity:
    log = read_log(database_files(database.data_dir)[1])
    if log.damaged:
        raise StoreCorruptError("its log (-wal) has bad frames before good ones")
    refuse_emptied(database.data_dir)
    database.open()
    identity = Identity(database, new_identity)
    try:
        schema.check(database)
        if not schema.is_new(database):
            soundness.check(database)
            identity.examine(log)
    except BaseException:
        # A damaged store is evidence: database and log stay as they were found, together.
        database.close_untouched()
        raise
    schema.migrate(database)
    identity.settle()
    schema.started(database)
    return identity
