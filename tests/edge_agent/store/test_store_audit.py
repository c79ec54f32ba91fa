"""The audit chain: every decision is in it, no patient is, and what was changed is named."""

import hashlib
import json

import pytest
from store_helpers import at_broker, filed, frame, queued, received

from edge_agent.states import TransmissionEvent

# printf '\x021H|\\^&\r\x03A1\r\n' | sha256sum
RAW = "5d7e7d835eb70ae4e2c35c542d2cdfb63a23801ad60ad703be32697a9e9c01ea"


def entries(store) -> list[tuple[str, dict[str, str]]]:
    return [(e.kind, dict(e.facts)) for e in store.audit_entries()]


def busy(store) -> str:
    sent = queued(store, "PATIENT-4711", values=("GLU",), holds=("X1",))
    filed(store, sent)
    store.release(who="tech", note="mapped")
    other = queued(store, "PATIENT-4712")
    at_broker(store, other)
    store.set_aside(other, who="tech", note="wrong tube")
    received(store, event=TransmissionEvent.BROKEN, reason="link")
    return sent


def test_every_decision_about_a_result_is_an_entry(store):
    sent = busy(store)
    kinds = [kind for kind, _ in entries(store)]
    assert kinds == [
        "transmission-complete",
        "settled",
        "at-broker",
        "acknowledged",
        "released",
        "transmission-complete",
        "settled",
        "at-broker",
        "set-aside",
        "transmission-interrupted",
    ]
    settled = entries(store)[1][1]
    assert settled["messages"].startswith(f"{sent}:xn1:1:")
    assert (settled["converted"], settled["held"], settled["holds"]) == ("1", "1", "unknown-test-held")


def test_no_specimen_and_no_value_is_in_the_chain(store):
    busy(store)
    text = json.dumps([facts for _, facts in entries(store)])
    for secret in ("4711", "4712", "GLU", "X1"):
        assert secret not in text


def test_the_raw_bytes_can_be_held_against_the_chain(store):
    received(store)
    (facts,) = [facts for kind, facts in entries(store) if kind == "transmission-complete"]
    assert facts["raw"] == RAW


def test_what_the_broker_took_or_refused_is_an_entry_when_it_changes_the_state(store):
    sent = queued(store)
    at_broker(store, sent)
    at_broker(store, sent)
    store.puback(sent, 0x87, "not authorised")
    store.puback(sent, 0x87, "not authorised")
    told = [(kind, facts.get("code")) for kind, facts in entries(store) if facts.get("message") == sent]
    assert told == [("at-broker", None), ("refused", "0x87")]


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        ('UPDATE audit SET facts = replace(facts, \'"who":"tech"\', \'"who":"else"\') WHERE kind = \'released\'', 5),
        ("UPDATE audit SET at = at + 1 WHERE entry = 2", 2),
        ("UPDATE audit SET kind = 'settled' WHERE entry = 3", 3),
        ("UPDATE audit SET hash = zeroblob(32) WHERE entry = 5", 5),
        ("DELETE FROM audit WHERE entry = 6", 6),
        ("DELETE FROM audit WHERE entry = 1", 1),
        ("DELETE FROM audit WHERE entry = (SELECT max(entry) FROM audit)", 10),
    ],
)
def test_the_first_changed_or_missing_entry_is_named(store, tamper, named):
    busy(store)
    assert store.audit_verify() is None
    store.database.execute(tamper)
    assert store.audit_verify() == named


def test_the_head_is_the_newest_entry_and_changes_with_each(store):
    assert store.audit_head() == (0, "00" * 32)
    store.audit("restart", {"version": "0.1.0"})
    first = store.audit_head()
    store.audit("restart", {"version": "0.1.0"})
    assert first[0] == 1
    assert store.audit_head()[0] == 2
    assert store.audit_head()[1] == store.audit_entries()[-1].hash != first[1]


def test_an_entry_is_undone_with_what_it_tells(store):
    number = received(store)
    head = store.audit_head()

    def failing(inside):
        inside.append(inside.open_transmission(inside.transmission(number).source), [frame()], end="L")
        raise KeyError

    store.group([failing])
    assert store.audit_head() == head


def test_an_entry_s_hash_is_over_the_one_before_and_its_canonical_text(store):
    """SHA-256 over the hash before (32 zero bytes for the first) and the entry as JSON: sorted, tight, UTF-8."""
    store.audit("note", {"b": "µ", "a": "x"})
    store.audit("note", {})
    last = bytes(32)
    for number, facts in ((1, '{"a":"x","b":"µ"}'), (2, "{}")):
        last = hashlib.sha256(last + f'[{number},1709287200000000,"note",{facts}]'.encode()).digest()  # START
        assert store.audit_entries(after=number - 1, limit=1)[0].hash == last.hex()
    assert store.audit_head() == (2, last.hex())
    assert [e.entry for e in store.audit_entries(after=1)] == [2]


def test_a_hundred_entries_are_given_where_nobody_says_how_many_and_a_long_chain_verifies(store):
    with store.database.writing():
        for n in range(1001):
            store.audit("note", {"n": str(n)})
    assert len(store.audit_entries()) == 100
    assert store.audit_verify() is None
    store.database.execute("UPDATE audit SET facts = '{}' WHERE entry = 700")
    assert store.audit_verify() == 700
