"""What the chain tells, entry by entry: which entry last told of which row, and what it said."""

import pytest
from store_helpers import filed, queued, received

from edge_agent.states import ItemState, MessageState, TransmissionState
from edge_agent.store.coverage import QUEUED
from edge_agent.store.told import (
    BrokenError,
    Numbers,
    Told,
    ToldMessage,
    ended_as,
    last_purged,
    messages,
    read,
    state_of,
    states,
    transmissions,
)

FIXED, STATE = "f" * 32, "5" * 32


def test_numbers_are_kept_apart_also_across_blocks_and_nothing_is_told_of_the_others():
    numbers = Numbers()
    assert (numbers[5], numbers.highest) == (0, 0)
    for number, entry in ((1023, 7), (1024, 8), (5000, 9), (3, 4_000_000_000)):
        numbers[number] = entry
    assert [numbers[n] for n in (1022, 1023, 1024, 1025, 5000, 3, 2)] == [0, 7, 8, 0, 9, 4_000_000_000, 0]
    assert numbers.highest == 5000
    numbers[1023] = 10
    assert (numbers[1023], numbers[1024]) == (10, 8)


def test_messages_and_states_are_read_from_the_words_of_an_entry():
    facts = {"messages": f"A-1:xn1:4:aa:{FIXED} A-2:dx2:1:bb", "states": f"A-1:{STATE} A-9:{QUEUED}"}
    assert list(messages(facts)) == [ToldMessage("A-1", "xn1", 4, "aa", FIXED), ToldMessage("A-2", "dx2", 1, "bb", "")]
    assert states(facts) == {"A-1": STATE, "A-9": QUEUED}
    assert (list(messages({})), states({})) == ([], {})


def test_a_reading_is_told_with_its_digest_or_in_an_older_entry_without():
    assert read("settled", {"transmission": "7"}) == {7: ""}
    assert read("settled", {"transmission": "7", "readings": "7:aa 3:bb"}) == {7: "aa", 3: "bb"}
    assert read("released", {"readings": "3:bb"}) == {3: "bb"}
    assert read("released", {}) == {}
    assert read("kept", {"transmission": "7"}) == {}


@pytest.mark.parametrize(
    ("kind", "facts", "said"),
    [
        ("settled", {"messages": f"A-1:xn1:4:aa:{FIXED}"}, (QUEUED, None)),
        ("settled", {"messages": "A-2:xn1:3:aa A-1:xn1:4:aa"}, ("", MessageState.QUEUED)),
        ("settled", {"messages": "A-2:xn1:4:aa", "states": f"A-1:{STATE}"}, (STATE, None)),
        ("kept", {"messages": f"A-1:xn1:4:aa:{FIXED}", "states": f"A-1:{STATE}"}, (STATE, None)),
        ("acknowledged", {"message": "A-1", "state": "filed", "row": STATE}, (STATE, MessageState.FILED)),
        ("acknowledged", {"message": "A-1", "state": "rejected"}, ("", MessageState.REJECTED)),
        ("requeued", {"message": "A-1"}, ("", MessageState.QUEUED)),
        ("sent-again", {"message": "A-1"}, ("", MessageState.FILED)),
        ("sent-again", {"message": "A-1", "row": STATE}, (STATE, MessageState.FILED)),
    ],
)
def test_a_message_s_state_is_told_by_a_digest_or_in_an_older_entry_by_a_word(kind, facts, said):
    assert state_of(kind, facts, "A-1") == said


def test_a_transmission_ended_as_its_entry_is_called():
    assert ended_as("transmission-complete") is TransmissionState.COMPLETE
    assert ended_as("transmission-interrupted") is TransmissionState.INTERRUPTED


def test_the_newest_entry_of_each_row_is_known(store):
    sent = queued(store, "S1")
    number = store.database.value("SELECT number FROM outbox WHERE id = ?", (sent,))
    told = Told(store.database, begins=0)
    told.hear(1, "transmission-complete", {"transmission": "1"})
    told.hear(2, "settled", {"transmission": "1", "readings": "1:aa", "messages": f"{sent}:xn1:1:bb:{FIXED}"})
    assert (told.ends[1], told.readings[1], told.messages[number], told.states[number]) == (1, 2, 2, 2)
    told.hear(3, "acknowledged", {"message": sent, "state": "filed"})
    told.hear(4, "blocked", {"message": "NOBODY-00000000001"})
    told.hear(5, "released", {"readings": "1:aa"})
    assert (told.readings[1], told.messages[number], told.states[number]) == (5, 2, 3)
    told.hear(6, "settled", {"transmission": "1", "readings": "1:cc", "states": f"{sent}:{STATE}"})
    told.hear(7, "purged", {"transmissions": "1 3000"})
    told.hear(8, "reload", {"transmissions": "9"})
    assert (told.ends[1], told.readings[1], told.states[number]) == (1, 6, 6)
    assert (told.purged[1], told.purged[3000], told.purged[9]) == (7, 7, 0)
    told.hear(9, "kept", {"transmission": "1", "readings": "1:cc", "messages": f"{sent}:xn1:1:bb:{FIXED}"})
    assert (told.ends[1], told.readings[1], told.messages[number], told.states[number]) == (9, 9, 9, 9)
    assert told.sequences == {(store.identity, "xn1"): 1}  # what is told again is not given out again


