"""The demonstration broker against paho, an MQTT 5 client that shares nothing with it."""

import queue
import socket
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from simulators.broker import BrokerThread
from simulators.broker_topics import matches, valid_filter

WAIT = 5.0


@pytest.fixture
def port() -> Iterator[int]:
    broker = BrokerThread()
    yield broker.start()
    broker.stop()


class Client:
    """A paho client whose events can be waited for."""

    def __init__(self, port: int, name: str, *, keep: bool = False, will: Any = None, receive_max: int = 0) -> None:
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.pubacks: queue.Queue[tuple[int, int]] = queue.Queue()
        self.subacks: queue.Queue[list[int]] = queue.Queue()
        self.connects: queue.Queue[tuple[int, bool]] = queue.Queue()
        self.disconnects: queue.Queue[int] = queue.Queue()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self.paho.on_publish = lambda _c, _u, mid, code, _p: self.pubacks.put((mid, code.value))
        self.paho.on_subscribe = lambda _c, _u, _m, codes, _p: self.subacks.put([code.value for code in codes])
        self.paho.on_connect = lambda _c, _u, flags, code, _p: self.connects.put((code.value, flags.session_present))
        self.paho.on_disconnect = lambda _c, _u, _f, code, _p: self.disconnects.put(code.value)
        if will:
            self.paho.will_set(*will)
        properties = Properties(PacketTypes.CONNECT)
        if keep:
            properties.SessionExpiryInterval = 3600
        if receive_max:
            properties.ReceiveMaximum = receive_max
        self.paho.connect("127.0.0.1", port, clean_start=not keep, properties=properties)
        self.paho.loop_start()
        self.connack = self.connects.get(timeout=WAIT)

    def subscribe(self, pattern: str, qos: int = 1, **options: Any) -> list[int]:
        self.paho.subscribe(pattern, options=SubscribeOptions(qos=qos, **options))
        return self.subacks.get(timeout=WAIT)

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False, properties: Any = None) -> int:
        self.paho.publish(topic, payload, qos, retain, properties)
        return self.pubacks.get(timeout=WAIT)[1]

    def next(self, ack: bool = True) -> paho.MQTTMessage:
        message = self.messages.get(timeout=WAIT)
        if ack and message.qos:
            self.paho.ack(message.mid, message.qos)
        return message

    def stop(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def vanish(self) -> None:
        """The line breaks: no DISCONNECT."""
        self.paho.on_disconnect = None
        sock = self.paho.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)
        self.paho.loop_stop()


def properties_of_a_result() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "application/hl7-v2; charset=utf-8"
    properties.PayloadFormatIndicator = 1
    properties.CorrelationData = b"AB12CD34-00000000001"
    properties.ResponseTopic = "ivd/v1/seoul-01/gw-01/down/ack/ivd"
    properties.UserProperty = [("digest", "aa"), ("digest", "bb"), ("sequence", "17")]
    return properties


def test_a_client_connects_with_mqtt_5_and_gets_a_new_session(port: int) -> None:
    client = Client(port, "a")
    assert client.connack == (0, False)
    client.stop()


def test_a_qos_1_message_arrives_and_is_acknowledged(port: int) -> None:
    client = Client(port, "a")
    assert client.subscribe("t/#") == [1]
    assert client.publish("t/1", b"x") == 0
    message = client.next()
    assert (message.topic, message.payload, message.qos) == ("t/1", b"x", 1)
    client.stop()


def test_a_qos_0_message_arrives(port: int) -> None:
    client = Client(port, "a")
    client.subscribe("t", qos=1)
    client.paho.publish("t", b"x", 0)
    assert client.next().qos == 0
    client.stop()


def test_properties_arrive_as_they_were_sent(port: int) -> None:
    client = Client(port, "a")
    client.subscribe("t")
    client.publish("t", b"x", properties=properties_of_a_result())
    got = client.next().properties
    assert got is not None
    assert got.ContentType == "application/hl7-v2; charset=utf-8"
    assert got.PayloadFormatIndicator == 1
    assert got.CorrelationData == b"AB12CD34-00000000001"
    assert got.ResponseTopic == "ivd/v1/seoul-01/gw-01/down/ack/ivd"
    assert got.UserProperty == [("digest", "aa"), ("digest", "bb"), ("sequence", "17")]
    client.stop()


def test_the_publisher_is_told_when_nobody_subscribes(port: int) -> None:
    client = Client(port, "a")
    assert client.publish("nobody", b"x") == 0x10
    client.stop()


def test_a_retained_message_is_given_to_later_subscribers_until_it_is_cleared(port: int) -> None:
    client = Client(port, "a")
    client.publish("state", b"ready", retain=True)
    client.subscribe("state")
    first = client.next()
    assert (first.payload, first.retain) == (b"ready", True)
    client.publish("state", b"", retain=True)
    assert client.next().payload == b""
    late = Client(port, "b")
    late.subscribe("state")
    client.publish("state", b"marker")
    assert late.next().payload == b"marker"
    client.stop()
    late.stop()


