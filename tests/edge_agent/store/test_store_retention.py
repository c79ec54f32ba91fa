"""Retention takes what is filed and old, and never anything that somebody still waits for."""

from datetime import timedelta

import pytest
from store_helpers import at_broker, digest, filed, held, key, message, queued, received, source

from edge_agent.states import ItemState, MessageState, TransmissionEvent
from edge_agent.store.errors import UnknownRowError
from edge_agent.store.retention import FREE_PAGES_KEPT
from edge_agent.store.rows import NewGroup, Settlement


def purged(store, clock, *, days: int = 90, identities: int = 400) -> None:
    while store.purge(
        filed_before=clock.now() - timedelta(days=days), identities_before=clock.now() - timedelta(days=identities)
    ):
        pass


def kept(store, transmission: int) -> bool:
    try:
        return bool(store.transmission(transmission).chunks)
    except UnknownRowError:
        return False


def test_a_filed_message_goes_with_its_frames_when_it_is_old_enough(store, clock):
    sent = queued(store)
    filed(store, sent)
    clock.advance(days=89)
    purged(store, clock)
    assert kept(store, 1)
    clock.advance(days=2)
    purged(store, clock)
    assert not kept(store, 1)
    assert store.message(sent) is None
    for table in ("outbox", "payload", "attempt", "specimen_group", "observation", "chunk", "transmission"):
        assert store.database.rows(f"SELECT * FROM {table}") == [], table
    assert store.counts().messages[MessageState.FILED] == 0
    assert store.verification().run() is None


def test_age_counts_from_filing_and_not_from_receiving(store, clock):
    sent = queued(store)
    at_broker(store, sent)
    clock.advance(days=100)
    filed(store, sent)
    clock.advance(days=10)
    purged(store, clock)
    assert kept(store, 1)


UNFILED = {
    "queued": lambda store, sent: None,
    "at-broker": at_broker,
    "rejected": lambda store, sent: store.acknowledged(sent, code="AE", detail="", consumer="ivd", digest_ok=True),
    "blocked": lambda store, sent: store.block(sent, "0x95", "too large"),
    "set-aside": lambda store, sent: store.set_aside(sent, who="t", note="n"),
    "superseded": lambda store, sent: queued(store, "S1", replaces=sent),
}


@pytest.mark.parametrize("state", UNFILED)
def test_an_unfiled_message_and_its_frames_stay_for_ever(store, clock, state):
    sent = queued(store, "S1")
    UNFILED[state](store, sent)
    assert store.message(sent).state == state
    clock.advance(days=4000)
    purged(store, clock)
    assert store.message(sent) is not None
    assert kept(store, 1)


def test_anything_held_failed_or_released_stays_with_its_frames(store, clock):
    sent = queued(store, "S1", holds=("X1",))
    filed(store, sent)
    failed_one = received(store)
    store.settle(Settlement(failed_one, holds=(("driver", "KeyError"),)))
    clock.advance(days=4000)
    purged(store, clock)
    assert kept(store, 1)
    assert kept(store, failed_one)
    store.release(who="t", note="n")
    purged(store, clock)
    assert kept(store, 1)
    assert kept(store, failed_one)


def test_what_is_unconverted_or_interrupted_stays(store, clock):
    unconverted = received(store)
    interrupted = received(store, event=TransmissionEvent.BROKEN, reason="link")
    store.settle(Settlement(interrupted))
    receiving = store.open_transmission(source())
    clock.advance(days=4000)
    purged(store, clock)
    assert kept(store, unconverted)
    assert kept(store, interrupted)
    assert store.transmission(receiving).ended is None


def test_what_became_of_nothing_goes_too(store, clock):
    """Repeats and queries: nothing of them was ever to be filed."""
    empty = received(store)
    store.settle(Settlement(empty))
    clock.advance(days=91)
    purged(store, clock)
    assert not kept(store, empty)


def test_a_message_asked_for_again_stays_until_it_was_answered(store, clock):
    sent = queued(store)
    filed(store, sent)
    clock.advance(days=100)
    again = received(store)
    store.settle(Settlement(again, replays=(sent,)))
    purged(store, clock)
    assert store.message(sent) is not None
    filed(store, sent)
    purged(store, clock)
    assert store.message(sent) is None


