"""What the connection refuses before anything is touched: remains, others' databases, settings that were not taken."""

import os
import sqlite3

import pytest
from store_faults import intercept, sqlite_error

from edge_agent.store import connection
from edge_agent.store.connection import APPLICATION_ID, Database
from edge_agent.store.errors import StorageFailedError, StoreCorruptError, StoreLockedError, UnsafeSettingsError


@pytest.mark.parametrize(
    ("size", "log", "why"),
    [
        (1, b"", "it is cut off"),
        (511, b"", "it is cut off"),
        (0, b"x", "its log (-wal) is there without the database"),
        (None, b"x", "its log (-wal) is there without the database"),
    ],
)
def test_what_is_left_of_a_database_is_never_begun_anew(data_dir, clock, size, log, why):
    data_dir.mkdir()
    if size is not None:
        (data_dir / "agent.db").write_bytes(bytes(size))
    (data_dir / "agent.db-wal").write_bytes(log)
    before = {path.name: path.read_bytes() for path in data_dir.iterdir()}
    with pytest.raises(StoreCorruptError) as refused:
        Database(data_dir, clock).open()
    assert why in refused.value.sentence
    assert {path.name: path.read_bytes() for path in data_dir.iterdir()} == before


@pytest.mark.parametrize("log", [None, b""])
@pytest.mark.parametrize("size", [None, 0])
def test_where_nothing_was_yet_a_database_is_made(data_dir, clock, size, log):
    data_dir.mkdir()
    for name, content in (("agent.db", None if size is None else bytes(size)), ("agent.db-wal", log)):
        if content is not None:
            (data_dir / name).write_bytes(content)
    made = Database(data_dir, clock)
    made.open()
    assert made.value("PRAGMA auto_vacuum") == 2
    made.close()


@pytest.mark.parametrize(
    ("application", "tables", "taken"),
    [(7, 0, False), (7, 1, False), (0, 1, False), (0, 0, True), (APPLICATION_ID, 0, True), (APPLICATION_ID, 1, True)],
)
def test_another_program_s_database_is_left_byte_for_byte(data_dir, clock, application, tables, taken):
    data_dir.mkdir()
    other = sqlite3.connect(data_dir / "agent.db")
    other.execute("PRAGMA auto_vacuum = INCREMENTAL")
    other.execute("VACUUM")
    other.execute(f"PRAGMA application_id = {application}")
    if tables:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = (data_dir / "agent.db").read_bytes()
    database = Database(data_dir, clock)
    if taken:
        database.open()
        database.close()
        return
    with pytest.raises(StoreCorruptError, match="it is not a database of this agent"):
        database.open()
    assert (data_dir / "agent.db").read_bytes() == before
    assert [path.name for path in data_dir.iterdir()] == ["agent.db"]


def test_a_file_others_could_read_is_made_private(data_dir, clock):
    data_dir.mkdir()
    (data_dir / "agent.db").touch(0o644)
    made = Database(data_dir, clock)
    made.open()
    made.execute("CREATE TABLE t (x)")
    assert {path.name: path.stat().st_mode & 0o777 for path in data_dir.iterdir()} == {
        "agent.db": 0o600,
        "agent.db-wal": 0o600,
    }
    made.close()


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        ("SQLITE_BUSY", StoreLockedError, "it has the database open"),
        ("SQLITE_BUSY_SNAPSHOT", StoreLockedError, "it has the database open"),
        ("SQLITE_LOCKED", StoreLockedError, "it has the database open"),
        ("SQLITE_CORRUPT", StoreCorruptError, "as SQLite would say it (SQLITE_CORRUPT)"),
        ("SQLITE_NOTADB", StoreCorruptError, "as SQLite would say it (SQLITE_NOTADB)"),
        ("SQLITE_CANTOPEN", StorageFailedError, "as SQLite would say it (SQLITE_CANTOPEN)"),
        ("", StorageFailedError, "as SQLite would say it."),
    ],
)
def test_each_error_of_opening_has_its_own_sentence_and_nothing_stays_open(
    monkeypatch, data_dir, clock, code, error, sentence
):
    def before(sql: str) -> None:
        if sql == "BEGIN IMMEDIATE":
            raised = sqlite_error(code)
            if not code:
                del raised.sqlite_errorname
            raise raised

    intercept(monkeypatch, before)
    data_dir.mkdir()
    opened = os.listdir("/proc/self/fd")
    with pytest.raises(error) as refused:
        Database(data_dir, clock).open()
    assert sentence in refused.value.sentence
    assert os.listdir("/proc/self/fd") == opened


@pytest.mark.parametrize(
    "setting",
    [
        "auto_vacuum = NONE",
        "locking_mode = NORMAL",
        "journal_mode = DELETE",
        "synchronous = NORMAL",
        "foreign_keys = OFF",
        "busy_timeout = 1",
        "trusted_schema = ON",
        "cell_size_check = OFF",
        "journal_size_limit = 1",
        "wal_autocheckpoint = 0",
        "secure_delete = OFF",
        "recursive_triggers = ON",
        "temp_store = FILE",
    ],
)
def test_every_setting_that_sqlite_did_not_take_is_found(monkeypatch, data_dir, clock, setting):
    name = setting.partition(" = ")[0]

    class Stubborn(sqlite3.Connection):
        def execute(self, sql, *more):
            taken = f"PRAGMA {setting}" if sql.startswith(f"PRAGMA {name} = ") else sql
            return super().execute(taken, *more)

    monkeypatch.setattr(
        connection, "connect", lambda path: sqlite3.connect(path, isolation_level=None, factory=Stubborn)
    )
    data_dir.mkdir()
    opened = os.listdir("/proc/self/fd")
    with pytest.raises(UnsafeSettingsError) as refused:
        Database(data_dir, clock).open()
    assert os.listdir("/proc/self/fd") == opened
    assert f"with {name} = " in refused.value.sentence
