"""How the store's thread divides its time, and how it comes back: by a clock that goes on only when a job says so."""

import threading
from collections.abc import Callable, Iterator

import pytest
from store_faults import Faults, intercept
from store_helpers import source
from test_store_thread import held_up

from edge_agent.store import thread as thread_module
from edge_agent.store.errors import StorageFailedError, StoreCorruptError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

WAIT = 20


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(thread_module, "monotonic", hand)
    return hand


@pytest.fixture
def order(monkeypatch) -> list[str]:
    """Jobs as they ran, and each COMMIT as "|"."""
    return []


@pytest.fixture
def faults(monkeypatch, order) -> Faults:
    faults = Faults()

    def before(sql: str) -> None:
        if sql == "COMMIT":
            order.append("|")
        faults(sql)

    intercept(monkeypatch, before)
    return faults


@pytest.fixture
def stores(open_store, faults, order, hand) -> Iterator[StoreThread]:
    thread = StoreThread(open_store)
    thread.start()
    order.clear()
    yield thread
    thread.stop()


def job(order: list[str], name: str, hand: Hand, seconds: float = 0.003) -> Callable[[Store], None]:
    """One that writes and takes 3 ms."""

    def run(store: Store) -> None:
        order.append(name)
        hand.now += seconds
        store.prove()

    return run


def ran(stores: StoreThread, futures: list) -> None:
    for future in futures:
        future.result(WAIT)


# turns


def test_later_work_alone_runs_for_20_ms_a_turn(stores, order, hand):
    begun, go = threading.Event(), threading.Event()
    futures = [stores.later(lambda _: (begun.set(), go.wait(WAIT)))]
    assert begun.wait(WAIT)
    futures += [stores.later(job(order, "l", hand)) for _ in range(15)]
    go.set()
    ran(stores, futures)
    assert "".join(order) == "lllllll|lllllll|l|"


def test_later_work_that_rides_on_an_urgent_group_runs_for_4_ms(stores, order, hand):
    go = held_up(stores)
    urgent = [stores.urgent(job(order, "u", hand)) for _ in range(3)]
    later = [stores.later(job(order, "l", hand)) for _ in range(9)]
    go.set()
    ran(stores, [*urgent, *later])
    assert "".join(order) == "uuull|lllllll|"


def test_only_groups_an_analyser_waited_for_are_measured(stores, order, hand):
    before = stores.commits.count
    ran(stores, [stores.urgent(job(order, "u", hand, 0.5))])
    ran(stores, [stores.later(job(order, "l", hand, 0.5))])
    assert stores.commits.count - before == 1
    assert stores.commits.sum == pytest.approx(0.5)


# work in steps


def test_work_in_steps_lets_everybody_else_go_first_after_each(stores, order, hand):
    def steps(name: str) -> Callable[[Store, Callable[[], None]], str]:
        def run(_store: Store, serve: Callable[[], None]) -> str:
            for number in range(2):
                order.append(f"{name}{number}")
                stores.urgent(job(order, "u", hand))
                stores.later(job(order, "l", hand))
                serve()
            return name

        return run

    go = held_up(stores)
    first, second = stores.stepwise(steps("a")), stores.stepwise(steps("b"))
    go.set()
    assert (first.result(WAIT), second.result(WAIT)) == ("a", "b")
    stores.urgent(lambda _: None).result(WAIT)
    assert [word for word in order if word != "|"] == ["a0", "u", "l", "a1", "u", "l", "b0", "u", "l", "b1", "u", "l"]


def test_an_error_of_work_in_steps_is_its_own(stores):
    def bad(_store: Store, _serve: Callable[[], None]) -> None:
        raise KeyError("bad")

    with pytest.raises(KeyError):
        stores.stepwise(bad).result(WAIT)
    assert stores.stepwise(lambda _store, _serve: 7).result(WAIT) == 7
    assert stores.failed is None


# storage that does not work


