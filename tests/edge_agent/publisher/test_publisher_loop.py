"""The publisher's loop on a clock moved by hand: what it does by itself, when, and what stops nothing."""

import logging
from typing import Any

import pytest
from support_whole_publisher import MakeWhole, Whole

from edge_agent.monitor.payloads import AnalyserState
from edge_agent.publisher.events import Cause, Connected, Ended
from edge_agent.publisher.proof import Proven
from edge_agent.states import MessageState
from edge_agent.store.errors import UnknownRowError


def test_what_was_queued_before_the_connection_goes_when_the_broker_was_seen_to_deliver(whole: Whole) -> None:
    message = whole.queue()
    assert whole.now.opened
    assert whole.sent() == []
    whole.connect()
    assert whole.sent() == [message]
    assert whole.state(message) is MessageState.QUEUED
    whole.puback(message)
    assert whole.state(message) is MessageState.AT_BROKER
    whole.ack(message)
    assert whole.state(message) is MessageState.FILED


def test_a_message_that_is_told_of_goes_at_once(whole: Whole) -> None:
    whole.connect()
    began = whole.clock.seconds
    assert whole.sent() == []
    message = whole.queue()
    assert whole.sent() == [message]
    assert whole.clock.seconds == began


def test_one_nobody_told_of_goes_with_the_minutes_look(whole: Whole) -> None:
    """A kick that is lost costs a minute, not a result."""
    whole.connect()
    whole.wait(61)
    message = whole.put()
    whole.wait(50)
    assert whole.sent() == []
    whole.wait(11)
    assert whole.sent() == [message]


def test_without_news_the_store_is_left_alone(whole: Whole) -> None:
    """A loop that turned without waiting would find everything above, and take a whole processor."""
    whole.connect()
    whole.wait(60)
    before = whole.lane.jobs
    whole.wait(600)
    assert whole.lane.jobs - before <= 60, "a handful of questions a minute"


def test_nobody_is_woken_for_results_while_there_is_no_connection(whole: Whole) -> None:
    whole.connect()
    whole.at_broker()
    whole.ended()
    before = whole.lane.jobs
    whole.wait(50)  # its answer is not missed before a minute
    assert whole.lane.jobs - before <= 3


