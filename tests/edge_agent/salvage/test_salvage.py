"""Salvage: what can be read comes out as it was, what cannot is named, the damaged files stay as they were."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from salvage_helpers import KNOWN, TABLES, altered, opened, pages_of, rows, salvage, spoil
from store_faults import in_child
from store_helpers import queued

from edge_agent.errors import AgentError
from edge_agent.salvage import evidence
from edge_agent.salvage.found import Scratch, version_of
from edge_agent.salvage.image import PAGE, Image
from edge_agent.store.directory import SALVAGING, database_files
from edge_agent.store.errors import StoreCorruptError, StoreLockedError, StoreTooNewError
from edge_agent.store.unfiled import count_unfiled


def test_a_store_without_damage_comes_out_as_it_was(data_dir, content):
    done = salvage(data_dir)
    assert not done.loss
    store = opened(data_dir)
    assert rows(store) == content
    assert store.former is not None
    assert store.former.reason == "it was salvaged from a damaged one"
    assert store.audit_verify() is None
    assert store.verification().run() is None
    kinds = [e.kind for e in store.audit_entries(limit=10_000)]
    assert kinds[-2:] == ["salvaged", "identity"]
    store.close()


def test_numbers_and_ids_that_were_given_are_not_given_again(data_dir, content):
    salvage(data_dir)
    store = opened(data_dir)
    ids = {row[1] for row in content["outbox"]}
    assert queued(store, "S999") not in ids
    assert max(row[0] for row in store.database.rows("SELECT id FROM transmission")) == 131
    store.close()


def test_a_count_that_went_bad_is_not_believed_against_a_whole_chain(data_dir, content):
    altered(data_dir, "UPDATE sqlite_sequence SET seq = 4000 WHERE name = 'transmission'")
    salvage(data_dir)
    store = opened(data_dir)
    assert rows(store) == content
    assert store.verification().run() is None
    store.close()


@pytest.mark.parametrize("tree", ["chunk", "seen", "observation", "outbox", "payload", "audit", "transmission"])
def test_every_row_under_a_spoiled_root_is_found_by_the_pointer_map(data_dir, content, tmp_path, tree):
    pages = pages_of(data_dir, tree, tmp_path)
    assert len(pages) > 1, "the root is the only page"
    spoil(data_dir, pages[0], size=8)
    with pytest.raises(StoreCorruptError):
        opened(data_dir)
    done = salvage(data_dir)
    store = opened(data_dir)
    found = rows(store)
    lost = {table for table in TABLES if found[table] != content[table]} - {"counter"}
    # The root of an index-like table has rows of its own; a table's has none.
    # A transmission with a frame that is gone goes with it: half of what an analyser sent is not what it sent.
    with_it = {"transmission", "specimen_group", "observation"} if tree == "chunk" else set()
    assert lost <= {tree} & {"chunk", "seen", "observation"} | with_it
    assert all(len(found[table]) >= len(content[table]) - 16 for table in TABLES)
    assert done.loss.pages == 1
    assert store.verification().run() is None
    store.close()


def test_a_spoiled_schema_hides_no_row(data_dir, content):
    spoil(data_dir, 1)
    done = salvage(data_dir)
    assert not done.loss
    store = opened(data_dir)
    assert rows(store) == content
    store.close()


def crashed(tmp_path: Path) -> Path:
    """As a killed agent leaves it: everything in the log."""
    data_dir = tmp_path / "crashed"

    def work() -> None:
        store = opened(data_dir)
        for number in range(12):
            queued(store, f"S{number}")
        os._exit(0)  # before anything closes the database and folds its log

    assert in_child(work) == 0
    return data_dir


def test_frames_behind_a_bad_one_in_the_log_are_read(tmp_path):
    data_dir = crashed(tmp_path)
    log = data_dir / "agent.db-wal"
    frames = (log.stat().st_size - 32) // (PAGE + 24)
    with log.open("r+b") as file:
        file.seek(32 + frames // 2 * (PAGE + 24) + 1000)
        file.write(b"\xff" * 100)
    with pytest.raises(StoreCorruptError):
        opened(data_dir)
    done = salvage(data_dir)
    assert done.loss.frames == 1
    store = opened(data_dir)
    assert len(rows(store)["outbox"]) == 12
    assert store.verification().run() is None
    store.close()


def test_a_log_cut_off_is_told_by_the_changes_the_directory_knows_of(tmp_path):
    data_dir = crashed(tmp_path)
    log = data_dir / "agent.db-wal"
    os.truncate(log, log.stat().st_size // 2)
    done = salvage(data_dir)
    assert done.loss.commits > 0
    [again] = done.loss.resend
    store = opened(data_dir)
    assert store.former is not None
    assert (again.analyser, again.since) == ("xn1", store.former.since)
    assert store.verification().run() is None
    store.close()


def test_a_salvage_killed_at_any_step_goes_on_where_it_was(data_dir, content, tmp_path, monkeypatch):
    before = {p.name: p.read_bytes() for p in database_files(data_dir) if p.exists()}
    steps = 0
    for step in range(1, 100):
        copy = tmp_path / f"killed-{step}"
        shutil.copytree(data_dir, copy)
        status = in_child(lambda copy=copy, step=step: (die_at_sync(step, monkeypatch), salvage(copy)))
        if (copy / SALVAGING).exists():
            with pytest.raises(StoreCorruptError):
                opened(copy)
            with pytest.raises(StoreCorruptError):
                count_unfiled(copy)
        if status == 0:
            break
        steps += 1
        if not (copy / "salvaged").exists() or (copy / SALVAGING).exists():
            salvage(copy)
        [kept] = copy.glob("evidence-*")
        assert {name: (kept / name).read_bytes() for name in before} == before, f"step {step}"
        store = opened(copy)
        assert rows(store) == content, f"step {step}"
        store.close()
    assert steps >= 8
    print(f"{steps} steps, each killed once")


def die_at_sync(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kill -9 before the n-th time a directory is synced, which follows each thing that is put somewhere."""
    seen = 0

    def before(directory: Path) -> None:
        nonlocal seen
        seen += 1
        if seen == step:
            os._exit(9)

    monkeypatch.setattr(evidence, "sync_directory", before)


def test_nothing_is_done_to_a_newer_store_a_running_one_or_none(data_dir, tmp_path):
    store = opened(data_dir)
    with pytest.raises(StoreLockedError):
        salvage(data_dir)
    store.close()
    other = sqlite3.connect(data_dir / "agent.db")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreTooNewError):
        salvage(data_dir)
    assert not list(data_dir.glob("evidence-*"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(AgentError, match="There is no store"):
        salvage(tmp_path / "empty")


def test_where_nothing_can_be_read_an_empty_store_is_made_that_says_so(data_dir):
    (data_dir / "agent.db").write_bytes(b"nothing of it is left" * 5000)
    done = salvage(data_dir)
    assert done.loss
    assert [(one.analyser, one.since) for one in done.loss.resend] == [("xn1", None)]
    store = opened(data_dir)
    assert store.former is not None
    store.close()


def test_roots_are_where_the_migrations_put_them(data_dir, tmp_path):
    """What the reading relies on where the schema is gone."""
    scratch = Scratch(tmp_path / "scratch.db", KNOWN)
    with Image(*database_files(data_dir)[:2]) as image:
        assert version_of(image) == KNOWN
    other = sqlite3.connect(data_dir / "agent.db")
    roots = dict(other.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0"))
    other.close()
    assert roots == scratch.roots
    scratch.close()
