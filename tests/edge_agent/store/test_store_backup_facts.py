"""What a copy says of itself, when it is believed, and what is remembered of the last one."""

import os
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from store_helpers import START, at_broker, filed, frame, held, queued, received, source

from edge_agent.states import ItemState, MessageState
from edge_agent.store import backup, schema
from edge_agent.store.backup import Facts, LastBackup
from edge_agent.store.errors import BackupError, StorageFailedError, StoreCorruptError
from edge_agent.store.rows import NewGroup, Settlement
from edge_agent.store.store import Store


def nothing() -> None:
    pass


def copied(store: Store, folder: Path, between: Callable[[], None] = nothing) -> list[tuple[int, int]]:
    """Pages done and in all, after each step."""
    folder.mkdir()
    told: list[tuple[int, int]] = []
    backup.copy(store, folder, between, lambda done, of: told.append((done, of)))
    return told


def some_of_each(store: Store) -> None:
    filed(store, queued(store, "S1"))
    at_broker(store, queued(store, "S2"))
    store.acknowledged(queued(store, "S3"), code="AE", detail="", consumer="ivd", digest_ok=True)
    store.block(queued(store, "S4"), "0x95", "too large")
    store.set_aside(queued(store, "S5"), who="kim", note="by hand")
    queued(store, "S6", replaces=queued(store, "S6"))
    queued(store, "S7", "dx2", holds=("X1", "X2"))
    store.settle(Settlement(received(store), (NewGroup("S8", "P", ItemState.HELD, observations=(held("X3"),)),)))
    store.settle(Settlement(received(store), holds=(("driver", "KeyError"),)))
    received(store)
    store.open_transmission(source())


def expected(store: Store) -> Facts:
    entry, hash_ = store.audit_head()
    return Facts(
        identity="TESTSTOR",
        schema=schema.migrations()[-1][0],
        messages={
            MessageState.FILED: 1,
            MessageState.AT_BROKER: 1,
            MessageState.REJECTED: 1,
            MessageState.BLOCKED: 1,
            MessageState.SET_ASIDE: 1,
            MessageState.SUPERSEDED: 1,
            MessageState.QUEUED: 2,
        },
        held=3,
        failed=1,
        unconverted=2,
        audit_entry=entry,
        audit_hash=hash_,
        newest=START + timedelta(hours=2),
    )


def test_a_copy_tells_everything_that_waits_in_it_and_when_it_was_last_written(store, tmp_path, clock):
    some_of_each(store)
    clock.advance(hours=2)
    store.prove()
    told = copied(store, tmp_path / "copy")
    clock.advance(hours=1)
    facts = backup.examine(tmp_path / "copy", clock)
    assert facts == expected(store)
    assert facts.unfiled == 5
    pages = (tmp_path / "copy" / "agent.db").stat().st_size // 4096
    assert told[-1] == (pages, pages)
    assert [done for done, _ in told] == [*range(backup.PAGES, pages, backup.PAGES), pages]
    assert backup.size(store) == pages * 4096


def test_a_store_nobody_has_open_says_the_same_and_is_left_as_it_was(store, data_dir, tmp_path, clock):
    some_of_each(store)
    clock.advance(hours=2)
    store.prove()
    wanted = expected(store)
    other = tmp_path / "killed"
    other.mkdir()
    for name in ("agent.db", "agent.db-wal"):  # copied by another program: by path it would cost the store its lock
        subprocess.run(["cp", data_dir / name, other / name], check=True)
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    assert len(before["agent.db-wal"]) > 0
    assert backup.peek(other, clock) == wanted
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before


def test_a_store_that_was_never_written_has_no_newest(data_dir, tmp_path, clock, open_store):
    store = open_store()
    store.database.rows("DELETE FROM fact WHERE name = 'commits'")
    copied(store, tmp_path / "copy")
    assert backup.examine(tmp_path / "copy", clock).newest is None


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """Names of what this process syncs itself."""
    names: list[str] = []
    monkeypatch.setattr("os.fsync", lambda fd: names.append(Path(f"/proc/self/fd/{fd}").readlink().name))
    return names


