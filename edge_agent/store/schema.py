"""Numbered migrations, forward only, each in one transaction; a newer schema is refused.

Promised: after a crash at any statement the database has the old schema or the new one, never a part of both, and a
database with rows was copied aside (``agent-schema-N.db``) and the copy checked before the first change; it stays until
the second start that goes to its end. Not promised: a way back; the copy is the way back.
"""

import logging
import os
import sqlite3
from importlib import resources
from pathlib import Path

from edge_agent.store import audit
from edge_agent.store.connection import APPLICATION_ID, Database
from edge_agent.store.directory import sync_directory
from edge_agent.store.errors import StorageFailedError, StoreCorruptError, StoreTooNewError

log = logging.getLogger(__name__)

Migration = tuple[int, str]

_STARTED = "started"  # the fact that names the schema a start has gone to its end with
_PLAUSIBLE = 1000  # schemas a newer agent may be ahead


def migrations() -> list[Migration]:
    """(number, SQL) in order, from ``migrations/NNNN_name.sql``."""
    folder = resources.files("edge_agent.store") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [(int(f.name.split("_")[0]), f.read_text("utf-8")) for f in files]


def check(database: Database, *, thorough: bool = False) -> None:
    """Before anything else uses it: whole, ours, and not from the future. ``thorough``: each index and each reference.

    Raises StoreCorruptError, StoreTooNewError.
    """
    try:
        pragma = "PRAGMA integrity_check(1)" if thorough else "PRAGMA quick_check(3)"
        findings = [str(row[0]) for row in database.connection.execute(pragma)]
        dangling = database.connection.execute("PRAGMA foreign_key_check").fetchone() if thorough else None
    except sqlite3.DatabaseError as error:
        raise StoreCorruptError(str(error)) from error
    if findings != ["ok"]:
        raise StoreCorruptError(findings[0])
    if dangling is not None:
        raise StoreCorruptError(f"a row of {dangling[0]} belongs to none of {dangling[2]}")
    version = _version(database)
    known = migrations()[-1][0]
    refuse_newer(version, known)


def refuse_newer(version: int, known: int) -> None:
    """Raises StoreTooNewError, or StoreCorruptError where no agent ever had so many schemas."""
    if version > known + _PLAUSIBLE:
        raise StoreCorruptError("it says a schema that cannot be")
    if version > known:
        raise StoreTooNewError(version, known)


def is_new(database: Database) -> bool:
    """Whether no migration was applied yet."""
    return _version(database) == 0


def is_old(database: Database) -> bool:
    """Whether a migration is due."""
    return _version(database) < migrations()[-1][0]


def migrate(database: Database, steps: list[Migration] | None = None) -> None:
    """Bring the schema up to date. Raises StorageFailedError; the schema is then what it was before the failed step."""
    version = _version(database)
    due = [m for m in (steps if steps is not None else migrations()) if m[0] > version]
    if due and version:
        back_up(database, version)
    for number, sql in due:
        _apply(database, number, sql)


def _apply(database: Database, number: int, sql: str) -> None:
    # Imported here because only a start that migrates pays its 0.1 s.
    from sqlite_utils import Database as SqliteUtils

    connection = database.connection
    tables = SqliteUtils(connection, recursive_triggers=False, execute_plugins=False)
    try:
        connection.execute("BEGIN IMMEDIATE")
        # Inside a transaction sqlite-utils runs a script statement by statement; sqlite3's own would commit first.
        tables.executescript(sql)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        if database.fact("identity"):  # not of a store that is only being made
            audit.add(database, "migrated", {"schema": str(number)})
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise database.fail(error) from error


def back_up(database: Database, version: int) -> None:
    """Copy the database through SQLite itself, never by its path; outside a transaction, where it would hang."""
    target = database.data_dir / f"agent-schema-{version}.db"
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    _refuse_without_room(database)
    copy = sqlite3.connect(partial)
    try:
        partial.chmod(0o600)
        database.connection.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        if copy.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise StorageFailedError("the copy before the upgrade fails its check")
    except sqlite3.Error as error:
        raise StorageFailedError(f"the copy before the upgrade failed: {error}") from error
    finally:
        copy.close()
    partial.rename(target)
    sync_directory(database.data_dir)
    log.info("The store has schema %d and is upgraded; a copy of it as it was is %s.", version, target)


def _refuse_without_room(database: Database) -> None:
    needed = int(database.value("PRAGMA page_count")) * int(database.value("PRAGMA page_size"))
    found = os.statvfs(database.data_dir)
    if found.f_bavail * found.f_frsize < needed:
        mb = -(-needed // 1_000_000)
        raise StorageFailedError(f"an upgrade needs {mb} MB for a copy of the store, and there is less")


def started(database: Database) -> None:
    """A start went to its end. Of a copy from before an upgrade the second such start takes leave."""
    version = str(_version(database))
    if database.fact(_STARTED) == version:
        _forget_copies(database.data_dir)
    else:
        with database.writing():
            database.set_fact(_STARTED, version)


def _forget_copies(data_dir: Path) -> None:
    for copy in sorted(data_dir.glob("agent-schema-*")):
        copy.unlink()
        log.info("The copy from before the upgrade is not needed any more: %s is deleted.", copy)


def _version(database: Database) -> int:
    return int(database.value("PRAGMA user_version"))
