"""What one conversion decides is written as a whole, under the time of sending, and told in one entry."""

from datetime import timedelta

import pytest
from store_helpers import START, converted, digest, filed, frame, held, ids, key, message, queued, received, source

from edge_agent.states import ItemState, MessageState, TransmissionEvent
from edge_agent.store.errors import AlreadySentError, UnknownRowError
from edge_agent.store.rows import NewGroup, NewObservation, Settlement
from edge_agent.store.store import Store

H, F, C, D = ItemState.HELD, ItemState.FAILED, ItemState.CONVERTED, ItemState.DUPLICATE


def settled(store: Store, *groups: NewGroup, analyser: str = "xn1", **more) -> int:
    number = received(store, analyser)
    store.settle(Settlement(number, groups, **more))
    return number


def known(value: str, message_id: str) -> NewObservation:
    return NewObservation(key(value), value, D, message_id=message_id)


def told(store: Store) -> dict[str, str]:
    """The last entry, which is of a settlement."""
    [entry] = store.audit_entries()[-1:]
    assert entry.kind == "settled"
    return dict(entry.facts)


# what recognises a repeat


def test_an_observation_is_known_by_when_it_was_sent_and_not_by_when_it_was_converted(store, clock):
    number = store.open_transmission(source())
    store.append(number, [frame()])
    clock.advance(seconds=40)
    store.end(number, TransmissionEvent.ENDED, "L")
    clock.advance(hours=5)
    out = message(store, "S1")
    store.settle(
        Settlement(number, (NewGroup("S1", "P", C, observations=(converted("GLU", out.id),), messages=(out,)),))
    )
    found = store.lookup("xn1", [key("GLU"), key("GLU", 1), key("NA")])
    assert list(found) == [key("GLU")]
    seen = found[key("GLU")]
    assert (seen.key, seen.message_id, seen.transmission) == (key("GLU"), out.id, number)
    assert (seen.seen, seen.message_state) == (START + timedelta(seconds=40), MessageState.QUEUED)
    assert store.lookup("dx2", [key("GLU")]) == {}
    assert store.lookup("xn1", []) == {}


def test_a_message_that_is_not_kept_any_more_counts_as_filed(store, clock):
    sent = queued(store, values=("GLU",))
    filed(store, sent)
    clock.advance(days=91)
    while store.purge(filed_before=clock.now(), identities_before=clock.now() - timedelta(days=400)):
        pass
    assert store.message(sent) is None
    seen = store.lookup("xn1", [key("GLU")])[key("GLU")]
    assert (seen.message_id, seen.message_state) == (sent, MessageState.FILED)


def test_only_what_went_out_is_remembered(store):
    out = message(store, "S1")
    observations = (
        converted("out", out.id),
        held("held"),
        NewObservation(key("failed"), "", F, "conversion"),
        known("again", "TESTSTOR-00000000099"),
    )
    settled(store, NewGroup("S1", "P", C, observations=observations, messages=(out,)))
    assert list(store.lookup("xn1", [o.key for o in observations])) == [key("out")]


def test_one_observation_twice_in_one_settlement_is_refused_as_a_whole(store):
    one, two = message(store, "S1"), message(store, "S2")
    number = received(store)
    groups = [
        NewGroup(name, "P", C, observations=(converted("GLU", out.id),), messages=(out,))
        for name, out in (("S1", one), ("S2", two))
    ]
    with pytest.raises(AlreadySentError, match=f"transmission {number} "):
        store.settle(Settlement(number, tuple(groups)))
    assert store.groups(number) == []
    assert store.counts().messages[MessageState.QUEUED] == 0
    assert [t.id for t in store.next_unconverted()] == [number]


# what it was read as


def test_what_was_sent_by_the_same_transmission_is_converted_and_by_another_a_repeat(store):
    first = queued(store, values=("GLU",), holds=("X1",))
    number = store.message(first).transmission
    again = NewGroup("S1", "P", C, observations=(known("GLU", first),))
    later = settled(store, again)
    assert [o.state for g in store.groups(later) for o in g.observations] == [D]
    store.release(who="kim", note="mapped")
    store.settle(Settlement(number, (again,)))
    assert [o.state for g in store.groups(number) for o in g.observations] == [C]


@pytest.mark.parametrize(
    ("state", "observations", "counts"),
    [
        (H, (), (1, 0)),
        (F, (), (0, 1)),
        (C, (), (0, 0)),
        (H, (held("a"), held("b")), (2, 0)),
        (H, (held("a"), NewObservation(key("b"), "", F, "x")), (1, 1)),
        (F, (held("a"), held("b")), (2, 1)),
        (F, (NewObservation(key("a"), "", F, "x"), NewObservation(key("b"), "", F, "x")), (0, 2)),
        (D, (held("a"),), (1, 0)),
    ],
)
def test_what_waits_of_a_specimen_is_counted_and_at_least_one_where_all_of_it_waits(store, state, observations, counts):
    settled(store, NewGroup("S1", "P", state, observations=observations))
    found = store.counts()
    assert (found.held.get("xn1", 0), found.failed.get("xn1", 0)) == counts