def test_it_is_tried_again_after_a_twentieth_of_a_second_then_half_as_often_up_to_five(open_store, hand):
    thread = StoreThread(open_store)
    assert thread._until_retry() is None  # a healthy store is never woken
    pauses = []
    for _ in range(10):
        thread._fail("it does not work.")
        pauses.append(round(thread._until_retry() or 0, 6))
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    hand.now += 7.0
    assert thread._until_retry() == 0.0
    thread._failed = None
    thread._fail("it does not work again.")
    assert thread._until_retry() == pytest.approx(0.05)
    thread.stop()  # never started


def failing(stores: StoreThread, faults: Faults) -> None:
    faults.arm("COMMIT")
    with pytest.raises(StorageFailedError):
        stores.urgent(lambda s: s.prove()).result(WAIT)
    assert stores.failed


def test_before_it_is_time_nothing_is_tried_and_everybody_is_refused_with_the_reason(stores, faults, hand, monkeypatch):
    tried = []
    reopen = Store.reopen
    monkeypatch.setattr(Store, "reopen", lambda self: (tried.append(1), reopen(self)))
    failing(stores, faults)
    hand.now += 0.049
    for lane in (stores.urgent, stores.later, lambda job: stores.stepwise(lambda s, _serve: job(s))):
        with pytest.raises(StorageFailedError, match="SQLITE_IOERR_FSYNC"):
            lane(lambda s: s.prove()).result(WAIT)
    assert (tried, stores.recoveries) == ([], 0)
    hand.now += 0.002
    stores.urgent(lambda s: s.prove()).result(WAIT)
    assert (len(tried), stores.recoveries, stores.failed) == (1, 1, None)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(5, ""), "Results cannot be stored: Input/output error."),
        (StoreCorruptError("row 3 missing"), "The database is damaged: row 3 missing."),
    ],
)
def test_what_keeps_it_from_working_again_is_said_and_the_next_try_is_later(
    stores, faults, hand, monkeypatch, error, sentence
):
    def bad(_store: Store) -> None:
        raise error

    failing(stores, faults)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "reopen", bad)
        hand.now += 0.06
        with pytest.raises(StorageFailedError):
            stores.urgent(lambda s: s.prove()).result(WAIT)
        assert stores.failed == sentence
    hand.now += 0.09
    with pytest.raises(StorageFailedError):
        stores.urgent(lambda s: s.prove()).result(WAIT)
    hand.now += 0.02
    stores.urgent(lambda s: s.prove()).result(WAIT)
    assert stores.failed is None


# the end


def test_at_the_end_what_waits_is_done_and_what_comes_is_refused(stores, order, hand):
    go = held_up(stores)
    futures = [
        stores.urgent(job(order, "u", hand)),
        stores.later(job(order, "l", hand)),
        stores.stepwise(lambda store, _serve: job(order, "s", hand)(store)),
    ]
    stopping = threading.Thread(target=stores.stop)
    stopping.start()
    while not stores._stopping:
        threading.Event().wait(0.001)
    for lane in (stores.urgent, stores.later, stores.stepwise):
        with pytest.raises(StorageFailedError, match="the agent is stopping"):
            lane(lambda *_: None).result(WAIT)
    go.set()
    ran(stores, futures)
    stopping.join()
    assert [word for word in order if word != "|"] == ["u", "l", "s"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_thread_itself_is_ended_nobody_waits_for_ever_and_the_store_is_closed(stores, open_store):
    def end(_store: Store) -> None:
        raise SystemExit

    go = held_up(stores)
    rest = [stores.urgent(end), stores.urgent(lambda s: s.identity), stores.later(lambda s: s.identity)]
    rest.append(stores.stepwise(lambda s, _serve: s.identity))
    go.set()
    for future in rest:
        with pytest.raises(StorageFailedError, match="has to be started again"):
            future.result(WAIT)
    stores.stop()
    assert open_store().open_transmission(source()) == 1  # the lock is free
    with pytest.raises(StorageFailedError):
        stores.urgent(lambda s: s.identity).result(WAIT)
