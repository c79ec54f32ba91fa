"""Opening: one owner, settings read back, nothing unsafe, damaged or too new is touched."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_helpers import frame, queued, source

from edge_agent.store import schema
from edge_agent.store.connection import APPLICATION_ID
from edge_agent.store.directory import database_files, refuse_unsafe
from edge_agent.store.errors import (
    DirectoryError,
    ForeignDirectoryError,
    OpenError,
    StoreCorruptError,
    StoreLockedError,
    StoreTooNewError,
    UnsafeFilesystemError,
    UnsafeSettingsError,
)
from edge_agent.store.store import Store

# reliability.md A4 and design invariant 8, as SQLite reports them.
WANTED = {
    "auto_vacuum": 2,
    "locking_mode": "exclusive",
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "busy_timeout": 10000,
    "mmap_size": 0,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "journal_size_limit": 67108864,
    "wal_autocheckpoint": 1000,
    "secure_delete": 1,
    "recursive_triggers": 0,
    "temp_store": 2,
    "application_id": APPLICATION_ID,
    "user_version": schema.migrations()[-1][0],
}


@pytest.mark.parametrize("start", ["first", "second"])
def test_every_setting_is_what_durability_needs(open_store, start):
    store = open_store()
    if start == "second":
        store.close()
        store = open_store()
    assert {name: store.database.value(f"PRAGMA {name}") for name in WANTED} == WANTED


def test_every_table_is_strict(store):
    loose = store.database.rows(
        "SELECT name FROM pragma_table_list WHERE type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%'"
    )
    assert loose == []


def test_a_commit_that_is_not_synced_is_found_at_start(open_store):
    with pytest.raises(UnsafeSettingsError) as refused:
        open_store(synchronous="NORMAL")
    assert "synchronous = 1 where FULL" in refused.value.sentence


def test_a_data_directory_that_cannot_be_made_is_said_in_a_sentence(open_store, data_dir):
    data_dir.write_text("a file where the directory should be")
    with pytest.raises(DirectoryError) as refused:
        open_store()
    assert refused.value.sentence.startswith("The data directory cannot be used: ")


def test_root_is_sent_away_from_the_directory_of_a_service_that_could_not_open_what_root_writes(open_store, data_dir):
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: giving a directory to another user needs root")
    data_dir.mkdir()
    os.chown(data_dir, 65_534, 65_534)
    with pytest.raises(ForeignDirectoryError) as refused:
        open_store()
    assert refused.value.code == "store-directory"
    assert "systemctl start edge-agent" in refused.value.action
    assert list(data_dir.iterdir()) == []
    os.chown(data_dir, 0, 0)
    open_store()  # its own is root's to use


def test_a_second_agent_is_told_in_one_sentence(open_store):
    open_store()
    with pytest.raises(StoreLockedError) as refused:
        open_store()
    assert refused.value.sentence.startswith("Another program is using the data directory")
    assert refused.value.code == "store-locked"
    assert refused.value.action


OTHER_PROCESS = """
import fcntl, sqlite3, sys
lock = open(sys.argv[1] + "/agent.lock", "r+")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("flock taken")
except OSError:
    print("flock refused")
for sql in ("SELECT count(*) FROM outbox", "INSERT INTO fact VALUES ('other', 'x')"):
    try:
        sqlite3.connect(sys.argv[1] + "/agent.db", timeout=0, isolation_level=None).execute(sql).fetchall()
        print("sqlite let in")
    except sqlite3.OperationalError as error:
        print(error)
"""


def other_process(data_dir: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", OTHER_PROCESS, str(data_dir)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_another_process_is_locked_out_by_both_locks_while_the_store_is_open(open_store, data_dir):
    store = open_store()
    locked = ["flock refused", "database is locked", "database is locked"]
    assert other_process(data_dir) == locked
    queued(store)  # and still after a write
    assert other_process(data_dir) == locked
    store.close()
    assert other_process(data_dir) == ["flock taken", "sqlite let in", "sqlite let in"]


def test_the_check_of_the_lock_fails_when_a_descriptor_of_the_file_was_closed(open_store, data_dir):
    """The control: opening and closing the database by path drops SQLite's lock. Nothing in the agent may do it."""
    store = open_store()
    os.close(os.open(data_dir / "agent.db", os.O_RDONLY))
    assert "sqlite let in" in other_process(data_dir)
    store.close()