def test_repeats_are_recognised_long_after_their_message_went(store, clock):
    sent = queued(store, values=("GLU",))
    filed(store, sent)
    clock.advance(days=399)
    purged(store, clock)
    assert store.message(sent) is None
    known = store.lookup("xn1", [key("GLU")])[key("GLU")]
    assert (known.message_id, known.message_state) == (sent, MessageState.FILED)
    clock.advance(days=2)
    purged(store, clock)
    assert store.lookup("xn1", [key("GLU")]) == {}


def test_what_recognises_an_unfiled_result_is_never_forgotten(store, clock):
    queued(store, values=("GLU",))
    clock.advance(days=4000)
    purged(store, clock)
    assert key("GLU") in store.lookup("xn1", [key("GLU")])


def test_the_chain_still_verifies_after_its_beginning_went(store, clock):
    for n in range(5):
        store.audit("old", {"n": str(n)})
    clock.advance(days=500)
    store.audit("new", {})
    purged(store, clock)
    assert [e.kind for e in store.audit_entries()] == ["new", "shortened"]
    assert store.audit_verify() is None
    store.audit("next", {})
    assert store.audit_verify() is None
    store.database.execute("UPDATE audit SET kind = 'other' WHERE entry = 6")
    assert store.audit_verify() == 6


def test_one_step_takes_little(store, clock):
    for n in range(30):
        filed(store, queued(store, f"S{n}"))
    clock.advance(days=91)
    removed = store.purge(filed_before=clock.now() - timedelta(days=90), identities_before=clock.now(), step_rows=20)
    assert 20 <= removed <= 40
    assert store.counts().messages[MessageState.FILED] > 20


def test_the_file_gets_smaller_in_steps_and_keeps_some_free_pages(store, clock):
    for n in range(12):
        filed(store, queued(store, f"S{n}", payload=bytes([n]) * 400_000))
    clock.advance(days=91)
    pages = store.database.value("PRAGMA page_count")
    purged(store, clock)
    assert store.database.value("PRAGMA freelist_count") == FREE_PAGES_KEPT
    assert store.database.value("PRAGMA page_count") < pages / 2


def test_a_held_group_beside_a_filed_message_of_another_specimen_keeps_both(store, clock):
    number = received(store)
    outgoing = message(store, "S1")
    store.settle(
        Settlement(
            number,
            (
                NewGroup("S1", "P", ItemState.CONVERTED, messages=(outgoing,)),
                NewGroup("S2", "P", ItemState.HELD, "no-specimen-id", observations=(held("X"),)),
            ),
        )
    )
    filed(store, outgoing.id)
    clock.advance(days=4000)
    purged(store, clock)
    assert store.message(outgoing.id) is not None
    assert outgoing.specimen_key == digest("xn1/S1")


def test_what_is_exactly_as_old_as_the_limit_stays_one_more_moment(store, clock):
    sent = queued(store, values=("GLU",))
    filed(store, sent)
    clock.advance(days=90)
    purged(store, clock)
    assert store.message(sent) is not None
    clock.advance(days=310)
    purged(store, clock)
    assert key("GLU") in store.lookup("xn1", [key("GLU")])
    clock.advance(seconds=1)
    purged(store, clock)
    assert store.lookup("xn1", [key("GLU")]) == {}


def test_a_step_is_one_for_all_kinds_together(store, clock):
    values = [f"V{n}" for n in range(40)]
    filed(store, queued(store, values=values))
    for n in range(30):
        store.audit("old", {"n": str(n)})
    clock.advance(days=401)
    before = clock.now() - timedelta(days=400)
    steps = []
    while removed := store.purge(filed_before=before, identities_before=before, step_rows=25):
        steps.append(removed)
    transmission, *rest = steps
    assert transmission > 40, "a transmission goes whole"
    assert max(rest) <= 25
    assert store.lookup("xn1", [key("V0")]) == {}
