"""The verification names rows that were added, a chain that was cut or written anew; and never cries wolf."""

import hashlib
import json
import shutil
from datetime import timedelta

import pytest
from store_helpers import at_broker, filed, frame, held, queued, received, source

from edge_agent.states import ItemState, TransmissionEvent
from edge_agent.store import audit, backup, told, verification
from edge_agent.store.comparison import Comparison
from edge_agent.store.coverage import all_facts
from edge_agent.store.errors import AnchorError
from edge_agent.store.rows import NewGroup, Settlement
from edge_agent.store.store import Store
from edge_agent.store.verification import Anchor, Verification


def said(store: Store, anchor: Anchor | None = None) -> str:
    found = store.verification(anchor).run()
    return found.sentence if found else ""


def some(store: Store) -> list[str]:
    """Filed, queued, rejected, and something held."""
    ids = [queued(store, "S1"), queued(store, "S2", holds=("X1",)), queued(store, "S3")]
    filed(store, ids[0])
    store.acknowledged(ids[2], code="AR", detail="no", consumer="ivd", digest_ok=True)
    return ids


def flip(store: Store, id_: str) -> None:
    store.database.execute("UPDATE outbox SET state = 'filed', filed = 1 WHERE id = ?", (id_,))


def test_a_message_made_filed_by_hand_is_named_by_its_number_and_id(store):
    _, id_, _ = some(store)
    flip(store, id_)
    assert said(store) == f"Message 2 ({id_}) is filed, which is not as entry 4 tells."


def test_a_byte_changed_in_a_frame_is_named_by_its_transmission(store):
    some(store)
    store.database.execute("UPDATE chunk SET raw = CAST(replace(raw, 'H', 'I') AS BLOB) WHERE transmission = 2")
    assert said(store) == "A frame of transmission 2 is not as it was received, as entry 3 tells."


def test_a_changed_payload_is_named_also_with_a_digest_that_fits_it(store):
    _, id_, _ = some(store)
    store.database.execute("UPDATE payload SET payload = x'00' WHERE number = 2")
    assert said(store) == f"Message 2 ({id_}) has another content than entry 4 tells."
    store.database.execute("UPDATE outbox SET digest = ? WHERE number = 2", (hashlib.sha256(b"\0").hexdigest(),))
    assert said(store) == f"Message 2 ({id_}) is not what entry 4 tells was queued."


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("DELETE FROM outbox WHERE number = 2", "is not there, and entry 4 tells that it was queued."),
        ("DELETE FROM transmission WHERE id = 2", "Transmission 2 is not there, and entry 4 tells of it."),
        (
            "INSERT INTO transmission (analyser, peer, profile, revision, profile_hash, mode, state, opened, ended)"
            " SELECT analyser, peer, profile, revision, profile_hash, mode, state, opened, ended FROM transmission"
            " WHERE id = 1",
            "Transmission 4 has ended, and no entry tells it.",
        ),
        (
            "INSERT INTO seen SELECT analyser, x'11', 0, 'TESTSTOR-00000000001', 2, seen FROM seen LIMIT 1",
            "The memory of repeats of transmission 2 recognises an observation that was not sent.",
        ),
        (
            "INSERT INTO observation SELECT group_id, 7, digest, 7, code, state, hold, detail, message_id"
            " FROM observation LIMIT 1",
            "Transmission 1 has a state, specimen or observation that is not as entry 2 tells.",
        ),
    ],
)
def test_a_row_that_was_taken_away_or_added_is_named(store, sql, sentence):
    some(store)
    store.database.execute("PRAGMA foreign_keys = OFF")
    store.database.execute(sql)
    assert said(store).endswith(sentence)


def test_a_message_added_beside_a_real_one_is_named(store):
    some(store)
    names = [row[1] for row in store.database.rows("PRAGMA table_info(outbox)")]
    row = dict(zip(names, store.database.rows("SELECT * FROM outbox WHERE number = 1")[0], strict=True))
    forged = row | {"number": 4, "id": "TESTSTOR-00000000099", "sequence": 9}
    store.database.execute(f"INSERT INTO outbox VALUES ({', '.join('?' * len(names))})", list(forged.values()))
    store.database.execute("INSERT INTO payload SELECT 4, payload FROM payload WHERE number = 1")
    assert "Transmission 1 has a state, specimen or observation" in said(store)


