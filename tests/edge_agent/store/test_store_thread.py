"""The thread that owns the store: two lanes, shared commits, and what happens when storage does not work."""

import logging
import threading
from collections.abc import Iterator

import pytest
from store_faults import Faults, intercept
from store_helpers import frame, queued, source

from edge_agent.store import connection
from edge_agent.store import thread as thread_module
from edge_agent.store.errors import StorageFailedError, StoreLockedError, UnknownRowError
from edge_agent.store.thread import StoreThread

WAIT = 20


@pytest.fixture
def statements(monkeypatch) -> list[str]:
    return []


@pytest.fixture
def faults(monkeypatch, statements) -> Faults:
    faults = Faults()

    def before(sql: str) -> None:
        statements.append(sql)
        faults(sql)

    intercept(monkeypatch, before)
    return faults


@pytest.fixture
def stores(open_store, faults) -> Iterator[StoreThread]:
    thread = StoreThread(open_store)
    thread.start()
    yield thread
    thread.stop()


def held_up(stores: StoreThread) -> threading.Event:
    """Keep the thread busy, so that what comes meanwhile queues up; set the event to let it go."""
    begun, go = threading.Event(), threading.Event()

    def wait(_store):
        begun.set()
        go.wait(WAIT)

    stores.urgent(wait)
    assert begun.wait(WAIT)
    return go


def test_what_queued_up_shares_one_commit(stores, statements):
    number = stores.urgent(lambda s: s.open_transmission(source())).result(WAIT)
    go = held_up(stores)
    futures = [stores.urgent(lambda s: s.append(number, [frame()])) for _ in range(50)]
    statements.clear()
    go.set()
    assert [f.result(WAIT).chunks for f in futures] == [1] * 50
    assert statements.count("COMMIT") == 1


def test_a_group_has_at_most_128_jobs(stores, statements):
    go = held_up(stores)
    futures = [stores.urgent(lambda s: s.prove()) for _ in range(200)]
    statements.clear()
    go.set()
    for future in futures:
        future.result(WAIT)
    assert statements.count("COMMIT") == 2  # 128 with what held the thread up, 73 more


def test_urgent_work_goes_first(stores):
    order: list[str] = []
    go = held_up(stores)
    later = [stores.later(lambda _s, n=n: order.append(f"later {n}")) for n in range(3)]
    urgent = [stores.urgent(lambda _s, n=n: order.append(f"urgent {n}")) for n in range(3)]
    go.set()
    for future in (*later, *urgent):
        future.result(WAIT)
    assert order == ["urgent 0", "urgent 1", "urgent 2", "later 0", "later 1", "later 2"]


def test_long_later_work_is_interrupted_for_an_urgent_job(stores, monkeypatch):
    """With its time used up after each job, only one later job runs before the urgent lane is looked at again."""
    monkeypatch.setattr(thread_module, "STEP_S", 0.0)
    monkeypatch.setattr(thread_module, "SLICE_S", 0.0)
    order: list[str] = []
    go = held_up(stores)

    def first(_store):
        order.append("later 0")
        stores.urgent(lambda _s: order.append("urgent"))

    later = [stores.later(first), *(stores.later(lambda _s, n=n: order.append(f"later {n}")) for n in (1, 2))]
    go.set()
    for future in later:
        future.result(WAIT)
    stores.urgent(lambda s: s.identity).result(WAIT)
    assert order.index("urgent") == 1


def test_later_work_is_done_although_analysers_never_pause(stores):
    number = stores.urgent(lambda s: s.open_transmission(source())).result(WAIT)
    done = threading.Event()

    def again(_future):
        if not done.is_set():
            stores.urgent(lambda s: s.append(number, [frame()])).add_done_callback(again)

    for _ in range(thread_module.GROUP_MAX + 10):
        again(None)
    assert stores.later(lambda s: s.identity).result(WAIT)
    done.set()


def test_a_mistake_in_one_job_is_its_own(stores):
    go = held_up(stores)
    bad = stores.urgent(lambda s: s.append(99, [frame()]))
    good = stores.urgent(lambda s: s.open_transmission(source()))
    go.set()
    with pytest.raises(UnknownRowError):
        bad.result(WAIT)
    assert good.result(WAIT) == 1
    assert stores.failed is None


