"""The broker dies, forgets, refuses, is full or is another's while analysers send: nothing is lost or doubled."""

import time
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from end_to_end.lab import GATEWAY, PREFIX, until
from faults.broker_lab import ALL_ALLOWED, PATIENCE_S, BrokerLab, broker_lab
from faults.outcomes_file import Outcomes
from faults.scale import chance
from paho.mqtt.enums import CallbackAPIVersion
from support_broker import HOST

pytestmark = [pytest.mark.broker, pytest.mark.slow]

QUEUE_LIMIT = "broker drops what it confirmed, its queue being full"
NAMESAKE = b'{"state": "ready", "session": "another", "ts": "2026-01-01T00:00:00.000Z", "version": "1", "reason": ""}'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerLab]:
    with broker_lab(tmp_path_factory.mktemp("broker")) as lab:
        yield lab


moments, takeovers = chance("moments of the broker"), chance("takeover")


def a_moment(most_s: float = 0.5) -> None:
    time.sleep(moments.uniform(0.0, most_s))


def test_a_broker_that_is_killed(lab: BrokerLab, outcomes: Outcomes) -> None:
    """Mosquitto writes its sessions every half hour by default: what it had confirmed and not delivered is gone."""

    def fault() -> None:
        lab.broker.kill()
        lab.comes("broker-down")
        lab.broker.start()
        lab.something_filed()

    lab.tried(outcomes, "broker killed", 50, fault)
    lab.goes("broker-down")


def test_a_broker_that_comes_back_empty(lab: BrokerLab, outcomes: Outcomes) -> None:
    def fault() -> None:
        lab.broker.kill()
        lab.broker.forget()
        a_moment()
        lab.broker.start()
        lab.something_filed()

    lab.tried(outcomes, "broker comes back empty", 50, fault)


def test_a_broker_that_refuses_connections_for_a_while(lab: BrokerLab, outcomes: Outcomes) -> None:
    def fault() -> None:
        lab.line.refuse()
        lab.comes("broker-down")
        a_moment(1.0)
        lab.line.well()
        lab.something_filed()

    lab.tried(outcomes, "broker refuses connections for a while", 50, fault)


def test_an_access_list_that_is_changed_and_put_right(lab: BrokerLab, outcomes: Outcomes) -> None:
    def fault() -> None:
        lab.broker.set_acl(f"topic read #\ntopic write {PREFIX}/down/#\ntopic write ivd/v1/_central/#\n")
        lab.broker.reload()
        lab.comes("broker-refused")
        a_moment()
        lab.broker.set_acl(ALL_ALLOWED)
        lab.broker.reload()
        lab.goes("broker-refused")

    lab.tried(outcomes, "publishing forbidden and allowed again (0x87)", 50, fault)


@pytest.mark.every(2)
def test_a_broker_at_which_nobody_takes_results(lab: BrokerLab, outcomes: Outcomes) -> None:
    """Its session was deleted, so the broker says 0x10 and keeps nothing."""

    def fault() -> None:
        with lab.claimed_online():
            lab.central.go_offline()
            client = paho.Client(CallbackAPIVersion.VERSION2, "ivd-central-1", protocol=paho.MQTTv5)
            client.connect(HOST, lab.broker.port, clean_start=True)
            client.loop_start()
            until(client.is_connected, 10, "its session is taken over and ended")
            client.disconnect()
            client.loop_stop()
            lab.comes("no-subscriber")
            lab.central.go_online()
            lab.goes("no-subscriber")

    lab.tried(outcomes, "nobody takes results at the broker (0x10)", 50, fault)


def test_a_broker_that_drops_what_it_confirmed(lab: BrokerLab, outcomes: Outcomes) -> None:
    lab.broker.setting("max_queued_messages", "2")
    lab.broker.setting("max_inflight_messages", "2")
    lab.broker.restart()

    def fault() -> None:
        full_queue(lab)

    try:
        lab.tried(outcomes, QUEUE_LIMIT, 50, fault)
    finally:
        lab.broker.setting("max_queued_messages", "100000")
        lab.broker.setting("max_inflight_messages", "")
        lab.broker.restart()
    assert "dropped" in lab.broker.log


def full_queue(lab: BrokerLab) -> None:
    """The management system is away, and says it is not; the broker keeps two messages for it and drops the others."""
    with lab.claimed_online():
        lab.central.go_offline()
        time.sleep(1.0)
        lab.central.go_online()
    lab.something_filed()


@pytest.mark.every(2)
def test_the_same_count_finds_what_is_lost_where_the_brokers_word_is_enough(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes
) -> None:
    settings = {"max_queued_messages": "2", "max_inflight_messages": "2"}
    with broker_lab(tmp_path_factory.mktemp("control"), settings=settings, defect="puback-files") as lab:
        verdict = lab.judged(QUEUE_LIMIT, lambda: full_queue(lab))
    lost = len(verdict.of("lost"))
    assert lost > 0, verdict.table()
    outcomes.control_of_all("PUBACK taken for filed", f"{lost} of {verdict.acknowledged} lost")


@pytest.mark.every(2)
def test_a_broker_that_takes_smaller_packets_for_a_while(lab: BrokerLab, outcomes: Outcomes) -> None:
    """CONNACK says so: what is larger is blocked, and goes by itself when the limit is raised."""

    def fault() -> None:
        lab.broker.setting("max_packet_size", "1500")
        lab.broker.restart()
        lab.comes("blocked")
        lab.broker.setting("max_packet_size", "")
        lab.broker.restart()
        lab.goes("blocked")

    lab.tried(outcomes, "broker takes smaller packets for a while", 50, fault)


@pytest.mark.every(2)
def test_a_broker_that_takes_smaller_messages_for_a_while(lab: BrokerLab, outcomes: Outcomes) -> None:
    """It never said so: it names the message (0x95), or hangs up on it. When it is raised a person has it sent."""

    def fault() -> None:
        lab.broker.setting("message_size_limit", "1200")
        lab.broker.restart()
        lab.comes("blocked", 40)
        lab.broker.setting("message_size_limit", "")
        lab.broker.restart()
        until(lambda: not blocked(lab), PATIENCE_S, "what was blocked is sent on a person's word")

    lab.tried(outcomes, "broker takes smaller messages and does not say so", 20, fault)


def blocked(lab: BrokerLab) -> bool:
    rows = [m["id"] for m in lab.agent.ask("queue", state="blocked", limit=1000)["messages"]]
    for row in rows:
        lab.agent.ask("retry", ids=[row])
    return bool(rows)


@pytest.mark.every(2)
def test_another_client_with_our_id(lab: BrokerLab, outcomes: Outcomes) -> None:
    """It is not fought: the agent waits for minutes, or for a person who put it right and reloads."""

    def fault() -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2, GATEWAY, protocol=paho.MQTTv5)
        client.connect(HOST, lab.broker.port, clean_start=takeovers.random() < 0.5)
        client.loop_start()
        client.publish(f"{PREFIX}/state", NAMESAKE, 1, True).wait_for_publish(10)
        lab.comes("session-taken")
        client.disconnect()
        client.loop_stop()
        lab.agent.ask("reload")
        lab.goes("session-taken")
        lab.something_filed()

    lab.tried(outcomes, "another client takes the gateway's id", 50, fault)