def test_without_the_comparison_none_of_it_is_noticed(store, monkeypatch):
    """The control."""
    some(store)
    for name in ("transmissions", "messages", "identities", "numbers"):
        monkeypatch.setattr(Comparison, f"compare_{name}", lambda _: iter(()))
    flip(store, some(store)[1])
    store.database.execute("UPDATE chunk SET raw = x'00'")
    assert said(store) == ""


# the end and the whole of the chain


def cut_tail(store: Store, entries: int) -> None:
    """As somebody who knows where SQLite keeps the highest number."""
    last = store.audit_head()[0] - entries
    store.database.execute("DELETE FROM audit WHERE entry > ?", (last,))
    store.database.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'audit'", (last,))


def written_anew(store: Store, old: str, new: str) -> None:
    """Every entry with ``new`` for ``old``, and hashes that fit."""
    last = bytes(32)
    for entry, at, kind, facts, _ in audit.entries(store.database, 0, 1000):
        changed = facts.replace(old, new)
        last = hashlib.sha256(last + f"[{entry},{at},{json.dumps(kind)},{changed}]".encode()).digest()
        store.database.execute("UPDATE audit SET facts = ?, hash = ? WHERE entry = ?", (changed, last, entry))


def noted(store: Store) -> Anchor:
    entry, hash_ = store.audit_head()
    return Anchor.parse(f"{entry}:{hash_}")


def test_a_cut_tail_is_named_by_the_rows_it_told_of_and_by_the_anchor(store):
    some(store)
    anchor = noted(store)
    assert said(store, anchor) == ""
    cut_tail(store, 1)
    assert said(store) == "Message 3 (TESTSTOR-00000000003) is rejected, which is not as entry 6 tells."
    assert said(store, anchor) == "Audit entry 9 is not there, and the anchor is a later one."


def test_only_the_anchor_finds_a_cut_tail_that_told_of_no_row(store):
    some(store)
    store.audit("reload", {"who": "tech"})
    anchor = noted(store)
    cut_tail(store, 1)
    assert said(store) == ""
    assert said(store, anchor) == "Audit entry 10 is not there, and the anchor is a later one."


def test_only_the_anchor_finds_a_chain_written_anew(store):
    some(store)
    store.release(who="tech", note="mapped")
    anchor = noted(store)
    store.audit("reload", {"who": "tech"})
    written_anew(store, '"who":"tech"', '"who":"else"')
    assert said(store) == ""
    assert said(store, anchor) == "Audit entry 10 is not the one of the anchor: the chain was written anew."


def test_an_anchor_older_than_the_chain_says_nothing(store, clock):
    store.audit("note", {})
    store.audit("note", {})
    anchor, last = Anchor(1, "00" * 32), noted(store)
    clock.advance(days=500)
    store.audit("note", {})
    store.purge(filed_before=clock.now() - timedelta(days=90), identities_before=clock.now() - timedelta(days=400))
    with pytest.raises(AnchorError, match="begins behind entry 2"):
        said(store, anchor)
    assert said(store, last) == ""
    assert said(store, Anchor(2, "00" * 32)).startswith("Audit entry 2 is not the one of the anchor")


@pytest.mark.parametrize(
    "text", ["", "12", "12:", "x:" + "00" * 32, "12:" + "0g" * 32, "12:" + "00" * 31, "-1:" + "00" * 32]
)
def test_what_is_no_anchor_is_refused(text):
    with pytest.raises(ValueError, match="no anchor"):
        Anchor.parse(text)


# no false alarm


def test_what_the_agent_does_between_the_steps_is_no_finding(store, clock, monkeypatch):
    """Filing, settling, releasing, purging and a new transmission, wherever a step may end."""
    monkeypatch.setattr(verification, "_PIECES", 0)
    old = [queued(store, f"old {n}") for n in range(30)]
    for id_ in old[:20]:
        filed(store, id_)
    del old[:20]
    clock.advance(days=100)
    check, steps = store.verification(), 0
    while not check.step():
        steps += 1
        if steps < 60:
            at_broker(store, queued(store, f"new {steps}", holds=("X",)))
        if old:
            store.acknowledged(old.pop(), code="AA", detail="", consumer="ivd", digest_ok=True)
        if steps % 3 == 0:
            store.release(between=(steps, steps + 40), who="t", note="n")
            store.purge(
                filed_before=clock.now() - timedelta(days=90),
                identities_before=clock.now() - timedelta(days=400),
                step_rows=20,
            )
        assert steps < 2000
    assert check.finding is None
    assert steps > 100
    assert check.counts["messages"] > 30
    assert said(store) == ""


