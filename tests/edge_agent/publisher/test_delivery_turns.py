"""Whose turn it is when retries, probes, trials and suspects want to go; on a clock moved by hand."""

from pathlib import Path
from typing import Any

import pytest
from support_delivery import ACK_TIMEOUT_S, Rig

from edge_agent.publisher import sender
from edge_agent.states import MessageState
from edge_agent.store.rows import Chunk, ChunkKind, OutboxRow, Route, Settlement, Source

PROBE_S = 60.0


def test_rejected_ones_the_store_gives_out_again_take_a_quarter_of_the_slots(rig: Rig) -> None:
    messages = [rig.queue() for _ in range(4)]
    rig.pump()
    rig.taken(*messages)
    for message in messages:
        rig.ack(message, "AE", "103")
    assert rig.wait(30 * 60 + 1) == messages[:2]
    fresh = [rig.queue() for _ in range(6)]
    assert rig.pump() == fresh, "and six are left for what is new"


def test_while_one_is_under_suspicion_the_retries_of_others_go_on(rig: Rig) -> None:
    other = rig.queue()
    rig.pump()
    rig.taken(other)
    rig.clock.seconds += ACK_TIMEOUT_S
    suspect = rig.queue()
    assert rig.pump() == [suspect]
    rig.hang_up()
    rig.connect()
    assert rig.wait(5) == [other]
    rig.taken(other)
    assert rig.pump() == [suspect]


