"""The example in config/mosquitto, run by a real Mosquitto with certificates made for the test."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from support_broker import HOST, SHIPPED, Authority, Broker, running, shipped_broker
from support_publisher import ROOT, MakeAgent, MakeCentral, until

from edge_agent.publisher.topics import access_list
from edge_agent.states import MessageState

pytestmark = pytest.mark.broker


def test_the_access_list_is_the_one_made_from_the_topic_table() -> None:
    shipped = (SHIPPED / "acl").read_text(encoding="utf-8")
    assert shipped.split("\n", 1)[1] == access_list("ivd/v1")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def example(tmp_path: Path, authority: Authority) -> Iterator[Broker]:
    with running(shipped_broker(tmp_path / "broker", authority)) as broker:
        yield broker


def gateway(authority: Authority, name: str) -> dict[str, str]:
    cert_file, key_file = authority.issue(name)
    return {"ca_file": str(authority.file), "cert_file": str(cert_file), "key_file": str(key_file), "gateway": name}


def with_certificate(authority: Authority, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    context.load_cert_chain(*authority.issue(name))
    return context


def test_a_gateway_files_through_it(
    example: Broker, authority: Authority, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(
        example, client_setup=lambda client: client.tls_set_context(with_certificate(authority, "ivd"))
    )
    agent = make_agent(example, **gateway(authority, "gw-01"))
    message = agent.queue()
    until(lambda: agent.filed(message), "filed")
    until(lambda: central.seen.get("state"), "the gateway's state")
    assert agent.publisher.status().proven == "yes"
    assert agent.alarms.active() == []


def test_a_gateway_can_neither_write_nor_read_for_another(
    example: Broker, authority: Authority, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    """A client with the certificate of gw-02 tries to be gw-01."""
    make_central(example, client_setup=lambda client: client.tls_set_context(with_certificate(authority, "ivd")))
    codes: list[int] = []
    stolen: list[str] = []
    thief = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="gw-01", protocol=paho.MQTTv5)
    thief.tls_set_context(with_certificate(authority, "gw-02"))
    thief.on_publish = lambda _c, _u, _m, code, _p: codes.append(code.value)
    thief.on_message = lambda _c, _u, message: stolen.append(message.topic)
    thief.on_connect = lambda client, *_: client.subscribe(f"{ROOT}/#", options=paho.SubscribeOptions(qos=1))
    thief.on_subscribe = lambda client, *_: client.publish(f"{ROOT}/up/xn1/result", b"x", qos=1)
    thief.connect(HOST, example.port)
    thief.loop_start()
    agent = make_agent(example, **gateway(authority, "gw-01"))
    message = agent.queue()
    until(lambda: agent.filed(message), "filed for the real one")
    until(lambda: codes, "an answer to the forged result")
    assert codes == [0x87]
    assert stolen == []
    assert "as gw-02 (" in example.log, "its client id was replaced by its certificate's name"
    thief.disconnect()
    thief.loop_stop()


def test_a_gateway_with_the_certificate_of_another_delivers_nothing_and_says_so(
    example: Broker, authority: Authority, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    """To the broker it is gw-02: nothing of gw-01 gets through, and nothing of it is taken for a result of gw-02."""
    central = make_central(
        example, client_setup=lambda client: client.tls_set_context(with_certificate(authority, "ivd"))
    )
    options = gateway(authority, "gw-02") | {"gateway": "gw-01"}
    agent = make_agent(example, proof_timeout_s=0.3, **options)
    message = agent.queue()
    until(lambda: agent.alarm("subscription-unproven"), "no answer could reach it")
    until(lambda: agent.attempts(message), "a try")
    until(lambda: agent.state(message) is MessageState.QUEUED, "back in the queue")
    refused = until(lambda: agent.alarm("broker-refused"), "an alarm")
    assert f"The broker refused the topic {ROOT}/" in refused.sentence
    assert (central.arrived, central.seen) == ([], {})