def test_after_a_failed_commit_nobody_has_a_receipt_and_storage_is_proved_before_it_is_used(
    stores, faults, statements, caplog
):
    caplog.set_level(logging.WARNING)
    number = stores.urgent(lambda s: s.open_transmission(source())).result(WAIT)
    go = held_up(stores)
    faults.arm("COMMIT", times=3)  # the group's, and the first two attempts to prove a new connection
    futures = [stores.urgent(lambda s: s.append(number, [frame()])) for _ in range(3)]
    go.set()
    for future in futures:
        with pytest.raises(StorageFailedError):
            future.result(WAIT)
    recovered = _until_it_works(stores)
    assert recovered is None
    assert stores.recoveries == 1
    assert stores.urgent(lambda s: s.append(number, [frame()])).result(WAIT).chunks == 1
    assert stores.later(lambda s: len(s.transmission(number).chunks)).result(WAIT) == 1
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]  # once down, once up


def _until_it_works(stores: StoreThread) -> str | None:
    for _ in range(2000):
        if stores.failed is None:
            return None
        threading.Event().wait(0.005)
    return stores.failed


def test_while_storage_does_not_work_every_job_is_refused_at_once_and_a_sentence_says_so(stores, faults):
    faults.arm("COMMIT", code="SQLITE_FULL", times=10**6)
    go = held_up(stores)
    go.set()
    with pytest.raises(StorageFailedError):
        stores.urgent(lambda s: s.open_transmission(source())).result(WAIT)
    assert stores.failed is not None
    assert stores.failed.startswith("Results cannot be stored: as SQLite would say it (SQLITE_FULL)")
    with pytest.raises(StorageFailedError):
        stores.later(lambda s: s.prove()).result(WAIT)
    faults.left = 0
    assert _until_it_works(stores) is None  # without anybody asking


def test_a_log_that_does_not_get_into_the_database_is_found_although_commits_succeed(stores, faults, monkeypatch):
    monkeypatch.setattr(connection, "LOG_EVERY", 1)
    faults.arm("PRAGMA wal_checkpoint(PASSIVE)")

    number = stores.urgent(lambda s: s.open_transmission(source())).result(WAIT)

    assert number == 1  # it was committed, and may be acknowledged
    assert _until_it_works(stores) is None
    assert stores.recoveries == 1


def test_a_database_that_is_taken_away_is_never_replaced_by_an_empty_one(stores, faults, data_dir):
    number = stores.urgent(lambda s: s.append(s.open_transmission(source()), [frame()])).result(WAIT).transmission
    (data_dir / "agent.db").rename(data_dir / "away")
    faults.arm("COMMIT")
    with pytest.raises(StorageFailedError):
        stores.urgent(lambda s: s.append(number, [frame()])).result(WAIT)
    tried = threading.Event()
    for _ in range(100):
        if "gone" in (stores.failed or ""):
            break
        tried.wait(0.01)
    assert "the database file is gone" in (stores.failed or "")
    assert not (data_dir / "agent.db").exists()
    (data_dir / "away").rename(data_dir / "agent.db")
    assert _until_it_works(stores) is None
    assert stores.later(lambda s: len(s.transmission(number).chunks)).result(WAIT) == 1


def test_starting_raises_what_opening_raised(open_store, stores):
    second = StoreThread(open_store)
    with pytest.raises(StoreLockedError):
        second.start()
    second.stop()


def test_stopping_does_what_is_queued_and_refuses_what_comes_later(stores):
    go = held_up(stores)
    queued_before = stores.later(lambda s: queued(s))
    go.set()
    stores.stop()
    assert queued_before.result(WAIT)
    with pytest.raises(StorageFailedError):
        stores.urgent(lambda s: s.identity).result(WAIT)
    stores.stop()


def test_a_cancelled_job_disturbs_nobody(stores):
    go = held_up(stores)
    first = stores.urgent(lambda s: s.prove())
    first.cancel()
    second = stores.urgent(lambda s: s.open_transmission(source()))
    go.set()
    assert second.result(WAIT) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("lane", ["urgent", "stepwise"])
def test_where_the_thread_ends_nobody_is_left_waiting_and_a_sentence_says_so(stores, caplog, lane):
    def leave(*_: object) -> None:
        raise SystemExit(3)

    go = held_up(stores)
    number = stores.urgent(lambda s: s.open_transmission(source()))
    futures = [getattr(stores, lane)(leave), stores.stepwise(lambda s, _: s.prove())]
    go.set()
    if lane == "stepwise":
        assert number.result(WAIT)
    else:
        futures.append(number)
    for future in futures:
        with pytest.raises(StorageFailedError, match="has to be started again"):
            future.result(WAIT)
    stores.stop()  # the thread has ended
    assert "has to be started again" in stores.failed
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    with pytest.raises(StorageFailedError, match="has to be started again"):
        stores.urgent(lambda s: s.prove()).result(WAIT)
