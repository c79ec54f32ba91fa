"""What the broker refuses: each refusal is visible as what it is, loses nothing, and stops nothing else."""

from pathlib import Path

import pytest
from support_broker import Broker, running
from support_publisher import ROOT, MakeAgent, MakeCentral, until

from edge_agent.states import MessageState

pytestmark = pytest.mark.broker

# `topic` lines without a user are for anonymous clients: the gateway and the management system of these tests.
OPEN = "topic readwrite ivd/#\n"
DENIED = f"topic deny {ROOT}/up/denied/result\n"


def test_a_topic_the_access_list_forbids_waits_and_is_named_while_others_go_on(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    with running(Broker(tmp_path / "broker", acl=DENIED + OPEN)) as broker:
        make_central(broker)
        agent = make_agent(broker, retry_max_s=0.3)
        forbidden = [agent.queue(analyser="denied") for _ in range(12)]
        allowed = [agent.queue() for _ in range(12)]
        alarm = until(lambda: agent.alarm("broker-refused"), "an alarm")
        assert alarm.analyser == "denied"
        assert f"{ROOT}/up/denied/result" in alarm.sentence
        until(lambda: agent.filed(*allowed), "the other topic filed")
        row = agent.row(forbidden[0])
        assert (row.state, row.code) == (MessageState.QUEUED, "0x87")
        broker.set_acl(OPEN)
        broker.reload()
        until(lambda: agent.filed(*forbidden), "filed once it is allowed")
        until(lambda: agent.alarm("broker-refused") is None, "the alarm over")


def test_nobody_listening_is_at_broker_with_an_alarm(broker: Broker, make_agent: MakeAgent) -> None:
    agent = make_agent(broker)
    message = agent.queue()
    alarm = until(lambda: agent.alarm("no-subscriber"), "an alarm")
    assert f"{ROOT}/up/xn1/result" in alarm.sentence
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
    assert [a.code for a in agent.attempts(message) if a.what == "puback"] == ["0x10"]


def test_a_message_above_the_brokers_packet_size_is_blocked_and_never_sent(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    with running(Broker(tmp_path / "broker", extra=["max_packet_size 2000"])) as broker:
        central = make_central(broker)
        agent = make_agent(broker)
        small, big, after = agent.queue(), agent.queue(filler=3000), agent.queue()
        until(lambda: agent.filed(small, after), "the others filed")
        row = agent.row(big)
        assert (row.state, row.code) == (MessageState.BLOCKED, "blocked")
        assert "maximum packet size of 2000" in row.reason
        assert "maximum packet size of 2000" in agent.alarm("blocked").sentence
        assert agent.alarm("broker-down") is None
        assert big not in central.ids()
        assert "too large" not in broker.log.lower()


def test_an_image_that_is_too_large_is_left_out_and_its_values_go(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    with running(Broker(tmp_path / "broker", extra=["max_packet_size 2000"])) as broker:
        make_central(broker)
        agent = make_agent(broker)
        values, image = agent.queue("S1"), agent.queue("S1", graphics=True, filler=3000)
        until(lambda: agent.filed(values), "the values filed")
        until(lambda: agent.alarm("graphics-too-large"), "an alarm for the image")
        assert agent.row(image).code == "graphics-too-large"
        assert agent.alarm("blocked") is None


def test_a_blocked_message_goes_when_the_limit_was_raised(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    tight, wide = Broker(tmp_path / "tight", extra=["max_packet_size 2000"]), Broker(tmp_path / "wide")
    with running(tight), running(wide):
        make_central(wide)
        agent = make_agent(tight, urls=(tight.url, wide.url))
        big = agent.queue(filler=3000)
        until(lambda: agent.state(big) is MessageState.BLOCKED, "blocked")
        tight.stop()
        until(lambda: agent.filed(big), "filed where the limit is higher")
        until(lambda: agent.alarm("blocked") is None, "the alarm over")


def test_an_oversize_message_the_broker_refuses_by_name_is_blocked_and_the_rest_filed(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    """message_size_limit is not told in CONNACK: Mosquitto 2.0.11 answers PUBACK 0x95."""
    with running(Broker(tmp_path / "broker", extra=["message_size_limit 2000"])) as broker:
        make_central(broker)
        agent = make_agent(broker)
        messages = [agent.queue() for _ in range(3)]
        big = agent.queue(filler=3000)
        messages += [agent.queue() for _ in range(3)]
        until(lambda: agent.filed(*messages), "all others filed")
        until(lambda: agent.state(big) is MessageState.BLOCKED, "the big one blocked")
        assert "larger than the broker allows (0x95)" in agent.row(big).reason
        assert agent.alarm("blocked").analyser == "xn1"
        assert agent.alarm("broker-down") is None
