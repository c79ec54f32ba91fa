"""A copied, restored or recreated database is recognised, and no message id is ever given twice."""

import json
import os
import shutil
from pathlib import Path

import pytest
from store_faults import in_child
from store_helpers import StillClock, filed, ids, queued, received

from edge_agent.states import MessageState
from edge_agent.store.identity import BLOCK
from edge_agent.store.store import Store


def opened(data_dir: Path) -> Store:
    return Store.open(data_dir, StillClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True)


def facts(data_dir: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((data_dir / "identity.json").read_text())
    return found


def put_back(data_dir: Path, copy: Path) -> None:
    for path in data_dir.glob("agent.db*"):
        path.unlink()
    shutil.copy(copy, data_dir / "agent.db")


def test_an_identity_is_eight_capitals_and_digits_and_stays(data_dir):
    store = opened(data_dir)
    identity = store.identity
    assert len(identity) == 8
    assert set(identity) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    first = [r.id for r in store.reserve(2)]
    store.close()
    store = opened(data_dir)
    assert (store.identity, store.former) == (identity, None)
    assert [r.id for r in store.reserve(1)] == [f"{identity}-{3:011d}"]
    assert first == [f"{identity}-{n:011d}" for n in (1, 2)]
    store.close()


def test_two_stores_have_two_identities(tmp_path):
    one, two = opened(tmp_path / "one"), opened(tmp_path / "two")
    assert one.identity != two.identity
    one.close()
    two.close()


def test_ids_are_promised_in_blocks_before_one_is_used(data_dir):
    store = opened(data_dir)
    store.reserve(1)
    assert facts(data_dir)["promised"] == 1 + BLOCK
    written = (data_dir / "identity.json").stat().st_mtime_ns
    store.reserve(BLOCK)
    assert (data_dir / "identity.json").stat().st_mtime_ns == written
    store.reserve(1)
    assert facts(data_dir)["promised"] == BLOCK + 2 + BLOCK
    store.close()


def test_a_copy_put_back_later_gets_a_new_identity_and_its_rows_keep_theirs(data_dir, tmp_path):
    store = opened(data_dir)
    old = store.identity
    kept = queued(store, "S1", payload=b"MSH|kept")
    store.close()
    shutil.copy(data_dir / "agent.db", tmp_path / "copy")
    store = opened(data_dir)
    lost = queued(store, "S2")
    store.close()
    put_back(data_dir, tmp_path / "copy")
    store = opened(data_dir)
    assert store.identity != old
    assert store.former is not None
    assert (store.former.identity, store.former.since) == (old, StillClock().now())
    row = store.message(kept)
    assert row is not None
    assert (row.id, row.payload, row.state) == (kept, b"MSH|kept", MessageState.QUEUED)
    new = queued(store, "S3")
    assert new.startswith(store.identity)
    assert new not in (kept, lost)
    assert store.message(new).sequence == 1  # of the new identity
    assert ids(store.ready(10)) == [kept, new]
    assert [e.kind for e in store.audit_entries()].count("identity") == 1
    store.close()
    assert opened_identity(data_dir) == store.identity


def opened_identity(data_dir: Path) -> str:
    store = opened(data_dir)
    assert store.former is None
    store.close()
    return store.identity


def test_a_copy_put_back_unchanged_is_the_same_store(data_dir, tmp_path):
    store = opened(data_dir)
    queued(store)
    store.close()
    shutil.copy(data_dir / "agent.db", tmp_path / "copy")
    put_back(data_dir, tmp_path / "copy")
    assert opened_identity(data_dir) == store.identity


def test_a_copy_from_a_running_store_put_back_after_a_crash_is_recognised(data_dir, tmp_path):
    """Copied by a child while the parent's process is only another name for it: SQLite's lock is not disturbed."""

    def work() -> None:
        store = opened(data_dir)
        queued(store)
        store.database.value("PRAGMA wal_checkpoint(TRUNCATE)")
        in_child(lambda: shutil.copy(data_dir / "agent.db", tmp_path / "copy"))
        queued(store)

    assert in_child(work) == 0  # the child ends without closing: a crash
    put_back(data_dir, tmp_path / "copy")
    store = opened(data_dir)
    assert store.former is not None
    store.close()


def test_without_the_witness_an_old_copy_is_still_told_by_the_block_of_ids(data_dir, tmp_path):
    store = opened(data_dir)
    queued(store)
    store.close()
    shutil.copy(data_dir / "agent.db", tmp_path / "copy")
    store = opened(data_dir)
    for _ in range(3):
        store.reserve(BLOCK)
    store.close()
    put_back(data_dir, tmp_path / "copy")
    (data_dir / "agent.witness").unlink()
    store = opened(data_dir)
    assert store.former is not None
    store.close()


def test_after_a_crash_no_promised_id_is_given_again(data_dir):
    def work() -> None:
        opened(data_dir).reserve(5)

    assert in_child(work) == 0
    store = opened(data_dir)
    assert store.former is None
    (given,) = store.reserve(1)
    assert int(given.id[9:]) == 5 + BLOCK + 1
    store.close()


@pytest.mark.parametrize("what", ["identity gone", "identity of another", "identity unreadable"])
def test_what_does_not_belong_together_gets_a_new_identity(data_dir, tmp_path, what):
    store = opened(data_dir)
    old = store.identity
    store.close()
    if what == "identity gone":
        (data_dir / "identity.json").unlink()
    elif what == "identity of another":
        opened(tmp_path / "other").close()
        shutil.copy(tmp_path / "other" / "identity.json", data_dir / "identity.json")
    else:
        (data_dir / "identity.json").write_text('{"identity": "AB')
    store = opened(data_dir)
    assert store.identity != old
    assert store.former is not None
    assert store.former.identity == old
    store.close()


def test_a_reservation_that_was_undone_is_not_taken_for_a_newer_database(data_dir):
    """Ids reserved in a job that failed were never used; the next start must not believe that something is missing."""
    store = opened(data_dir)
    identity = store.identity

    def reserving(inside):
        inside.reserve(3 * BLOCK)
        raise KeyError

    for _ in range(3):
        store.group([reserving])
        received(store)
    store.close()
    assert opened_identity(data_dir) == identity


def test_nor_when_the_process_dies_while_it_reserves_the_next(data_dir):
    def reserving(inside):
        inside.reserve(3 * BLOCK)
        raise KeyError

    def dying(inside):
        inside.reserve(6 * BLOCK)
        os._exit(7)

    def work() -> None:
        store = opened(data_dir)
        store.group([reserving])
        received(store)
        store.group([dying])

    assert in_child(work) == 7
    store = opened(data_dir)
    assert store.former is None
    store.close()


def test_the_trace_leads_from_a_specimen_to_bytes_and_attempts(store):
    sent = queued(store, "S-77", values=("GLU",), holds=("X1",))
    filed(store, sent)
    assert store.find(specimen="S-77") == [sent]
    row = store.message(sent)
    [group] = store.groups(row.transmission)
    assert (group.specimen, [o.code for o in group.observations]) == ("S-77", ["GLU", "X1"])
    assert store.transmission(group.transmission).chunks[0].chunk.raw.startswith(b"\x02")
    assert [a.what for a in store.attempts(sent)] == ["published", "puback", "ack"]
    assert store.find(specimen="S-7") == []
    assert store.find_transmissions(specimen="S-77") == [group.transmission]


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999", "[" * 5000])
def test_a_number_that_is_none_makes_the_file_one_that_is_missing(data_dir, number):
    store = opened(data_dir)
    before = store.identity
    store.close()
    (data_dir / "identity.json").write_text(f'{{"identity": "{before}", "reserved": {number}, "promised": 1}}')
    store = opened(data_dir)
    assert store.identity != before
    assert store.former.reason == "identity.json is missing"
    store.close()
