"""The store as a whole: how it is opened and closed, what it does about storage that failed."""

import os
from pathlib import Path

import pytest
from store_faults import Faults, intercept
from store_helpers import StillClock, queued, received, source

from edge_agent.store import directory, soundness, steady
from edge_agent.store.disk import MB, Disk
from edge_agent.store.errors import DirectoryError, StorageFailedError, StoreCorruptError, UnsafeFilesystemError
from edge_agent.store.store import Store


def test_a_directory_that_cannot_be_made_is_said_in_the_system_s_words(open_store, data_dir):
    data_dir.write_text("a file where the directory should be")
    with pytest.raises(DirectoryError) as refused:
        open_store()
    assert refused.value.sentence == "The data directory cannot be used: File exists."


def test_a_file_system_that_forgets_is_refused_before_a_database_is_made_on_it(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text(f"23 22 0:40 / {tmp_path} rw - tmpfs tmpfs rw\n")
    with pytest.raises(UnsafeFilesystemError):
        Store.open(data_dir, StillClock(), reserve_mb=0, low_water_mb=0)
    assert [path.name for path in data_dir.iterdir()] == ["agent.lock"]
    (tmp_path / "mountinfo").write_text(f"23 22 8:3 / {tmp_path} rw - ext4 /dev/sda2 rw\n")
    Store.open(data_dir, StillClock(), reserve_mb=0, low_water_mb=0).close()


def test_without_other_limits_8_mb_are_kept_for_the_emergency_and_64_stay_free(data_dir, monkeypatch):
    free = 72 * MB
    monkeypatch.setattr(Disk, "free_bytes", lambda _self: free)
    store = Store.open(data_dir, StillClock(), allow_unsafe=True)
    assert (data_dir / "reserve.bin").stat().st_size == 8_388_608
    free = 64 * MB
    assert not store.disk_low()
    free = 64 * MB - 1
    assert (store.disk_low(), store.disk_free_mb()) == (True, 63)
    assert store.release_reserve()
    assert not (data_dir / "reserve.bin").exists()
    assert not store.restore_reserve()
    free = 72 * MB
    assert store.restore_reserve()
    store.close()


def test_closing_gives_everything_back_also_when_the_witness_cannot_be_synced(open_store, monkeypatch):
    store = open_store()
    opened = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(OSError, match="Input/output"):
            store.close()
    assert len(os.listdir("/proc/self/fd")) < len(opened)
    assert open_store().open_transmission(source()) == 1


@pytest.fixture
def faults(monkeypatch) -> Faults:
    faults = Faults()
    intercept(monkeypatch, faults)
    return faults


@pytest.mark.parametrize(
    ("code", "free", "given_up"),
    [
        ("SQLITE_FULL", 100 * MB, True),
        ("SQLITE_IOERR_WRITE", MB - 1, True),
        ("SQLITE_IOERR_WRITE", MB, False),
        ("SQLITE_IOERR_WRITE", 100 * MB, False),
    ],
)
def test_the_reserve_is_given_up_only_for_a_full_disk(faults, open_store, data_dir, monkeypatch, code, free, given_up):
    store = open_store(reserve_mb=1)
    faults.arm("COMMIT", code=code)
    with pytest.raises(StorageFailedError):
        store.prove()
    monkeypatch.setattr(Disk, "free_bytes", lambda _self: free)
    store.reopen()
    assert (data_dir / "reserve.bin").exists() is not given_up
    assert store.broken == ""
    assert received(store) == 1


@pytest.mark.parametrize(("code", "checked"), [("SQLITE_CORRUPT", 1), ("SQLITE_NOTADB", 1), ("SQLITE_IOERR_FSYNC", 0)])
def test_after_damage_everything_is_checked_before_it_is_used_again(faults, open_store, monkeypatch, code, checked):
    store = open_store()
    faults.arm("COMMIT", code=code)
    with pytest.raises(StorageFailedError):
        store.prove()
    looked = []
    check = soundness.check
    monkeypatch.setattr(soundness, "check", lambda database: (looked.append(1), check(database)))
    store.reopen()
    assert len(looked) == checked


def test_what_is_still_damaged_is_not_used_again(faults, open_store):
    store = open_store()
    queued(store, payload=b"MSH|a")
    faults.arm("COMMIT", code="SQLITE_CORRUPT")
    with pytest.raises(StorageFailedError):
        store.prove()
    why = store.broken
    store.database.broken = ""
    store.database.rows("UPDATE payload SET payload = x'00'")
    store.database.broken = why
    with pytest.raises(StoreCorruptError):
        store.reopen()
    assert store.broken == why
    with pytest.raises(StorageFailedError):
        store.prove()


def test_to_prove_is_one_commit(store):
    def commits() -> int:
        return int(store.database.fact("commits").split()[0])

    before = commits()
    store.prove()
    assert commits() == before + 1


def test_the_store_s_time_is_read_once_and_goes_on_over_a_start(open_store, tmp_path: Path, monkeypatch, clock):
    monkeypatch.setattr(steady, "BOOT", tmp_path / "boot_id")
    (tmp_path / "boot_id").write_text("one", encoding="ascii")
    store = open_store()
    store.prove()
    before = store.database.steady.now_us()
    clock.advance(seconds=5)
    store.close()
    store = open_store()
    assert store.database.steady.now_us() == before + 5_000_000
    (tmp_path / "boot_id").write_text("two", encoding="ascii")
    assert store.database.steady is store.database.steady
    assert store.database.steady.now_us() == before + 5_000_000


def test_a_reference_that_went_bad_is_damage_and_no_defect_of_the_job_that_met_it(open_store):
    """Only each index and reference shows it, not the quick check of a start; until then nothing is taken."""
    store = open_store()
    queued(store)
    store.database.execute("PRAGMA foreign_keys = OFF")
    store.database.execute("UPDATE observation SET group_id = 900")
    store.database.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(StorageFailedError, match="FOREIGN KEY"):
        store.database.execute("UPDATE observation SET group_id = 901")
    with pytest.raises(StoreCorruptError, match="belongs to none of specimen_group"):
        store.reopen()
    with pytest.raises(StorageFailedError):
        store.open_transmission(source())
