"""What waits is listed with its reason and released for it alone; what a specimen led to is found again."""

import pytest
from store_helpers import converted, filed, held, key, message, queued, received

from edge_agent.states import ItemState
from edge_agent.store.errors import NoteRequiredError
from edge_agent.store.rows import NewGroup, NewObservation, Settlement
from edge_agent.store.store import Store

H, F, C, R = ItemState.HELD, ItemState.FAILED, ItemState.CONVERTED, ItemState.RECEIVED


def failed(value: str, code: str) -> NewObservation:
    return NewObservation(key(value), value, F, code)


def settled(store: Store, *groups: NewGroup, analyser: str = "xn1", holds=()) -> int:
    number = received(store, analyser)
    store.settle(Settlement(number, groups, holds=holds))
    return number


def waiting(specimen: str, *observations: NewObservation, state: ItemState = H, code: str = "", **more) -> NewGroup:
    return NewGroup(specimen, "P", state, code, observations=observations, **more)


@pytest.fixture
def full(store: Store) -> Store:
    """Seven transmissions: what waits as a whole, by its observations, for two analysers; and what does not."""
    settled(store, waiting("S1", held("a", "unit"), held("b", "code")))
    settled(store, waiting("S2", code="no-specimen-id"))
    settled(store, waiting("S3", failed("c", "unit"), state=F, code="conversion"), analyser="dx2")
    settled(store, holds=(("driver", "KeyError"),))
    queued(store, "S5", values=("d",), holds=("e",))
    settled(store, waiting("S6", held("f", "unit")), waiting("S7", held("g", "code")), analyser="dx2")
    filed(store, queued(store, "S8"))
    return store


def specimens(store: Store, **asked) -> list[str]:
    return [group.specimen for group in store.held(**asked)]


HELD = [
    ({}, ["S1", "S2", "S3", "", "S5", "S6", "S7"]),
    ({"analyser": "xn1"}, ["S1", "S2", "", "S5"]),
    ({"analyser": "dx2"}, ["S3", "S6", "S7"]),
    ({"analyser": "nobody"}, []),
    ({"code": "unit"}, ["S1", "S3", "S6"]),
    ({"code": "unit", "analyser": "dx2"}, ["S3", "S6"]),
    ({"code": "no-specimen-id"}, ["S2"]),
    ({"code": "conversion"}, ["S3"]),
    ({"code": "driver"}, [""]),
    ({"code": "unknown-test-held"}, ["S5"]),
    ({"code": "nothing"}, []),
    ({"limit": 2}, ["S1", "S2"]),
    ({"between": (2, 4)}, ["S2", "S3", ""]),
    ({"between": (6, 6)}, ["S6", "S7"]),
    ({"between": (7, 99)}, []),
    ({"between": (1, 3), "code": "unit"}, ["S1", "S3"]),
]
TRANSMISSIONS = [
    ({}, [1, 2, 3, 4, 5, 6]),
    ({"analyser": "xn1"}, [1, 2, 4, 5]),
    ({"code": "unit"}, [1, 3, 6]),
    ({"code": "code"}, [1, 6]),
    ({"code": "conversion"}, [3]),
    ({"code": "unit", "analyser": "xn1"}, [1]),
    ({"code": "nothing"}, []),
]


def test_what_waits_is_listed_oldest_first_by_analyser_reason_and_transmission(full):
    for asked, found in HELD:
        assert specimens(full, **asked) == found, asked
    for asked, numbers in TRANSMISSIONS:
        assert full.held_transmissions(**asked) == numbers, asked


def test_what_waits_is_counted_by_analyser_state_and_reason(full):
    assert full.waiting_by_code() == {
        ("xn1", H, "unit"): 1,
        ("xn1", H, "code"): 1,
        ("xn1", H, "no-specimen-id"): 1,
        ("xn1", F, "driver"): 1,
        ("xn1", H, "unknown-test-held"): 1,
        ("dx2", F, "unit"): 1,
        ("dx2", H, "unit"): 1,
        ("dx2", H, "code"): 1,
    }
    assert full.waiting_by_code(2) == {
        ("xn1", H, "unit"): 1,
        ("xn1", H, "code"): 1,
        ("xn1", H, "no-specimen-id"): 1,
    }
    assert (full.counts().held, full.counts().failed) == ({"xn1": 4, "dx2": 2}, {"xn1": 1, "dx2": 1})


