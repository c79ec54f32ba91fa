"""What a connection writes, by the byte (MQTT 5.0 §3, MQTT 3.1.1 §3), and how long it waits for what it is owed."""

import errno
import queue
import socket
import struct
import threading

import pytest
from paho.mqtt import client as paho
from support_byte_broker import MakeDesk
from support_delivery import Steps

from edge_agent.publisher.client import Connection
from edge_agent.publisher.events import Cause, Connected, Ended, Event, PubackCame, Received, Subscribed
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.properties import json_properties

TAKEN_311 = b"\x20\x02\x00\x00"


def test_connect_keeps_the_session_for_seven_days_and_leaves_a_will(make_desk: MakeDesk) -> None:
    """§3.1: flags 0x2C are a retained will at QoS 1 and no clean start; 604,800 s are 0x00093A80; keep alive 30 s."""
    desk = make_desk()
    desk.connect()
    head = b"\x00\x04MQTT\x05\x2c\x00\x1e" + b"\x05\x11\x00\x09\x3a\x80" + b"\x00\x05gw-01"
    assert desk.broker.heard[2:].startswith(head), desk.broker.heard.hex(" ")


def test_connect_in_version_3_1_1_keeps_the_session_and_leaves_a_will(make_desk: MakeDesk) -> None:
    desk = make_desk(TAKEN_311, version="3.1.1")
    desk.connect()
    packet = b"\x00\x04MQTT\x04\x2c\x00\x1e" + b"\x00\x05gw-01" + b"\x00\x07t/state" + b"\x00\x02{}"
    assert desk.broker.heard == b"\x10" + bytes([len(packet)]) + packet


def test_a_user_without_a_password_gives_none(make_desk: MakeDesk) -> None:
    """§3.1.2: 0x80 is the user's flag, 0x40 the password's."""
    for options, flags in (
        ({}, 0x2C),
        ({"password": "secret"}, 0x2C),
        ({"username": "gw"}, 0xAC),
        ({"username": "gw", "password": "secret"}, 0xEC),
    ):
        desk = make_desk(**options)
        desk.connect()
        assert desk.broker.heard[9] == flags


def test_a_filter_says_whether_what_is_retained_is_wanted(make_desk: MakeDesk) -> None:
    """§3.8.3.1: 0x05 = QoS 1, not our own, retained ones at once; 0x29 = QoS 1, retained never, but shown as such."""
    desk = make_desk()
    desk.connect()
    mid = desk.connection.subscribe([("a/b", True), ("c/d", False)])
    assert mid is not None
    desk.broker.hears(mid.to_bytes(2, "big") + b"\x00" + b"\x00\x03a/b\x05" + b"\x00\x03c/d\x29")
    desk.broker.sock.sendall(b"\x90\x05" + mid.to_bytes(2, "big") + b"\x00\x01\x87")
    assert desk.next() == Subscribed(7, mid, (0x01, 0x87))


def test_a_filter_in_version_3_1_1_says_its_quality_of_service(make_desk: MakeDesk) -> None:
    desk = make_desk(TAKEN_311, version="3.1.1")
    desk.connect()
    mid = desk.connection.subscribe([("a/b", True), ("c/d", False)])
    assert mid is not None
    desk.broker.hears(mid.to_bytes(2, "big") + b"\x00\x03a/b\x01" + b"\x00\x03c/d\x01")


