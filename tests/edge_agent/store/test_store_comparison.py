"""Each thing that is not as it was left has its own sentence, with its number and the entry that tells otherwise."""

from datetime import timedelta

import pytest
from store_helpers import at_broker, filed, frame, key, queued, received, source
from test_store_audit_verification import said, some

from edge_agent.states import TransmissionEvent
from edge_agent.store import audit, comparison
from edge_agent.store.rows import Settlement
from edge_agent.store.store import Store
from edge_agent.store.verification import Anchor


def changed(store: Store, *sqls: str) -> str:
    """What is said of changes that are then undone."""
    store.database.begin()
    store.database.execute("PRAGMA defer_foreign_keys = ON")
    try:
        for sql in sqls:
            store.database.execute(sql)
        return said(store)
    finally:
        store.database.rollback()


CHANGES = [
    ("UPDATE transmission SET peer = 'x' WHERE id = 1", "Transmission 1 is not as entry 1 tells."),
    (
        "UPDATE transmission SET unsettled = unsettled + 1 WHERE id = 2",
        "Transmission 2 counts what is unsettled wrongly.",
    ),
    (
        "UPDATE outbox SET head = 0 WHERE number = 2",
        "Message 2 (TESTSTOR-00000000002) is in the wrong place of its specimen's queue.",
    ),
    (
        "UPDATE outbox SET head = 1 WHERE number = 3",
        "Message 3 (TESTSTOR-00000000003) is in the wrong place of its specimen's queue.",
    ),
    (
        "DELETE FROM payload WHERE number = 1",
        "Message 1 (TESTSTOR-00000000001) has another content than entry 2 tells.",
    ),
    (
        "UPDATE outbox SET sequence = 9 WHERE number = 3",
        "Message 3 (TESTSTOR-00000000003) is not what entry 6 tells was queued.",
    ),
    (
        "UPDATE outbox SET created = created + 1 WHERE number = 1",
        "Message 1 (TESTSTOR-00000000001) is not what entry 2 tells was queued.",
    ),
    (
        "UPDATE specimen_group SET role = 'Q' WHERE transmission = 3",
        "Transmission 3 has a state, specimen or observation that is not as entry 6 tells.",
    ),
    (
        "UPDATE transmission SET converted = 0 WHERE id = 1",
        "Transmission 1 has a state, specimen or observation that is not as entry 2 tells.",
    ),
    (
        "DELETE FROM seen WHERE transmission = 1",
        "The memory of repeats of transmission 1 does not recognise an observation that was sent.",
    ),
    (
        "UPDATE seen SET seen = seen + 1 WHERE transmission = 1",
        "The memory of repeats of transmission 1 does not recognise an observation that was sent.",
    ),
    (
        "UPDATE seen SET message_id = 'TESTSTOR-00000000003' WHERE transmission = 1",
        "The memory of repeats of transmission 1 does not recognise an observation that was sent.",
    ),
    (
        "INSERT INTO seen SELECT 'dx2', digest, 0, message_id, 1, seen FROM seen WHERE transmission = 1",
        "The memory of repeats of transmission 1 recognises an observation that was not sent.",
    ),
    ("UPDATE sequence SET last = 9", "The sequence of xn1 is 9, and the chain tells 3."),
    ("INSERT INTO sequence VALUES ('TESTSTOR', 'zz', 1)", "The sequence of zz is 1, and the chain tells none."),
    ("DELETE FROM sequence", "The sequence of xn1 is not there."),
    (
        "UPDATE counter SET value = 7 WHERE kind = 'message' AND name = 'filed'",
        "The counter message filed does not count the 1 there are.",
    ),
    ("DELETE FROM counter WHERE kind = 'held'", "The counter held xn1 does not count the 1 there are."),
    ("INSERT INTO counter VALUES ('failed', 'ghost', 3)", "The counter failed ghost does not count the 0 there are."),
    (
        "INSERT INTO counter VALUES ('interrupted', 'zz', 1)",
        "The counter interrupted zz does not count the 0 there are.",
    ),
    ("UPDATE fact SET value = 'OTHERSTO' WHERE name = 'identity'", "The fact identity is not as the chain tells."),
    ("UPDATE fact SET value = '2' WHERE name = 'last_id'", "The fact last_id would give out message ids again."),
    ("INSERT INTO fact VALUES ('audit_gone', '1')", "The fact audit_gone is not as the chain tells."),
    ("INSERT INTO fact VALUES ('seen_forgotten', '1')", "The fact seen_forgotten is not as the chain tells."),
    (
        "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'",
        "The numbering of audit would give out numbers again.",
    ),
    (
        "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'transmission'",
        "The numbering of transmission would give out numbers again.",
    ),
    ("DELETE FROM audit WHERE entry = 4", "Audit entry 4 is not there."),
    ("DELETE FROM audit WHERE entry = 1", "Audit entry 1 is not there."),
    ("DELETE FROM audit WHERE entry = 9", "Audit entry 9 is not there."),
    ("UPDATE audit SET at = at + 1 WHERE entry = 7", "Audit entry 7 was changed."),
    ("UPDATE audit SET kind = 'x' WHERE entry = 2", "Audit entry 2 was changed."),
]


def test_each_change_is_said_in_its_own_sentence(store):
    some(store)
    for sql, sentence in CHANGES:
        assert changed(store, sql) == sentence, sql


def test_a_changed_frame_is_named_also_where_it_is_the_only_one_there_is(store):
    received(store)
    assert changed(store, "UPDATE chunk SET received = received + 1") == (
        "A frame of transmission 1 is not as it was received, as entry 1 tells."
    )
    assert changed(store, "DELETE FROM chunk") == (
        "A frame of transmission 1 is not as it was received, as entry 1 tells."
    )


