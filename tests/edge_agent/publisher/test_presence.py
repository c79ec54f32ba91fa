"""What the centre sees of the gateway, and what the gateway believes of the centre."""

import json
from pathlib import Path

import pytest
from support_broker import Broker, running
from support_publisher import ROOT, MakeAgent, MakeCentral, until, watching

from edge_agent.monitor.payloads import AnalyserState
from edge_agent.states import MessageState

pytestmark = pytest.mark.broker


def test_the_birth_the_will_and_the_next_birth_carry_their_sessions(broker: Broker, make_agent: MakeAgent) -> None:
    with watching(broker, f"{ROOT}/state") as seen:
        agent = make_agent(broker, will_delay_s=0)
        until(lambda: len(seen) >= 1, "a birth")
        agent.cut()
        until(lambda: len(seen) >= 3, "the will and the next birth")
        said = [json.loads(m.payload) for m in seen[:3]]
    assert [s["state"] for s in said] == ["ready", "lost", "ready"]
    assert said[0]["session"] == said[1]["session"] != said[2]["session"]
    assert said[0]["version"] == "0.1.0"
    assert said[0]["ts"].endswith("Z")


def test_a_clean_stop_says_offline_and_no_will_follows(broker: Broker, make_agent: MakeAgent) -> None:
    agent = make_agent(broker, will_delay_s=0)
    until(lambda: agent.publisher.status().connected, "connected")
    agent.stop()
    with watching(broker, f"{ROOT}/state") as seen:
        until(lambda: seen, "the retained state")
        assert json.loads(seen[0].payload)["state"] == "offline"


def test_retained_topics_that_are_no_longer_true_are_cleared_at_the_start(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    central.put(f"{ROOT}/alarm/broker-refused.gone", b"{}")
    central.put(f"{ROOT}/analyser/gone/state", b"{}")
    agent = make_agent(broker, start=False)
    agent.presence.set_analyser("xn1", AnalyserState(link="up", protocol="idle", since=agent.clock.now()))
    agent.start()
    until(lambda: central.seen.get("alarm/broker-refused.gone") == b"", "the stale alarm cleared")
    until(lambda: central.seen.get("analyser/gone/state") == b"", "the stale analyser cleared")
    assert json.loads(central.seen["analyser/xn1/state"])["link"] == "up"
    assert json.loads(central.seen["info"])["gateway"] == "gw-01"


def test_an_alarm_is_retained_while_it_is_up_and_empty_afterwards(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker)
    until(lambda: agent.publisher.status().connected, "connected")
    agent.call(lambda: agent.alarms.raise_("link-down", "xn1", reason="no carrier"))
    until(lambda: central.seen.get("alarm/link-down.xn1"), "the alarm")
    told = json.loads(central.seen["alarm/link-down.xn1"])
    assert told.pop("since").endswith("Z")
    assert told == {
        "id": "link-down.xn1",
        "severity": "warning",
        "analyser": "xn1",
        "text_key": "link-down",
        "params": {"reason": "no carrier"},
    }
    agent.call(lambda: agent.alarms.clear("link-down", "xn1"))
    until(lambda: central.seen["alarm/link-down.xn1"] == b"", "the alarm cleared")


def test_a_subscription_the_access_list_forbids_is_noticed_although_it_was_granted(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    acl = f"topic write {ROOT}/#\ntopic read {ROOT}/up/#\ntopic read {ROOT}/state\n"
    with running(Broker(tmp_path / "broker", acl=acl)) as broker:
        central = make_central(broker)
        agent = make_agent(broker, proof_timeout_s=0.3)
        until(lambda: agent.alarm("subscription-unproven"), "an alarm")
        until(lambda: json.loads(central.seen.get("state", b"{}")).get("state") == "degraded", "degraded")
        message = agent.queue()
        until(lambda: agent.state(message) is MessageState.AT_BROKER, "results go on meanwhile")


def test_a_proven_subscription_raises_nothing(broker: Broker, make_agent: MakeAgent) -> None:
    """Negative control of the one above."""
    agent = make_agent(broker, proof_timeout_s=0.3)
    until(lambda: agent.publisher.status().proven == "yes", "proven")
    assert agent.alarm("subscription-unproven") is None


def test_a_second_gateway_with_our_id_is_noticed_where_the_broker_says_nothing(
    tmp_path: Path, broker: Broker, make_agent: MakeAgent
) -> None:
    """Mosquitto 2.0.11 closes the older connection without a DISCONNECT 0x8E."""
    ours = make_agent(broker)
    until(lambda: ours.publisher.status().proven == "yes", "connected")
    rival = make_agent(broker, data="rival")
    until(lambda: ours.alarm("session-taken") or rival.alarm("session-taken"), "an alarm")
    until(lambda: ours.publisher.status().connected != rival.publisher.status().connected, "one of them gave way")
    loser = rival if ours.publisher.status().connected else ours
    winner = ours if loser is rival else rival
    until(lambda: winner.publisher.status().proven == "yes", "the other one works")
    assert not loser.publisher.status().connected
    assert broker.log.count("as gw-01") <= 4, "no fight"
    message = loser.queue()
    assert loser.state(message) is MessageState.QUEUED, "safe here"


def test_while_the_management_system_says_offline_one_message_goes_as_a_probe_and_an_answer_opens(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker, answer=lambda _m: None)
    central.say(online=False)
    agent = make_agent(broker, probe_s=0.4, ack_timeout_s=30)
    alarm = until(lambda: agent.alarm("consumer-offline"), "an alarm")
    assert "ivd" in alarm.sentence
    ids = [agent.queue() for _ in range(6)]
    until(lambda: len(central.arrived) == 1, "one probe")
    assert agent.publisher.status().gates["ivd"] is not None
    assert agent.count(MessageState.QUEUED) >= 4, "negative control: with an open gate all six would be out"
    central.answer = lambda _m: "AA"
    central.ack(central.ids()[0], "AA")
    until(lambda: agent.filed(*ids), "everything filed after one answer")
    until(lambda: agent.alarm("consumer-offline") is None, "the alarm over")


def test_the_gate_opens_when_an_instance_comes_back(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    central.say(online=False)
    agent = make_agent(broker)
    until(lambda: agent.alarm("consumer-offline"), "an alarm")
    message = agent.queue()
    central.say(online=True, instance="b")
    until(lambda: agent.filed(message), "filed")
    until(lambda: agent.alarm("consumer-offline") is None, "the alarm over")