def test_where_the_connection_is_gone_nothing_is_subscribed(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.connect()
    desk.broker.sock.shutdown(socket.SHUT_RDWR)
    assert isinstance(desk.next(), Ended)
    assert desk.connection.subscribe([("a/b", True)]) is None


def test_a_result_is_published_at_qos_1_not_retained_and_with_its_properties(make_desk: MakeDesk) -> None:
    """§3.3: 0x32; a payload that is text is 0x01 0x01, its type 0x03."""
    desk = make_desk()
    desk.connect()
    mid = desk.connection.publish("t/up", b"hello", json_properties())
    assert mid is not None
    properties = b"\x15" + b"\x01\x01" + b"\x03\x00\x10application/json"
    desk.broker.hears(b"\x32\x23\x00\x04t/up" + mid.to_bytes(2, "big") + properties + b"hello")


def test_in_version_3_1_1_there_are_no_properties_either_way(make_desk: MakeDesk) -> None:
    desk = make_desk(TAKEN_311, version="3.1.1")
    assert desk.connect() == Connected(7, 0, False, 65_535, None)
    mid = desk.connection.publish("t/up", b"hello", json_properties())
    assert mid is not None
    desk.broker.hears(b"\x32\x0d\x00\x04t/up" + mid.to_bytes(2, "big") + b"hello")
    desk.broker.sock.sendall(b"\x32\x08\x00\x03a/b\x00\x09x")
    assert desk.next() == Received(7, 9, 1, "a/b", b"x", False, None, ())


def test_the_first_packet_id_that_waits_too_long_ends_the_connection(make_desk: MakeDesk) -> None:
    clock = Steps()
    desk = make_desk(clock=clock, ack_timeout_s=60.0, keepalive_s=30)
    desk.connect()
    assert desk.connection.overdue_at is None
    mid = desk.connection.publish("t/up", b"1", None)
    clock.seconds += 10
    assert desk.connection.publish("t/up", b"2", None) is not None
    assert desk.connection.overdue_at == 1060.0
    assert mid is not None
    desk.connection.answered(mid)
    assert desk.connection.overdue_at == 1070.0
    clock.seconds = 1069.9
    desk.connection.give_up_if_overdue()
    assert desk.connection.overdue_at == 1070.0
    clock.seconds = 1070.0
    desk.connection.give_up_if_overdue()
    assert desk.next() == Ended(7, Cause.NETWORK, None, "the broker did not confirm what it was sent")
    assert desk.connection.overdue_at is None, "it is over"
    desk.broker.hears(b"\xe0\x00")
    assert desk.events.empty(), "one end"


def test_a_connection_with_nothing_on_the_way_is_not_given_up(make_desk: MakeDesk) -> None:
    clock = Steps()
    desk = make_desk(clock=clock)
    desk.connect()
    clock.seconds += 10_000
    desk.connection.give_up_if_overdue()
    mid = desk.connection.publish("t/up", b"1", None)
    assert mid is not None
    desk.broker.hears(b"\x00\x04t/up")
    desk.broker.sock.sendall(b"\x40\x02" + mid.to_bytes(2, "big"))
    assert desk.next() == PubackCame(7, mid, 0x00, "")


def test_a_broker_that_is_asked_seldom_is_not_given_up_before_it_was(make_desk: MakeDesk) -> None:
    clock = Steps()
    desk = make_desk(clock=clock, ack_timeout_s=10.0, keepalive_s=45)
    desk.connect()
    desk.connection.publish("t/up", b"1", None)
    assert desk.connection.overdue_at == 1045.0


def test_the_first_reason_for_an_end_is_the_one_that_is_told(make_desk: MakeDesk) -> None:
    clock = Steps()
    desk = make_desk(clock=clock)
    desk.connect()
    desk.connection.publish("t/up", b"1", None)
    clock.seconds += 60
    desk.connection.give_up_if_overdue()
    desk.connection.close()
    assert desk.next().reason == "the broker did not confirm what it was sent"


def test_one_that_is_closed_while_it_is_opened_says_goodbye(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.connection.close()
    desk.connection.open()
    assert desk.next() == Ended(7, Cause.CLOSED, None, "closed by the gateway")
    assert desk.broker.over.wait(10)


def test_one_that_is_closed_takes_nothing_more_whatever_the_broker_says(make_desk: MakeDesk) -> None:
    """Its end may be long in coming, and what is due again would be handed over without end."""
    desk = make_desk()
    assert desk.connection.room > 0
    desk.connection.close()
    assert desk.connection.room == 0
    desk.connection.limit(100)
    assert desk.connection.room == 0


def test_a_broker_that_answers_no_ping_is_given_up(make_desk: MakeDesk) -> None:
    """§3.12: PINGREQ is 0xC0 0x00."""
    desk = make_desk(keepalive_s=1)
    desk.connect()
    assert desk.next() == Ended(7, Cause.NETWORK, None, "the broker did not answer in time")
    desk.broker.hears(b"\xc0\x00")


def test_a_connection_that_hangs_keeps_no_agent_from_ending(make_desk: MakeDesk) -> None:
    desk, before = make_desk(), set(threading.enumerate())
    desk.connect()
    (serves,) = [thread for thread in set(threading.enumerate()) - before if thread.name == "mqtt-7"]
    assert serves.daemon
    desk.connection.close()
    desk.next()


def test_small_packets_do_not_wait_for_company(make_desk: MakeDesk) -> None:
    """Nagle's algorithm would hold a PUBACK for up to 40 ms."""
    desk = make_desk()
    desk.connect()
    sock = desk.connection._client.socket()
    assert sock is not None
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer in time"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "nothing listens there (connection refused)"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "No route to host"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label too long"), "a name that is no valid text"),
    ],
)
def test_why_an_address_cannot_be_reached_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    patience: list[object] = []

    def fails(_address: object, timeout: object = None, **_more: object) -> None:
        patience.append(timeout)
        raise error

    monkeypatch.setattr(paho.socket, "create_connection", fails)
    events: queue.Queue[Event] = queue.Queue()
    options = MqttOptions(urls=("mqtt://b.example",), site="seoul-01", gateway="gw-01")
    Connection(7, options.brokers[0], options, b"{}", "t/state", events.put, Steps()).open()
    assert events.get(timeout=10) == Ended(7, Cause.NETWORK, None, words)
    assert patience == [5.0]


