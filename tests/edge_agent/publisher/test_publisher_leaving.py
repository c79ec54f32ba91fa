"""Leaving a broker: a stop, other options, a retirement. Offline is said, answers are waited for, nobody for ever."""

import json
from typing import Any

import pytest
from support_kept_connection import KeptConnection
from support_whole_publisher import MakeWhole, Whole

from edge_agent.publisher.events import Cause
from edge_agent.states import MessageState


@pytest.fixture
def whole(make_whole: MakeWhole) -> Whole:
    made = make_whole()
    made.connect()
    return made


def states(whole: Whole, on: KeptConnection | None = None) -> list[str]:
    return [json.loads(payload)["state"] if payload else "" for payload in whole.said("state", on)]


def hears_offline(whole: Whole) -> None:
    mid = next(said.mid for said in reversed(whole.now.said) if said.topic.endswith("/state"))
    whole.puback_mid(mid)


def test_a_stop_says_offline_and_closes_when_the_broker_has_heard_it(whole: Whole) -> None:
    whole.publisher.stop()
    whole.wait(2)
    assert states(whole) == ["ready", "offline"], "once"
    assert whole.now.closed == []
    hears_offline(whole)
    assert whole.now.closed == [False]
    assert whole.task.done()


def test_a_broker_that_does_not_hear_offline_is_waited_for_three_seconds(whole: Whole) -> None:
    whole.publisher.stop()
    whole.wait(2.9)
    assert not whole.task.done()
    whole.wait(0.2)
    assert whole.task.done()
    assert whole.now.closed == [False]


def test_a_stop_without_a_connection_waits_for_nobody(whole: Whole) -> None:
    whole.ended()
    whole.publisher.stop()
    whole.wait(0)
    assert whole.task.done()


def test_the_answer_that_comes_during_the_goodbye_is_stored_and_acknowledged(whole: Whole) -> None:
    message, unheard = whole.at_broker(), whole.queue()
    whole.publisher.stop()
    whole.wait(0)
    assert whole.ack(message).acknowledged
    assert whole.state(message) is MessageState.FILED
    whole.puback(unheard)
    assert whole.state(unheard) is MessageState.AT_BROKER
    assert not whole.task.done(), "neither of them is the answer to the goodbye"
    assert states(whole) == ["ready", "offline"]
    hears_offline(whole)
    assert whole.task.done()


def test_nothing_is_published_after_a_stop(whole: Whole) -> None:
    whole.publisher.stop()
    whole.wait(0)
    message = whole.queue()
    assert message not in whole.sent()


def test_storage_that_fails_during_the_goodbye_ends_it(whole: Whole) -> None:
    message = whole.at_broker()
    whole.publisher.stop()
    whole.wait(0)
    whole.lane.failing = True
    owed = whole.ack(message)
    assert not owed.acknowledged
    assert whole.task.done()
    assert whole.now.closed == [False]


def test_the_end_of_the_connection_ends_the_goodbye(whole: Whole) -> None:
    whole.publisher.stop()
    whole.wait(0)
    whole.ended()
    assert whole.task.done()


def test_offline_waits_for_room(whole: Whole) -> None:
    message = whole.queue()
    whole.now.most = len(whole.now.flying)
    whole.publisher.stop()
    whole.wait(1)
    assert states(whole) == ["ready"]
    whole.puback(message)
    assert states(whole) == ["ready", "offline"]


def test_a_publisher_that_is_cancelled_says_goodbye_too(whole: Whole) -> None:
    whole.task.cancel()
    whole.wait(1)
    assert states(whole) == ["ready", "offline"]
    hears_offline(whole)
    assert whole.task.cancelled()
    assert whole.now.closed == [False]


def test_the_old_broker_hears_offline_and_the_new_address_is_used_when_the_connection_has_ended(whole: Whole) -> None:
    options = whole.other_options(urls=("mqtt://b.example",), gateway="gw-01")
    change = whole.do(whole.publisher.use(options), 1)
    assert states(whole) == ["ready", "offline"]
    hears_offline(whole)
    assert whole.now.closed == [False]
    assert not change.done()
    whole.ended(Cause.CLOSED)
    whole.wait(0.01)
    assert change.done()
    assert str(whole.now.broker) == "mqtt://b.example:1883"
    assert whole.publisher.status().url == "mqtt://b.example:1883"


def test_an_old_broker_that_hangs_is_left_after_six_seconds(whole: Whole) -> None:
    """Three for the goodbye, three for the end of the connection."""
    old = whole.now
    change = whole.do(whole.publisher.use(whole.other_options(urls=("mqtt://b.example",))), 5.9)
    assert not change.done()
    whole.wait(0.2)
    assert change.done()
    new = whole.now
    assert new is not old
    whole.connect()
    whole.ended(on=old)
    assert whole.publisher.status().connected, "the old one's end is not the new one's"