def test_a_message_nobody_answered_goes_again_after_a_restart_too(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.publisher.stop()
    whole.wait(5)
    whole.begin()
    whole.connect()
    assert whole.sent() == []
    whole.wait(59)
    assert whole.sent() == []
    whole.wait(2)
    assert whole.sent() == [message]


def test_a_start_waits_for_storage_that_does_not_work_and_goes_on(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.publisher.stop()
    whole.wait(5)
    whole.lane.failing = True
    connections = len(whole.made)
    whole.begin()
    whole.wait(10)
    assert len(whole.made) == connections, "nothing is sent or heard before what is out is known"
    whole.lane.failing = False
    whole.wait(1)
    assert len(whole.made) == connections + 1
    whole.connect()
    whole.wait(61)
    assert whole.sent() == [message]


def test_a_stop_is_heard_while_a_start_waits_for_storage(whole: Whole) -> None:
    whole.publisher.stop()
    whole.wait(5)
    whole.lane.failing = True
    whole.begin()
    whole.publisher.stop()
    whole.wait(1)
    assert whole.task.done()


def test_what_a_person_decided_elsewhere_ends_its_alarm_within_a_minute(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.ack(message, "AE")
    assert whole.state(message) is MessageState.REJECTED
    assert "rejected" in whole.codes()
    whole.wait(60)
    whole.store.set_aside(message, who="kim", note="phoned through")
    assert "rejected" in whole.codes()
    whole.wait(60)
    assert "rejected" not in whole.codes()


def test_what_a_person_decided_and_tells_of_is_followed_at_once(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.ack(message, "AE")
    whole.store.set_aside(message, who="kim", note="phoned through")
    whole.publisher.decided(message)
    whole.wait(0)
    assert "rejected" not in whole.codes()


def test_a_decision_is_not_forgotten_over_a_storage_error(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.ack(message, "AE")
    whole.store.set_aside(message, who="kim", note="phoned through")
    whole.lane.failing = True
    whole.publisher.decided(message)
    whole.wait(0)
    assert "rejected" in whole.codes()
    whole.lane.failing = False
    whole.ended(Cause.CLOSED)
    whole.wait(1)
    assert "rejected" not in whole.codes()


def test_several_decisions_are_followed_together(whole: Whole) -> None:
    whole.connect()
    messages = [whole.at_broker() for _ in range(2)]
    for message in messages:
        whole.store.set_aside(message, who="kim", note="phoned through")
        whole.publisher.decided(message)
    whole.wait(0)
    assert whole.publisher.status().unanswered == 0


def test_a_storage_error_gives_the_connection_up_and_another_one_is_made(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.lane.failing = True
    owed = whole.ack(message)
    assert not owed.acknowledged, "it would never come again"
    assert whole.now.closed == [False], "and the session is kept, for what the broker holds for us"
    whole.lane.failing = False
    whole.ended(Cause.CLOSED)
    whole.wait(5)
    assert len(whole.made) == 2
    whole.connect()
    assert whole.ack(message).acknowledged
    assert whole.state(message) is MessageState.FILED


def test_the_end_behind_an_answer_that_could_not_be_stored_is_heard(whole: Whole) -> None:
    """Without it no other connection would ever be made, and nothing would say so."""
    whole.connect()
    message = whole.at_broker()
    whole.lane.failing = True
    whole.together(whole.answer(message), Ended(whole.now.number, Cause.DROPPED, None, "it ended"))
    assert not whole.publisher.status().connected
    whole.wait(5)
    assert len(whole.made) == 2
    whole.connect()
    assert whole.publisher.status().connected
    late = Ended(1, Cause.DROPPED, None, "it ended once more")
    whole.together(late, Connected(2, 0x88, False, 100, None), whole.answer(message))
    assert whole.publisher.status().connected, "the end of another connection, and nothing else is heard twice"


def test_no_connection_is_refused_by_the_broker_for_ever(whole: Whole) -> None:
    whole.now.post(Connected(whole.now.number, 0x86, False, 100, None))
    whole.wait(0)
    assert not whole.publisher.status().connected
    assert whole.publisher.status().reason == "user name or password is wrong (0x86)"
    whole.ended()
    whole.wait(5)
    assert len(whole.made) == 2


def test_a_broker_that_refuses_us_has_forgotten_nothing(whole: Whole) -> None:
    """0x80 is the lowest code of a refusal. What waits for its answer is not sent again for it."""
    whole.connect()
    message = whole.at_broker()
    whole.ended(Cause.NETWORK)
    whole.wait(5)
    whole.now.post(Connected(whole.now.number, 0x80, False, 100, None))
    whole.ended()
    whole.wait(5)
    whole.connect(session=True)
    assert whole.sent() == []
    whole.ack(message)
    assert whole.state(message) is MessageState.FILED


def test_late_news_of_an_earlier_connection_changes_nothing(whole: Whole) -> None:
    whole.connect()
    first = whole.now
    message = whole.queue()
    whole.ended(Cause.NETWORK)
    whole.wait(5)
    first.post(Connected(first.number, 0, True, 100, None))
    whole.wait(0)
    assert not whole.publisher.status().connected
    whole.connect()
    second = whole.now
    assert second is not first
    late = whole.comes("down/command/x", b"{}", on=first)
    assert not late.acknowledged
    whole.ended(on=first)
    assert whole.publisher.status().connected
    assert whole.now is second
    assert whole.sent() == [message], "its own PUBACK is still awaited"
    whole.puback(message)
    assert whole.state(message) is MessageState.AT_BROKER


def test_a_person_who_says_try_again_is_not_made_to_wait(whole: Whole) -> None:
    for _ in range(6):
        whole.ended(Cause.NETWORK)
        whole.wait(0.01)
    count = len(whole.made)
    whole.publisher.resume()
    whole.wait(0)
    assert len(whole.made) == count + 1


def test_what_is_shown_of_it(whole: Whole) -> None:
    status = whole.publisher.status()
    assert (status.connected, status.url, status.since) == (False, "mqtt://a.example:1883", None)
    whole.connect()
    whole.consumer_says(False, at=1)
    closed = whole.clock.now()
    whole.wait(10)
    one, two = whole.queue(), whole.queue()
    whole.consumer_says(True, at=2)
    assert whole.sent() == [one, two]
    whole.puback(one)
    status = whole.publisher.status()
    assert (status.connected, status.proven, status.reason) == (True, Proven.YES, "")
    assert (status.in_flight, status.unanswered, status.weakness) == (1, 2, "")
    assert status.gates == {"ivd": None}
    whole.consumer_says(False, at=3)
    since = whole.publisher.status().gates["ivd"]
    assert since is not None
    assert (since - closed).total_seconds() == 10
    assert whole.publisher.tally.published == 2


def test_a_weak_mode_is_alarmed_from_the_start(make_whole: MakeWhole) -> None:
    (alarm,) = [a for a in make_whole(confirm="broker").alarms.active() if a.code == "weak-mode"]
    assert "confirm = broker" in alarm.sentence
    assert "weak-mode" not in make_whole().codes()


def test_a_certificate_that_ends_soon_is_alarmed_at_the_start_and_followed(
    make_whole: MakeWhole, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[float, str, str]] = []
    monkeypatch.setattr(
        "edge_agent.monitor.certificates.Expiry.look",
        lambda self, cert, ca: looked.append((self._clock.monotonic(), cert, ca)),
    )
    whole = make_whole(cert_file="own.pem", ca_file="ca.pem")
    assert looked == [(1000.0, "own.pem", "ca.pem")]
    whole.connect()
    whole.wait(150)
    assert looked[1:] == [(1060.0, "own.pem", "ca.pem"), (1120.0, "own.pem", "ca.pem")]


def test_what_the_store_refuses_is_said_and_stops_nothing(whole: Whole, caplog: pytest.LogCaptureFixture) -> None:
    whole.connect()
    message = whole.at_broker()
    real = whole.lane.later

    def refuses(_job: Any) -> Any:
        whole.lane.later = real  # type: ignore[method-assign]
        raise UnknownRowError("message")

    whole.lane.later = refuses  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        whole.publisher.decided(message)
        whole.wait(0)
    assert UnknownRowError("message").code in caplog.text
    assert whole.now.closed == []
    later = whole.queue()
    assert later in whole.sent()


def test_a_fact_that_changes_is_published_at_once(whole: Whole) -> None:
    whole.connect()
    assert whole.said("analyser/xn1/state") == []
    whole.presence.set_analyser("xn1", AnalyserState(link="up", protocol="idle", since=whole.clock.now()))
    whole.wait(0)
    assert len(whole.said("analyser/xn1/state")) == 1


def test_what_is_asked_for_before_it_runs_is_done_when_it_does(whole: Whole) -> None:
    whole.connect()
    message = whole.put()
    whole.wait(30)
    whole.publisher.kick()
    whole.publisher.kick()
    whole.wait(0)
    assert whole.sent() == [message]
