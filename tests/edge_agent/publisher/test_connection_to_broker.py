"""One connection to a broker, byte by byte: what is said at its beginning and end, and why it ended."""

import queue
import socket

from support_byte_broker import TAKEN, TAKEN_WITH_LIMITS, MakeDesk
from support_free_port import free_port

from edge_agent.clock import SystemClock
from edge_agent.publisher.client import Connection
from edge_agent.publisher.events import Cause, Connected, Ended, Event, PubackCame, Received
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.properties import json_properties


def test_what_the_broker_allows_is_told_and_without_a_word_it_is_the_standards(make_desk: MakeDesk) -> None:
    assert make_desk(TAKEN_WITH_LIMITS).connect() == Connected(7, 0, False, 5, 4096)
    assert make_desk(TAKEN).connect() == Connected(7, 0, False, 65_535, None)
    assert make_desk(b"\x20\x03\x01\x00\x00").connect().session_present is True


def test_a_refusal_brings_its_code_and_the_brokers_words(make_desk: MakeDesk) -> None:
    desk = make_desk(b"\x20\x08\x00\x86\x05\x1f\x00\x02no")
    assert desk.connect() == Connected(7, 0x86, False, 65_535, None, "no")


def test_goodbye_is_said_and_is_no_trouble(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.connect()
    desk.connection.close()
    desk.broker.hears(b"\xe0\x00")
    assert desk.next() == Ended(7, Cause.CLOSED, None, "closed by the gateway")


def test_goodbye_for_good_ends_the_session_at_the_broker(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.connect()
    desk.connection.close(end_session=True)
    desk.broker.hears(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x00")


def test_a_goodbye_may_leave_the_will_to_be_published(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.connect()
    desk.connection.close(keep_will=True)
    desk.broker.hears(b"\xe0\x01\x04")


def test_in_version_3_1_1_a_goodbye_has_no_words(make_desk: MakeDesk) -> None:
    desk = make_desk(b"\x20\x02\x00\x00", version="3.1.1")
    desk.connect()
    desk.connection.close(keep_will=True, end_session=True)
    desk.broker.hears(b"\xe0\x00")


def test_a_broker_that_hangs_up_gives_no_reason_and_one_that_says_why_is_quoted(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.connect()
    desk.broker.sock.shutdown(socket.SHUT_RDWR)
    assert desk.next() == Ended(7, Cause.DROPPED, None, "the broker closed the connection without a reason")
    desk = make_desk()
    desk.connect()
    desk.broker.sock.sendall(b"\xe0\x07\x8b\x05\x1f\x00\x02no")
    assert desk.next() == Ended(7, Cause.BROKER, 0x8B, 'the broker is shutting down (0x8B): "no"')


def test_an_address_nobody_listens_at_is_said_to_be_one() -> None:
    events: queue.Queue[Event] = queue.Queue()
    options = MqttOptions(urls=(f"mqtt://127.0.0.1:{free_port()}",), site="seoul-01", gateway="gw-01")
    Connection(7, options.brokers[0], options, b"{}", "t/state", events.put, SystemClock()).open()
    assert events.get(timeout=10) == Ended(7, Cause.NETWORK, None, "nothing listens there (connection refused)")


def test_what_the_gateway_says_before_it_gave_up_is_not_replaced_by_what_followed() -> None:
    events: queue.Queue[Event] = queue.Queue()
    options = MqttOptions(urls=(f"mqtt://127.0.0.1:{free_port()}",), site="seoul-01", gateway="gw-01")
    connection = Connection(7, options.brokers[0], options, b"{}", "t/state", events.put, SystemClock())
    connection.close()
    connection.open()
    assert events.get(timeout=10) == Ended(7, Cause.CLOSED, None, "closed by the gateway")


def test_the_will_says_how_long_to_wait_and_what_it_is(make_desk: MakeDesk) -> None:
    desk = make_desk(will_delay_s=10)
    desk.connect()
    will = b"\x18\x00\x00\x00\x0a", b"\x03\x00\x10application/json", b"\x01\x01", b"\x00\x07t/state\x00\x02{}"
    assert all(part in desk.broker.heard for part in will), desk.broker.heard.hex(" ")


def test_who_we_are_is_said_where_the_site_has_a_name_and_a_password(make_desk: MakeDesk) -> None:
    desk = make_desk(username="gw", password="secret")
    desk.connect()
    assert desk.broker.heard.endswith(b"\x00\x02gw\x00\x06secret")
    desk = make_desk(username="gw")
    desk.connect()
    assert desk.broker.heard.endswith(b"\x00\x02gw")


def test_there_is_room_for_what_both_sides_allow(make_desk: MakeDesk) -> None:
    desk = make_desk(window=3)
    assert desk.connection.room == 3
    for allowed, room in ((65_535, 3), (2, 2), (0, 1)):
        desk.connection.limit(allowed)
        assert desk.connection.room == room


def test_a_message_takes_room_until_its_answer_and_its_answer_is_told(make_desk: MakeDesk) -> None:
    desk = make_desk(window=2)
    desk.connect()
    mid = desk.connection.publish("t/info", b"{}", json_properties(), retain=True)
    assert mid is not None
    desk.broker.hears(b"\x33")  # PUBLISH, QoS 1, retained
    assert (desk.connection.room, desk.connection.pending) == (1, 1)
    desk.broker.sock.sendall(b"\x40\x09" + mid.to_bytes(2, "big") + b"\x97\x05\x1f\x00\x02no")
    assert desk.next() == PubackCame(7, mid, 0x97, "no")
    desk.connection.answered(mid)
    assert (desk.connection.room, desk.connection.pending) == (2, 0)


def test_on_a_connection_that_is_gone_nothing_is_handed_over_and_no_room_is_left(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.connect()
    desk.broker.sock.shutdown(socket.SHUT_RDWR)
    assert isinstance(desk.next(), Ended)
    assert desk.connection.publish("t/info", b"{}", None) is None
    assert (desk.connection.room, desk.connection.pending) == (0, 0)


def test_what_comes_is_told_as_it_came_and_acknowledged_when_we_say_so(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.connect()
    body = b"\x00\x03a/b\x00\x09" + b"\x13" + b"\x09\x00\x02id" + b"\x26\x00\x06digest\x00\x03abc" + b"hello"
    body = body.replace(b"\x13", bytes([5 + 14]), 1)
    desk.broker.sock.sendall(b"\x33" + bytes([len(body)]) + body)
    event = desk.next()
    assert event == Received(7, 9, 1, "a/b", b"hello", True, b"id", (("digest", "abc"),))
    assert b"\x40" not in desk.broker.heard[-4:]
    desk.connection.acknowledge(event)
    desk.broker.hears(b"\x40\x02\x00\x09")
