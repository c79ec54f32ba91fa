"""The topic table, the options and the properties, against the contract as it is written."""

from dataclasses import replace
from datetime import datetime

import pytest
from support_publisher import outbox_row

from edge_agent.publisher.options import Broker, BrokerUrlError, Confirm, MqttOptions, broker
from edge_agent.publisher.properties import event_type, json_properties, packet_size, result_properties
from edge_agent.publisher.topics import TOPICS, Topics
from edge_agent.store.rows import Route
from edge_agent.times import rfc3339

TOPIC = Topics("ivd/v1", "seoul-01", "gw-01")

ROW = outbox_row("ABCD1234-00000000001")


def test_the_names_of_the_contract() -> None:
    root = "ivd/v1/seoul-01/gw-01/"
    assert TOPIC.state == root + "state"
    assert TOPIC.up("xn1", Route.QC) == root + "up/xn1/qc"
    assert TOPIC.ack("ivd") == root + "down/ack/ivd"
    assert TOPIC.echo == root + "down/echo"
    assert TOPIC.own("alarm/storage") == root + "alarm/storage"
    assert TOPIC.central_states("ivd") == "ivd/v1/_central/ivd/+/state"


def test_nothing_under_up_or_down_is_retained() -> None:
    assert not [row.pattern for row in TOPICS if row.retained and row.pattern.startswith(("up/", "down/"))]


@pytest.mark.parametrize(
    ("topic", "consumer"),
    [
        ("ivd/v1/seoul-01/gw-01/down/ack/ivd", "ivd"),
        ("ivd/v1/seoul-01/gw-01/down/ack/", None),
        ("ivd/v1/seoul-01/gw-01/down/ack/ivd/x", None),
        ("ivd/v1/seoul-01/gw-02/down/ack/ivd", None),
    ],
)
def test_whose_acknowledgement_a_topic_carries(topic: str, consumer: str | None) -> None:
    assert TOPIC.acking_consumer(topic) == consumer


def test_a_management_systems_instance_is_read_from_its_topic() -> None:
    assert TOPIC.central_instance("ivd/v1/_central/ivd/a/state") == ("ivd", "a")
    assert TOPIC.central_instance("ivd/v1/_central/ivd/state") is None
    assert TOPIC.central_instance("ivd/v1/seoul-01/gw-01/state") is None


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("mqtts://broker.example:8884", Broker("broker.example", 8884, True)),
        ("mqtts://broker.example", Broker("broker.example", 8883, True)),
        ("mqtt://127.0.0.1", Broker("127.0.0.1", 1883, False)),
        ("mqtt://[::1]:1884", Broker("::1", 1884, False)),
    ],
)
def test_an_address_of_a_broker(url: str, meant: Broker) -> None:
    assert broker(url) == meant


@pytest.mark.parametrize(
    "url", ["http://b", "mqtt://", "mqtt://user:secret@b", "mqtt://b:99999", "mqtt://b/topic", "broker.example"]
)
def test_what_is_no_address_is_refused_when_the_options_are_made(url: str) -> None:
    with pytest.raises(BrokerUrlError) as caught:
        MqttOptions((url,), "s", "g")
    assert "secret" not in str(caught.value)


def test_a_mode_is_read_from_its_word_and_no_other() -> None:
    assert MqttOptions(("mqtt://b",), "s", "g", confirm="broker").confirm is Confirm.BROKER  # type: ignore[arg-type]  # as a file says it
    with pytest.raises(ValueError, match="brokr"):
        MqttOptions(("mqtt://b",), "s", "g", confirm="brokr")  # type: ignore[arg-type]  # the mistake under test


def test_the_password_is_in_no_text_of_the_options() -> None:
    assert "s3cret" not in repr(MqttOptions(("mqtt://b",), "s", "g", password="s3cret"))


def test_a_repeat_and_a_replacement_say_what_they_refer_to() -> None:
    row = replace(ROW, repeat_of="ABCD1234-00000000000", replaces="ZZZZ1234-00000000009")
    user = dict(result_properties(row, "operator", TOPIC, "ivd").UserProperty)
    assert (user["repeat-of"], user["replaces"]) == ("ABCD1234-00000000000", "ZZZZ1234-00000000009")
    assert user["replay"] == "operator"
    assert user["sequence"] == "42"
    assert user["time"] == "2024-03-01T03:12:00.005Z"


def test_a_result_never_expires_and_health_does() -> None:
    assert not hasattr(result_properties(ROW, "original", TOPIC, "ivd"), "MessageExpiryInterval")
    assert json_properties(180).MessageExpiryInterval == 180


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (ROW.payload, "org.edge-agent.hl7.oul.r22.v1"),
        (b"MSH|^~\\&|a|b|c|d|e||ORU^R01^ORU_R01|1", "org.edge-agent.hl7.oru.r01.v1"),
        (b"MSH|^~\\&|a", "org.edge-agent.hl7.v1"),
        (b"", "org.edge-agent.hl7.v1"),
    ],
)
def test_the_event_type_comes_from_the_message_type(payload: bytes, kind: str) -> None:
    assert event_type(payload) == kind


def test_times_are_utc_with_milliseconds() -> None:
    seoul = datetime.fromisoformat("2024-03-01T12:12:00+09:00")
    assert rfc3339(seoul) == "2024-03-01T03:12:00.000Z"


@pytest.mark.parametrize(
    ("size", "whole"), [(0, 9), (120, 129), (121, 131), (16_376, 16_386), (16_377, 16_388), (20_000, 20_011)]
)
def test_the_size_of_a_packet_counts_every_byte(size: int, whole: int) -> None:
    """MQTT 5.0 §2.1, §3.3: fixed header 1 + length 1 to 4, topic 2 + 3, packet id 2, payload."""
    assert packet_size("abc", b"x" * size, None) == whole


def test_properties_count_too() -> None:
    """Length 1, payload format 2, content type 1 + 2 + 16."""
    assert packet_size("abc", b"", json_properties()) == 9 + 22