def test_no_shared_memory_file_exists(open_store, data_dir):
    store = open_store()
    queued(store)
    assert not (data_dir / "agent.db-shm").exists()
    store.close()
    open_store()
    assert not (data_dir / "agent.db-shm").exists()


def test_a_shared_memory_file_beside_the_database_is_refused(open_store, data_dir):
    open_store().close()
    (data_dir / "agent.db-shm").write_bytes(bytes(32768))
    with pytest.raises(UnsafeSettingsError, match=r"with shared memory file \(-shm\) = present where none is needed"):
        open_store()


def test_files_are_the_owner_s_alone(open_store, data_dir):
    queued(open_store())
    assert data_dir.stat().st_mode & 0o777 == 0o700
    for path in data_dir.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_a_newer_schema_is_refused_and_left_alone(open_store, data_dir):
    open_store().close()
    other = sqlite3.connect(data_dir / "agent.db")
    other.execute("PRAGMA user_version = 99")
    other.close()
    before = (data_dir / "agent.db").read_bytes()
    with pytest.raises(StoreTooNewError) as refused:
        open_store()
    assert "schema 99" in refused.value.sentence
    assert (data_dir / "agent.db").read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("tmpfs", "rw"),
        ("ramfs", "rw"),
        ("nfs4", "rw"),
        ("cifs", "rw"),
        ("fuse.sshfs", "rw"),
        ("ext4", "rw,data=writeback"),
        ("ext4", "rw,nobarrier"),
    ],
)
def test_a_file_system_that_forgets_is_refused(tmp_path, kind, options):
    mounts = f"22 1 8:1 / / rw - ext4 /dev/root rw\n23 22 0:40 / {tmp_path} rw - {kind} dev {options}\n"
    with pytest.raises(UnsafeFilesystemError):
        refuse_unsafe(tmp_path, mounts)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay"])
def test_a_local_disk_is_taken(tmp_path, kind):
    refuse_unsafe(tmp_path, f"22 1 8:1 / / rw - {kind} dev rw\n23 22 0:40 / /elsewhere rw - tmpfs dev rw\n")


# damage