def test_a_reason_of_what_does_not_wait_any_more_finds_nothing(store):
    """The observation of that reason was released; the specimen waits for another."""
    settled(store, waiting("S1", held("a", "unit"), held("b", "code")))
    store.release(code="unit", who="kim", note="unit set")
    assert specimens(store, code="unit") == []
    assert store.held_transmissions(code="unit") == []
    assert specimens(store, code="code") == ["S1"]
    assert store.waiting_by_code() == {("xn1", H, "code"): 1}


def test_a_listed_specimen_has_all_it_was_read_as(store, clock):
    sent = message(store, "S1")
    observation = NewObservation(key("a", 2), "GLU", H, "unit", "mmol/L against mg/dL")
    out = NewObservation(key("b"), "NA", C, "", "", sent.id)
    group = NewGroup(
        "S1", "Q", H, "role", "not a patient's", stat=True, observations=(observation, out), messages=(sent,)
    )
    number = settled(store, group, NewGroup("S2", "P", C, observations=()))
    [found] = store.held()
    assert (found.transmission, found.analyser, found.specimen, found.role) == (number, "xn1", "S1", "Q")
    assert (found.state, found.hold, found.detail) == (H, "role", "not a patient's")
    assert (found.since, found.stat) == (clock.now(), True)
    assert found.observations == (observation, out)
    one, two = store.groups(number)
    assert one == found
    assert (two.specimen, two.state, two.stat, two.observations) == ("S2", C, False, ())


# release


@pytest.mark.parametrize(
    ("asked", "count", "left"),
    [
        ({}, 8, []),
        ({"analyser": "dx2"}, 3, ["S1", "S2", "", "S5"]),
        ({"code": "unit"}, 3, ["S1", "S2", "", "S5", "S7"]),
        ({"code": "conversion"}, 1, ["S1", "S2", "", "S5", "S6", "S7"]),
        ({"code": "no-specimen-id"}, 1, ["S1", "S3", "", "S5", "S6", "S7"]),
        ({"between": (2, 3)}, 2, ["S1", "", "S5", "S6", "S7"]),
        ({"between": (6, 6), "code": "code"}, 1, ["S1", "S2", "S3", "", "S5", "S6"]),
        ({"code": "nothing"}, 0, ["S1", "S2", "S3", "", "S5", "S6", "S7"]),
    ],
)
def test_a_release_takes_what_was_asked_for_and_puts_its_transmissions_up_again(full, asked, count, left):
    before = {group.transmission for group in full.held(**asked)}
    assert full.release(**asked, who="kim", note="known") == count
    assert specimens(full) == left
    assert {t.id for t in full.next_unconverted()} == before
    counts = full.counts()
    assert sum(counts.held.values()) + sum(counts.failed.values()) == 8 - count
    assert full.verification().run() is None


def test_a_release_is_told_with_who_why_and_what(full):
    entries = len(full.audit_entries())
    assert full.release(code="nothing", who="kim", note="known") == 0
    assert len(full.audit_entries()) == entries
    full.release(code="unit", analyser="dx2", who="kim", note="unit set")
    full.release(between=(1, 2), who="ann", note="looked at")
    full.release(between=(5, 5), who="ann", note="looked at")
    told = [dict(e.facts) for e in full.audit_entries() if e.kind == "released"]
    for facts, numbers in zip(told, ([3, 6], [1, 2], [5]), strict=True):
        assert [int(item.partition(":")[0]) for item in facts.pop("readings").split()] == numbers
    assert told == [
        {"count": "2", "who": "kim", "note": "unit set", "analyser": "dx2", "code": "unit"},
        {"count": "3", "who": "ann", "note": "looked at", "transmissions": "1-2"},
        {"count": "1", "who": "ann", "note": "looked at", "transmissions": "5"},
    ]


@pytest.mark.parametrize(("who", "note"), [("", "why"), (" ", "why"), ("kim", ""), ("kim", " ")])
def test_a_release_by_nobody_or_without_a_reason_is_refused(full, who, note):
    with pytest.raises(NoteRequiredError):
        full.release(who=who, note=note)
    assert len(specimens(full)) == 7