def test_a_transmission_purged_between_two_pieces_of_its_frames_is_no_finding(store, clock, monkeypatch):
    monkeypatch.setattr(verification, "_PIECES", 0)
    number = store.open_transmission(source())
    for n in range(400):
        store.append(number, [frame(b"R|%d\r" % n)])
    store.end(number, TransmissionEvent.ENDED, "L")
    store.settle(Settlement(number))
    clock.advance(days=100)
    check = store.verification()
    for _ in range(6):
        check.step()
    assert check.course.step == "transmissions"
    while store.purge(filed_before=clock.now(), identities_before=clock.now() - timedelta(days=400)):
        pass
    while not check.step():
        pass
    assert check.finding is None


def test_entries_that_go_before_they_are_heard_are_no_finding(store, clock, monkeypatch):
    monkeypatch.setattr(verification, "_PIECES", 0)
    for n in range(40):
        filed(store, queued(store, f"S{n}"))
    queued(store, "waits")
    head = noted(store)
    clock.advance(days=401)
    store.audit("note", {})
    check, with_anchor = store.verification(), store.verification(head)
    for one in (check, with_anchor):
        assert not one.step()
    while store.purge(
        filed_before=clock.now() - timedelta(days=90), identities_before=clock.now() - timedelta(days=400)
    ):
        pass
    filed(store, queued(store, "S41"))
    while not check.step():
        pass
    assert check.finding is None
    assert check.counts["entries"] < 50 < check.head[0]
    while not with_anchor.step():
        pass
    assert with_anchor.finding is None


def test_a_backup_put_back_verifies_before_and_after_it_goes_on(open_store, data_dir, tmp_path, clock):
    first = open_store()
    some(first)
    anchor = noted(first)
    (tmp_path / "copy").mkdir()
    backup.copy(first, tmp_path / "copy", lambda: None, lambda done, of: None)
    filed(first, queued(first, "S9"))
    later = noted(first)
    first.close()
    shutil.move(tmp_path / "copy" / "agent.db", data_dir / "agent.db")
    (data_dir / "restored").touch()
    again = open_store()
    assert again.former is not None
    assert said(again, anchor) == ""
    filed(again, queued(again, "S9"))
    assert said(again, anchor) == ""
    assert "of the anchor" in said(again, later)


def test_a_start_killed_over_a_new_identity_has_told_it(open_store, data_dir):
    """Identity and entry are one transaction: there is never one without the other."""
    store = open_store()
    some(store)
    store.close()
    (data_dir / "identity.json").unlink()
    again = open_store()
    number = again.database.value("SELECT entry FROM audit WHERE kind = 'identity'")
    assert (
        json.loads(again.database.value("SELECT facts FROM audit WHERE entry = ?", (number,)))["identity"]
        == again.identity
    )
    assert said(again) == ""


# stores with entries from before there was anything to compare


def as_before(kind: str, facts: dict[str, str]) -> dict[str, str]:
    """An entry as it was written before digests of rows were in it."""
    kept = {name: value for name, value in facts.items() if name not in ("frames", "row", "readings", "states")}
    if "messages" in kept:
        kept["messages"] = " ".join(item.rpartition(":")[0] for item in kept["messages"].split())
    return kept


@pytest.fixture
def old(store, monkeypatch) -> Store:
    add = audit.add
    with monkeypatch.context() as patch:
        patch.setattr(
            audit,
            "add",
            lambda d, kind, facts: kind in ("at-broker", "refused") or add(d, kind, as_before(kind, facts)),
        )
        some(store)
        at_broker(store, queued(store, "S4"))
        first = queued(store, "S5")
        queued(store, "S5", replaces=first)
    return store


