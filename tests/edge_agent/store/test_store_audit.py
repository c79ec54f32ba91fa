"""The audit chain: every decision is in it, no patient is, and what was changed is named."""

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
        "acknowledged",
        "released",
        "transmission-complete",
        "settled",
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
    number = received(store)
    (facts,) = [facts for kind, facts in entries(store) if kind == "transmission-complete"]
    assert facts["raw"] == RAW
    assert facts["raw"] == store.raw_digest(number)
    store.database.execute("UPDATE chunk SET raw = x'00' WHERE transmission = ?", (number,))
    assert facts["raw"] != store.raw_digest(number)


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        ('UPDATE audit SET facts = replace(facts, \'"who":"tech"\', \'"who":"else"\') WHERE kind = \'released\'', 4),
        ("UPDATE audit SET at = at + 1 WHERE entry = 2", 2),
        ("UPDATE audit SET kind = 'settled' WHERE entry = 3", 3),
        ("UPDATE audit SET hash = zeroblob(32) WHERE entry = 5", 5),
        ("DELETE FROM audit WHERE entry = 6", 6),
        ("DELETE FROM audit WHERE entry = 1", 1),
        ("DELETE FROM audit WHERE entry = (SELECT max(entry) FROM audit)", 8),
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


def test_a_chain_written_anew_has_another_head(store):
    """What a chain cannot show by itself; the published head does."""
    busy(store)
    anchor = store.audit_head()
    store.database.execute("DELETE FROM audit")
    store.database.execute("DELETE FROM sqlite_sequence WHERE name = 'audit'")
    for n in range(anchor[0]):
        store.audit("forged", {"n": str(n)})
    assert store.audit_verify() is None
    assert store.audit_head() != anchor


def test_verification_goes_in_steps(store):
    for n in range(7):
        store.audit("step", {"n": str(n)})
    check, steps = None, 0
    while check is None or not check.done:
        check = store.audit_check(check, limit=2)
        steps += 1
    assert (check.entry, check.bad, steps) == (7, None, 4)


def test_an_entry_is_undone_with_what_it_tells(store):
    number = received(store)
    head = store.audit_head()

    def failing(inside):
        inside.append(inside.open_transmission(inside.transmission(number).source), [frame()], end="L")
        raise KeyError

    store.group([failing])
    assert store.audit_head() == head
