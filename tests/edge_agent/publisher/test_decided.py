"""What a person decided over a message takes effect at once, whatever the publisher was waiting for."""

from collections.abc import Callable
from typing import Any

import pytest
from support_broker import Broker
from support_publisher import Agent, MakeAgent, MakeCentral, until

from edge_agent.states import MessageState
from edge_agent.store.store import Store

pytestmark = pytest.mark.broker

FOR_GOOD = {"answer": lambda _m: "AE", "error": "103^Table value not found^HL70357"}  # tried again in half an hour


def decide(agent: Agent, message: str, job: Callable[[Store], Any]) -> None:
    agent.store.later(job).result()
    agent.call(lambda: agent.publisher.decided(message))


def test_a_rejected_message_a_person_sends_again_goes_at_once_and_the_alarm_is_over(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, **FOR_GOOD)
    agent = make_agent(broker)
    message = agent.queue()
    until(lambda: agent.alarm("rejected"), "rejected")
    central.answer = lambda _m: "AA"
    decide(agent, message, lambda s: s.requeue(message, replay="operator", who="kim", note="mapped"))
    until(lambda: agent.filed(message), "filed")
    assert [m.user["replay"] for m in central.arrived] == ["original", "operator"]
    assert len({(m.correlation, m.payload) for m in central.arrived}) == 1
    until(lambda: not agent.alarm("rejected"), "the alarm is over")


def test_one_that_is_rejected_again_is_rejected_again(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, **FOR_GOOD)
    agent = make_agent(broker)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.REJECTED, "rejected")
    decide(agent, message, lambda s: s.requeue(message, replay="operator", who="kim", note="mapped"))
    until(lambda: len(central.arrived) == 2 and agent.state(message) is MessageState.REJECTED, "rejected again")
    assert agent.row(message).retry_at is not None


def test_one_that_gets_no_answer_is_tried_again_by_itself(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, **FOR_GOOD)
    agent = make_agent(broker, ack_timeout_s=0.3, retry_max_s=0.3)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.REJECTED, "rejected")
    central.answer = lambda _m: None
    decide(agent, message, lambda s: s.requeue(message, replay="operator", who="kim", note="mapped"))
    until(lambda: len(central.arrived) >= 4, "tried again")
    central.answer = lambda _m: "AA"
    until(lambda: agent.filed(message), "filed")


def test_a_filed_message_a_person_wants_again_goes_once_more_and_stays_filed(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker)
    message = agent.queue()
    until(lambda: agent.filed(message), "filed")
    decide(agent, message, lambda s: s.send_again(message, who="kim", note="lost there"))
    until(lambda: len(central.arrived) == 2 and agent.row(message).replay_at is None, "sent and answered")
    assert [m.user["replay"] for m in central.arrived] == ["original", "operator"]
    assert agent.filed(message)


def test_a_message_set_aside_gives_its_slot_to_the_next_and_is_not_sent_again(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    """The only slot: without the decision the next one would wait a minute for the answer's time limit."""
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker, unfiled=1)
    first = agent.queue()
    until(lambda: agent.state(first) is MessageState.AT_BROKER, "at the broker")
    until(lambda: central.ids() == [first], "the management system has it, and is silent")
    second = agent.queue()
    central.answer = lambda _m: "AA"
    decide(agent, first, lambda s: s.set_aside(first, who="kim", note="by hand"))
    until(lambda: agent.filed(second), "the next one is filed")
    assert central.ids() == [first, second]
    assert agent.state(first) is MessageState.SET_ASIDE


def test_a_word_about_a_message_that_is_at_the_broker_does_not_make_it_forgotten(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker, ack_timeout_s=0.5, retry_max_s=0.5)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
    agent.call(lambda: agent.publisher.decided(message))
    until(lambda: len(central.arrived) >= 2, "sent again")
