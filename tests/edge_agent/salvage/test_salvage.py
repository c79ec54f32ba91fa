"""Salvage: what can be read comes out as it was, what cannot is named, the damaged files stay as they were."""

import hashlib
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))  # the store's helpers lie beside its tests

from store_faults import in_child  # after the path above
from store_helpers import StillClock, at_broker, filed, queued, source

from edge_agent.errors import AgentError
from edge_agent.salvage import evidence
from edge_agent.salvage.found import Scratch, version_of
from edge_agent.salvage.image import PAGE, Image
from edge_agent.salvage.salvaging import Salvaged, Salvaging
from edge_agent.salvage.trees import Forest
from edge_agent.states import MessageState
from edge_agent.store import schema
from edge_agent.store.directory import SALVAGING, database_files
from edge_agent.store.errors import StoreCorruptError, StoreLockedError, StoreTooNewError
from edge_agent.store.rows import Chunk, ChunkKind
from edge_agent.store.store import Store
from edge_agent.store.unfiled import count_unfiled

KNOWN = schema.migrations()[-1][0]

TABLES = ("transmission", "chunk", "specimen_group", "observation", "seen", "outbox", "payload", "attempt", "counter")
# STX, frame number 1, text, ETX; the digits are the sum of what lies between modulo 256 (LIS01-A2 6.3.1.2): 0xE5.
FRAME = Chunk(ChunkKind.FRAME, b"\x021H|\\^&\r\x03E5\r\n", b"H|\\^&\r", 1, last=True)


def opened(data_dir: Path, **options: object) -> Store:
    return Store.open(data_dir, StillClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True, **options)  # type: ignore[arg-type]


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {table: store.database.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[tuple[object, ...]]]]:
    """A store with messages in every state, results that are held, and transmissions that still came in."""
    data_dir = tmp_path_factory.mktemp("made") / "data"
    store = opened(data_dir)
    for number in range(90):
        holds = [f"h{number}"] if number % 9 == 0 else []
        values = [f"{number}/{n}" for n in range(6)]
        payload = b"MSH|" + bytes([65 + number]) * 600
        sent = queued(store, f"S{number % 30}", values=values, holds=holds, payload=payload)
        if number % 3 == 0:
            filed(store, sent)
        elif number % 3 == 1:
            at_broker(store, sent)
    for _ in range(40):
        store.append(store.open_transmission(source()), [FRAME] * 5)
    content = rows(store)
    store.close()
    return data_dir, content


