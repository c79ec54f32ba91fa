"""Numbered migrations, forward only, each in one transaction; a newer schema is refused.

Promised: after a crash at any statement the database has the old schema or the new one, never a part of both, and a
database with rows was copied aside (``agent-schema-N.db``) before the first change. Not promised: a way back; the
copy is the way back.
"""

import sqlite3
from importlib import resources

from edge_agent.store.connection import APPLICATION_ID, Database
from edge_agent.store.directory import sync_directory
from edge_agent.store.errors import StorageFailedError, StoreCorruptError, StoreTooNewError

Migration = tuple[int, str]


def migrations() -> list[Migration]:
    """(number, SQL) in order, from ``migrations/NNNN_name.sql``."""
    folder = resources.files("edge_agent.store") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [(int(f.name.split("_")[0]), f.read_text("utf-8")) for f in files]


def check(database: Database) -> None:
    """Before anything else uses it: whole, ours, and not from the future.

    Raises StoreCorruptError, StoreTooNewError.
    """
    try:
        findings = [str(row[0]) for row in database.connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        raise StoreCorruptError(str(error)) from error
    if findings != ["ok"]:
        raise StoreCorruptError(findings[0])
    version = _version(database)
    known = migrations()[-1][0]
    if version > known:
        raise StoreTooNewError(version, known)


def is_new(database: Database) -> bool:
    """Whether no migration was applied yet."""
    return _version(database) == 0


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
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise database.fail(error) from error


def back_up(database: Database, version: int) -> None:
    """Copy the database through SQLite itself, never by its path; outside a transaction, where it would hang."""
    target = database.data_dir / f"agent-schema-{version}.db"
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    copy = sqlite3.connect(partial)
    try:
        partial.chmod(0o600)
        database.connection.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.Error as error:
        raise StorageFailedError(f"the copy before the upgrade failed: {error}") from error
    finally:
        copy.close()
    partial.rename(target)
    sync_directory(database.data_dir)


def _version(database: Database) -> int:
    return int(database.value("PRAGMA user_version"))
