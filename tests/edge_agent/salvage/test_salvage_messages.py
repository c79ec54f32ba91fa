"""Salvaged messages and results: each goes out once, unaltered and as whose it was, or is named with whom to ask."""

import hashlib
import os
import sqlite3

import pytest
from salvage_helpers import altered, opened, pages_of, rows, salvage, spoil
from store_faults import in_child
from store_helpers import queued

from edge_agent.salvage.image import PAGE
from edge_agent.states import MessageState
from edge_agent.store.errors import StoreCorruptError


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


def test_a_moment_that_cannot_be_costs_nothing_but_its_transmission(data_dir, content):
    """Found by 16 bytes that went bad: every later message of the analyser was held against an impossible time."""
    altered(data_dir, "UPDATE transmission SET opened_steady = 6148914691236517205, ended_steady = -5 WHERE id = 40")
    done = salvage(data_dir)
    assert not done.loss
    store = opened(data_dir)
    assert store.database.row(
        "SELECT opened_steady = opened, ended_steady = ended FROM transmission WHERE id = 40"
    ) == (1, 1)
    assert store.verification().run() is None
    store.close()


@pytest.mark.parametrize(
    "column", ["message_id = 'garbled'", "seen = seen + 1", "transmission = 1000", "transmission = transmission + 1"]
)
def test_what_recognises_repeats_is_taken_from_what_went_out(data_dir, content, column):
    altered(data_dir, f"UPDATE seen SET {column} WHERE transmission = 40")
    done = salvage(data_dir)
    assert not done.loss
    store = opened(data_dir)
    assert rows(store)["seen"] == content["seen"]
    assert store.verification().run() is None
    store.close()