@pytest.mark.parametrize("keep", [True, False])
def test_a_copy_that_is_kept_is_one_synced_file_and_one_that_is_only_sent_holds_no_commit_up(
    store, tmp_path, clock, synced, keep
):
    queued(store)
    copied(store, tmp_path / "copy")
    synced.clear()
    backup.examine(tmp_path / "copy", clock, keep=keep)
    assert synced == (["agent.db"] if keep else [])
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["agent.db"]
    with sqlite3.connect(tmp_path / "copy" / "agent.db") as made:
        mode = made.execute("PRAGMA journal_mode").fetchone()[0]
    made.close()
    assert mode == ("delete" if keep else "wal")


def test_a_check_is_given_up_when_its_owner_says_so(store, tmp_path, clock, monkeypatch):
    monkeypatch.setattr(backup, "_CHECK_OFTEN", 10)
    queued(store)
    copied(store, tmp_path / "copy")
    with pytest.raises(BackupError, match="interrupted"):
        backup.examine(tmp_path / "copy", clock, given_up=lambda: True)
    assert backup.examine(tmp_path / "copy", clock, given_up=lambda: False).unfiled == 1


def test_what_the_owner_says_later_than_the_check_changes_nothing(store, tmp_path, clock, monkeypatch):
    """Closing a checked copy is not interrupted."""
    monkeypatch.setattr(backup, "_CHECK_OFTEN", 1)
    checked = []
    facts = backup._checked
    monkeypatch.setattr(backup, "_checked", lambda database: (facts(database), checked.append(True))[0])
    queued(store)
    copied(store, tmp_path / "copy")
    assert backup.examine(tmp_path / "copy", clock, given_up=lambda: bool(checked)).unfiled == 1


def test_an_empty_copy_and_one_that_is_no_database_are_refused(tmp_path, clock):
    (tmp_path / "agent.db").touch()
    with pytest.raises(BackupError, match="the copy is empty"):
        backup.examine(tmp_path, clock)
    (tmp_path / "agent.db").write_bytes(b"no database" * 1000)
    with pytest.raises(BackupError, match="the copy fails its check: The database is damaged"):
        backup.examine(tmp_path, clock)


def test_a_copy_that_cannot_be_written_is_said_and_the_store_goes_on(store, tmp_path, monkeypatch):
    number = store.open_transmission(source())
    store.append(number, [frame(b"R|" + b"x" * 40_000)] * 20)
    made = sqlite3.connect

    def small(*arguments, **options):
        """A disk with room for twenty pages."""
        connection = made(*arguments, **options)
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(backup.sqlite3, "connect", small)
    with pytest.raises(BackupError, match="the database cannot be copied: "):
        copied(store, tmp_path / "copy")
    assert store.append(number, [frame()]).chunks == 1


def test_what_comes_between_two_steps_may_end_the_copy_and_leaves_nothing_open(store, tmp_path):
    number = store.open_transmission(source())
    store.append(number, [frame(b"R|" + b"x" * 40_000)] * 20)
    before = os.listdir("/proc/self/fd")

    def stop() -> None:
        raise StorageFailedError("the agent is stopping")

    with pytest.raises(StorageFailedError, match="stopping"):
        copied(store, tmp_path / "copy", stop)
    assert os.listdir("/proc/self/fd") == before


def test_a_copy_is_never_made_over_another(store, tmp_path):
    copied(store, tmp_path / "copy")
    with pytest.raises(FileExistsError):
        backup.copy(store, tmp_path / "copy", nothing, lambda done, of: None)


def test_a_folder_for_a_copy_is_new_and_its_owner_s_alone(data_dir, open_store):
    open_store()
    folder = backup.begin(data_dir)
    (folder / "agent.db").write_bytes(b"half")
    assert backup.begin(data_dir) == folder == data_dir / "backup.partial"
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_last_backup_is_remembered_with_its_name_and_told(open_store, clock):
    store = open_store()
    assert backup.last(store) is None
    at = START - timedelta(minutes=5, microseconds=1)
    backup.note(store, "the lab of monday.edge", at, {"file": "x"})
    store.close()
    store = open_store()
    assert backup.last(store) == LastBackup(at, "the lab of monday.edge")
    entry = next(e for e in store.audit_entries() if e.kind == "backup")
    assert entry.facts == {"file": "x"}


def test_a_store_that_is_damaged_says_nothing_of_itself(data_dir, clock):
    data_dir.mkdir()
    (data_dir / "agent.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreCorruptError):
        backup.peek(data_dir, clock)