@pytest.mark.parametrize(("code", "state"), [("driver", F), ("conversion", F), ("not-lis02", H), ("no-header", H)])
def test_a_transmission_that_cannot_be_read_waits_as_one_specimen_without_a_name(store, code, state):
    number = settled(store, holds=((code, "why"),))
    [found] = store.groups(number)
    assert (found.specimen, found.role, found.state, found.hold, found.detail) == ("", "", state, code, "why")
    assert not found.stat
    assert found.observations == ()


def test_what_still_comes_in_or_is_not_there_cannot_be_settled(store):
    for number in (store.open_transmission(source()), 99):
        with pytest.raises(UnknownRowError, match="ended transmission"):
            store.settle(Settlement(number))


def test_settling_marks_the_transmission_and_no_other(store):
    first, second = received(store), received(store)
    store.settle(Settlement(first))
    assert [t.id for t in store.next_unconverted()] == [second]
    assert (store.transmission(first).converted, store.transmission(second).converted) == (True, False)


# read again


def released(store: Store) -> None:
    store.release(who="kim", note="corrected")


def test_a_second_reading_takes_the_place_of_the_first(store):
    number = settled(store, NewGroup("S1", "P", H, "x", observations=(held("a"),)), holds=(("no-header", ""),))
    released(store)
    store.settle(Settlement(number, (NewGroup("S2", "P", H, "y", observations=(held("b"),)),)))
    [found] = store.groups(number)
    assert (found.specimen, found.hold, [o.code for o in found.observations]) == ("S2", "y", ["b"])
    assert store.counts().held == {"xn1": 1}
    assert store.verification().run() is None


def test_what_was_held_and_is_released_goes_out_from_the_same_transmission(store):
    number = settled(store, NewGroup("S1", "P", H, observations=(held("a"),)))
    released(store)
    out = message(store, "S1")
    store.settle(Settlement(number, (NewGroup("S1", "P", C, observations=(converted("a", out.id),), messages=(out,)),)))
    assert store.lookup("xn1", [key("a")])[key("a")].message_id == out.id
    assert ids(store.ready(10)) == [out.id]


def test_a_message_is_explained_by_the_first_new_reading_of_its_specimen_and_role(store):
    sent = queued(store, "S1", values=("a",), holds=("x",))
    number = store.message(sent).transmission
    released(store)
    groups = [
        NewGroup(specimen, role, C, detail=detail, observations=(known("a", sent),) if detail == "it" else ())
        for specimen, role, detail in (("S2", "P", ""), ("S1", "Q", ""), ("S1", "P", "it"), ("S1", "P", "later"))
    ]
    store.settle(Settlement(number, tuple(groups)))
    assert [g.detail for g in store.groups(number)] == ["", "", "it", "later"]
    carrying = store.database.value(
        "SELECT g.detail FROM outbox o JOIN specimen_group g ON g.id = o.group_id WHERE o.id = ?", (sent,)
    )
    assert carrying == "it"
    assert store.find(specimen="S1") == [sent]


@pytest.mark.parametrize("other", [("S1", "Q"), ("S2", "P")])
def test_a_reading_that_still_explains_a_message_stays_without_what_waited_in_it(store, other):
    sent = queued(store, "S1", values=("a",), holds=("x", "y"))
    number = store.message(sent).transmission
    store.release(code="nothing", who="kim", note="nothing")
    specimen, role = other
    store.settle(Settlement(number, (NewGroup(specimen, role, C),)))
    kept, new = store.groups(number)
    assert (kept.specimen, kept.role, kept.state) == ("S1", "P", C)
    assert [(o.code, o.state) for o in kept.observations] == [("a", C)]
    assert (new.specimen, new.role) == other
    assert (store.held(), store.counts().held) == ([], {})
    assert store.verification().run() is None


