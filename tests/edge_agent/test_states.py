"""Every state and every event is tried; what the tables do not say is refused."""

from collections.abc import Mapping
from enum import StrEnum

import pytest

from edge_agent import states
from edge_agent.states import ItemEvent, ItemState, MessageEvent, MessageState, TransmissionEvent, TransmissionState

TABLES = [
    (states.TRANSMISSION, TransmissionState, TransmissionEvent, states.after_transmission),
    (states.ITEM, ItemState, ItemEvent, states.after_item),
    (states.MESSAGE, MessageState, MessageEvent, states.after_message),
]


@pytest.mark.parametrize(("table", "all_states", "events", "after"), TABLES)
def test_every_state_and_event_has_one_outcome(table, all_states, events, after) -> None:
    assert set(table) == set(all_states)
    for state in all_states:
        for event in events:
            if event in table[state]:
                assert after(state, event) is table[state][event]
            else:
                with pytest.raises(states.IllegalTransitionError):
                    after(state, event)


def reachable(table: Mapping[StrEnum, Mapping[StrEnum, StrEnum]], start: StrEnum) -> set[StrEnum]:
    seen, todo = set(), [start]
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo += table[state].values()
    return seen


@pytest.mark.parametrize(
    ("table", "start"),
    [
        (states.TRANSMISSION, TransmissionState.RECEIVING),
        (states.ITEM, ItemState.RECEIVED),
        (states.MESSAGE, MessageState.QUEUED),
    ],
)
def test_every_state_can_be_reached(table, start) -> None:
    assert reachable(table, start) == set(table)


def test_only_an_application_acknowledgement_leads_to_filed() -> None:
    ways = {event for row in states.MESSAGE.values() for event, after in row.items() if after is MessageState.FILED}
    ways -= {e for e in MessageEvent if states.MESSAGE[MessageState.FILED].get(e) and e is not MessageEvent.ACCEPTED}
    assert ways == {MessageEvent.ACCEPTED}


def test_a_filed_message_stays_filed_whatever_comes() -> None:
    assert set(states.MESSAGE[MessageState.FILED].values()) == {MessageState.FILED}


def test_a_refused_publication_returns_to_the_queue_from_where_it_was_sent() -> None:
    assert states.after_message(MessageState.QUEUED, MessageEvent.REFUSED) is MessageState.QUEUED
    assert states.after_message(MessageState.AT_BROKER, MessageEvent.REFUSED) is MessageState.QUEUED


def test_the_words_are_those_that_stand_in_stores_pages_and_metrics() -> None:
    """A word that changes is read by no store that was written before."""
    assert states.after_message(MessageState("queued"), MessageEvent("puback")) == "at-broker"
    assert states.after_item(ItemState("held"), ItemEvent("release")) == "received"
    assert states.after_transmission(TransmissionState("interrupted"), TransmissionEvent("resent")) == "completed-by"
    assert [*TransmissionState] == ["receiving", "complete", "interrupted", "completed-by"]
    assert [*ItemState] == ["received", "converted", "duplicate", "held", "failed"]
    assert [*MessageState] == ["queued", "at-broker", "filed", "rejected", "blocked", "superseded", "set-aside"]
    assert [*TransmissionEvent] == ["ended", "broken", "resent"]
    assert [*ItemEvent] == ["convert", "repeat", "hold", "fail", "release"]
    assert [*MessageEvent] == [
        "puback", "refused", "accepted", "denied", "block", "requeue", "supersede", "set-aside",
    ]  # fmt: skip


def test_what_cannot_happen_is_said_with_both_words() -> None:
    with pytest.raises(states.IllegalTransitionError, match="block cannot happen to something filed"):
        states.after_message(MessageState.FILED, MessageEvent.BLOCK)
