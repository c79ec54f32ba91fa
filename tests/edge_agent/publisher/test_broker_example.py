"""The example in config/mosquitto, run by a real Mosquitto with certificates made for the test."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from support_broker import HOST, Authority, Broker, running
from support_publisher import ROOT, MakeAgent, MakeCentral, until

from edge_agent.publisher.topics import access_list

pytestmark = pytest.mark.broker

EXAMPLE = Path(__file__).parents[3] / "config" / "mosquitto"


def test_the_access_list_is_the_one_made_from_the_topic_table() -> None:
    shipped = (EXAMPLE / "acl").read_text(encoding="utf-8")
    assert shipped.split("\n", 1)[1] == access_list("ivd/v1")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def example(tmp_path: Path, authority: Authority) -> Iterator[Broker]:
    broker_files = authority.issue("broker")
    text = (EXAMPLE / "mosquitto.conf").read_text(encoding="utf-8")
    for shipped, here in {
        "listener 8883": f"user root\nlog_dest stderr\nlog_type all\nlistener {{port}} {HOST}",
        "/etc/mosquitto/edge/ca.pem": str(authority.file),
        "/etc/mosquitto/edge/broker.pem": str(broker_files[0]),
        "/etc/mosquitto/edge/broker.key": str(broker_files[1]),
        "/etc/mosquitto/edge/acl": str(EXAMPLE / "acl"),
        "/var/lib/mosquitto/": f"{tmp_path}/",
    }.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, here)
    with running(Broker(tmp_path / "broker", config=text, tls=(authority.file, broker_files))) as broker:
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


def test_monitoring_sees_states_and_no_results(
    example: Broker, authority: Authority, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    make_central(example, client_setup=lambda client: client.tls_set_context(with_certificate(authority, "ivd")))
    noc = make_central(
        example,
        name="noc",
        answer=lambda _m: None,
        client_setup=lambda client: client.tls_set_context(with_certificate(authority, "noc")),
    )
    agent = make_agent(example, **gateway(authority, "gw-01"))
    message = agent.queue()
    until(lambda: agent.filed(message), "filed")
    until(lambda: noc.seen.get("state"), "the state")
    assert noc.arrived == []
    assert not any(topic.startswith("down/") for topic in noc.seen)