def test_older_entries_are_believed_for_what_they_tell(old):
    assert said(old) == ""
    for sql, word in (
        ("UPDATE outbox SET state = 'filed' WHERE number = 2", "Message 2"),
        ("UPDATE outbox SET state = 'queued' WHERE number = 1", "Message 1"),
        ("UPDATE payload SET payload = x'00' WHERE number = 2", "Message 2"),
        ("UPDATE chunk SET raw = x'00' WHERE transmission = 3", "of transmission 3"),
        ("UPDATE outbox SET sequence = 99 WHERE number = 2", "Message 2"),
    ):
        old.database.begin()
        old.database.execute(sql)
        assert word in said(old)
        old.database.rollback()


def test_what_is_told_since_is_covered_in_full(old):
    sent = queued(old, "S6")
    at_broker(old, sent)
    assert said(old) == ""
    old.database.execute("UPDATE outbox SET state = 'queued', at_broker = NULL WHERE id = ?", (sent,))
    assert f"({sent}) is queued" in said(old)


# what is left when the chain's beginning has gone


def test_what_is_unfiled_when_its_entries_go_is_told_again(store, clock):
    waits = queued(store, "S1", holds=("X",))
    number = received(store, event=TransmissionEvent.BROKEN, reason="link")
    clock.advance(days=401)
    store.audit("note", {})
    before = {"filed_before": clock.now() - timedelta(days=90), "identities_before": clock.now() - timedelta(days=400)}
    while store.purge(**before):
        pass
    assert [e.kind for e in store.audit_entries()] == ["note", "kept", "kept", "shortened"]
    assert said(store) == ""
    for sql, word in (
        ("UPDATE outbox SET state = 'filed'", waits),
        ("UPDATE chunk SET raw = x'00' WHERE transmission = 2", f"of transmission {number}"),
        ("DELETE FROM transmission WHERE id = 2", f"Transmission {number}"),
        ("UPDATE specimen_group SET state = 'converted', held = 0", "Transmission 1"),
    ):
        store.database.begin()
        store.database.execute("PRAGMA defer_foreign_keys = ON")
        store.database.execute(sql)
        assert word in said(store)
        store.database.rollback()
    filed(store, waits)
    assert said(store) == ""


def test_a_release_of_many_is_told_in_entries_of_bounded_size(store):
    for n in range(120):
        group = NewGroup(f"S{n}", "P", ItemState.HELD, "no-header", observations=(held(f"X{n}"),))
        store.settle(Settlement(received(store), (group,)))
    store.release(who="tech", note="all of them")
    sizes = [e.facts["readings"].count(":") for e in store.audit_entries(limit=1000) if e.kind == "released"]
    assert sizes == [50, 50, 20]
    assert said(store) == ""


def test_an_entry_no_agent_writes_is_named(store):
    store.audit("settled", {"transmission": "many"})
    assert said(store) == "Audit entry 1 tells what no agent writes."


def test_it_goes_in_steps_and_says_how_far_it_is(store):
    for n in range(60):
        queued(store, f"S{n}")
    check, courses = Verification(store.database), []
    while not check.step():
        courses.append(check.course)
    assert [c.step for c in courses] == sorted(
        (c.step for c in courses),
        key=["audit chain", "transmissions", "messages", "what recognises repeats", "counters"].index,
    )
    assert all(c.done <= c.of for c in courses if c.of)
    assert len(courses) > 10
    assert check.head == store.audit_head()
    assert check.counts == {"entries": 120, "transmissions": 60, "messages": 60, "identities": 60}


def test_a_chain_that_begins_anew_with_nothing_before_it_goes_on_with_any_sequence(store):
    """As after a salvage that found no entry: the sequence goes on, and what is there is told at once."""
    some(store)
    store.database.execute("DELETE FROM audit")
    store.database.execute("DELETE FROM sqlite_sequence WHERE name = 'audit'")
    begins = {"entry": "0", "hash": "00" * 32, "gone": "3", "before": "1"}
    for name, value in ((audit.BASE, f"0 {'00' * 32}"), (told.GONE, "3"), (told.FORGOTTEN, "1")):
        store.database.set_fact(name, value)
    store.audit("shortened", begins)
    for number in (1, 2, 3):
        store.audit("kept", all_facts(store.database, number))
    filed(store, queued(store, "S4"))
    assert said(store) == ""
