"""What every answer, every silence and every lost connection means for a message: on a clock moved by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support_delivery import ACK_TIMEOUT_S, Rig

from edge_agent.publisher.events import Cause
from edge_agent.states import MessageState
from edge_agent.store.rows import Route

FIRST_BACKOFF_S = 5.0
FIRST_PAUSE_S = 30.0


@pytest.fixture
def rig(data: Path) -> Iterator[Rig]:
    made = Rig(data, ack_timeout_s=ACK_TIMEOUT_S)
    made.connect()
    yield made
    made.end()


def test_a_message_is_handed_over_once_until_it_is_answered(rig: Rig) -> None:
    message = rig.queue()
    assert rig.pump() == [message]
    assert rig.pump() == []
    assert (rig.delivery.in_flight, rig.delivery.unanswered) == (1, 1)
    rig.taken(message)
    assert (rig.delivery.in_flight, rig.delivery.unanswered) == (0, 1)
    assert rig.state(message) is MessageState.AT_BROKER
    assert rig.pump() == []
    rig.ack(message)
    assert rig.delivery.unanswered == 0
    assert rig.state(message) is MessageState.FILED
    assert rig.wait(100_000) == []
    assert rig.notes(message) == ["published", "puback", "ack"]


def test_an_answer_that_comes_before_the_brokers_closes_the_message_too(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.ack(message)
    rig.puback(message)
    assert rig.state(message) is MessageState.FILED
    assert (rig.delivery.in_flight, rig.delivery.unanswered) == (0, 0)


def test_a_puback_for_nothing_we_sent_means_nothing(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.link.flying["ghost"] = 99
    rig.puback("ghost", 0x99)
    assert rig.notes(message) == ["published"]
    assert rig.delivery.in_flight == 1


def test_what_is_done_is_counted(rig: Rig) -> None:
    filed, rejected, silent, refused = (rig.queue() for _ in range(4))
    rig.pump()
    rig.taken(filed, rejected, silent)
    rig.puback(refused, 0x97)
    rig.clock.seconds += 2
    rig.ack(filed)
    rig.ack(rejected, "AE", "103")
    rig.wait(ACK_TIMEOUT_S)
    tally = rig.delivery.tally
    assert (tally.published, tally.taken, tally.refused) == (5, 3, 1)  # the refused one has gone again
    assert (tally.filed, tally.rejected, tally.unanswered) == (1, 1, 1)
    assert tally.filing.sum == 2.0


def test_the_time_a_rejected_message_took_is_no_filing_time(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.clock.seconds += 2
    rig.ack(message, "AE", "103")
    assert rig.delivery.tally.filing.sum == 0


def test_without_an_answer_in_time_the_slot_is_given_back_and_the_same_goes_again_later(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    assert rig.wait(ACK_TIMEOUT_S - 0.1) == []
    assert rig.delivery.unanswered == 1
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + 0.1)
    assert rig.wait(0.1) == []
    assert rig.delivery.unanswered == 0
    assert rig.notes(message) == ["published", "puback", "timeout"]
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + FIRST_BACKOFF_S)
    assert rig.wait(FIRST_BACKOFF_S - 0.1) == []
    assert rig.wait(0.1) == [message]
    assert rig.replays == [(message, "original"), (message, "retry")]
    assert len({sent.payload for sent in rig.link.sent}) == 1


def test_each_silence_doubles_the_wait_up_to_its_cap(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    for wait in (5, 10, 20, 40, 80, 160, 300, 300):
        rig.wait(ACK_TIMEOUT_S)
        assert rig.wait(wait - 0.5) == []
        assert rig.wait(0.5) == [message]
        rig.taken(message)


def test_the_slot_of_a_silent_message_serves_the_next_one(data: Path) -> None:
    rig = Rig(data, unfiled=1)
    first, second = rig.queue(), rig.queue()
    assert rig.pump() == [first]
    rig.taken(first)
    assert rig.pump() == []
    assert rig.wait(60) == [second]
    rig.end()


def test_a_rejected_message_is_not_in_the_way_of_anything_and_waits_for_its_time(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message, "AE", "103")
    assert rig.state(message) is MessageState.REJECTED
    assert rig.delivery.unanswered == 0
    assert rig.alarmed()["rejected"].params["count"] == "1"
    assert rig.wait(29 * 60) == []
    assert rig.wait(60) == [message]
    rig.taken(message)
    rig.ack(message)
    assert rig.state(message) is MessageState.FILED
    assert "rejected" not in rig.alarmed()


def test_a_rejected_message_tried_again_without_an_answer_keeps_the_stores_time(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message, "AE", "103")
    assert rig.wait(30 * 60) == [message]
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(FIRST_BACKOFF_S + 1) == [], "it is no message of the retry lane"
    assert rig.wait(5 * 60) == [message], "the store gives it out five minutes after its last try"


def test_a_received_is_no_answer(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message, "CA")
    assert rig.state(message) is MessageState.AT_BROKER
    assert rig.delivery.unanswered == 1
    assert rig.delivery.tally.rejected == rig.delivery.tally.filed == 0


def test_a_wrong_answer_closes_nothing_and_is_alarmed_with_its_analyser(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message, digest="0" * 64)
    assert rig.state(message) is MessageState.AT_BROKER
    assert rig.delivery.unanswered == 1
    assert rig.alarmed()["digest-mismatch"].analyser == "xn1"
    rig.ack(message, correlation=b"another")
    assert rig.alarmed()["foreign-ack"].analyser == "xn1"
    rig.delivery.foreign()
    assert {a.analyser for a in rig.alarms.active() if a.code == "foreign-ack"} >= {"xn1"}


def test_a_busy_broker_is_left_alone_longer_each_time_until_it_takes_something(rig: Rig) -> None:
    refuse = rig.queue()
    assert rig.pump() == [refuse]
    for wait in (1, 2, 4):
        rig.puback(refuse, 0x97, "quota")
        assert rig.state(refuse) is MessageState.QUEUED
        refuse = rig.queue()
        assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + wait)
        assert rig.wait(wait - 0.1) == [], "nothing at all goes"
        went = rig.wait(0.1)
        assert went[-1] == refuse
        for other in went[:-1]:
            rig.link.flying.pop(other)
    rig.taken(refuse)
    refuse = rig.queue()
    assert refuse in rig.pump()
    rig.puback(refuse, 0x97)
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + 1), "from the beginning"


def test_what_a_busy_broker_refused_is_not_handed_out_by_the_store_as_well(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.puback(message, 0x97)
    assert [one for _ in range(49) for one in rig.wait(0.1)] == [], "its own wait is longer than the broker's"
    assert [one for _ in range(5) for one in rig.wait(0.1)] == [message]


def test_a_refused_topic_waits_and_other_topics_go(rig: Rig) -> None:
    refused = rig.queue(analyser="xn1")
    rig.pump()
    rig.puback(refused, 0x87)
    assert rig.alarmed()["broker-refused"].analyser == "xn1"
    same, other = rig.queue(analyser="xn1"), rig.queue(analyser="cobas")
    assert rig.pump() == [other]
    assert rig.wait(FIRST_PAUSE_S - 0.1) == []
    assert rig.delivery.deadline() == pytest.approx(rig.clock.seconds + 0.1)
    assert rig.wait(0.1) == [refused], "one on trial for the topic"
    rig.puback(refused)
    assert rig.pump() == [same], "then the rest of it"
    assert "broker-refused" not in rig.alarmed()


def test_a_message_the_broker_will_never_take_is_blocked_and_out_of_the_way(rig: Rig) -> None:
    bad, good = rig.queue("S1"), rig.queue("S1")
    assert rig.pump() == [bad]
    rig.puback(bad, 0x95)
    assert rig.state(bad) is MessageState.BLOCKED
    assert rig.alarmed()["blocked"].params["count"] == "1"
    assert rig.pump() == [good]
    assert rig.delivery.unanswered == 1


def test_packet_ids_out_of_step_ask_for_another_connection(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.puback(message, 0x91)
    assert rig.link.closed
    assert rig.state(message) is MessageState.QUEUED


def test_a_busy_broker_keeps_its_connection(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.puback(message, 0x97)
    assert not rig.link.closed


def test_nobody_listening_is_a_warning_and_the_message_waits_for_its_answer(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.puback(message, 0x10)
    assert rig.state(message) is MessageState.AT_BROKER
    assert "no-subscriber" in rig.alarmed()
    second = rig.queue()
    rig.pump()
    rig.puback(second, 0x00)
    assert "no-subscriber" not in rig.alarmed()


def test_what_was_in_flight_when_the_connection_ended_goes_again_from_the_store_as_it_was(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.hang_up(cause=Cause.NETWORK)
    assert (rig.delivery.in_flight, rig.delivery.unanswered) == (0, 0)
    rig.connect()
    assert rig.pump() == [message]
    assert rig.pump() == []
    assert rig.replays[-1] == (message, "retry")


def test_a_retry_in_flight_when_the_connection_ended_goes_again_at_once(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(FIRST_BACKOFF_S) == [message]
    rig.hang_up(cause=Cause.NETWORK)
    rig.connect()
    assert rig.pump() == [message]


def test_what_waits_for_its_answer_goes_again_when_the_broker_forgot_us_and_only_then(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.connect(session=True)
    assert rig.pump() == []
    assert rig.delivery.unanswered == 1
    rig.connect(session=False)
    assert rig.pump() == [message]
    assert rig.delivery.unanswered == 1


def test_what_is_still_queued_is_not_made_a_retry_by_a_broker_that_forgot_us(rig: Rig) -> None:
    """In flight, its PUBACK not seen: the store hands it out again."""
    message = rig.queue()
    rig.pump()
    rig.hang_up(cause=Cause.NETWORK)
    rig.connect(session=False)
    assert rig.pump() == [message]
    rig.taken(message)
    rig.ack(message)
    assert rig.wait(100_000) == []


def test_a_start_takes_up_what_is_at_the_broker_and_gives_its_answer_the_usual_time(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.begin()
    rig.connect()
    rig.do(rig.delivery.restore())
    assert rig.wait(ACK_TIMEOUT_S - 0.1) == []
    assert rig.wait(0.1) == [message]
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(9.9) == [], "the second wait: the first was before the start"
    assert rig.wait(0.1) == [message]


def test_a_start_where_the_broker_has_the_last_word_takes_up_nothing(data: Path) -> None:
    rig = Rig(data, confirm="broker")
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    assert rig.delivery.unanswered == 0
    rig.begin()
    rig.do(rig.delivery.restore())
    assert rig.wait(100_000) == []
    rig.end()


def test_blocked_messages_go_again_when_the_brokers_limit_is_another(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.puback(message, 0x95)
    rig.connect()
    assert rig.pump() == [], "the same limit as before"
    rig.link.maximum_packet = 100_000
    rig.connect()
    assert "blocked" not in rig.alarmed()
    assert rig.pump() == [message]


def test_a_message_larger_than_the_broker_takes_is_not_sent_and_says_by_how_much(rig: Rig) -> None:
    message = rig.queue(filler=2000)
    small = rig.queue()
    rig.link.maximum_packet = 1000
    assert rig.pump() == [small]
    assert rig.state(message) is MessageState.BLOCKED
    assert "maximum packet size of 1000" in rig.alarmed()["blocked"].sentence


def test_an_image_that_is_too_large_is_another_alarm(rig: Rig) -> None:
    message = rig.queue(filler=2000, graphics=True)
    rig.link.maximum_packet = 1000
    assert rig.pump() == []
    assert rig.state(message) is MessageState.BLOCKED
    assert set(rig.alarmed()) == {"graphics-too-large"}


def test_a_message_that_just_fits_is_sent(rig: Rig) -> None:
    from edge_agent.publisher.properties import packet_size

    first = rig.queue()
    rig.pump()
    size = packet_size(rig.link.sent[0].topic, rig.link.sent[0].payload, rig.link.sent[0].properties)
    rig.taken(first)
    rig.ack(first)
    rig.link.maximum_packet = size
    second = rig.queue()
    assert rig.pump() == [second]
    rig.link.maximum_packet = size - 1
    third = rig.queue()
    assert rig.pump() == []
    assert rig.state(third) is MessageState.BLOCKED


def test_a_broker_that_hangs_up_on_one_message_three_times_while_others_pass_has_it_blocked(rig: Rig) -> None:
    bad, good = rig.queue(), rig.queue()
    assert rig.pump() == [bad, good]
    rig.hang_up()
    for _ in range(3):
        rig.connect()
        went = rig.pump()
        assert len(went) == 1, "one at a time"
        if went == [good]:
            rig.taken(good)
            went = rig.pump()
        assert went == [bad]
        rig.hang_up()
    assert rig.state(bad) is MessageState.BLOCKED
    assert "hangs up on it: it hung up" in rig.alarmed()["blocked"].sentence
    rig.connect()
    assert rig.pump() == []


def test_a_person_who_set_a_message_aside_ends_its_retries(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    rig.store.set_aside(message, who="kim", note="by hand")
    assert rig.wait(FIRST_BACKOFF_S) == []
    assert rig.delivery.deadline() is None


def test_a_review_tells_what_the_store_holds_and_how_long_nobody_has_answered(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.clock.seconds += 599
    rig.do(rig.delivery.review())
    assert "unconfirmed" not in rig.alarmed()
    rig.clock.seconds += 1
    rig.do(rig.delivery.review())
    assert "unconfirmed" in rig.alarmed()
    rig.store.acknowledged(message, code="AE", detail="", consumer="ivd", digest_ok=True)
    rig.do(rig.delivery.review())
    assert set(rig.alarmed()) == {"rejected"}


def test_where_the_broker_has_the_last_word_nobody_is_waited_for(data: Path) -> None:
    rig = Rig(data, confirm="broker")
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.clock.seconds += 10_000
    rig.do(rig.delivery.review())
    assert "unconfirmed" not in rig.alarmed()
    rig.end()


def test_a_word_about_a_message_in_flight_lets_it_fly_and_retries_it_like_any_other(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message, "AE", "103")
    assert rig.wait(30 * 60) == [message]
    rig.store.requeue(message, replay="operator", who="kim", note="mapped")
    rig.do(rig.delivery.decided(message))
    assert rig.pump() == [], "it is out already"
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(FIRST_BACKOFF_S) == [message]


def test_each_route_has_its_own_slots(data: Path) -> None:
    consumers = {Route.RESULT: "ivd", Route.QC: "qc-system", Route.VALIDATION: "ivd"}
    rig = Rig(data, consumers=consumers, unfiled=2)
    controls = [rig.queue(route=Route.QC) for _ in range(3)]
    results = [rig.queue() for _ in range(3)]
    assert rig.pump() == [*controls[:2], *results[:2]]
    rig.taken(*controls[:2], *results[:2])
    rig.ack(results[0])
    assert rig.pump() == [results[2]]
    rig.end()


def test_the_brokers_words_are_kept_with_its_answer(rig: Rig) -> None:
    taken, refused = rig.queue(), rig.queue()
    rig.pump()
    rig.puback(taken, 0x00, "thank you")
    rig.puback(refused, 0x97, "come back later")
    assert rig.store.attempts(taken)[-1].detail == "thank you"
    assert rig.store.attempts(refused)[-1].detail == 'a quota of the broker is used up (0x97): "come back later"'


def test_a_word_about_a_filed_message_in_flight_makes_no_ordinary_retry_of_it(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message)
    rig.store.send_again(message, who="kim", note="lost there")
    rig.delivery.look()
    assert rig.pump() == [message]
    rig.do(rig.delivery.decided(message))
    rig.taken(message)
    rig.wait(ACK_TIMEOUT_S)
    assert rig.wait(FIRST_BACKOFF_S + 1) == []
    assert rig.wait(5 * 60) == [message], "the store gives it out five minutes after its last try"


def test_a_rejection_that_may_pass_by_itself_is_tried_again_with_the_usual_waits(rig: Rig) -> None:
    message = rig.queue()
    rig.pump()
    rig.taken(message)
    rig.ack(message, "AR")
    assert rig.state(message) is MessageState.REJECTED
    assert rig.wait(9.9) == []
    assert rig.wait(0.1) == [message]


def test_what_the_answer_is_to_name_travels_with_the_message(rig: Rig) -> None:
    """Of the properties themselves: a management system that takes it out of MSH-10 hides that it is gone."""
    message = rig.queue()
    rig.pump()
    properties = rig.link.sent[0].properties
    assert properties is not None
    assert properties.CorrelationData == message.encode()
    assert properties.ResponseTopic == "ivd/v1/seoul-01/gw-01/down/ack/ivd"
    assert (properties.ContentType, properties.PayloadFormatIndicator) == ("application/hl7-v2; charset=utf-8", 1)


def test_a_start_takes_up_more_than_one_page_of_what_is_at_the_broker(data: Path) -> None:
    rig = Rig(data, unfiled=240)
    messages = [rig.queue() for _ in range(60)]
    rig.pump()
    rig.taken(*messages)
    rig.begin()
    rig.connect()
    rig.do(rig.delivery.restore())
    assert rig.wait(60) == messages
    rig.end()
