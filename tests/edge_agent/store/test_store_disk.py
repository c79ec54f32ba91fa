"""A full disk: nothing is acknowledged, what is stored can still be sent, and it all comes back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_helpers import StillClock, at_broker, filed, frame, ids, queued, source
from support_small_disk import fill, small_disk

from edge_agent.store.connection import Database
from edge_agent.store.disk import MB, Disk
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.store import Store


def test_the_reserve_is_made_of_real_blocks(data_dir, open_store):
    open_store(reserve_mb=2).close()
    found = (data_dir / "reserve.bin").stat()
    assert found.st_size == 2 * MB
    assert found.st_blocks * 512 >= 2 * MB


def test_the_mark_the_reserve_and_the_way_back(tmp_path, monkeypatch):
    free = 100 * MB
    monkeypatch.setattr(Disk, "free_bytes", lambda _self: free)
    disk = Disk(tmp_path, reserve_mb=1, low_water_mb=64)
    assert disk.low()  # no reserve yet
    assert disk.restore()
    assert not disk.low()
    free = 63 * MB
    assert disk.low()
    assert disk.release()
    assert not disk.release()
    free = 64 * MB + 1
    assert disk.low()  # above the mark, but the reserve is used up
    assert not disk.restore()
    free = 66 * MB
    assert disk.restore()
    assert not disk.low()
    free = 0
    assert disk.restore()  # it is there, and is not taken a second time


def test_a_reserve_that_does_not_fit_leaves_nothing_behind(tmp_path, monkeypatch):
    def too_large(fd: int, start: int, length: int) -> None:
        os.write(fd, b"x" * MB)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", too_large)
    disk = Disk(tmp_path, reserve_mb=2, low_water_mb=0)
    assert not disk.restore()
    assert list(tmp_path.iterdir()) == []


def acknowledged_until_full(store: Store, number: int) -> int:
    told = 0
    try:
        while True:
            told += store.append(number, [frame(b"R|1|^^^GLU|5.3\r" * 500)]).chunks
    except StorageFailedError:
        return told


def test_a_database_that_may_not_grow_acknowledges_nothing_and_recovers(open_store):
    store = open_store(reserve_mb=1)
    number = store.open_transmission(source())
    pages = store.database.value("PRAGMA page_count")
    store.database.rows(f"PRAGMA max_page_count = {pages + 20}")
    told = acknowledged_until_full(store, number)
    assert "SQLITE_FULL" in store.broken
    assert told > 0
    store.reopen()  # a new connection has no such limit
    assert not store._disk.has_reserve()
    assert store.disk_low()
    assert len(store.transmission(number).chunks) == told
    assert store.append(number, [frame()]).chunks == 1
    assert store.restore_reserve()


@pytest.fixture(name="small_disk")
def small_disk_for_a_test(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path) as point:
        yield point


def test_a_full_disk_stops_acknowledgements_and_the_reserve_lets_the_queue_drain(small_disk):
    clock = StillClock()
    store = Store.open(small_disk / "data", clock, reserve_mb=4, low_water_mb=2, allow_unsafe=True)
    waiting = [queued(store, f"S{n}") for n in range(50)]
    assert not store.disk_low()
    number = store.open_transmission(source())
    fill(small_disk / "ballast")
    assert store.disk_low()  # said before anything fails
    told = acknowledged_until_full(store, number)
    with pytest.raises(StorageFailedError):
        at_broker(store, waiting[0])
    store.reopen()
    assert len(store.transmission(number).chunks) >= told  # an error may leave a commit behind, never take one away
    assert store.disk_low()
    for sent in waiting:
        filed(store, sent)
    assert ids(store.ready(10)) == []
    (small_disk / "ballast").unlink()
    assert store.restore_reserve()
    assert not store.disk_low()
    assert store.append(number, [frame()]).chunks == 1
    assert store.verification().run() is None
    store.close()
    again = Store.open(small_disk / "data", clock, reserve_mb=4, low_water_mb=2, allow_unsafe=True)
    assert again.former is None
    again.close()


def test_on_a_full_disk_without_a_reserve_nothing_can_be_marked(small_disk):
    """The control: this is what the reserve is for."""
    store = Store.open(small_disk / "data", StillClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True)
    sent = queued(store)
    number = store.open_transmission(source())
    fill(small_disk / "ballast")
    acknowledged_until_full(store, number)
    store.database.close()
    fill(small_disk / "more-ballast")
    with pytest.raises(StorageFailedError):
        reopened_and_used(store, sent)
    store.close()


def reopened_and_used(store: Store, sent: str) -> None:
    store.reopen()
    for _ in range(200):
        store.timed_out(sent)


def close_without_checkpoint(database: Database) -> None:
    """As when the last checkpoint fails; here SQLite keeps the log because the database is not in its place."""
    aside = database.path.rename(database.path.with_name("aside"))
    database.connection.close()
    aside.rename(database.path)


def test_after_a_sync_that_failed_nothing_builds_on_the_log_it_left(open_store, monkeypatch):
    """Its pages may be on no disk although the next sync succeeds: the database gets them before anything follows."""
    store = open_store()
    number = store.open_transmission(source())
    store.append(number, [frame(b"R|1|^^^GLU|5.3\r" * 500)] * 40)
    store.database.fail(OSError(5, "Input/output error"))
    with monkeypatch.context() as patched:
        patched.setattr(Database, "close", close_without_checkpoint)
        store.reopen()
    _, frames, _ = store.database.rows("PRAGMA wal_checkpoint")[0]
    assert frames < 10
    assert len(store.transmission(number).chunks) == 40


def test_other_limits_hold_from_the_next_look(data_dir, open_store, monkeypatch):
    free = 100 * MB
    monkeypatch.setattr(Disk, "free_bytes", lambda _self: free)
    store = open_store(reserve_mb=1, low_water_mb=64)
    assert not store.disk_low()
    store.limit_disk(reserve_mb=1, low_water_mb=101)
    assert store.disk_low()
    store.limit_disk(reserve_mb=3, low_water_mb=64)
    assert not store.disk_low()
    assert (data_dir / "reserve.bin").stat().st_size == 3 * MB
    store.limit_disk(reserve_mb=2, low_water_mb=64)  # a larger one is reserve enough
    assert not store.disk_low()


def test_a_directory_that_went_away_with_its_disk_has_no_room(tmp_path):
    disk = Disk(tmp_path / "gone", reserve_mb=1, low_water_mb=64)
    assert disk.free_bytes() == 0
    assert disk.low()
    assert not disk.restore()