def test_a_hold_keeps_its_age_only_for_the_same_specimen_and_role(store, clock):
    number = settled(store, NewGroup("S1", "P", H, "x"), NewGroup("S2", "P", C))
    clock.advance(hours=1)
    other = settled(store, NewGroup("S1", "P", H, "x"))
    released(store)
    clock.advance(hours=1)
    store.settle(Settlement(number, tuple(NewGroup(s, r, H, "x") for s, r in (("S1", "P"), ("S1", "Q"), ("S2", "P")))))
    store.settle(Settlement(other, (NewGroup("S1", "P", H, "x"),)))
    ages = [g.since - START for g in (*store.groups(number), *store.groups(other))]
    hours = [age // timedelta(hours=1) for age in ages]
    assert hours == [0, 2, 2, 1]  # what never waited has no age to keep


# what it changes of others


def test_a_message_takes_the_place_of_one_that_is_not_filed_and_says_so(store, clock):
    open_one, done = queued(store, "S1"), queued(store, "S2")
    filed(store, done)
    queued(store, "S1", replaces=open_one)
    old = store.message(open_one)
    new = store.messages(states=(MessageState.QUEUED,))[0]
    assert (old.state, old.code, old.reason) == (MessageState.SUPERSEDED, "superseded", new.id)
    assert [item.partition(":")[0] for item in told(store)["states"].split()] == [open_one]
    queued(store, "S2", replaces=done)
    queued(store, "S3", replaces="LONGGONE-00000000001")
    assert "states" not in told(store)
    assert store.message(done).state is MessageState.FILED
    assert store.verification().run() is None


def test_an_interruption_is_completed_and_may_go_when_it_is_old_enough(store, clock):
    broken = received(store, event=TransmissionEvent.BROKEN, reason="link")
    store.settle(Settlement(broken))
    clock.advance(days=1)
    resend = settled(store, completes=(broken,))
    found = store.transmission(broken)
    assert (found.state.value, found.completed_by) == ("completed-by", resend)
    assert store.database.value("SELECT settled FROM transmission WHERE id = ?", (broken,)) == store.database.value(
        "SELECT ended_steady FROM transmission WHERE id = ?", (broken,)
    )
    facts = told(store)
    assert facts["completes"] == str(broken)
    assert [item.partition(":")[0] for item in facts["readings"].split()] == [str(resend), str(broken)]


def test_a_later_settlement_is_what_retention_counts_from_and_an_earlier_time_never_is(store, clock):
    number = settled(store, NewGroup("S1", "P", H, "x"))

    def at() -> int:
        return store.database.value("SELECT settled FROM transmission WHERE id = ?", (number,))

    first = at()
    clock.advance(days=1)
    released(store)
    store.settle(Settlement(number))
    assert at() - first == 24 * 3600 * 1_000_000
    store.database.execute("UPDATE transmission SET settled = settled + 5 WHERE id = ?", (number,))
    store.settle(Settlement(number))
    assert at() - first == 24 * 3600 * 1_000_000 + 5


# what is told of it


def test_an_entry_tells_what_was_queued_held_and_completed(store):
    broken = received(store, event=TransmissionEvent.BROKEN, reason="link")
    sent = queued(store, "S0", "dx2", values=("z",))
    filed(store, sent)
    number = received(store)
    one, two = message(store, "S1", payload=b"MSH|one"), message(store, "S2", payload=b"MSH|two")
    groups = (
        NewGroup("S1", "P", C, observations=(converted("a", one.id), held("b", "unit")), messages=(one,)),
        NewGroup(
            "S2", "P", C, observations=(converted("c", two.id), held("d", "code"), held("e", "unit")), messages=(two,)
        ),
        NewGroup("S3", "P", D, observations=(known("z", sent), NewObservation(key("g"), "g", F, "conversion"))),
    )
    store.settle(
        Settlement(number, groups, holds=(("no-header", ""),), replays=(sent,), completes=(broken,)),
    )
    facts = told(store)
    messages = [item.rpartition(":") for item in facts.pop("messages").split()]
    assert [head for head, _, _ in messages] == [
        f"{one.id}:xn1:1:{digest('MSH|one').hex()}",
        f"{two.id}:xn1:2:{digest('MSH|two').hex()}",
    ]
    assert [len(fixed) for _, _, fixed in messages] == [32, 32]
    assert [item.partition(":")[0] for item in facts.pop("readings").split()] == [str(number), str(broken)]
    assert facts == {
        "transmission": str(number),
        "analyser": "xn1",
        "replays": sent,
        "completes": str(broken),
        "holds": "code conversion no-header unit",
        "converted": "2",
        "held": "3",
        "failed": "1",
        "duplicate": "1",
    }
    assert store.verification().run() is None


def test_an_entry_of_nothing_says_no_more_than_whose_it_was(store):
    resend = received(store)
    store.settle(Settlement(resend))
    facts = told(store)
    assert facts.pop("readings").startswith(f"{resend}:")
    assert facts == {"transmission": str(resend), "analyser": "xn1"}
    broken = received(store, event=TransmissionEvent.BROKEN, reason="link")
    store.settle(Settlement(broken, completed_by=resend))
    facts = told(store)
    assert facts.pop("readings").startswith(f"{broken}:")
    assert facts == {"transmission": str(broken), "analyser": "xn1", "completed_by": str(resend)}


def test_of_one_specimen_the_first_that_waits_goes_first_values_and_images_each(store):
    one, image, two = message(store, "S1"), message(store, "S1", graphics=True), message(store, "S1")
    settled(store, NewGroup("S1", "P", C, messages=(one, image, two)))
    head = "SELECT head FROM outbox WHERE id = ?"
    assert [store.database.value(head, (m.id,)) for m in (one, image, two)] == [1, 1, 0]
    assert ids(store.ready(10)) == [one.id]
    assert [m.sequence for m in store.messages(states=(MessageState.QUEUED,))] == [1, 2, 3]
