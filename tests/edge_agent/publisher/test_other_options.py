"""Other options while messages are out: the broker is taken leave of, and every message is filed once, by its id."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_broker import Broker, running
from support_publisher import Agent, Central, MakeAgent, MakeCentral, until, watching

from edge_agent.states import MessageState

pytestmark = pytest.mark.broker


def use(agent: Agent, **changes: Any) -> None:
    """Returns when the old connection is given up."""
    options = replace(agent.publisher._options, **changes)
    asyncio.run_coroutine_threadsafe(agent.publisher.use(options), agent.loop).result(20)


def connected(agent: Agent, broker: Broker) -> None:
    until(lambda: agent.publisher.status().connected and agent.publisher.status().url == broker.url, "connected")


def states(got: list[Any]) -> list[str]:
    return [json.loads(m.payload)["state"] for m in got if not m.retain]


def test_messages_that_wait_for_their_answer_keep_id_and_content(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, answer=lambda _: None)
    agent = make_agent(broker).ready()
    ids = [agent.queue() for _ in range(5)]
    until(lambda: agent.count(MessageState.AT_BROKER) == 5, "all at the broker")
    with watching(broker, "ivd/v1/seoul-01/gw-01/state") as seen:
        use(agent, keepalive_s=20)
        connected(agent, broker)
        until(lambda: states(seen) == ["offline", "ready"], f"said so: {states(seen)}")
    for message in ids:
        central.ack(message, "AA")
    until(lambda: agent.filed(*ids), "filed by the answers that came after")
    assert Counter(central.ids()) == Counter(ids)  # the broker kept the session, so nothing went twice
    assert agent.publisher.status().reason == ""


def test_to_another_broker_and_back_nothing_is_lost_and_no_content_changes(
    tmp_path: Path, broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    first = make_central(broker, answer=lambda _: None)
    agent = make_agent(broker, unfiled=40)  # a quarter of them for what goes again
    ids = [agent.queue() for _ in range(5)]
    until(lambda: agent.count(MessageState.AT_BROKER) == 5, "all at the first broker")
    with running(Broker(tmp_path / "second")) as second:
        there = make_central(second, name="ivd", instance="b", answer=lambda _: None)
        use(agent, urls=(second.url,))
        until(lambda: sorted(there.ids()) == sorted(ids), "all at the second, at once")
        use(agent, urls=(broker.url,))
        until(lambda: Counter(first.ids()) == Counter(ids * 2), "and again at the first, whose copy nobody answered")
        for message in ids:
            first.ack(message, "AA")
        until(lambda: agent.filed(*ids), "filed")
        payloads = {m.correlation: m.payload for m in there.arrived}
        assert all(payloads[m.correlation] == m.payload for m in first.arrived)


def test_the_first_broker_hears_offline_from_a_gateway_that_leaves_it(
    tmp_path: Path, broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker)
    until(lambda: b"ready" in central.seen.get("state", b""), "born")
    with running(Broker(tmp_path / "second")) as second:
        use(agent, urls=(second.url,))
        connected(agent, second)
        until(lambda: b"offline" in central.seen["state"], "offline")


def test_what_is_queued_while_no_broker_can_be_reached_is_filed_after_the_right_address(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker, retry_max_s=1)
    connected(agent, broker)
    use(agent, urls=("mqtt://127.0.0.1:1",))
    message = agent.queue()
    until(lambda: agent.alarm("broker-down"), "no broker there")
    assert agent.state(message) is MessageState.QUEUED
    use(agent, urls=(broker.url,))
    until(lambda: agent.filed(message), "filed")
    assert central.ids() == [message]


def test_what_the_broker_would_not_take_is_tried_again_by_other_options(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    small = Broker(tmp_path / "small", extra=("message_size_limit 3000", "max_packet_size 3000"))
    with running(small) as broker, running(Broker(tmp_path / "large")) as large:
        central = make_central(large)
        agent = make_agent(broker)
        message = agent.queue(filler=5000)
        until(lambda: agent.state(message) is MessageState.BLOCKED, "blocked")
        use(agent, urls=(broker.url,), keepalive_s=20)
        connected(agent, broker)
        until(lambda: agent.state(message) is MessageState.BLOCKED, "the same broker takes it no better")
        use(agent, urls=(large.url,))
        until(lambda: agent.filed(message), "filed")
        assert central.ids() == [message]
        assert agent.alarm("blocked") is None


def test_a_management_system_that_is_asked_no_more_is_not_missed(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    old: Central = make_central(broker, name="old")
    make_central(broker, name="new")
    agent = make_agent(broker, consumers=dict.fromkeys(("result", "qc", "validation"), "old"))
    until(lambda: agent.publisher.status().connected, "connected")
    old.say(False)
    until(lambda: agent.alarm("consumer-offline"), "the gate is closed")
    message = agent.queue()
    use(agent, consumers=dict.fromkeys(("result", "qc", "validation"), "new"))
    until(lambda: agent.filed(message), "filed by the other")
    assert agent.alarm("consumer-offline") is None


def test_a_weaker_mode_is_alarmed_while_it_is_used_and_results_go_by_the_new_consumer(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    agent = make_agent(broker, confirm="broker")
    until(lambda: agent.alarm("weak-mode"), "said to be weak")
    use(agent, confirm="application", consumers=dict.fromkeys(agent.publisher._options.consumers, "lis"))
    assert agent.alarm("weak-mode") is None
    assert list(agent.publisher.status().gates) == ["lis"]
    make_central(broker, name="lis")
    message = agent.queue()
    until(lambda: agent.filed(message), "filed by the other one")
