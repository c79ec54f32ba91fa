"""What comes from the broker: what each message to us leads to, and when it is acknowledged."""

import logging

import pytest
from support_whole_publisher import MakeWhole, Whole

from edge_agent.publisher.events import Cause, Ended, Received
from edge_agent.states import MessageState
from edge_agent.store.rows import Route


def test_an_answer_is_acknowledged_when_the_store_has_it_and_not_before(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.lane.holding = True
    owed = whole.ack(message)
    assert not owed.acknowledged
    whole.lane.let_go()
    whole.wait(0)
    assert whole.state(message) is MessageState.FILED
    assert owed.acknowledged


def test_answers_that_come_together_are_committed_in_few_jobs_and_acknowledged_in_their_order(whole: Whole) -> None:
    """MQTT 5.0 §4.6. Thirty-three of them are one more than the store is given at once."""
    whole.connect()
    message = whole.at_broker()
    whole.wait(1)
    jobs = whole.lane.jobs
    first = len(whole.now.acknowledged)
    whole.together(*(whole.answer(message if n == 32 else f"other-{n}", mid=5000 + n) for n in range(33)))
    assert whole.now.acknowledged[first:] == list(range(5000, 5033))
    assert whole.state(message) is MessageState.FILED
    assert whole.lane.jobs - jobs <= 4, "two with answers, and a look for what may go now"


def test_an_answer_and_the_end_of_the_connection_behind_it_are_both_heard(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.together(whole.answer(message), Ended(whole.now.number, Cause.DROPPED, None, "it ended"))
    assert whole.state(message) is MessageState.FILED
    whole.wait(5)
    assert len(whole.made) == 2


def test_what_comes_behind_the_end_of_its_connection_is_not_heard(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.together(Ended(whole.now.number, Cause.DROPPED, None, "it ended"), whole.answer(message))
    assert whole.state(message) is MessageState.AT_BROKER
    assert 5000 not in whole.made[0].acknowledged


def test_the_brokers_answer_to_a_word_about_ourselves_is_not_taken_for_one_to_a_result(whole: Whole) -> None:
    whole.connect()
    whole.queue()
    jobs = whole.lane.jobs
    whole.publisher.say_state()
    whole.take_notes()
    assert whole.lane.jobs == jobs
    assert whole.publisher.status().in_flight == 1


def test_a_retained_message_to_us_is_an_alarm_and_nothing_else(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    owed = whole.comes("down/ack/ivd", whole.answer(message).payload, retained=True)
    assert whole.state(message) is MessageState.AT_BROKER
    assert "retained-command" in whole.codes()
    assert owed.acknowledged, "or the broker would send nothing more after a while"


def test_a_message_for_nobody_is_acknowledged(whole: Whole) -> None:
    whole.connect()
    assert whole.comes("down/command/nothing", b"{}").acknowledged
    assert whole.codes() <= {"no-subscriber"}


def test_an_answer_of_a_management_system_nobody_configured_is_foreign(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    owed = whole.ack(message, consumer="stranger")
    assert whole.state(message) is MessageState.AT_BROKER
    assert "foreign-ack" in whole.codes()
    assert owed.acknowledged


def test_what_is_no_answer_on_an_answers_topic_is_foreign(whole: Whole) -> None:
    whole.connect()
    assert whole.comes("down/ack/ivd", b"hello").acknowledged
    assert "foreign-ack" in whole.codes()


def test_where_the_broker_has_the_last_word_an_old_subscriptions_answer_means_nothing(make_whole: MakeWhole) -> None:
    whole = make_whole(confirm="broker")
    whole.connect()
    message = whole.at_broker()
    owed = whole.ack(message)
    assert whole.state(message) is MessageState.AT_BROKER
    assert owed.acknowledged
    assert "foreign-ack" not in whole.codes()


def test_a_management_system_that_goes_and_comes_back_is_missed_and_its_results_wait(whole: Whole) -> None:
    whole.connect()
    whole.consumer_says(False, at=1)
    assert "consumer-offline" in whole.codes()
    message = whole.queue()
    assert whole.sent() == []
    whole.consumer_says(True, at=2)
    assert "consumer-offline" not in whole.codes()
    assert whole.sent() == [message]


def test_a_management_system_nobody_configured_is_not_missed(whole: Whole, caplog: pytest.LogCaptureFixture) -> None:
    whole.connect()
    whole.consumer_says(False, at=1, consumer="stranger")
    whole.comes("_central/stranger/a/state", b"nonsense", retained=True)
    assert "consumer-offline" not in whole.codes()
    assert caplog.records == [r for r in caplog.records if r.levelno < logging.WARNING]


def test_a_state_that_cannot_be_read_is_a_warning_without_what_it_said(
    whole: Whole, caplog: pytest.LogCaptureFixture
) -> None:
    whole.connect()
    whole.comes("_central/ivd/a/state", b'{"online": "DOE^JANE"}', retained=True)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "management system ivd" in record.getMessage()
    assert "DOE" not in record.getMessage()
    assert "consumer-offline" not in whole.codes()


def test_saying_offline_twice_begins_no_new_absence(whole: Whole) -> None:
    whole.connect()
    whole.consumer_says(False, at=1)
    since = whole.publisher.status().gates["ivd"]
    whole.wait(5)
    whole.consumer_says(False, at=2)
    assert whole.publisher.status().gates["ivd"] == since


def test_an_answer_opens_the_way_to_a_management_system_that_had_said_offline(whole: Whole) -> None:
    whole.connect()
    probe = whole.at_broker()
    whole.consumer_says(False, at=1)
    message = whole.queue()
    whole.ack(probe)
    assert "consumer-offline" not in whole.codes()
    assert whole.sent() == [probe, message]


def test_an_answer_from_before_the_farewell_does_not(whole: Whole) -> None:
    whole.connect()
    whole.consumer_says(True, at=1)
    message = whole.at_broker()
    farewell = Received(
        whole.now.number, 6000, 1, "ivd/v1/_central/ivd/a/state", b'{"online": false, "timestamp": 1}', False, None, ()
    )
    whole.together(whole.answer(message), farewell)
    assert whole.state(message) is MessageState.FILED
    assert "consumer-offline" in whole.codes()


def test_a_namesakes_birth_is_noticed_when_ours_was_taken(whole: Whole) -> None:
    whole.connect()
    owed = whole.comes("state", b'{"state": "ready", "session": "not ours"}', retained=True)
    assert "session-taken" in whole.codes()
    assert owed.acknowledged


def test_each_route_has_its_management_system(make_whole: MakeWhole) -> None:
    consumers = {**dict.fromkeys(Route, "ivd"), Route.QC: "qc-system"}
    whole = make_whole(consumers=consumers)
    whole.connect()
    whole.consumer_says(False, at=1, consumer="qc-system")
    control, result = whole.queue(Route.QC), whole.queue()
    assert whole.sent() == [result]
    gates = whole.publisher.status().gates
    assert gates["ivd"] is None
    assert gates["qc-system"] is not None
    whole.consumer_says(True, at=2, consumer="qc-system")
    assert whole.sent() == [result, control]
    whole.puback(control)
    whole.ack(control)
    assert whole.state(control) is MessageState.AT_BROKER, "by another one than its route's"
    whole.ack(control, consumer="qc-system")
    assert whole.state(control) is MessageState.FILED


def test_a_puback_for_nothing_is_nothing(whole: Whole) -> None:
    whole.connect()
    message = whole.queue()
    whole.now.flying.append(999)
    whole.puback_mid(999)
    assert whole.state(message) is MessageState.QUEUED
    whole.puback(message)
    assert whole.state(message) is MessageState.AT_BROKER


def test_saying_online_twice_makes_no_backlog_of_what_is_fresh(make_whole: MakeWhole) -> None:
    """Of eight slots a backlog gets four; what came since the management system was there may use them all."""
    whole = make_whole(unfiled=8)
    whole.connect()
    whole.consumer_says(True, at=1)
    whole.now.most = 0
    messages = [whole.queue() for _ in range(6)]
    whole.wait(1)
    whole.consumer_says(True, at=2)
    whole.now.most = 100
    whole.publisher.kick()
    whole.wait(0)
    assert whole.sent() == messages
