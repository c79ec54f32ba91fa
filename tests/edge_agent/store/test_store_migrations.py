"""Migrations: at any point of a crash the old schema or the new one, never a part of both."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from store_faults import die_at, in_child, intercept, statements
from store_helpers import StillClock, ids, queued

from edge_agent.states import MessageState
from edge_agent.store import schema
from edge_agent.store.connection import APPLICATION_ID
from edge_agent.store.errors import StorageFailedError, StoreCorruptError, StoreTooNewError
from edge_agent.store.store import Store

NOW = schema.migrations()[-1][0]
NEXT = """
ALTER TABLE transmission ADD COLUMN weather TEXT NOT NULL DEFAULT '';
CREATE TABLE tides (at INTEGER PRIMARY KEY, height TEXT NOT NULL) STRICT;
CREATE TRIGGER tide AFTER INSERT ON tides BEGIN
    UPDATE fact SET value = new.height WHERE name = 'tide';
    UPDATE fact SET value = ';' WHERE name = 'never';
END;
INSERT INTO tides VALUES (1, '0.40');
"""


def tables(path: Path) -> tuple[int, int, list[str]]:
    """Version, application id and everything the schema has, read by SQLite alone."""
    other = sqlite3.connect(path)
    try:
        names = other.execute("SELECT name || ' ' || sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        found = [row[0] for row in names]
        version = other.execute("PRAGMA user_version").fetchone()[0]
        return version, other.execute("PRAGMA application_id").fetchone()[0], found
    finally:
        other.close()


def opened(data_dir: Path) -> Store:
    return Store.open(data_dir, StillClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True)


def with_next(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [*schema.migrations(), (NOW + 1, NEXT)]
    monkeypatch.setattr(schema, "migrations", lambda: steps)


def die_while_opening(data_dir: Path, monkeypatch: pytest.MonkeyPatch, statement: int) -> None:
    def work() -> None:
        intercept(monkeypatch, die_at(statement))
        opened(data_dir)

    in_child(work)


@pytest.fixture
def schema_of_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tuple[int, int, list[str]]]:
    def made(version: int) -> tuple[int, int, list[str]]:
        """What a store of that version has, made by the migrations up to it."""
        path, steps = tmp_path / f"version-{version}.db", schema.migrations()[:version]
        other = sqlite3.connect(path)
        for number, sql in steps:
            other.executescript(sql)
            other.execute(f"PRAGMA user_version = {number}")
        other.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        other.close()
        return tables(path)

    return made


def test_a_first_start_killed_at_each_statement_leaves_nothing_or_a_whole_schema(tmp_path, monkeypatch, schema_of_old):
    whole = tmp_path / "whole"
    count = statements(lambda: opened(whole).close(), monkeypatch)
    wanted = tables(whole / "agent.db")
    assert (wanted[0], len(wanted[2]) > 30) == (NOW, True)
    allowed = [(0, 0, []), *map(schema_of_old, range(1, NOW)), wanted]
    seen = set()
    for statement in range(1, count + 1):
        data_dir = tmp_path / f"killed-{statement}"
        die_while_opening(data_dir, monkeypatch, statement)
        left = tables(data_dir / "agent.db")
        assert left in allowed, f"killed at statement {statement}"
        seen.add(left[0])
    assert seen == set(range(NOW + 1))
    print(f"{count} statements, each killed once")


def test_an_upgrade_killed_at_each_statement_leaves_the_old_or_the_new_and_the_rows(tmp_path, monkeypatch):
    store = opened(tmp_path / "old")
    sent = queued(store)
    store.close()
    database = (tmp_path / "old" / "agent.db").read_bytes()
    old = tables(tmp_path / "old" / "agent.db")
    with_next(monkeypatch)
    count = statements(lambda: opened(tmp_path / "old").close(), monkeypatch)
    new = tables(tmp_path / "old" / "agent.db")
    assert (old[0], new[0]) == (NOW, NOW + 1)
    seen = set()
    for statement in range(1, count + 1):
        data_dir = tmp_path / f"killed-{statement}"
        data_dir.mkdir(mode=0o700)
        (data_dir / "agent.db").write_bytes(database)
        die_while_opening(data_dir, monkeypatch, statement)
        left = tables(data_dir / "agent.db")
        assert left in (old, new), f"killed at statement {statement}"
        seen.add(left[0])
        if left == new:
            assert (data_dir / f"agent-schema-{NOW}.db").exists()
    assert seen == {NOW, NOW + 1}
    after = opened(data_dir)
    assert ids(after.messages(states=(MessageState.QUEUED,))) == [sent]
    assert ("migrated", {"schema": str(NOW + 1)}) in [(e.kind, e.facts) for e in after.audit_entries()]
    after.close()


def test_the_copy_before_an_upgrade_is_the_old_database_whole(tmp_path, monkeypatch):
    store = opened(tmp_path)
    sent = queued(store)
    store.close()
    old = tables(tmp_path / "agent.db")
    with_next(monkeypatch)
    opened(tmp_path).close()
    copy = tmp_path / f"agent-schema-{NOW}.db"
    assert tables(copy) == old
    assert copy.stat().st_mode & 0o077 == 0
    other = sqlite3.connect(copy)
    assert other.execute("SELECT id FROM outbox").fetchall() == [(sent,)]
    other.close()


def test_the_copy_stays_until_the_second_start_that_goes_to_its_end(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    opened(tmp_path).close()
    with_next(monkeypatch)
    opened(tmp_path).close()
    [copy] = tmp_path.glob("agent-schema-*.db")
    assert str(copy) in caplog.text
    opened(tmp_path).close()
    assert not copy.exists()


def test_without_room_for_the_copy_nothing_is_changed_and_it_is_said(tmp_path, monkeypatch):
    opened(tmp_path).close()
    old = tables(tmp_path / "agent.db")
    with_next(monkeypatch)
    full = os.statvfs(tmp_path)
    monkeypatch.setattr(schema.os, "statvfs", lambda _: os.statvfs_result((*full[:4], 0, *full[5:10])))
    with pytest.raises(StorageFailedError, match="1 MB for a copy"):
        opened(tmp_path)
    assert tables(tmp_path / "agent.db") == old


def test_a_first_start_makes_no_copy(tmp_path):
    opened(tmp_path).close()
    assert list(tmp_path.glob("agent-schema-*")) == []


def test_a_migration_with_an_error_changes_nothing(tmp_path, monkeypatch):
    opened(tmp_path).close()
    old = tables(tmp_path / "agent.db")
    steps = [*schema.migrations(), (NOW + 1, NEXT + "CREATE TABLE tides (again INTEGER) STRICT;")]
    monkeypatch.setattr(schema, "migrations", lambda: steps)
    with pytest.raises(StorageFailedError):
        opened(tmp_path)
    assert tables(tmp_path / "agent.db") == old


def test_a_script_run_by_sqlite3_itself_would_be_found(tmp_path, monkeypatch):
    """The control: the standard library's executescript commits first, and a kill then leaves half a schema."""
    monkeypatch.setattr(schema, "_apply", lambda database, _n, sql: database.connection.executescript(sql + "broken;"))
    with pytest.raises(sqlite3.Error):
        opened(tmp_path)
    left = tables(tmp_path / "agent.db")
    assert (left[0], len(left[2]) > 0) == (0, True)