def test_what_is_out_is_taken_up_from_the_store_and_what_comes_meanwhile_is_kept(whole: Whole) -> None:
    out, filed = whole.at_broker(), whole.at_broker()
    change = whole.do(whole.publisher.use(whole.other_options(ack_timeout_s=20.0)))
    hears_offline(whole)
    assert whole.ack(filed).acknowledged, "between the goodbye and the end"
    whole.ended(Cause.CLOSED)
    whole.wait(0.01)
    assert change.done()
    assert whole.state(filed) is MessageState.FILED
    whole.connect()
    assert whole.publisher.status().unanswered == 0
    whole.wait(19)
    assert whole.sent() == []
    whole.wait(2)
    assert whole.sent() == [out], "by the new options' time"


def test_storage_that_fails_between_goodbye_and_end_does_not_stop_the_change(whole: Whole) -> None:
    message = whole.at_broker()
    change = whole.do(whole.publisher.use(whole.other_options(urls=("mqtt://b.example",))))
    hears_offline(whole)
    whole.lane.failing = True
    whole.ack(message)
    assert change.done()
    whole.lane.failing = False
    whole.wait(1)
    assert str(whole.now.broker) == "mqtt://b.example:1883"


def test_a_weak_mode_is_alarmed_as_long_as_it_is_used(whole: Whole) -> None:
    for confirm, alarmed in (("broker", True), ("application", False)):
        whole.do(whole.publisher.use(whole.other_options(confirm=confirm)))
        whole.ended(Cause.CLOSED)
        whole.wait(0.01)
        assert ("weak-mode" in whole.codes()) is alarmed
        assert bool(whole.publisher.status().weakness) is alarmed
        whole.connect()


def test_a_management_system_that_was_away_is_asked_anew_by_other_options(whole: Whole) -> None:
    whole.consumer_says(False, at=1)
    whole.do(whole.publisher.use(whole.other_options(keepalive_s=20)))
    whole.ended(Cause.CLOSED)
    whole.wait(0.01)
    assert "consumer-offline" not in whole.codes()
    whole.connect()
    message = whole.queue()
    assert whole.sent() == [message]


def test_whoever_waits_for_a_change_that_is_given_up_waits_no_longer(whole: Whole) -> None:
    change = whole.do(whole.publisher.use(whole.options))
    whole.task.cancel()
    whole.wait(0)
    assert change.cancelled()


def test_a_stop_during_a_change_is_followed(whole: Whole) -> None:
    change = whole.do(whole.publisher.use(whole.options))
    whole.publisher.stop()
    whole.ended(Cause.CLOSED)
    whole.wait(0.01)
    assert change.done()
    assert whole.task.done()


def retired(task: Any) -> Any:
    return task.result() if task.done() else None


def test_a_retirement_is_over_when_the_broker_has_said_that_it_forgot_us(whole: Whole) -> None:
    retirement = whole.do(whole.publisher.retire())
    assert states(whole) == ["ready", "offline", ""]
    assert whole.publisher.retained()[0] == "ivd/v1/seoul-01/gw-01/state"
    assert retired(retirement) is None
    whole.take_notes()
    whole.wait(0)
    assert retired(retirement) is True


def test_a_retirement_without_a_connection_is_none(whole: Whole) -> None:
    whole.ended()
    assert retired(whole.do(whole.publisher.retire())) is False


def test_a_broker_that_does_not_say_that_it_forgot_us_is_waited_for_as_long_as_was_said(whole: Whole) -> None:
    retirement = whole.do(whole.publisher.retire(4.0), 3.9)
    assert retired(retirement) is None
    whole.wait(0.2)
    assert retired(retirement) is False


def test_a_broker_that_says_nothing_of_the_kind_is_waited_for_ten_seconds(whole: Whole) -> None:
    retirement = whole.do(whole.publisher.retire(), 9.9)
    assert retired(retirement) is None
    whole.wait(0.2)
    assert retired(retirement) is False


def test_what_is_due_during_a_retirement_is_left_and_not_looked_at_again_and_again(whole: Whole) -> None:
    """The loop once turned without waiting, a whole processor long, until the retirement was over."""
    whole.queue()
    jobs = whole.lane.jobs
    whole.do(whole.publisher.retire(300.0), 200.0)
    assert whole.lane.jobs == jobs


def test_nothing_is_delivered_during_a_retirement_and_everything_when_it_is_taken_back(whole: Whole) -> None:
    whole.do(whole.publisher.retire())
    whole.take_notes()
    message = whole.queue()
    assert whole.sent() == []
    whole.publisher.unretire()
    whole.wait(0)
    assert states(whole)[-1] == "ready"
    assert whole.sent() == [message]


def test_a_second_retirement_does_not_believe_the_firsts_end(whole: Whole) -> None:
    whole.do(whole.publisher.retire())
    whole.take_notes()
    whole.publisher.unretire()
    whole.wait(0)
    again = whole.do(whole.publisher.retire())
    assert retired(again) is None
    whole.take_notes()
    assert retired(again) is True


def test_a_stop_in_the_middle_of_a_retirement_says_nothing_more(whole: Whole) -> None:
    whole.do(whole.publisher.retire())
    whole.take_notes()
    whole.publisher.stop()
    whole.wait(0)
    assert whole.task.done()
    assert states(whole) == ["ready", "offline", ""]
    assert whole.now.closed == [True], "the session at the broker ends with it"


def test_what_the_agent_is_doing_is_said_when_it_changes(whole: Whole) -> None:
    whole.publisher.say_state()
    assert states(whole) == ["ready", "ready"]
