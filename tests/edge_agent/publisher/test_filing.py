"""A result is published, answered and filed: through a real broker, with a management system of the test's own."""

import hashlib
from pathlib import Path

import pytest
from support_broker import Broker, running
from support_publisher import ROOT, Agent, MakeAgent, MakeCentral, until

from edge_agent.states import MessageState
from edge_agent.store.rows import Route

pytestmark = pytest.mark.broker


def test_a_result_is_filed_when_the_management_system_accepts_it(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker)
    message = agent.queue()
    until(lambda: agent.filed(message), "filed")
    (got,) = central.arrived
    row = agent.row(message)
    assert got.topic == "ivd/v1/seoul-01/gw-01/up/xn1/result"
    assert got.payload == row.payload
    assert got.correlation == message.encode()
    assert got.response_topic == "ivd/v1/seoul-01/gw-01/down/ack/ivd"
    assert got.content_type == "application/hl7-v2; charset=utf-8"
    assert got.format == 1
    assert got.user.pop("time") == row.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert got.user == {
        "specversion": "1.0",
        "id": message,
        "source": "/edge-agent/seoul-01/gw-01/xn1",
        "type": "org.edge-agent.hl7.oul.r22.v1",
        "sequence": "1",
        "replay": "original",
        "digest": hashlib.sha256(row.payload).hexdigest(),
    }
    assert [a.what for a in agent.attempts(message)] == ["published", "puback", "ack"]


def test_each_route_has_its_topic(broker: Broker, make_agent: MakeAgent, make_central: MakeCentral) -> None:
    central = make_central(broker)
    agent = make_agent(broker)
    ids = [agent.queue(route=route) for route in Route]
    until(lambda: agent.filed(*ids), "all filed")
    assert sorted(m.topic.removeprefix(ROOT) for m in central.arrived) == [
        "/up/xn1/qc",
        "/up/xn1/result",
        "/up/xn1/validation",
    ]


def test_what_was_queued_while_the_broker_was_away_is_filed_in_order_once(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker)
    first = agent.queue()
    until(lambda: agent.filed(first), "the first filed")
    broker.stop()
    alarm = until(lambda: agent.alarm("broker-down"), "an alarm that the broker is away")
    assert "connection refused" in alarm.sentence
    later = [agent.queue() for _ in range(20)]
    broker.start()
    until(lambda: agent.filed(*later), "the rest filed")
    assert agent.alarm("broker-down") is None
    assert [int(m.user["sequence"]) for m in central.arrived] == list(range(1, 22))
    assert {m.user["replay"] for m in central.arrived} == {"original"}