def test_migrations_are_numbered_without_gaps():
    assert [number for number, _ in schema.migrations()] == list(range(1, len(schema.migrations()) + 1))


def test_a_schema_ahead_is_a_newer_agent_s_and_one_far_ahead_is_none():
    schema.refuse_newer(7, 7)
    schema.refuse_newer(0, 7)
    for version in (8, 1007):
        with pytest.raises(StoreTooNewError, match=f"has schema {version}; this version of the agent knows up to 7"):
            schema.refuse_newer(version, 7)
    with pytest.raises(StoreCorruptError, match="a schema that cannot be"):
        schema.refuse_newer(1008, 7)


def test_the_copy_takes_the_place_of_half_a_one_and_its_name_is_synced(tmp_path, monkeypatch):
    opened(tmp_path).close()
    (tmp_path / f"agent-schema-{NOW}.partial").write_bytes(b"half")
    with_next(monkeypatch)
    synced = []
    sync = schema.sync_directory
    monkeypatch.setattr(schema, "sync_directory", lambda folder: (synced.append(copies()), sync(folder)))

    def copies() -> list[str]:
        return sorted(path.name for path in tmp_path.glob("agent-schema-*"))

    opened(tmp_path).close()
    assert synced == [[f"agent-schema-{NOW}.db"]]
    assert copies() == [f"agent-schema-{NOW}.db"]


@pytest.mark.parametrize(("pages", "enough"), [(0, True), (-1, False)])
def test_room_for_the_copy_is_as_many_bytes_as_the_database_has(tmp_path, monkeypatch, pages, enough):
    store = opened(tmp_path)
    count = store.database.value("PRAGMA page_count")
    store.close()
    with_next(monkeypatch)
    found = os.statvfs(tmp_path)
    room = os.statvfs_result((4096, 4096, *found[2:4], count + pages, *found[5:10]))
    monkeypatch.setattr(schema.os, "statvfs", lambda _: room)
    if enough:
        opened(tmp_path).close()
        assert tables(tmp_path / "agent.db")[0] == NOW + 1
        return
    mb = -(-count * 4096 // 1_000_000)  # rounded up
    with pytest.raises(StorageFailedError, match=f"needs {mb} MB"):
        opened(tmp_path)


def test_a_copy_that_cannot_be_made_leaves_the_old_schema(tmp_path, monkeypatch):
    opened(tmp_path).close()
    with_next(monkeypatch)
    made = sqlite3.connect

    def small(path, **options):
        connection = made(path, **options)
        if str(path).endswith(".partial"):
            connection.execute("CREATE TABLE t (x)")
            connection.execute("PRAGMA max_page_count = 2")
        return connection

    monkeypatch.setattr(schema.sqlite3, "connect", small)
    with pytest.raises(StorageFailedError, match="the copy before the upgrade failed: "):
        opened(tmp_path)
    assert tables(tmp_path / "agent.db")[0] == NOW
    assert not (tmp_path / f"agent-schema-{NOW}.db").exists()


def test_an_upgrade_is_told_and_the_making_of_a_store_is_not(tmp_path, monkeypatch):
    store = opened(tmp_path)
    assert store.audit_entries() == []
    assert (schema.is_new(store.database), schema.is_old(store.database)) == (False, False)
    store.close()
    with_next(monkeypatch)
    store = opened(tmp_path)
    assert [(e.kind, e.facts) for e in store.audit_entries()] == [("migrated", {"schema": str(NOW + 1)})]
    monkeypatch.undo()
    monkeypatch.setattr(schema, "migrations", lambda: [(NOW + 2, "")])
    assert schema.is_old(store.database)
    store.close()
