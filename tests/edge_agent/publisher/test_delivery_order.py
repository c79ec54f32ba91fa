"""Which message goes next, and what may go at all: on a clock moved by hand."""

from pathlib import Path

import pytest
from support_delivery import ACK_TIMEOUT_S, Rig

from edge_agent.states import MessageState
from edge_agent.store.rows import Route

PROBE_S = 60.0


def backlog(rig: Rig, count: int) -> list[str]:
    """Queued before the connection came up."""
    old = [rig.queue() for _ in range(count)]
    rig.clock.seconds += 10
    rig.connect()
    rig.clock.seconds += 10
    return old


def test_nothing_goes_while_the_connection_may_not_deliver(rig: Rig) -> None:
    message = rig.queue()
    rig.link.may_deliver = False
    assert rig.pump() == []
    assert rig.delivery.deadline() is None
    rig.link.may_deliver = True
    assert rig.pump() == [message]


def test_no_more_goes_than_the_connection_has_room_for(rig: Rig) -> None:
    messages = [rig.queue() for _ in range(4)]
    rig.link.slots = 2
    assert rig.pump() == messages[:2]
    assert rig.pump() == []
    rig.taken(messages[0])
    assert rig.pump() == [messages[2]]


def test_there_is_nothing_to_wake_for_while_there_is_no_room(rig: Rig) -> None:
    messages = [rig.queue() for _ in range(2)]
    rig.pump()
    rig.taken(*messages)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.delivery.deadline() is not None
    rig.link.slots = 0
    assert rig.delivery.deadline() is None
    assert rig.wait(100) == []


def test_an_old_backlog_has_half_of_the_slots_and_what_is_fresh_passes_it(rig: Rig) -> None:
    old = backlog(rig, 6)
    assert rig.pump() == old[:4]
    rig.taken(*old[:4])
    fresh = [rig.queue() for _ in range(5)]
    assert rig.pump() == fresh[:4]
    rig.taken(*fresh[:4])
    rig.ack(old[0])
    assert rig.pump() == [old[4]]
    rig.ack(fresh[0])
    assert rig.pump() == [fresh[4]]


def test_fresh_results_are_found_behind_a_backlog_longer_than_what_is_read_at_once(rig: Rig) -> None:
    rig.link.slots = 100
    old = backlog(rig, 70)  # 64 rows are asked of the store at once
    fresh = rig.queue()
    assert rig.pump() == [*old[:4], fresh]


def test_without_a_connection_before_nothing_is_old(rig: Rig) -> None:
    messages = [rig.queue() for _ in range(6)]
    assert rig.pump() == messages


def test_a_stat_result_goes_first_and_images_last(rig: Rig) -> None:
    image, plain, stat = rig.queue(graphics=True), rig.queue(), rig.queue(stat=True)
    assert rig.pump() == [stat, plain, image]


def test_retries_take_no_more_than_their_quarter(rig: Rig) -> None:
    messages = [rig.queue() for _ in range(4)]
    rig.pump()
    rig.taken(*messages)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(5) == messages[:2]
    rig.taken(*messages[:2])
    assert rig.pump() == []
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + ACK_TIMEOUT_S), "no retry fits before"
    rig.ack(messages[0])
    assert rig.pump() == [messages[2]]


def test_a_message_is_not_resent_while_a_later_one_of_its_specimen_waits_for_its_answer(data: Path) -> None:
    rig = Rig(data, ack_timeout_s=ACK_TIMEOUT_S, retry_max_s=5.0)
    first, second = rig.queue("S1"), rig.queue("S1")
    assert rig.pump() == [first]
    rig.taken(first)
    while second not in (went := rig.wait(5)):
        rig.taken(*went)
        assert rig.clock.seconds < 1000 + 700, "the second goes after ten unanswered minutes"
        rig.do(rig.delivery.review())  # as every minute
    assert rig.clock.seconds >= 1000 + 600
    rig.taken(*went)
    later = [one for _ in range(60) for one in rig.wait(5) if not rig.taken(one)]
    assert later[0] == second
    assert first not in later, "it has been due since a minute"
    rig.ack(second)
    went = [one for _ in range(2) for one in rig.wait(5)]
    assert went == [first]
    rig.end()


def test_to_a_consumer_that_is_offline_goes_one_message_a_minute(rig: Rig) -> None:
    rig.connect()
    rig.consumer_says(False, at=1)
    messages = [rig.queue() for _ in range(3)]
    assert "consumer-offline" in rig.alarmed()
    assert rig.pump() == []
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + PROBE_S)
    assert rig.wait(PROBE_S - 0.1) == []
    assert rig.wait(0.1) == [messages[0]]
    rig.taken(messages[0])
    assert rig.wait(PROBE_S - 0.1) == []
    assert rig.wait(0.1) == [messages[0]], "the one that was out before, rather than one more"
    rig.taken(messages[0])
    rig.ack(messages[0])
    assert "consumer-offline" not in rig.alarmed()
    assert rig.pump() == messages[1:]


def test_a_probe_waits_for_room(rig: Rig) -> None:
    rig.consumer_says(False, at=1)
    message = rig.queue()
    rig.link.slots = 0
    assert rig.wait(PROBE_S) == []
    rig.link.slots = 1
    assert rig.pump() == [message]


def test_what_came_while_the_consumer_was_away_is_backlog_when_it_is_back(rig: Rig) -> None:
    rig.connect()
    rig.clock.seconds += 1
    rig.consumer_says(False, at=1)
    away = [rig.queue() for _ in range(6)]
    rig.clock.seconds += 10
    rig.consumer_says(True, at=2)
    assert rig.pump() == away[:4]