def test_a_trial_on_a_connection_that_is_gone_is_made_again_on_the_next(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.puback(message, 0x87)
    rig.link.gone = True
    assert rig.wait(3600) == []
    rig.link.gone, rig.link.slots = False, 100
    assert rig.pump() == [message]


def test_where_nothing_may_be_delivered_nobody_is_woken(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.delivery.deadline() is not None
    rig.link.may_deliver = False
    assert rig.delivery.deadline() is None
    assert rig.wait(60) == []
    rig.link.may_deliver, rig.link.slots = True, 0
    assert rig.delivery.deadline() is None
    rig.link.slots = 1
    assert rig.pump() == [message]


def test_a_topic_on_trial_while_nothing_has_room_waits_for_it(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.puback(message, 0x87)
    rig.link.slots = 0
    assert rig.wait(3600) == []
    rig.link.slots = 1
    assert rig.pump() == [message]


def test_more_than_the_store_is_asked_for_at_once_goes_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would wake the sender for the rest before the next minute."""
    monkeypatch.setattr(sender, "_AT_A_TIME", 2)
    messages = [rig.queue() for _ in range(5)]
    assert rig.pump() == messages


def test_a_probe_that_is_out_is_not_sent_again_when_the_consumer_comes_back(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    rig.consumer_says(False, at=1)
    assert rig.wait(PROBE_S) == [message]
    rig.taken(message)
    rig.consumer_says(True, at=2)
    assert rig.wait(ACK_TIMEOUT_S - 1) == []
    assert rig.delivery.unanswered == 1


def test_a_probe_is_no_message_of_a_topic_that_waits(rig: Rig) -> None:
    refused, other = rig.queue(analyser="xn1"), rig.queue(analyser="xn2")
    assert rig.pump() == [refused, other]
    rig.puback(refused, 0x87)
    rig.taken(other)
    rig.ack(other)
    rig.consumer_says(False, at=1)
    behind, passes = rig.queue(analyser="xn1"), rig.queue(analyser="xn2")
    assert rig.wait(PROBE_S) == [refused, passes], "the topic's own trial, and the probe"
    assert behind not in rig.link.flying


def test_a_suspect_somebody_set_aside_lets_the_others_go_together_again(rig: Rig) -> None:
    suspect = rig.queue()
    rig.pump()
    rig.hang_up()
    rig.connect()
    rig.store.set_aside(suspect, who="kim", note="phoned through")
    assert rig.pump() == []
    others = [rig.queue() for _ in range(2)]
    assert rig.pump() == others


def test_what_follows_a_blocked_message_of_its_specimen_goes_at_once(data: Path) -> None:
    rig = Rig(data)
    large, small = rig.queue("S1", filler=2000), rig.queue("S1")
    rig.link.maximum_packet = 1500
    assert rig.pump() == []
    row = rig.store.message(large)
    assert row is not None
    assert (row.state, row.code) == (MessageState.BLOCKED, "blocked")
    assert rig.pump() == [small]
    rig.end()


def test_a_blocked_message_holds_no_slot_and_is_not_tried_again(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(5) == [message]
    rig.puback(message, 0x99)
    assert rig.state(message) is MessageState.BLOCKED
    assert (rig.delivery.in_flight, rig.delivery.unanswered) == (0, 0)
    assert rig.wait(100_000) == []


def test_one_the_analyser_sent_again_says_so(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message)
    again = rig.store.open_transmission(Source("xn1", "127.0.0.1", "sysmex_xn", 1, "00", "production"))
    rig.store.append(again, [Chunk(ChunkKind.FRAME, b"\x02x", text=b"x", number=1, last=True)], end="L")
    rig.store.settle(Settlement(again, replays=(message,)))
    rig.delivery.look()
    assert rig.pump() == [message]
    assert rig.replays == [(message, "original"), (message, "analyser")]


TWO = {Route.RESULT: "ivd", Route.QC: "qc-system", Route.VALIDATION: "ivd"}


def test_what_is_kept_back_for_two_consumers_is_probed_each_with_its_own(data: Path) -> None:
    rig = Rig(data, consumers=TWO)
    rig.consumer_says(False, at=1, consumer="qc-system")
    rig.clock.seconds += 30
    rig.consumer_says(False, at=1, consumer="ivd")
    result, control = rig.queue(), rig.queue(route=Route.QC)
    assert rig.pump() == []
    assert rig.wait(30) == [control]
    assert rig.wait(30) == [result]
    rig.end()


def test_while_one_probe_waits_for_its_answer_the_next_one_is_another_message(data: Path) -> None:
    rig = Rig(data, ack_timeout_s=600.0)
    rig.consumer_says(False, at=1)
    messages = [rig.queue() for _ in range(2)]
    assert rig.pump() == []
    assert rig.wait(PROBE_S) == messages[:1]
    rig.taken(messages[0])
    assert rig.wait(PROBE_S) == messages[1:]
    rig.end()


def test_many_results_of_a_consumer_that_is_away_are_not_in_front_of_anothers(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_AT_A_TIME", 2)
    rig = Rig(data, consumers=TWO)
    rig.consumer_says(False, at=1, consumer="qc-system")
    for _ in range(3):
        rig.queue(route=Route.QC)
    result = rig.queue()
    assert rig.pump() == [result]
    rig.end()


def test_several_new_messages_on_a_dead_connection_stay_queued(rig: Rig) -> None:
    messages = [rig.queue() for _ in range(3)]
    rig.link.gone = True
    assert rig.pump() == []
    rig.link.gone, rig.link.slots = False, 100
    rig.delivery.look()
    assert rig.pump() == messages


def test_a_suspects_waits_go_on_growing(rig: Rig) -> None:
    """5 s after its first silence, 10 s after the second, 20 s after the third, whatever happened in between."""
    message = rig.queue()
    rig.pump()
    for wait in (5.0, 10.0):
        rig.taken(message)
        rig.wait(ACK_TIMEOUT_S)
        assert rig.wait(wait) == [message]
    rig.hang_up()
    rig.connect()
    assert rig.pump() == [message]
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(19.9) == []
    assert rig.wait(0.1) == [message]


def test_one_message_of_a_refused_topic_is_on_trial_at_a_time(rig: Rig) -> None:
    messages = [rig.queue() for _ in range(2)]
    rig.pump()
    for message in messages:
        rig.puback(message, 0x87)
    (first,) = rig.wait(3600)
    assert rig.pump() == []
    rig.taken(first)
    assert [first, *rig.pump()] in (messages, messages[::-1])


def test_the_sender_is_woken_for_the_last_free_place(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    rig.link.slots = 1
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + 5)


def test_a_message_whose_puback_has_not_come_yet_is_not_handed_over_a_second_time(rig: Rig) -> None:
    """Its slot was given back after a minute; whether the broker has it is not known before its answer."""
    message = rig.queue()
    rig.pump()
    assert rig.wait(ACK_TIMEOUT_S) == []
    assert rig.wait(30) == []
    rig.taken(message)
    assert [one for _ in range(30) for one in rig.wait(1)] == [message]


def test_of_very_many_that_came_while_nobody_answered_no_more_are_read_than_a_page_for_each_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once all that waited was read at every answer: from some thousands on, answers came in vain."""
    rig.connect()
    messages = [rig.queue() for _ in range(300)]
    read: list[int] = []
    ready = rig.store.ready

    def counted(*words: Any, **more: Any) -> list[OutboxRow]:
        rows = ready(*words, **more)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(rig.store, "ready", counted)
    assert rig.pump() == messages[:8]
    rig.taken(*messages[:8])
    assert len(read) == 1, read
    for number in range(8, 20):
        rig.ack(messages[number - 8])
        read.clear()
        assert rig.pump() == [messages[number]]
        rig.taken(messages[number])
        assert len(read) == 1, read