def test_retain_handling_2_brings_no_retained_message(port: int) -> None:
    client = Client(port, "a")
    client.publish("state", b"old", retain=True)
    client.subscribe("state", retainHandling=2)
    client.publish("state", b"new")
    assert client.next().payload == b"new"
    client.stop()


def test_the_will_goes_out_with_its_properties_when_the_line_breaks(port: int) -> None:
    watcher = Client(port, "watcher")
    watcher.subscribe("gw/state")
    properties = Properties(PacketTypes.WILLMESSAGE)
    properties.UserProperty = [("session", "7")]
    gateway = Client(port, "gw", will=("gw/state", b"lost", 1, True, properties))
    gateway.vanish()
    message = watcher.next()
    assert message.payload == b"lost"
    assert message.properties is not None
    assert message.properties.UserProperty == [("session", "7")]
    watcher.stop()


def test_no_will_goes_out_after_an_ordinary_disconnect(port: int) -> None:
    watcher = Client(port, "watcher")
    watcher.subscribe("gw/state")
    Client(port, "gw", will=("gw/state", b"lost", 1, False, None)).stop()
    watcher.publish("gw/state", b"marker")
    assert watcher.next().payload == b"marker"
    watcher.stop()


def test_a_hundred_messages_wait_for_an_absent_session_in_order(port: int) -> None:
    away = Client(port, "central", keep=True)
    away.subscribe("up/#")
    away.stop()
    sender = Client(port, "a")
    for number in range(100):
        assert sender.publish(f"up/{number}", b"%d" % number) == 0
    back = Client(port, "central", keep=True)
    assert back.connack == (0, True)
    assert [back.next().payload for _ in range(100)] == [b"%d" % number for number in range(100)]
    back.stop()
    sender.stop()


def test_what_was_not_confirmed_comes_again_marked_as_a_duplicate(port: int) -> None:
    central = Client(port, "central", keep=True)
    central.subscribe("up")
    sender = Client(port, "a")
    sender.publish("up", b"x")
    assert central.next(ack=False).dup is False
    central.vanish()
    again = Client(port, "central", keep=True)
    message = again.next()
    assert (message.payload, message.dup) == (b"x", True)
    again.stop()
    sender.stop()


def test_no_more_than_receive_maximum_is_unconfirmed_at_once(port: int) -> None:
    central = Client(port, "central", receive_max=2)
    central.subscribe("up")
    sender = Client(port, "a")
    for number in range(5):
        sender.publish("up", b"%d" % number)
    held = [central.next(ack=False), central.next(ack=False)]
    with pytest.raises(queue.Empty):
        central.messages.get(timeout=0.3)
    central.paho.ack(held[0].mid, 1)
    assert central.next().payload == b"2"
    central.stop()
    sender.stop()


def test_a_second_client_with_the_same_name_takes_the_session_over(port: int) -> None:
    first = Client(port, "same", keep=True)
    first.paho.reconnect_delay_set(60, 60)
    second = Client(port, "same", keep=True)
    assert first.disconnects.get(timeout=WAIT) == 0x8E
    assert second.connack == (0, True)
    first.stop()
    second.stop()


def test_an_mqtt_3_client_is_refused_with_its_own_word(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT) as line:
        line.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")
        assert line.recv(4) == b"\x20\x02\x00\x01"


def test_rubbish_closes_the_connection_and_nothing_else(port: int) -> None:
    client = Client(port, "a")
    client.subscribe("t")
    with socket.create_connection(("127.0.0.1", port), WAIT) as line:
        line.sendall(b"GET / HTTP/1.1\r\n" + b"x" * 200)
        while line.recv(100):
            pass
    client.publish("t", b"x")
    assert client.next().payload == b"x"
    client.stop()


def test_four_thousand_byte_messages_flow(port: int) -> None:
    """Prints a rate; asserts only that everything came."""
    receiver, sender = Client(port, "r"), Client(port, "s")
    receiver.subscribe("t")
    started = time.perf_counter()
    for _ in range(1000):
        sender.paho.publish("t", b"x" * 4096, 1)
    for _ in range(1000):
        receiver.next()
    print(f"demonstration broker: {1000 / (time.perf_counter() - started):.0f} messages of 4 KB a second")
    receiver.stop()
    sender.stop()


@pytest.mark.parametrize(
    ("pattern", "topic", "taken"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a//c", "a//c", True),
        ("a/+/c", "a//c", True),
        ("a", "A", False),
    ],
)
def test_filters_match_as_the_standard_says(pattern: str, topic: str, taken: bool) -> None:
    assert matches(pattern, topic) is taken


@pytest.mark.parametrize(("pattern", "good"), [("#", True), ("a/#/b", False), ("a/b#", False), ("a+/b", False)])
def test_a_filter_with_a_misplaced_wildcard_is_refused(pattern: str, good: bool) -> None:
    assert valid_filter(pattern) is good