def damage(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def crashed(open_store, data_dir: Path, rounds: int = 30) -> dict[str, bytes]:
    """A store as a killed process leaves it, its log not yet in the database; the files' bytes."""
    store = open_store()
    number = store.open_transmission(source())
    for _ in range(rounds):
        store.append(number, [frame(b"R|1|^^^GLU|5.3\r" * 20)])
    # Another name for each file survives what closing does to the first one.
    kept = {}
    for path in (*database_files(data_dir)[:2], data_dir / "identity.json", data_dir / "agent.witness"):
        kept[path.name] = subprocess.run(["cat", path], capture_output=True, check=True).stdout
    store.close()
    for name, data in kept.items():
        (data_dir / name).write_bytes(data)
    return kept


def files(data_dir: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in database_files(data_dir) if p.exists()}


def test_after_a_crash_the_log_is_read(open_store, data_dir):
    crashed(open_store, data_dir)
    store = open_store()
    assert store.former is None
    assert len(store.transmission(1).chunks) == 30


@pytest.mark.parametrize("how", ["gone", "empty", "a byte"])
def test_a_store_that_was_there_is_never_begun_anew_by_itself(open_store, data_dir, how):
    store = open_store()
    queued(store)
    store.close()
    path = data_dir / "agent.db"
    path.unlink() if how == "gone" else os.truncate(path, 0 if how == "empty" else 1)
    before = files(data_dir)
    with pytest.raises(StoreCorruptError) as refused:
        open_store()
    assert "edge-agent salvage" in refused.value.action
    assert files(data_dir) == before


@pytest.mark.parametrize("page", ["first", "inner", "not a database"])
def test_a_damaged_database_is_refused_with_its_files_kept_as_they_were(open_store, data_dir, page):
    store = open_store()
    for n in range(40):
        queued(store, f"S{n}")
    store.close()
    path = data_dir / "agent.db"
    if page == "first":
        damage(path, 100, b"\xff" * 400)
    elif page == "inner":
        damage(path, 4096 * 5, b"\xff" * 4096)
    else:
        path.write_bytes(b"this is no database" * 1000)
    before = files(data_dir)
    with pytest.raises(StoreCorruptError) as refused:
        open_store()
    assert "together" in refused.value.action
    assert files(data_dir) == before


@pytest.mark.parametrize("witness", ["there", "lost"])
def test_a_bad_frame_before_good_ones_in_the_log_is_refused_with_its_files_kept(open_store, data_dir, witness):
    crashed(open_store, data_dir)
    if witness == "lost":
        (data_dir / "agent.witness").unlink()
    log = data_dir / "agent.db-wal"
    damage(log, log.stat().st_size // 2, b"\xff\xff\xff")
    before = files(data_dir)
    assert set(before) == {"agent.db", "agent.db-wal"}
    with pytest.raises(StoreCorruptError):
        open_store()
    assert files(data_dir) == before


def test_a_log_whose_last_commit_cannot_be_read_is_refused_after_a_crash(open_store, data_dir):
    crashed(open_store, data_dir)
    log = data_dir / "agent.db-wal"
    damage(log, log.stat().st_size - 100, b"\xff\xff\xff")
    before = files(data_dir)
    with pytest.raises(StoreCorruptError):
        open_store()
    assert files(data_dir) == before


def test_a_torn_last_commit_is_what_a_power_failure_leaves_and_is_let_go(open_store, data_dir):
    """Nothing synced stands behind it, and the witness, which is not synced, is older too."""
    crashed(open_store, data_dir)
    log = data_dir / "agent.db-wal"
    damage(log, log.stat().st_size - 100, b"\xff\xff\xff")
    (data_dir / "agent.witness").unlink()
    store = open_store()
    assert store.former is None
    assert len(store.transmission(1).chunks) == 29


def test_a_truncated_log_is_found(open_store, data_dir):
    crashed(open_store, data_dir)
    log = data_dir / "agent.db-wal"
    os.truncate(log, log.stat().st_size // 2)
    before = files(data_dir)
    with pytest.raises(StoreCorruptError):
        open_store()
    assert files(data_dir) == before


def test_a_deleted_log_is_found_as_an_older_database(open_store, data_dir):
    open_store().close()
    crashed(open_store, data_dir)
    (data_dir / "agent.db-wal").unlink()
    store = open_store()
    assert store.former is not None
    assert "older" in store.former.reason


def test_a_log_without_its_database_is_never_emptied(open_store, data_dir):
    crashed(open_store, data_dir)
    (data_dir / "agent.db").unlink()
    before = files(data_dir)
    with pytest.raises(StoreCorruptError):
        open_store()
    assert files(data_dir) == before


def test_a_crash_while_a_damaged_store_was_closed_is_undone(open_store, data_dir):
    crashed(open_store, data_dir)
    (data_dir / "agent.db").rename(data_dir / "agent.db.closing")
    assert len(open_store().transmission(1).chunks) == 30


def test_another_program_s_database_is_not_taken_over(open_store, data_dir):
    data_dir.mkdir()
    other = sqlite3.connect(data_dir / "agent.db")
    other.execute("PRAGMA application_id = 7")
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(StoreCorruptError):
        open_store()


def test_a_store_that_could_not_be_opened_leaves_the_lock_free(open_store, data_dir):
    with pytest.raises(OpenError):
        open_store(synchronous="OFF")
    assert isinstance(open_store(), Store)