@pytest.fixture
def data_dir(tmp_path: Path, made: tuple[Path, object]) -> Path:
    shutil.copytree(made[0], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def content(made: tuple[Path, dict[str, list[tuple[object, ...]]]]) -> dict[str, list[tuple[object, ...]]]:
    return made[1]


def salvage(data_dir: Path) -> Salvaged:
    return Salvaging(data_dir, ["xn1"], StillClock()).salvage()


def pages_of(data_dir: Path, tree: str, tmp_path: Path) -> list[int]:
    scratch = Scratch(tmp_path / "scratch.db", KNOWN)
    with Image(*database_files(data_dir)[:2]) as image:
        homes = Forest(image, scratch.trees({})).homes
    scratch.close()
    return [number for number, name in sorted(homes.items()) if name == tree]


def spoil(data_dir: Path, page: int, *, at: int = 0, size: int = PAGE) -> None:
    with (data_dir / "agent.db").open("r+b") as file:
        file.seek((page - 1) * PAGE + at)
        file.write(b"\xff" * size)


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
    other = sqlite3.connect(data_dir / "agent.db")
    other.execute("UPDATE sqlite_sequence SET seq = 4000 WHERE name = 'transmission'")
    other.commit()
    other.close()
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


def test_messages_whose_rows_are_lost_are_put_together_from_their_texts(data_dir, content, tmp_path):
    pages = pages_of(data_dir, "outbox", tmp_path)
    spoil(data_dir, pages[-1])
    done = salvage(data_dir)
    assert done.carried.rebuilt > 0
    assert not done.loss.messages
    store = opened(data_dir)
    before = {row[1]: row for row in content["outbox"]}
    after = {row[1]: row for row in rows(store)["outbox"]}
    filed_before = {id_ for id_, row in before.items() if row[8] == "filed"}
    assert before.keys() - after.keys() <= filed_before  # a filed one without its row is known by the audit chain
    for id_, row in after.items():
        # number, id, identity, analyser, route, sequence; the specimen's key is made up in these tests; the digest
        assert (row[:6], row[7]) == (before[id_][:6], before[id_][7])
    texts = dict(rows(store)["payload"])
    assert all(texts[row[0]] == dict(content["payload"])[row[0]] for row in after.values())
    assert store.verification().run() is None
    store.close()


def test_a_message_whose_text_is_lost_is_read_again_if_it_never_went_out_and_named_if_it_may_have(
    data_dir, content, tmp_path
):
    pages = pages_of(data_dir, "payload", tmp_path)
    spoil(data_dir, pages[-2])
    done = salvage(data_dir)
    store = opened(data_dir)
    texts = {row[0] for row in rows(store)["payload"]}
    gone = [row for row in content["outbox"] if row[0] not in texts]
    assert gone
    never_sent = {row[21] for row in gone if row[8] == "queued"}
    assert {t.id for t in store.next_unconverted(100)} == never_sent
    assert {m.id for m in done.loss.messages} == {row[1] for row in gone if row[8] == "at-broker"}
    known = {row[3] for row in rows(store)["seen"]}
    assert known.isdisjoint({row[1] for row in gone if row[8] != "filed"})  # a resend of these goes out
    assert [one.analyser for one in done.loss.resend] == ["xn1"]
    assert store.verification().run() is None
    store.close()


def altered(data_dir: Path, *statements: str) -> None:
    other = sqlite3.connect(data_dir / "agent.db")
    for sql in statements:
        other.execute(sql)
    other.commit()
    other.close()


def test_where_the_agent_was_killed_a_message_without_its_text_may_have_gone_out_before_that_was_noted(data_dir):
    def work() -> None:
        queued(opened(data_dir), "S1", payload=b"MSH|last")  # handed to the broker, and then the power goes
        os._exit(0)

    assert in_child(work) == 0
    altered(data_dir, "UPDATE payload SET payload = X'00' WHERE number = (SELECT max(number) FROM outbox)")
    done = salvage(data_dir)
    store = opened(data_dir)
    assert [(m.id[9:], m.analyser) for m in done.loss.messages] == [(f"{91:011d}", "xn1")]
    assert done.carried.reread == 0
    assert store.next_unconverted(100) == []
    assert [one.analyser for one in done.loss.resend] == ["xn1"]
    store.close()


def test_a_message_that_names_another_analyser_or_the_number_of_another_message_goes_out_as_it_was_queued(
    data_dir, content
):
    first, second, third = [row for row in content["outbox"] if row[8] == "queued"][:3]
    altered(
        data_dir,
        "DROP INDEX outbox_sequence",
        f"UPDATE outbox SET analyser = 'xn3' WHERE number = {first[0]}",
        f"UPDATE outbox SET sequence = {third[5]} WHERE number = {second[0]}",
    )
    done = salvage(data_dir)
    assert not done.loss
    store = opened(data_dir)
    assert rows(store) == content
    assert store.verification().run() is None
    store.close()


def test_what_would_be_read_once_more_and_is_not_as_it_came_is_sent_again_by_who_sent_it(data_dir, content):
    [number, transmission] = [(row[0], row[21]) for row in content["outbox"] if row[8] == "queued"][-1]
    altered(
        data_dir,
        f"UPDATE payload SET payload = X'00' WHERE number = {number}",
        f"UPDATE transmission SET analyser = 'xn3' WHERE id = {transmission}",
    )
    done = salvage(data_dir)
    assert done.carried.reread == 0
    assert [(t.number, t.analyser) for t in done.loss.transmissions] == [(transmission, "xn1")]
    assert [one.analyser for one in done.loss.resend] == ["xn1"]
    store = opened(data_dir)
    assert store.next_unconverted(100) == []
    assert store.verification().run() is None
    store.close()


def test_an_altered_text_is_never_sent(data_dir, content):
    data = (data_dir / "agent.db").read_bytes()
    at = data.index(bytes([65 + 89]) * 600)  # of the last message, which is queued
    spoil(data_dir, at // PAGE + 1, at=at % PAGE + 300, size=1)
    with pytest.raises(StoreCorruptError, match="not as it was stored"):
        opened(data_dir)
    salvage(data_dir)
    store = opened(data_dir)
    for row in store.messages(states=tuple(MessageState), limit=1000):
        assert hashlib.sha256(row.payload).hexdigest() == row.digest
    store.close()


@pytest.mark.parametrize(
    "change", ["UPDATE chunk SET received = received + 1", "UPDATE transmission SET mode = 'validation'"]
)
def test_what_is_still_to_be_read_and_is_not_as_it_came_is_sent_again_by_the_analyser(data_dir, change):
    held = "SELECT transmission FROM specimen_group WHERE held > 0 ORDER BY id LIMIT 1"
    column = "transmission" if "chunk" in change else "id"
    other = sqlite3.connect(data_dir / "agent.db")
    [number] = other.execute(held).fetchone()
    other.execute(f"{change} WHERE {column} = ?", (number,))
    other.commit()
    other.close()
    with pytest.raises(StoreCorruptError):
        opened(data_dir)
    done = salvage(data_dir)
    assert [t.number for t in done.loss.transmissions] == [number]
    store = opened(data_dir)
    assert store.transmission(number).state == "interrupted"
    assert store.verification().run() is None
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


@pytest.mark.parametrize("column", ["message_id = 'garbled'", "seen = seen + 1"])
def test_what_recognises_repeats_is_taken_from_what_went_out(data_dir, content, column):
    other = sqlite3.connect(data_dir / "agent.db")
    other.execute(f"UPDATE seen SET {column} WHERE transmission = 40")
    other.commit()
    other.close()
    done = salvage(data_dir)
    assert not done.loss
    store = opened(data_dir)
    assert rows(store)["seen"] == content["seen"]
    assert store.verification().run() is None
    store.close()