def test_one_consumer_offline_does_not_hold_another_ones_results(data: Path) -> None:
    consumers = {Route.RESULT: "ivd", Route.QC: "qc-system", Route.VALIDATION: "ivd"}
    rig = Rig(data, consumers=consumers)
    rig.consumer_says(False, at=1, consumer="qc-system")
    control, later, result = rig.queue(route=Route.QC), rig.queue(route=Route.QC), rig.queue()
    assert rig.pump() == [result]
    rig.taken(result)
    rig.ack(result)
    assert rig.wait(PROBE_S - 0.1) == []
    assert rig.wait(0.1) == [control], "the minute's question to the one that is away"
    assert rig.pump() == []
    rig.taken(control)
    rig.ack(control, consumer="qc-system")
    assert rig.pump() == [later]
    rig.end()


def test_a_probe_to_one_consumer_takes_nothing_of_another(data: Path) -> None:
    consumers = {Route.RESULT: "ivd", Route.QC: "qc-system", Route.VALIDATION: "ivd"}
    rig = Rig(data, consumers=consumers)
    rig.consumer_says(False, at=1, consumer="qc-system")
    rig.consumer_says(False, at=1, consumer="ivd")
    results = [rig.queue() for _ in range(2)]
    controls = [rig.queue(route=Route.QC) for _ in range(2)]
    assert sorted(rig.wait(PROBE_S)) == sorted([results[0], controls[0]])
    rig.end()


def test_a_filed_message_the_analyser_sent_again_goes_once_more_and_says_so(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message)
    rig.store.send_again(message, who="kim", note="lost there")
    rig.delivery.look()
    assert rig.pump() == [message]
    assert rig.replays[-1] == (message, "operator")
    rig.taken(message)
    rig.ack(message)
    assert rig.state(message) is MessageState.FILED
    assert rig.wait(100_000) == []


def test_a_rejected_message_due_in_the_store_is_woken_for(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message, "AE", "103")
    assert rig.pump() == []
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + 30 * 60)


def test_a_due_one_whose_specimen_waits_for_another_answer_is_looked_at_again_without_haste(data: Path) -> None:
    rig = Rig(data, ack_timeout_s=7200.0)
    first, second = rig.queue("S1"), rig.queue("S1")
    rig.pump()
    rig.taken(first)
    rig.ack(first, "AE", "103")
    rig.clock.seconds += 29 * 60
    assert rig.pump() == [second]
    rig.taken(second)
    assert rig.wait(60) == [], "due, but the second waits for its answer"
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + 0.05), "just due: perhaps the clocks differ"
    assert rig.wait(2) == []
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + 5)
    rig.ack(second)
    assert rig.wait(5) == [first]
    rig.end()


def test_a_message_waiting_for_its_turn_on_a_dead_connection_is_not_lost(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    rig.link.gone = True
    assert rig.wait(5) == []
    assert rig.delivery.in_flight == rig.delivery.unanswered == 0
    rig.link.gone, rig.link.slots = False, 100
    assert rig.pump() == [message]


def test_a_new_message_on_a_dead_connection_stays_queued(rig: Rig) -> None:
    message = rig.queue()
    rig.link.gone = True
    rig.pump()
    assert rig.delivery.in_flight == 0
    assert rig.notes(message) == []
    rig.link.gone, rig.link.slots = False, 100
    rig.delivery.look()
    assert rig.pump() == [message]
    assert rig.replays == [(message, "original")]


def test_under_suspicion_one_message_goes_at_a_time_and_the_suspect_goes_last(rig: Rig) -> None:
    suspect = rig.queue()
    rig.pump()
    rig.hang_up()
    rig.connect()
    others = [rig.queue() for _ in range(2)]
    assert rig.pump() == [others[0]]
    assert rig.pump() == []
    rig.taken(others[0])
    assert rig.pump() == [others[1]]
    rig.taken(others[1])
    assert rig.pump() == [suspect]
    assert rig.pump() == []
    rig.taken(suspect)
    both = [rig.queue() for _ in range(2)]
    assert rig.pump() == both, "nobody is under suspicion any more"


def test_a_suspect_that_was_out_before_is_no_retry_of_the_crowd(rig: Rig) -> None:
    suspect = rig.queue()
    rig.pump()
    rig.taken(suspect)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(5) == [suspect]
    rig.hang_up()
    rig.connect()
    other = rig.queue()
    assert rig.pump() == [other]
    rig.taken(other)
    assert rig.pump() == [suspect]
    rig.taken(suspect)
    rig.ack(suspect)
    assert rig.state(suspect) is MessageState.FILED
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(5) == [other], "nobody answered that one"
    rig.taken(other)
    rig.ack(other)
    assert rig.wait(100_000) == []


def test_rejected_in_another_mode_is_for_a_person_where_the_broker_has_the_last_word(data: Path) -> None:
    rig = Rig(data)
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message, "AE", "103")
    rig.end()
    rig = Rig(data, confirm="broker")
    rig.clock.seconds += 31 * 60
    rig.delivery.look()
    assert rig.pump() == []
    rig.end()


def test_version_3_1_1_carries_no_properties(data: Path) -> None:
    rig = Rig(data, version="3.1.1")
    rig.queue()
    rig.pump()
    assert rig.link.sent[0].properties is None
    rig.end()


def test_the_last_free_place_of_a_connection_serves_a_retry_too(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    rig.link.slots = 1
    assert rig.wait(5) == [message]


def test_retries_of_a_consumer_that_is_offline_wake_nobody(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    rig.consumer_says(False, at=1)
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + PROBE_S)
    assert rig.wait(6) == []