def test_after_an_outage_backlog_and_fresh_results_each_go_in_sequence(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    keeps_sessions = ("persistence true", f"persistence_location {tmp_path}/")
    with running(Broker(tmp_path / "broker", extra=keeps_sessions)) as broker:
        central = make_central(broker)
        agent = make_agent(broker)
        first = agent.queue()
        until(lambda: agent.filed(first), "connected")
        broker.stop()
        until(lambda: agent.alarm("broker-down"), "away")
        backlog = [agent.queue(analyser=name) for _ in range(30) for name in ("xn1", "gx1")]
        broker.start()
        until(lambda: agent.publisher.status().connected, "back")
        fresh = [agent.queue(analyser=name) for _ in range(30) for name in ("xn1", "gx1")]
        until(lambda: agent.filed(*backlog, *fresh), "all filed")
    assert len(central.arrived) == 121, "each once"
    for share in (set(backlog), set(fresh)):
        for name in ("xn1", "gx1"):
            order = [
                int(m.user["sequence"]) for m in central.arrived if m.user["id"] in share and f"/{name}/" in m.topic
            ]
            assert order == sorted(order)
            assert len(order) == 30


def test_a_broker_killed_after_its_puback_loses_nothing(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    """It had no persistence: its PUBACK was true only until kill -9."""
    with running(Broker(tmp_path / "broker")) as broker:
        central = make_central(broker, answer=lambda _m: None)
        agent = make_agent(broker)
        message = agent.queue()
        until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
        before = central.arrived[0]
        broker.kill()
        central.answer = lambda _m: "AA"
        broker.start()
        until(lambda: agent.filed(message), "filed")
        again = central.arrived[-1]
        assert (again.correlation, again.payload) == (before.correlation, before.payload)
        assert again.user["replay"] == "retry"
        assert again.user["sequence"] == before.user["sequence"] == "1"


def test_a_lost_acknowledgement_brings_the_same_id_and_bytes_again(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    central.answer = lambda _m: None if len(central.arrived) == 1 else "AA"
    agent = make_agent(broker, ack_timeout_s=0.2, retry_max_s=0.2)
    message = agent.queue()
    until(lambda: agent.filed(message), "filed")
    first, second = central.arrived[:2]
    assert (first.correlation, first.payload) == (second.correlation, second.payload)
    assert (first.user["replay"], second.user["replay"]) == ("original", "retry")
    assert "timeout" in [a.what for a in agent.attempts(message)]


def test_a_restarted_agent_waits_for_the_answer_to_what_it_had_sent(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
    agent.stop()
    central.ack(message, "AA")  # the broker keeps it for us: our session lives seven days
    again = make_agent(broker)
    until(lambda: again.filed(message), "filed by the answer that waited")
    assert len(central.arrived) == 1


@pytest.mark.parametrize("forgets", [False, True])
def test_a_restarted_agent_sends_again_what_nobody_answered(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, forgets: bool
) -> None:
    """The answer got lost while the agent was away; or the broker, started anew, has lost everything it had taken."""
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
    agent.stop()
    if forgets:
        central.stop()  # two with one client id would take the session from each other for ever
        broker.restart()
        central = make_central(broker)
    else:
        central.answer = lambda _m: "AA"
    again = make_agent(broker, ack_timeout_s=60.0 if forgets else 0.2)
    until(lambda: again.filed(message), "filed after it was sent again")
    assert central.ids()[-1] == message
    assert central.arrived[-1].user["replay"] == "retry"


def test_the_next_message_of_a_specimen_waits_for_the_answer_to_the_one_before(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker)
    first, second, other = agent.queue("S1"), agent.queue("S1"), agent.queue("S2")
    until(lambda: len(central.arrived) == 2, "two specimens' messages out")
    assert set(central.ids()) == {first, other}
    assert agent.state(second) is MessageState.QUEUED
    central.ack(first, "AA")
    until(lambda: second in central.ids(), "the second after the first was answered")


def test_a_fresh_stat_result_passes_a_backlog_nobody_answers(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker, start=False)
    agent.store.start()
    backlog = [agent.queue() for _ in range(12)]
    agent.begin()
    until(lambda: len(central.arrived) == 4, "half of the slots used by the backlog")
    assert central.ids() == backlog[:4], "oldest first"
    plain, stat = agent.queue(), agent.queue(stat=True)
    until(lambda: {plain, stat} <= set(central.ids()), "the fresh ones")
    assert not set(backlog[4:]) & set(central.ids()), "negative control: the backlog got no more than its half"


def test_a_silent_consumer_of_one_route_does_not_stop_the_other(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    silent = make_central(broker, name="qc-system", answer=lambda _m: None)
    consumers = {Route.RESULT: "ivd", Route.QC: "qc-system", Route.VALIDATION: "ivd"}
    central = make_central(broker)
    central.answer = lambda m: "AA" if m.topic.endswith("/result") else None
    agent = make_agent(broker, consumers=consumers, unfiled=2).ready()
    controls = [agent.queue(route=Route.QC) for _ in range(5)]
    results = [agent.queue() for _ in range(5)]
    until(lambda: agent.filed(*results), "every result filed")
    until(lambda: sum(agent.state(c) is MessageState.AT_BROKER for c in controls) >= 2, "both slots used")
    assert silent.arrived


def test_with_confirm_broker_the_last_word_is_at_broker_and_said_to_be_weak(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    make_central(broker)
    agent = make_agent(broker, confirm="broker")
    ids = [agent.queue() for _ in range(20)]
    until(lambda: all(agent.state(i) is MessageState.AT_BROKER for i in ids), "all at the broker")
    assert "confirm = broker" in agent.alarm("weak-mode").sentence
    assert agent.count(MessageState.FILED) == 0


def test_mqtt_3_1_1_files_too_and_is_said_to_be_weak(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker, version="3.1.1")
    message = agent.queue()
    until(lambda: agent.filed(message), "filed")
    assert central.arrived[0].user == {}
    assert "3.1.1" in agent.alarm("weak-mode").sentence


def test_the_first_of_several_brokers_that_answers_is_used(
    tmp_path: Path, broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    nobody = Broker(tmp_path / "nobody")
    make_central(broker)
    agent = make_agent(broker, urls=(nobody.url, broker.url))
    message = agent.queue()
    until(lambda: agent.filed(message), "filed through the second")
    assert agent.publisher.status().url == broker.url


def test_another_broker_gets_what_the_first_one_had_taken(
    tmp_path: Path, broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    with running(Broker(tmp_path / "other")) as other:
        make_central(broker, answer=lambda _m: None)
        make_central(other)
        agent: Agent = make_agent(broker, urls=(broker.url, other.url))
        message = agent.queue()
        until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the first broker")
        broker.stop()
        until(lambda: agent.filed(message), "filed through the other")
