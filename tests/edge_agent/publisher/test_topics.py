"""The topic table, the options and the properties, against the contract as it is written."""

from dataclasses import replace
from datetime import datetime

import pytest
from support_publisher import outbox_row

from edge_agent.publisher.options import Broker, BrokerUrlError, Confirm, MqttOptions, broker
from edge_agent.publisher.properties import event_type, json_properties, packet_size, result_properties
from edge_agent.publisher.topics import TOPICS, Topics, access_list
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


def test_the_table_of_the_contract() -> None:
    """Of each topic: who writes, what, whether it is retained, after how many seconds it expires, who reads it back."""
    root = "ivd/v1/seoul-01/gw-01/"
    under = [TOPIC.own(row.pattern).removeprefix(root) for row in TOPICS]
    rows = zip(under, TOPICS, strict=True)
    assert [(name, r.writer, r.payload, r.retained, r.expiry_s, r.reads_back) for name, r in rows] == [
        ("state", "gateway", "JSON", True, 0, True),
        ("info", "gateway", "JSON", True, 0, False),
        ("health", "gateway", "JSON", True, 180, False),
        ("alarm/{id}", "gateway", "JSON", True, 0, True),
        ("analyser/{analyser}/state", "gateway", "JSON", True, 0, True),
        ("up/{analyser}/result", "gateway", "HL7 ER7", False, 0, False),
        ("up/{analyser}/qc", "gateway", "HL7 ER7", False, 0, False),
        ("up/{analyser}/validation", "gateway", "HL7 ER7", False, 0, False),
        ("up/{analyser}/query", "gateway", "HL7 QBP^Q11", False, 0, False),
        ("up/{analyser}/order-reply", "gateway", "HL7 ORL^O34 or ACK", False, 0, False),
        ("up/manifest", "gateway", "JSON", False, 3600, False),
        ("up/event", "gateway", "JSON", False, 0, False),
        ("up/command-reply/{name}", "gateway", "JSON", False, 0, False),
        ("down/ack/{consumer}", "central", "HL7 ACK", False, 0, False),
        ("down/reconcile", "central", "JSON", False, 604_800, False),
        ("down/echo", "both", "nonce", False, 0, False),
        ("down/order/{analyser}", "central", "HL7 OML^O33", False, 0, False),
        ("down/reply/{analyser}", "central", "HL7 RSP^K11 or OML^O33", False, 0, False),
        ("down/command/{name}", "central", "JSON", False, 60, False),
    ]


def test_the_access_list_lets_each_do_its_own_and_no_more() -> None:
    """Written for Mosquitto, which takes the first rule that fits: by hand from the table of the contract."""
    assert (
        access_list("p", {"ivd": tuple(Route), "qc-system": (Route.QC,)})
        == """\
# gateways: %u is the user name, or the certificate's CN with use_identity_as_username true
pattern readwrite p/+/%u/state
pattern write p/+/%u/info
pattern write p/+/%u/health
pattern readwrite p/+/%u/alarm/+
pattern readwrite p/+/%u/analyser/+/state
pattern write p/+/%u/up/+/result
pattern write p/+/%u/up/+/qc
pattern write p/+/%u/up/+/validation
pattern write p/+/%u/up/+/query
pattern write p/+/%u/up/+/order-reply
pattern write p/+/%u/up/manifest
pattern write p/+/%u/up/event
pattern write p/+/%u/up/command-reply/+
pattern read p/+/%u/down/ack/+
pattern read p/+/%u/down/reconcile
pattern readwrite p/+/%u/down/echo
pattern read p/+/%u/down/order/+
pattern read p/+/%u/down/reply/+
pattern read p/+/%u/down/command/+
pattern read p/_central/+/+/state

# the management system 'ivd': reads all, writes answers and its own state
user ivd
topic read p/+/+/state
topic read p/+/+/info
topic read p/+/+/health
topic read p/+/+/alarm/+
topic read p/+/+/analyser/+/state
topic read p/+/+/up/+/result
topic read p/+/+/up/+/qc
topic read p/+/+/up/+/validation
topic read p/+/+/up/+/query
topic read p/+/+/up/+/order-reply
topic read p/+/+/up/manifest
topic read p/+/+/up/event
topic read p/+/+/up/command-reply/+
topic write p/+/+/down/ack/ivd
topic write p/+/+/down/reconcile
topic write p/+/+/down/order/+
topic write p/+/+/down/reply/+
topic write p/+/+/down/command/+
topic readwrite p/_central/ivd/+/state
topic deny p/+/ivd/up/#

# the management system 'qc-system': reads qc results, writes receipts and its own state
user qc-system
topic read p/+/+/state
topic read p/+/+/info
topic read p/+/+/health
topic read p/+/+/alarm/+
topic read p/+/+/analyser/+/state
topic read p/+/+/up/+/qc
topic read p/+/+/up/manifest
topic write p/+/+/down/ack/qc-system
topic readwrite p/_central/qc-system/+/state
topic deny p/+/qc-system/up/#

# monitoring staff: no results
user noc
topic read p/+/+/state
topic read p/+/+/info
topic read p/+/+/health
topic read p/+/+/alarm/+
topic read p/+/+/analyser/+/state
topic deny p/+/noc/up/#
"""
    )


def test_nothing_under_up_or_down_is_retained() -> None:
    assert not [row.pattern for row in TOPICS if row.retained and row.pattern.startswith(("up/", "down/"))]


@pytest.mark.parametrize(
    ("topic", "consumer"),
    [
        ("ivd/v1/seoul-01/gw-01/down/ack/ivd", "ivd"),
        ("ivd/v1/seoul-01/gw-01/down/ack/", None),
        ("ivd/v1/seoul-01/gw-01/down/ack/ivd/x", None),
        ("ivd/v1/seoul-01/gw-02/down/ack/ivd", None),
        ("ivd", None),
    ],
)
def test_whose_acknowledgement_a_topic_carries(topic: str, consumer: str | None) -> None:
    assert TOPIC.acking_consumer(topic) == consumer


def test_a_management_systems_instance_is_read_from_its_topic() -> None:
    assert TOPIC.central_instance("ivd/v1/_central/ivd/a/state") == ("ivd", "a")
    assert TOPIC.central_instance("ivd/v1/_central/ivd/state") is None
    assert TOPIC.central_instance("ivd/v1/seoul-01/gw-01/state") is None
    assert TOPIC.central_instance("ivd/v1/_central/ivd/a/health") is None
    assert TOPIC.central_instance("ivd/v1/_central/ivd/a/b/state") is None


@pytest.mark.parametrize(
    ("name", "is_own", "is_down"),
    [("state", True, False), ("alarm/x", True, False), ("up/manifest", False, False), ("down/echo", False, True)],
)
def test_which_topics_hold_what_we_say_of_ourselves(name: str, is_own: bool, is_down: bool) -> None:
    assert TOPIC.own_name(f"ivd/v1/seoul-01/gw-01/{name}") == (name if is_own else None)
    assert TOPIC.own_name(f"ivd/v1/seoul-01/gw-02/{name}") is None
    assert TOPIC.is_down(f"ivd/v1/seoul-01/gw-01/{name}") is is_down
    assert not TOPIC.is_down(f"ivd/v1/seoul-01/gw-02/{name}")
    assert TOPIC.reconcile == "ivd/v1/seoul-01/gw-01/down/reconcile"


def test_what_we_read_back_of_ourselves() -> None:
    root = "ivd/v1/seoul-01/gw-01/"
    assert TOPIC.read_back() == (root + "state", root + "alarm/+", root + "analyser/+/state")


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
