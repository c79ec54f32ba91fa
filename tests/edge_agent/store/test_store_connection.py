"""The one connection: what a COMMIT is worth, and what an error means."""

import sqlite3
import threading
from pathlib import Path

import pytest
from store_faults import Faults, intercept
from store_helpers import START, StillClock, frame, queued, source

from edge_agent.store import connection
from edge_agent.store.connection import APPLICATION_ID, Database
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.receipt import Committed, Promise
from edge_agent.store.times import to_us


@pytest.fixture
def database(data_dir: Path, clock: StillClock):
    data_dir.mkdir()
    made = Database(data_dir, clock)
    made.open()
    made.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    made.execute("CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
    made.execute("CREATE TABLE thing (n INTEGER PRIMARY KEY, CHECK (n < 100)) STRICT")
    yield made
    made.close()


def things(database: Database) -> list[int]:
    return [row[0] for row in database.rows("SELECT n FROM thing ORDER BY n")]


def add(database: Database, number: int) -> None:
    database.execute("INSERT INTO thing VALUES (?)", (number,))


# what a commit is


def test_commits_are_counted_with_their_time_and_told_to_who_asked(database, clock):
    told = []
    database.on_commit = lambda number, at: told.append((number, at))
    with database.writing():
        add(database, 1)
    clock.advance(seconds=3)
    database.begin()
    add(database, 2)
    assert database.commit() == Committed(2)
    assert told == [(1, to_us(START)), (2, to_us(START) + 3_000_000)]
    number, at, *_ = database.fact("commits").split()
    assert (int(number), int(at)) == told[-1]


def test_a_write_outside_of_a_transaction_is_one_of_its_own(database):
    add(database, 1)
    assert not database.connection.in_transaction


def test_a_transaction_that_only_read_is_no_commit_and_writes_nothing(database):
    told = []
    with database.writing():
        add(database, 1)
    before = database.fact("commits")
    database.on_commit = lambda number, at: told.append(number)
    database.begin()
    assert things(database) == [1]
    assert database.commit() == Committed(1)
    assert (told, database.fact("commits"), database.connection.in_transaction) == ([], before, False)


def test_a_part_of_a_transaction_is_committed_with_the_whole(database):
    with database.writing():
        add(database, 1)
        with database.writing():
            add(database, 2)
        assert database.connection.in_transaction
    assert database.fact("commits").split()[0] == "1"
    assert things(database) == [1, 2]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_raises_is_undone_as_a_whole(database, error):
    def work() -> None:
        with database.writing():
            add(database, 1)
            with database.writing():
                add(database, 2)
                raise error

    with pytest.raises(error):
        work()
    assert things(database) == []
    assert not database.connection.in_transaction
    with database.writing():
        add(database, 3)
    assert things(database) == [3]


def test_a_receipt_is_given_for_a_commit_of_one_s_own_and_inside_a_group_only_promised(database):
    promise = Promise(7, 1)
    with database.writing():
        add(database, 1)
    assert database.receipt(promise) == promise.redeem(Committed(1))
    database.in_group = True
    assert database.receipt(promise) is promise


def test_a_rollback_where_nothing_is_open_is_nothing(database):
    database.rollback()
    database.begin()
    add(database, 1)
    database.rollback()
    assert (things(database), database.connection.in_transaction) == ([], False)


def test_the_log_is_looked_at_every_thousandth_commit_and_what_keeps_it_is_remembered(database, monkeypatch):
    assert connection.LOG_EVERY == 1000
    monkeypatch.setattr(connection, "LOG_EVERY", 3)
    looked = []
    monkeypatch.setattr(Database, "_look_at_log", lambda _: looked.append(database.fact("commits").split()[0]))
    for number in range(7):
        with database.writing():
            add(database, number)
    assert looked == ["3", "6"]


# what an error means


@pytest.fixture
def faults(monkeypatch) -> Faults:
    faults = Faults()
    intercept(monkeypatch, faults)
    return faults


@pytest.mark.parametrize("way", ["execute", "rows", "run_many"])
def test_after_an_error_of_storage_nothing_succeeds_and_what_was_open_is_lost(faults, database, way):
    database.begin()
    add(database, 1)
    faults.arm("INSERT", code="SQLITE_IOERR_WRITE")
    call = {
        "execute": lambda: add(database, 2),
        "rows": lambda: database.rows("INSERT INTO thing VALUES (2) RETURNING n"),
        "run_many": lambda: database.run_many("INSERT INTO thing VALUES (?)", [(2,)]),
    }[way]
    with pytest.raises(StorageFailedError) as failed:
        call()
    assert database.broken == "as SQLite would say it (SQLITE_IOERR_WRITE)"
    assert database.broken in failed.value.sentence
    assert not database.connection.in_transaction
    for again in (
        call,
        lambda: database.rows("SELECT 1"),
        lambda: database.run_many("INSERT INTO thing VALUES (?)", []),
    ):
        with pytest.raises(StorageFailedError, match="SQLITE_IOERR_WRITE"):
            again()
    database.reopen()
    assert (database.broken, things(database)) == ("", [])


def test_a_page_that_cannot_be_read_to_the_end_is_an_error_of_storage(database):
    """SQLite finds it while rows are fetched, not when the statement begins."""
    with database.writing():
        database.run_many("INSERT INTO thing VALUES (?)", [(n,) for n in range(90)])
    database.connection.create_function("bad", 1, lambda n: n if n < 50 else 1 / 0)
    with pytest.raises(StorageFailedError):
        database.rows("SELECT bad(n) FROM thing")
    assert "user-defined function raised" in database.broken


@pytest.mark.parametrize(
    ("sql", "values", "error"),
    [
        ("INSERT INTO thing VALUES (?)", (100,), sqlite3.IntegrityError),
        ("INSERT INTO thing VALUES (?)", (), sqlite3.ProgrammingError),
        ("INSERT INTO thing VALUES (?)", ({},), sqlite3.ProgrammingError),
        ("INSERT INTO thing VALUES (?)", ("text",), sqlite3.IntegrityError),
    ],
)
@pytest.mark.parametrize("way", ["execute", "rows", "run_many"])
def test_a_defect_of_one_job_is_its_own_and_leaves_storage_well(database, way, sql, values, error):
    with database.writing():
        add(database, 1)
        with pytest.raises(error):
            getattr(database, way)(sql, [values] if way == "run_many" else values)
    assert database.broken == ""
    assert things(database) == [1]


def test_what_is_written_at_once_is_counted(database):
    with database.writing():
        assert database.run_many("INSERT INTO thing VALUES (?)", [(1,), (2,), (3,)]) == 3
        assert database.run_many("INSERT INTO thing VALUES (?)", []) == 0
    assert things(database) == [1, 2, 3]


def test_what_is_not_there_is_none_and_a_fact_nobody_set_is_empty(database):
    assert database.row("SELECT n FROM thing") is None
    assert database.value("SELECT n FROM thing") is None
    assert database.fact("nobody") == ""
    with database.writing():
        database.set_fact("word", "one")
        database.set_fact("word", "two")
        add(database, 4)
        add(database, 5)
    assert database.fact("word") == "two"
    assert database.row("SELECT n, 'x' FROM thing ORDER BY n") == (4, "x")
    assert database.value("SELECT n FROM thing ORDER BY n") == 4


def test_an_error_of_the_system_is_said_in_its_own_words(database):
    database.begin()
    add(database, 1)
    assert database.fail(OSError(28, "whatever")).sentence == "Results cannot be stored: No space left on device."
    assert (database.broken, database.connection.in_transaction) == ("No space left on device", False)
    assert "plain" in database.fail(sqlite3.OperationalError("plain")).sentence
    assert database.broken == "plain"


def test_an_error_while_what_was_open_is_undone_does_not_hide_the_first(faults, database):
    database.begin()
    add(database, 1)
    faults.arm("ROLLBACK")
    assert "No space left" in database.fail(OSError(28, "")).sentence


def test_before_it_is_open_and_after_it_is_closed_every_statement_fails(data_dir, clock, database):
    unopened = Database(data_dir, clock)
    assert "Input/output error" in unopened.fail(OSError(5, "")).sentence
    unopened.broken = ""
    for one in (unopened, database):
        one.close()
        one.close()
        one.close_untouched()
        with pytest.raises(StorageFailedError, match="the database is not open"):
            one.execute("SELECT 1")


def test_a_connection_may_be_used_from_another_thread_than_the_one_that_opened_it(database):
    found = []
    thread = threading.Thread(target=lambda: found.append(database.value("SELECT 7")))
    thread.start()
    thread.join()
    assert found == [7]


@pytest.mark.parametrize(
    ("answer", "well"), [((0, 0, 0), True), ((0, 12, 12), True), ((1, 12, 12), False), ((0, 12, 11), False)]
)
def test_a_log_is_empty_only_when_every_frame_of_it_was_moved(database, monkeypatch, answer, well):
    """SQLite's answer to a checkpoint: busy, frames in the log, frames moved."""
    monkeypatch.setattr(Database, "rows", lambda *_: [answer])
    if well:
        database.empty_log()
        return
    with pytest.raises(StorageFailedError, match="its log cannot be emptied"):
        database.empty_log()
    assert database.broken


def test_a_new_connection_is_in_no_group(database):
    database.in_group = True
    database.reopen()
    assert not database.in_group


def test_closing_untouched_leaves_database_and_log_as_they_are(database, data_dir):
    with database.writing():
        add(database, 1)
    size = (data_dir / "agent.db").stat().st_size, (data_dir / "agent.db-wal").stat().st_size
    assert size[1] > 0
    database.close_untouched()
    assert sorted(path.name for path in data_dir.iterdir()) == ["agent.db", "agent.db-wal"]
    assert ((data_dir / "agent.db").stat().st_size, (data_dir / "agent.db-wal").stat().st_size) == size


def test_a_store_that_failed_goes_on_where_it_was_committed(store):
    sent = queued(store)
    number = store.open_transmission(source())
    store.database.fail(OSError(5, ""))
    with pytest.raises(StorageFailedError, match="Input/output error"):
        store.append(number, [frame()])
    store.reopen()
    assert store.message(sent) is not None
    assert store.append(number, [frame()]).chunks == 1