def test_what_was_forgotten_only_ever_grows_and_the_last_shortening_counts(store):
    told = Told(store.database, begins=0)
    told.hear(1, "forgotten", {"before": "50"})
    told.hear(2, "shortened", {"before": "40", "gone": "3", "entry": "1", "hash": "aa"})
    assert (told.forgotten, told.shortened["gone"]) == (50, "3")
    told.hear(3, "shortened", {"before": "60", "gone": "4", "entry": "2", "hash": "bb"})
    told.hear(4, "forgotten", {"before": "55"})
    assert (told.forgotten, told.shortened["gone"]) == (60, "4")
    told.hear(5, "forgotten", {"before": "61"})
    assert told.forgotten == 61


def queue(told: Told, entry: int, id_: str, sequence: int, analyser: str = "xn1") -> None:
    """Of a transmission that is gone by now."""
    told.hear(entry, "settled", {"transmission": "99", "messages": f"{id_}:{analyser}:{sequence}:aa"})


def test_sequences_go_on_by_one_for_each_identity_and_analyser(store):
    told = Told(store.database, begins=0)
    queue(told, 1, "AAAA-00000000001", 1)
    queue(told, 2, "AAAA-00000000002", 2)
    queue(told, 3, "AAAA-00000000007", 1, "dx2")
    assert (told.identity, told.last_id) == ("AAAA", 7)
    queue(told, 4, "AAAA-00000000005", 3)  # reserved before, queued later
    assert told.last_id == 7
    queue(told, 5, "BBBB-00000000002", 1)
    assert (told.identity, told.last_id) == ("BBBB", 2)
    told.hear(6, "identity", {"identity": "CCCC", "former": "BBBB"})
    assert (told.identity, told.last_id) == ("CCCC", 0)
    assert told.sequences == {("AAAA", "xn1"): 3, ("AAAA", "dx2"): 1, ("BBBB", "xn1"): 1}


@pytest.mark.parametrize("wrong", [1, 3])
def test_a_sequence_given_twice_or_left_out_is_named_by_its_entry(store, wrong):
    told = Told(store.database, begins=0)
    queue(told, 1, "AAAA-00000000001", 1)
    with pytest.raises(BrokenError) as broken:
        queue(told, 2, "AAAA-00000000002", wrong)
    assert (broken.value.table, broken.value.row) == ("audit", "2")
    assert broken.value.text == f"gives sequence {wrong} of xn1 after 1"


@pytest.mark.parametrize("how", ["begins later", "begins later since", "was shortened"])
def test_where_the_beginning_went_a_sequence_may_begin_anywhere_but_goes_on_by_one(store, how):
    told = Told(store.database, begins=3 if how == "begins later" else 0)
    if how == "begins later since":
        queue(told, 1, "AAAA-00000000001", 1)
        told.begin(3)
    elif how == "was shortened":
        told.hear(1, "shortened", {"before": "40", "gone": "3", "entry": "1", "hash": "aa"})
    queue(told, 4, "AAAA-00000000009", 30)
    queue(told, 5, "AAAA-00000000010", 31)
    with pytest.raises(BrokenError):
        queue(told, 6, "AAAA-00000000011", 33)


def test_a_chain_that_is_whole_begins_its_sequences_with_1(store):
    with pytest.raises(BrokenError, match="gives sequence 2 of xn1 after 0"):
        queue(Told(store.database, begins=0), 1, "AAAA-00000000001", 2)


def test_a_message_that_is_gone_while_its_transmission_is_there_is_named(store):
    received(store)
    told = Told(store.database, begins=0)
    with pytest.raises(BrokenError) as broken:
        told.hear(5, "settled", {"transmission": "1", "messages": "AAAA-00000000001:xn1:1:aa"})
    assert (broken.value.table, broken.value.row) == ("outbox", "AAAA-00000000001")
    assert broken.value.text == "is not there, and entry 5 tells that it was queued"


def row(kind: str, facts: str) -> tuple[object, ...]:
    return 1, 0, kind, facts, b""


def test_which_transmissions_an_entry_tells_of(store):
    first, second = queued(store, "S1"), queued(store, "S2")
    filed(store, second)
    assert store.groups(1)[0].state is ItemState.CONVERTED
    found = {
        '{"transmission": "7"}': ("transmission-complete", {7}),
        '{"transmission": "8", "raw": ""}': ("transmission-interrupted", {8}),
        '{"transmission": "3", "readings": "3:aa 5:bb"}': ("settled", {3, 5}),
        f'{{"transmission": "3", "states": "{first}:aa {second}:bb NOBODY-1:cc"}}': ("settled", {1, 2, 3}),
        '{"readings": "3:aa 4:bb"}': ("released", {3, 4}),
        f'{{"transmission": "6", "readings": "6:aa", "states": "{first}:aa"}}': ("kept", {1, 6}),
        f'{{"message": "{second}"}}': ("acknowledged", {2}),
        '{"message": "NOBODY-1"}': ("blocked", set()),
        '{"transmissions": "1 2"}': ("purged", set()),
    }
    for facts, (kind, numbers) in found.items():
        assert transmissions(store.database, row(kind, facts)) == numbers, facts


def test_the_highest_transmission_that_went_is_read_from_an_entry_of_that_kind_alone():
    assert last_purged(row("purged", '{"transmissions": "3 12 7"}')) == 12
    assert last_purged(row("released", '{"transmissions": "3-12"}')) == 0
