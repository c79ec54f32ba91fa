"""What the store could not commit was not acknowledged, and comes again."""

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from support_broker import Broker
from support_publisher import Agent, MakeAgent, MakeCentral, until

from edge_agent.publisher import outbox
from edge_agent.publisher.events import Ended, Received
from edge_agent.states import MessageState
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.thread import StoreThread

pytestmark = pytest.mark.broker


class Flaky:
    """The store's second lane, failing while told to."""

    def __init__(self, store: StoreThread) -> None:
        self._store = store
        self.failing = False
        self.refused = 0

    @property
    def failed(self) -> str | None:
        return "full" if self.failing else None

    def later(self, job: Any) -> "Future[Any]":
        if not self.failing:
            return self._store.later(job)
        self.refused += 1
        broken: Future[Any] = Future()
        broken.set_exception(StorageFailedError("disk full"))
        return broken


def test_an_answer_that_could_not_be_stored_is_delivered_again_by_the_broker(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker, start=False)
    agent.store.start()
    real, agent.store = agent.store, Flaky(agent.store)
    agent.begin()
    agent.store, flaky = real, agent.store
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
    flaky.failing = True
    central.ack(message, "AA")
    until(lambda: flaky.refused, "the answer was not stored")
    until(lambda: not agent.publisher.status().connected or broker.log.count("as gw-01") > 1, "the connection given up")
    assert agent.state(message) is MessageState.AT_BROKER
    flaky.failing = False
    until(lambda: agent.filed(message), "filed by the same answer")
    assert len(central.arrived) == 1, "the broker kept the answer; the message was not needed again"


class Held(Flaky):
    """Also: the next job waits until it is let go."""

    def __init__(self, store: StoreThread) -> None:
        super().__init__(store)
        self.holding = False
        self.held: list[tuple[Future[Any], Any]] = []

    def later(self, job: Any) -> "Future[Any]":
        if not self.holding:
            return super().later(job)
        self.holding = False
        waits: Future[Any] = Future()
        self.held.append((waits, job))
        return waits

    def let_go(self) -> None:
        for waits, job in self.held:
            waits.set_result(self._store.later(job).result(20))


def test_the_end_of_a_connection_is_heard_although_the_store_would_not_have_the_answer_before_it(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    """Without it no other connection would ever be made, and nothing would say so."""
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker, start=False)
    agent.store.start()
    real, agent.store = agent.store, Held(agent.store)
    agent.begin()
    agent.store, lane = real, agent.store
    first, second = agent.queue(), agent.queue()
    until(lambda: {agent.state(first), agent.state(second)} == {MessageState.AT_BROKER}, "at the broker")
    lane.holding = True
    central.ack(first, "AA")
    until(lambda: lane.held, "the publisher waits for the store")
    central.ack(second, "AA")
    until(lambda: waiting(agent, Received), "the second answer is there")
    broker.kill()
    until(lambda: waiting(agent, Ended), "and behind it the end of the connection")
    lane.failing = True
    lane.let_go()
    until(lambda: lane.refused, "the second answer was not stored")
    broker.start()
    until(lambda: broker.log.count("as gw-01") > 1, "another connection although storage does not work")
    lane.failing = False
    central.answer = lambda _m: "AA"
    third = agent.queue()
    until(lambda: agent.filed(third), "new results are filed again")


def waiting(agent: Agent, kind: type) -> bool:
    return any(isinstance(event, kind) for event in list(agent.publisher._inbox._events))


def test_other_options_are_not_waited_for_while_storage_does_not_work(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    """An agent that is told to stop waits for a reload under way."""
    central = make_central(broker)
    agent = make_agent(broker, start=False)
    agent.store.start()
    real, agent.store = agent.store, Flaky(agent.store)
    agent.begin()
    agent.store, flaky = real, agent.store
    until(lambda: agent.publisher.status().connected, "connected")
    flaky.failing = True
    options = replace(agent.options, keepalive_s=20)
    asyncio.run_coroutine_threadsafe(agent.publisher.use(options), agent.loop).result(20)
    until(lambda: flaky.refused, "it waits for the store")
    flaky.failing = False
    message = agent.queue()
    until(lambda: agent.filed(message), "filed by the new connection")
    assert central.ids() == [message]


def test_message_n_is_not_sent_again_until_the_next_one_is_answered(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten unanswered minutes, here a moment."""
    monkeypatch.setattr(outbox, "PATIENCE", outbox.PATIENCE / 6000)
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker, ack_timeout_s=0.4, retry_max_s=0.1)
    first, second = agent.queue("S1"), agent.queue("S1")
    until(lambda: second in central.ids(), "the second although the first has no answer")
    after = central.ids().index(second)
    until(lambda: second in central.ids()[after + 1 :], "the second once more: time enough for the first")
    assert first not in central.ids()[after:], "it waits for the answer to the second"
    central.ack(second, "AA")
    until(lambda: agent.filed(second), "the second filed")
    central.answer = lambda _m: "AA"
    until(lambda: agent.filed(first), "then the first goes again")