@pytest.mark.parametrize(("scheme", "more"), [("mqtts", True), ("mqtt", False)])
def test_a_port_that_hangs_up_on_a_tls_greeting_perhaps_speaks_none(scheme: str, more: bool) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def reset() -> None:
        sock, _ = listener.accept()
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    hangs_up = threading.Thread(target=reset, daemon=True)
    hangs_up.start()
    events: queue.Queue[Event] = queue.Queue()
    url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    options = MqttOptions(urls=(url,), site="seoul-01", gateway="gw-01")
    Connection(7, options.brokers[0], options, b"{}", "t/state", events.put, Steps()).open()
    event = events.get(timeout=10)
    hangs_up.join(10)
    listener.close()
    assert isinstance(event, Ended)
    assert event.reason.endswith("during the TLS handshake; perhaps this port does not speak TLS") is more, event


def test_a_broker_that_wants_another_version_is_not_asked_in_a_version_nobody_chose(make_desk: MakeDesk) -> None:
    """MQTT 3.1.1 §3.2.2.3, code 1. Over that, paho would connect once more by itself, as MQTT 3.1."""
    desk = make_desk(b"\x20\x02\x00\x01", version="3.1.1")
    desk.connection.open()
    assert isinstance(desk.next(), Ended)
    assert desk.broker.heard.count(b"MQ") == 1
    assert desk.events.empty()


def test_a_refusal_in_version_3_1_1_is_told_by_the_code_of_version_5(make_desk: MakeDesk) -> None:
    """MQTT 3.1.1 §3.2.2.3: code 5 is "not authorized", which is 0x87 in MQTT 5.0 §3.2.2.2."""
    assert make_desk(b"\x20\x02\x00\x05", version="3.1.1").connect().code == 0x87


def test_nothing_is_acknowledged_by_itself(make_desk: MakeDesk) -> None:
    """The first PUBACK the broker hears is the one that was asked for, although another message came before it."""
    desk = make_desk()
    desk.connect()
    for mid in (b"\x00\x09", b"\x00\x0a"):
        desk.broker.sock.sendall(b"\x32\x09\x00\x03a/b" + mid + b"\x00x")
    first, second = desk.next(), desk.next()
    desk.connection.acknowledge(second)
    desk.broker.hears(b"\x40\x02\x00\x0a")
    assert b"\x40\x02\x00\x09" not in desk.broker.heard
    desk.connection.acknowledge(first)
    desk.broker.hears(b"\x40\x02\x00\x09")