@pytest.mark.parametrize(
    ("group", "code", "count", "state", "states"),
    [
        # Held as a whole; both results for reasons of their own.
        (waiting("S", held("a", "x"), held("b", "y"), code="whole"), None, 2, R, [R, R]),
        (waiting("S", held("a", "x"), held("b", "y"), code="whole"), "whole", 2, R, [R, R]),
        (waiting("S", held("a", "x"), held("b", "y"), code="whole"), "x", 1, H, [R, H]),
        (waiting("S", held("a", "x"), held("b", "x"), code="whole"), "x", 2, R, [R, R]),
        (waiting("S", held("a", "x"), failed("b", "x"), code="whole"), "x", 2, R, [R, R]),
        # What went out stays as it is, and does not keep the specimen from its release.
        (
            waiting("S", held("a", "x"), NewObservation(key("c"), "c", ItemState.DUPLICATE), code="whole"),
            "x",
            1,
            R,
            None,
        ),
        # A specimen that went out with something held of it.
        (waiting("S", held("a", "x"), held("b", "y"), state=C), "x", 1, C, [R, H]),
        (waiting("S", held("a", "x"), held("b", "x"), state=C), None, 2, C, [R, R]),
        (waiting("S", state=F, code="conversion"), None, 1, R, []),
        (waiting("S", failed("a", "x"), state=F, code="conversion"), "conversion", 1, R, [R]),
    ],
)
def test_a_specimen_is_released_as_a_whole_with_its_reason_or_its_last_result(store, group, code, count, state, states):
    number = settled(store, group)
    assert store.release(code=code, who="kim", note="known") == count
    [found] = store.groups(number)
    assert found.state is state
    if states is not None:
        assert [o.state for o in found.observations] == states
    rest = sum(o.state in (H, F) for o in found.observations)
    assert sum(store.counts().held.values()) + sum(store.counts().failed.values()) == rest
    assert bool(store.held()) == bool(rest)


# what a specimen led to


def test_messages_and_transmissions_of_a_specimen_are_found_newest_first(store):
    first, other, second = queued(store, "S1"), queued(store, "S2"), queued(store, "S1")
    settled(store, waiting("S1", held("x")), waiting("S1", held("y")))
    third = queued(store, "S1")
    assert store.find(specimen="S1") == [third, second, first]
    assert store.find(specimen="S1", limit=2) == [third, second]
    assert store.find(specimen="S2") == [other]
    assert store.find(specimen="S") == []
    assert store.find_transmissions(specimen="S1") == [5, 4, 3, 1]
    assert store.find_transmissions(specimen="S1", limit=1) == [5]
    assert store.find_transmissions(specimen="S9") == []


def test_values_and_images_of_one_specimen_are_found_the_later_first(store):
    values, image = message(store, "S1"), message(store, "S1", graphics=True)
    settled(store, NewGroup("S1", "P", C, observations=(converted("a", values.id),), messages=(values, image)))
    assert store.find(specimen="S1") == [image.id, values.id]


def test_who_repeated_a_message_is_found_oldest_first_and_once(store):
    first, other = queued(store, "S1", values=("a", "b")), queued(store, "S2", values=("c",))

    def repeat(*values: str, of: str) -> int:
        again = (NewObservation(key(v), v, ItemState.DUPLICATE, message_id=of) for v in values)
        return settled(store, NewGroup("S1", "P", ItemState.DUPLICATE, observations=tuple(again)))

    one, two = repeat("a", "b", of=first), repeat("a", of=first)
    three = repeat("c", of=other)
    assert store.sent_again(first) == [one, two]
    assert store.sent_again(first, 1) == [one]
    assert store.sent_again(other) == [three]
    assert store.sent_again("NOBODY") == []


def test_a_hundred_are_listed_where_nobody_says_how_many(store):
    first = queued(store, "S1", values=("a",))
    known = NewObservation(key("a"), "a", ItemState.DUPLICATE, message_id=first)
    with store.database.writing():
        for n in range(101):
            settled(store, waiting("S1", known, held(f"x{n}")))
            queued(store, "S2")
    assert len(store.find(specimen="S2")) == 100
    assert len(store.held()) == len(store.find_transmissions(specimen="S1")) == len(store.sent_again(first)) == 100
    assert len(store.held_transmissions()) == sum(store.waiting_by_code().values()) == 101
