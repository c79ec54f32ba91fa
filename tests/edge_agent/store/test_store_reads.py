"""What is asked of the outbox and of what was received: each question answered for its own analyser, in its order."""

import pytest
from store_helpers import START, at_broker, filed, frame, ids, queued, received, source

from edge_agent.states import MessageState, TransmissionEvent
from edge_agent.store.errors import NoteRequiredError, UnknownRowError
from edge_agent.store.rows import Addressed, Chunk, ChunkKind, Route, Settlement
from edge_agent.store.store import Store


def test_a_later_message_of_the_same_specimen_at_the_broker_is_known(store):
    first, second, other = queued(store, "S1"), queued(store, "S1"), queued(store, "S2")
    assert not store.later_unanswered(first)
    at_broker(store, other)
    assert not store.later_unanswered(first)
    store.puback(second, 0)
    assert [store.later_unanswered(m) for m in (first, second, other, "NOBODY")] == [True, False, False, False]
    store.acknowledged(second, code="AA", detail="", consumer="ivd", digest_ok=True)
    assert not store.later_unanswered(first)


def test_what_an_answer_names_is_found_without_its_content(store):
    sent = queued(store, "S1", "dx2", route=Route.QC)
    digest = store.message(sent).digest
    assert store.addressed(sent) == Addressed(sent, "dx2", Route.QC, digest, 0)
    at_broker(store, sent)
    assert store.addressed(sent) == Addressed(sent, "dx2", Route.QC, digest, 1)
    assert store.addressed("NOBODY") is None


@pytest.mark.parametrize(("who", "note"), [("", "why"), (" ", "why"), ("kim", ""), ("kim", "\t")])
def test_a_decision_by_nobody_or_without_a_reason_changes_nothing(store, who, note):
    one, two = queued(store, "S1"), queued(store, "S2")
    filed(store, one)
    with pytest.raises(NoteRequiredError):
        store.send_again(one, who=who, note=note)
    with pytest.raises(NoteRequiredError):
        store.set_aside(two, who=who, note=note)
    assert ids(store.ready(10)) == [two]


# what was received


def several(store: Store) -> None:
    """1, 3, 5, ... of xn1 and the others of dx2: complete, interrupted, in turn; then one of each that comes in."""
    for number in range(8):
        broken = number in (2, 3, 6)
        event = TransmissionEvent.BROKEN if broken else TransmissionEvent.ENDED
        received(store, "dx2" if number % 2 else "xn1", event=event, reason="link" if broken else "L")
    store.open_transmission(source())


def numbers(found) -> list[int]:
    return [transmission.id for transmission in found]


def test_what_was_received_is_found_by_analyser_and_how_it_ended(store):
    several(store)
    assert numbers(store.interrupted("xn1")) == [7, 3]
    assert numbers(store.interrupted("xn1", limit=1)) == [7]
    assert numbers(store.interrupted("dx2")) == [4]
    assert numbers(store.completed_after("xn1", 0)) == [1, 5]
    assert numbers(store.completed_after("xn1", 1)) == [5]
    assert numbers(store.completed_after("dx2", 2, limit=1)) == [6]
    assert numbers(store.next_unconverted()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert numbers(store.next_unconverted(3)) == [1, 2, 3]
    store.settle(Settlement(2))
    assert numbers(store.next_unconverted(3)) == [1, 3, 4]
    assert store.close_orphans() == [9]
    assert store.audit_entries()[-1].facts["reason"] == "restart"


def test_when_an_analyser_last_sent_something_complete(store, clock):
    assert store.last_complete("xn1") is None
    received(store)
    at = clock.now()
    clock.advance(minutes=1)
    received(store, event=TransmissionEvent.BROKEN, reason="link")
    received(store, "dx2")
    assert store.last_complete("xn1") == at
    assert store.last_complete("dx2") == clock.now()


def test_each_frame_comes_back_with_its_time_kind_and_place(store, clock):
    number, other = store.open_transmission(source()), store.open_transmission(source("dx2"))
    store.append(number, [Chunk(ChunkKind.FRAME, b"\x022abc\x03", b"abc", 2, last=False)])
    store.append(other, [frame()])
    clock.advance(seconds=2)
    receipt = store.append(
        number, [Chunk(ChunkKind.REFUSED, b"xyz", b"", None, reason="checksum"), frame()], end="idle"
    )
    assert (receipt.transmission, receipt.chunks) == (number, 2)
    found = store.transmission(number)
    assert [c.received for c in found.chunks] == [START, clock.now(), clock.now()]
    assert [c.position for c in found.chunks] == [0, 1, 2]
    assert [(c.chunk.kind, c.chunk.text, c.chunk.number, c.chunk.last, c.chunk.reason) for c in found.chunks] == [
        (ChunkKind.FRAME, b"abc", 2, False, ""),
        (ChunkKind.REFUSED, b"", None, False, "checksum"),
        (ChunkKind.FRAME, b"H|\\^&\r", 1, True, ""),
    ]
    assert (found.reason, found.ended, found.opened) == ("idle", clock.now(), START)
    assert len(store.transmission(other).chunks) == 1


def test_a_frame_for_what_ended_or_never_was_is_refused_with_all_that_came_with_it(store):
    number = received(store)
    for unknown in (number, 99):
        with pytest.raises(UnknownRowError, match="open transmission"):
            store.append(unknown, [frame(), frame()])
    assert len(store.transmission(number).chunks) == 1
    assert store.append(store.open_transmission(source()), []).chunks == 0
    with pytest.raises(UnknownRowError, match="no such transmission"):
        store.end(99, TransmissionEvent.ENDED, "L")


def test_messages_are_listed_from_behind_one_by_state_and_analyser(store):
    sent = [queued(store, f"S{n}", "xn1" if n % 2 else "dx2") for n in range(6)]
    for message in sent[:2]:
        at_broker(store, message)
    states = (MessageState.QUEUED, MessageState.AT_BROKER)
    assert ids(store.messages(states=states)) == sent
    assert ids(store.messages(states=states[::-1], limit=3)) == sent[:3]
    assert ids(store.messages(states=(MessageState.AT_BROKER,))) == sent[:2]
    assert ids(store.messages(states=states, after=sent[0], analyser="dx2")) == [sent[2], sent[4]]
    with pytest.raises(UnknownRowError):
        store.messages(states=states, after="NOBODY")
