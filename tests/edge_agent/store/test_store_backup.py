"""A copy of the store while it is written to: everybody is served in between, and what is committed is in the copy."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_faults import Faults, intercept
from store_helpers import frame, queued, source

from edge_agent.store import backup
from edge_agent.store.backup import PAGES
from edge_agent.store.directory import RESTORED, UNFINISHED, database_files
from edge_agent.store.errors import BackupError, StorageFailedError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

WAIT = 20
ROWS = 60


@pytest.fixture
def faults(monkeypatch) -> Faults:
    faults = Faults()
    intercept(monkeypatch, faults)
    return faults


@pytest.fixture
def stores(open_store, faults) -> Iterator[StoreThread]:
    thread = StoreThread(open_store)
    thread.start()
    yield thread
    thread.stop()


def filled(store: Store) -> int:
    """A transmission of about two megabytes: ten steps of a copy."""
    number = store.open_transmission(source())
    for _ in range(ROWS):
        store.append(number, [frame(b"R|" + b"x" * 40_000)])
    return number


def copied(stores: StoreThread, folder: Path, meanwhile: Callable[[int], None] = lambda done: None) -> list[int]:
    """Pages done after each step. ``meanwhile`` runs in the store's thread, before it serves the others."""
    folder.mkdir()
    steps: list[int] = []

    def job(store: Store, serve: Callable[[], None]) -> None:
        def between() -> None:
            meanwhile(len(steps))
            serve()

        backup.copy(store, folder, between, lambda done, _of: steps.append(done))

    stores.stepwise(job).result(WAIT)
    return steps


def chunks(folder: Path) -> int:
    with sqlite3.connect(database_files(folder)[0]) as copy:
        count: int = copy.execute("SELECT count(*) FROM chunk").fetchone()[0]
    copy.close()
    return count


def test_what_an_analyser_sends_during_a_backup_is_committed_at_once_and_is_in_the_copy(
    stores: StoreThread, tmp_path: Path, clock
) -> None:
    number = stores.urgent(filled).result(WAIT)
    receipts = []
    waiting = []

    def send(_steps: int) -> None:
        receipts.extend(w for w in waiting if w.done())
        waiting[:] = [stores.urgent(lambda s: s.append(number, [frame(b"R|meanwhile" + b"y" * 9000)]))]

    steps = copied(stores, tmp_path / "copy", send)
    assert len(steps) >= 8
    # Every frame that was sent in one pause had its receipt before the next.
    assert len(receipts) >= len(steps) - 2
    backup.examine(tmp_path / "copy", clock)
    # The last pause comes after the last step, and what was sent in it after the copy.
    assert chunks(tmp_path / "copy") == ROWS + len(steps) - 1


def test_a_write_through_the_same_connection_does_not_begin_the_copy_again(stores: StoreThread, tmp_path: Path) -> None:
    number = stores.urgent(filled).result(WAIT)

    def send(_steps: int) -> None:
        stores.urgent(lambda s: s.append(number, [frame()]))

    steps = copied(stores, tmp_path / "copy", send)
    assert steps == sorted(steps)


def test_a_write_through_another_connection_would(tmp_path: Path) -> None:
    """The negative control: what the store's one connection saves us from."""
    path = tmp_path / "two.db"
    one, two = (sqlite3.connect(path, isolation_level=None) for _ in range(2))
    one.execute("PRAGMA journal_mode = WAL").fetchall()
    one.execute("CREATE TABLE t (b BLOB)")
    one.execute("INSERT INTO t VALUES (zeroblob(2000000))")
    steps: list[int] = []

    def stepped(_status: int, remaining: int, total: int) -> None:
        steps.append(total - remaining)
        if len(steps) == 4:
            two.execute("INSERT INTO t VALUES (1)")

    copy = sqlite3.connect(tmp_path / "copy.db")
    one.backup(copy, pages=PAGES, progress=stepped)
    assert steps != sorted(steps)
    for connection in (one, two, copy):
        connection.close()


def test_the_copy_is_one_file_for_the_owner_alone_and_says_what_it_is(
    stores: StoreThread, tmp_path: Path, clock
) -> None:
    identity = stores.urgent(lambda s: (queued(s), s.identity)[1]).result(WAIT)
    copied(stores, tmp_path / "copy")
    facts = backup.examine(tmp_path / "copy", clock, keep=True)
    assert (facts.identity, facts.unfiled) == (identity, 1)
    assert [p.name for p in (tmp_path / "copy").iterdir()] == ["agent.db"]
    assert (tmp_path / "copy" / "agent.db").stat().st_mode & 0o777 == 0o600


def test_a_damaged_copy_is_refused(stores: StoreThread, tmp_path: Path, clock) -> None:
    stores.urgent(filled).result(WAIT)
    copied(stores, tmp_path / "copy")
    path = tmp_path / "copy" / "agent.db"
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 6 * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(BackupError):
        backup.examine(tmp_path / "copy", clock)


def test_a_copy_with_a_broken_audit_chain_is_refused(stores: StoreThread, tmp_path: Path, clock) -> None:
    for word in ("one", "two"):
        stores.urgent(lambda s, word=word: s.audit("test", {"word": word})).result(WAIT)
    copied(stores, tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy" / "agent.db") as copy:
        copy.execute("UPDATE audit SET facts = '{}' WHERE kind = 'test'")
    copy.close()
    with pytest.raises(BackupError, match="audit chain"):
        backup.examine(tmp_path / "copy", clock)


def test_a_storage_error_ends_the_backup_and_the_store_recovers(
    stores: StoreThread, tmp_path: Path, faults: Faults
) -> None:
    number = stores.urgent(filled).result(WAIT)

    def fail(steps: int) -> None:
        if steps == 3:
            faults.arm("COMMIT")
            stores.urgent(lambda s: s.append(number, [frame()]))

    with pytest.raises(StorageFailedError):
        copied(stores, tmp_path / "copy", fail)
    assert stores.failed
    while stores.failed:
        stores.later(lambda s: s.prove()).exception(WAIT)
    assert stores.urgent(lambda s: s.append(number, [frame()])).result(WAIT)


def test_a_stop_ends_the_backup(stores: StoreThread, tmp_path: Path) -> None:
    stores.urgent(filled).result(WAIT)

    def stop(steps: int) -> None:
        stores._stopping = True  # what stop() does before it waits for this thread

    with pytest.raises(StorageFailedError, match="stopping"):
        copied(stores, tmp_path / "copy", stop)


def test_what_an_interrupted_backup_left_goes_at_the_next_start(open_store, data_dir: Path) -> None:
    open_store().close()
    folder = backup.begin(data_dir)
    (folder / "agent.db").write_bytes(b"half")
    open_store().close()
    assert not (data_dir / UNFINISHED).exists()


def test_a_restored_store_takes_a_new_identity_once_and_says_why(open_store, data_dir: Path) -> None:
    store = open_store()
    queued(store)
    before = store.identity
    store.close()
    (data_dir / RESTORED).touch()
    store = open_store()
    assert store.identity != before
    assert store.former is not None
    assert (store.former.identity, store.former.reason) == (before, "a backup was restored")
    again = store.identity
    store.close()
    store = open_store()
    assert (store.identity, store.former) == (again, None)