def test_what_nobody_read_has_no_reading(store):
    received(store)
    received(store, event=TransmissionEvent.BROKEN, reason="link")
    assert said(store) == ""
    sentence = "Transmission {} was read, and no entry tells it."
    for sql, number in (
        ("UPDATE transmission SET converted = 1 WHERE id = 1", 1),
        ("UPDATE transmission SET state = 'interrupted' WHERE id = 1", 1),
        ("UPDATE transmission SET state = 'receiving' WHERE id = 1", 1),
        ("UPDATE transmission SET state = 'complete' WHERE id = 2", 2),
        ("UPDATE transmission SET completed_by = 1 WHERE id = 2", 2),
    ):
        assert changed(store, sql) == sentence.format(number), sql
    group = (
        "INSERT INTO specimen_group (transmission, analyser, specimen, role, state, hold, detail, since, stat,"
        " held, failed) VALUES (1, 'xn1', 'S', 'P', 'converted', '', '', 0, 0, 0, 0)"
    )
    assert changed(store, group) == sentence.format(1)


def test_a_number_without_its_transmission_went_only_if_an_entry_says_so(store, clock):
    store.settle(Settlement(received(store)))
    coming = store.open_transmission(source())
    store.append(coming, [frame()])
    assert said(store) == ""
    assert changed(store, "DELETE FROM chunk WHERE transmission = 2", "DELETE FROM transmission WHERE id = 2") == (
        "Transmission 2 is not there, and no entry tells that it went."
    )
    kept = store.database.rows("SELECT * FROM transmission WHERE id = 1")[0]
    clock.advance(days=91)
    while store.purge(filed_before=clock.now(), identities_before=clock.now() - timedelta(days=400)):
        pass
    assert said(store) == ""
    [entry] = [e.entry for e in store.audit_entries() if e.kind == "purged"]
    store.database.begin()
    store.database.execute(f"INSERT INTO transmission VALUES ({', '.join('?' * len(kept))})", kept)
    assert said(store) == f"Transmission 1 is there, and entry {entry} tells that it went."
    store.database.rollback()


def test_what_retention_forgot_is_no_finding_and_what_it_never_forgets_is(store, clock):
    """Both transmissions stay because something of them is held; only the first one's message is filed."""
    filed(store, queued(store, "S1", values=("a",), holds=("x",)))
    queued(store, "S2", values=("b",), holds=("y",))
    clock.advance(days=401)
    store.audit("note", {})
    before = {"filed_before": clock.now() - timedelta(days=90), "identities_before": clock.now() - timedelta(days=400)}
    while store.purge(**before):
        pass
    assert (store.lookup("xn1", [key("a")]), len(store.lookup("xn1", [key("b")]))) == ({}, 1)
    assert said(store) == ""
    assert changed(store, "DELETE FROM seen") == (
        "The memory of repeats of transmission 2 does not recognise an observation that was sent."
    )


def test_only_the_first_of_a_specimen_s_queue_heads_it_values_and_images_each(store):
    queued(store, "S1")
    queued(store, "S1", graphics=True)
    queued(store, "S1")
    queued(store, "S2")
    at_broker(store, queued(store, "S3"))
    assert said(store) == ""
    for number, head in ((1, 0), (2, 0), (3, 1), (4, 0), (5, 1)):
        found = changed(store, f"UPDATE outbox SET head = {head} WHERE number = {number}")
        assert found.startswith(f"Message {number} ("), number
        assert found.endswith("is in the wrong place of its specimen's queue."), number


def test_a_counter_of_more_rows_than_are_counted_is_left_alone(store, monkeypatch):
    some(store)
    wrong = "UPDATE counter SET value = 7 WHERE kind = 'message' AND name = 'filed'"
    monkeypatch.setattr(comparison, "_COUNTED", 1)
    assert changed(store, wrong) == ""
    monkeypatch.setattr(comparison, "_COUNTED", 2)
    assert changed(store, wrong) != ""


@pytest.mark.parametrize("facts", ["{}", "[]", "7", '{"transmission": "many"}', '{"transmission": null}'])
def test_facts_that_no_agent_writes_are_named_whatever_they_are(store, facts, monkeypatch):
    monkeypatch.setattr(audit, "_canonical", lambda _: facts)
    store.audit("settled", {})
    assert said(store) == "Audit entry 1 tells what no agent writes."


def test_a_long_gap_of_numbers_that_went_is_no_finding_and_one_in_it_is(store, clock, monkeypatch):
    monkeypatch.setattr(comparison, "_GAP_AT_ONCE", 3)
    for _ in range(8):
        store.settle(Settlement(received(store)))
    clock.advance(days=91)
    while store.purge(filed_before=clock.now(), identities_before=clock.now() - timedelta(days=400)):
        pass
    received(store)
    assert said(store) == ""
    check = store.verification()
    assert check.run() is None
    assert check.counts["transmissions"] == 1
    store.database.execute("UPDATE sqlite_sequence SET seq = 20 WHERE name = 'transmission'")
    assert said(store) == "Transmission 10 is not there, and no entry tells that it went."


def test_an_anchor_is_read_in_either_case_and_compared_as_one(store):
    some(store)
    entry, hash_ = store.audit_head()
    assert Anchor.parse(f"{entry}:{hash_.upper()}") == Anchor(entry, hash_)
    assert said(store, Anchor.parse(f"{entry}:{hash_.upper()}")) == ""
    assert Anchor.parse(f"{10**17}:{hash_}").entry == 10**17
    with pytest.raises(ValueError, match="no anchor"):
        Anchor.parse(f"{10**18}:{hash_}")
