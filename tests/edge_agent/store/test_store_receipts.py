"""Stored, then acknowledged: a receipt exists only after COMMIT, and none after a storage error."""

import ast
from pathlib import Path

import pytest
from store_faults import Faults, intercept
from store_helpers import frame, ids, queued, received, source

import edge_agent.store
from edge_agent.store import schema
from edge_agent.store.errors import NotCommittedError, StorageFailedError, StoreCorruptError, UnknownRowError
from edge_agent.store.receipt import Promise, Stored

ROOT = Path(edge_agent.store.__file__).parents[2]


@pytest.fixture
def faults(monkeypatch) -> Faults:
    faults = Faults()
    intercept(monkeypatch, faults)
    return faults


class Ledger:
    """An analyser's own book: what it was told we have."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def tell(self, receipt: Stored) -> None:
        self.told.append((receipt.transmission, receipt.chunks))

    def lost(self, store) -> list[tuple[int, int]]:
        return [(t, n) for t, n in self.told if len(store.transmission(t).chunks) < n]


def appending(number: int, ledger: Ledger | None = None):
    def job(store):
        receipt = store.append(number, [frame()])
        if ledger is not None:
            ledger.tell(receipt)  # too early: this is inside the transaction
        return receipt

    return job


def test_a_receipt_tells_what_was_stored(store):
    number = store.open_transmission(source())
    receipt = store.append(number, [frame(), frame()])
    assert isinstance(receipt, Stored)
    assert (receipt.transmission, receipt.chunks) == (number, 2)


def test_nobody_else_can_make_a_receipt():
    with pytest.raises(NotCommittedError):
        Stored(object(), 1, 1)  # type: ignore[arg-type]  # the point of the test


def test_inside_a_group_there_is_only_a_promise_and_it_acknowledges_nothing(store):
    number = store.open_transmission(source())
    seen = []

    def job(inside):
        promise = inside.append(number, [frame()])
        seen.append(promise)
        return promise

    (outcome,) = store.group([job])
    assert isinstance(seen[0], Promise)
    for name in ("chunks", "transmission"):
        with pytest.raises(NotCommittedError):
            getattr(seen[0], name)
    assert outcome.result() == Stored(store.database._committed, number, 1)


def test_no_receipt_of_a_group_is_made_before_its_commit(open_store, monkeypatch):
    order = []
    intercept(monkeypatch, lambda sql: order.append(sql) if sql == "COMMIT" else None)
    store = open_store()
    number = store.open_transmission(source())
    made = Stored.__post_init__

    def noticed(self, proof):
        order.append("receipt")
        made(self, proof)

    monkeypatch.setattr(Stored, "__post_init__", noticed)
    order.clear()
    store.group([appending(number), appending(number)])
    assert order == ["COMMIT", "receipt", "receipt"]


def test_a_failed_commit_makes_no_receipt_and_nothing_was_promised(open_store, faults):
    store = open_store()
    number = store.open_transmission(source())
    ledger = Ledger()
    faults.arm("COMMIT")
    for outcome in store.group([appending(number), appending(number)]):
        assert isinstance(outcome.error, StorageFailedError)
        if outcome.error is None:
            ledger.tell(outcome.value)
    store.reopen()
    assert ledger.told == []
    assert ledger.lost(store) == []


def test_a_store_that_hands_receipts_out_early_is_caught_by_the_same_book(open_store, faults, monkeypatch):
    """The control: promises redeemed inside the transaction tell the analyser of frames that are not there."""
    store = open_store()
    number = store.open_transmission(source())
    proof = store.database._committed
    monkeypatch.setattr(store.database, "receipt", lambda promise: promise.redeem(proof))
    ledger = Ledger()
    faults.arm("COMMIT")
    store.group([appending(number, ledger)])
    store.reopen()
    assert ledger.lost(store) == [(number, 1)]


@pytest.mark.parametrize("beginning", ["BEGIN", "SAVEPOINT", "INSERT INTO chunk", "RELEASE", "COMMIT"])
@pytest.mark.parametrize("code", ["SQLITE_IOERR_FSYNC", "SQLITE_FULL", "SQLITE_CORRUPT"])
def test_a_storage_error_anywhere_fails_the_whole_group(open_store, faults, beginning, code):
    store = open_store()
    number = store.open_transmission(source())
    faults.arm(beginning, code=code)
    outcomes = store.group([appending(number), appending(number)])
    assert [type(o.error) for o in outcomes] == [StorageFailedError, StorageFailedError]
    assert code in store.broken
    with pytest.raises(StorageFailedError):
        store.append(number, [frame()])  # and everything after it, until a new connection has proved itself
    store.reopen()
    assert store.transmission(number).chunks == ()
    assert store.append(number, [frame()]).chunks == 1


def test_after_a_report_of_damage_the_whole_database_is_checked_before_it_is_used_again(
    open_store, faults, monkeypatch
):
    store = open_store()
    number = store.open_transmission(source())
    faults.arm("INSERT INTO chunk", code="SQLITE_CORRUPT")
    store.group([appending(number)])

    def damaged(_database, *, thorough):
        raise StoreCorruptError("page 7")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "check", damaged)
        for _ in range(2):  # and it stays unusable
            with pytest.raises(StoreCorruptError):
                store.reopen()
            with pytest.raises(StorageFailedError):
                store.append(number, [frame()])
    store.reopen()
    assert store.append(number, [frame()]).chunks == 1


def test_a_job_that_hides_a_storage_error_fails_its_group_all_the_same(open_store, faults):
    store = open_store()
    number = store.open_transmission(source())
    faults.arm("INSERT INTO chunk")

    def hiding(inside):
        try:
            inside.append(number, [frame()])
        except StorageFailedError:
            return "well"

    outcomes = store.group([hiding, appending(number)])
    assert [type(o.error) for o in outcomes] == [StorageFailedError, StorageFailedError]


def test_a_job_with_a_mistake_is_undone_alone(store):
    number = store.open_transmission(source())

    def half(inside):
        inside.append(number, [frame(b"half\r")])
        raise KeyError("mistake")

    outcomes = store.group([appending(number), half, lambda s: s.append(99, [frame()]), appending(number)])
    assert [type(o.error) for o in outcomes] == [type(None), KeyError, UnknownRowError, type(None)]
    assert [c.chunk.text for c in store.transmission(number).chunks] == [frame().text, frame().text]


def test_breaking_a_constraint_is_a_mistake_of_the_job_and_not_of_the_disk(store):
    carried = queued(store)
    number = received(store)

    def doubled(inside):
        inside.database.execute("UPDATE outbox SET id = 'X' WHERE id = ?", (carried,))
        inside.database.execute("INSERT INTO payload VALUES (1, x'00')")

    outcomes = store.group([doubled, lambda s: s.transmission(number).id])
    assert outcomes[0].error is not None
    assert outcomes[1].result() == number
    assert store.broken == ""
    assert store.message(carried) is not None


def test_a_group_that_only_reads_writes_nothing(store, data_dir):
    queued(store)
    size = (data_dir / "agent.db-wal").stat().st_size
    assert ids(store.group([lambda s: s.ready(5)])[0].result())
    store.group([lambda s: s.counts()])
    assert (data_dir / "agent.db-wal").stat().st_size == size


def test_promises_in_a_tuple_become_receipts(store):
    number = store.open_transmission(source())
    (outcome,) = store.group([lambda s: (number, s.append(number, [frame()]))])
    assert outcome.result()[1].chunks == 1


def makers(folder: Path, names: set[str], root: Path = ROOT) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
                found.append(path.relative_to(root).as_posix())
    return found


def test_only_the_store_makes_receipts_and_only_commit_makes_their_proof():
    packages = [ROOT / name for name in ("edge_agent", "drivers", "hl7", "simulators")]
    receipts = [where for package in packages for where in makers(package, {"Stored", "Promise"})]
    proofs = [where for package in packages for where in makers(package, {"Committed"})]
    assert set(receipts) == {"edge_agent/store/receipt.py", "edge_agent/store/intake.py"}
    assert set(proofs) == {"edge_agent/store/connection.py"}


def test_the_search_for_makers_finds_a_forger(tmp_path):
    (tmp_path / "session.py").write_text("ack = acknowledge(frame, receipt.Stored(proof, 1, 1))\n")
    assert makers(tmp_path, {"Stored"}, tmp_path) == ["session.py"]
