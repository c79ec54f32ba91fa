"""MQTT 5 in plain bytes on a blocking socket: as much of it as a very cheap management system needs.

Packets are read and written many at a time, so that thousands a second cost next to nothing.
Source: MQTT 5.0 §2 and §3.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
CORRELATION, USER = 0x09, 0x26
_SIZES = {0x01: 1, 0x02: 4, 0x17: 1, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1}
_SIZES |= {0x11: 4, 0x13: 2, 0x18: 4, 0x29: 1, 0x2A: 1}  # others but 0x0B and 0x26 are a length and so many bytes
READ = 1 << 18


class Packet(NamedTuple):
    kind: int  # 1 to 15 (§2.1.2)
    flags: int
    body: bytes


class Publication(NamedTuple):
    mid: int
    repeated: bool  # DUP
    topic: str
    correlation: bytes
    user: dict[str, str]
    payload: bytes


@dataclass(frozen=True)
class Client:
    """A session that the broker keeps for a week."""

    port: int
    name: str
    receive_maximum: int = 1000

    def connect(self) -> "Line":
        """Raises OSError."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        made.settimeout(None)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        week = (7 * 86_400).to_bytes(4)
        properties = b"\x11" + week + b"\x21" + self.receive_maximum.to_bytes(2)
        head = text("MQTT") + b"\x05\x00\x00\x00" + varying(len(properties)) + properties  # no keepalive
        made.sendall(packet(0x10, head + text(self.name)))
        return Line(made)


class Line:
    """One connection. Ends with OSError."""

    def __init__(self, made: socket.socket) -> None:
        self.socket = made
        self._rest = b""

    def read(self) -> list[Packet]:
        """What has come, at least one packet."""
        while True:
            arrived = self.socket.recv(READ)
            if not arrived:
                raise ConnectionResetError("the broker is gone")
            self._rest += arrived
            found = list(self._whole())
            if found:
                return found

    def _whole(self) -> Iterator[Packet]:
        data, at = self._rest, 0
        while len(data) - at >= 2:
            try:
                length, start = number(data, at + 1)
            except IndexError:
                break
            if len(data) < start + length:
                break
            yield Packet(data[at] >> 4, data[at] & 0x0F, data[start : start + length])
            at = start + length
        self._rest = data[at:]

    def write(self, *packets: bytes) -> None:
        self.socket.sendall(b"".join(packets))

    def close(self) -> None:
        self.socket.close()


def publication(found: Packet) -> Publication:
    """Of a PUBLISH with QoS 1."""
    body = found.body
    topic, at = _text(body, 0)
    mid = int.from_bytes(body[at : at + 2])
    length, at = number(body, at + 2)
    end, correlation, user = at + length, b"", {}
    while at < end:
        kind, at = body[at], at + 1
        if kind == USER:
            name, at = _text(body, at)
            user[name], at = _text(body, at)
        elif kind in _SIZES:
            at += _SIZES[kind]
        elif kind == 0x0B:
            _, at = number(body, at)
        else:
            size = int.from_bytes(body[at : at + 2])
            value, at = body[at + 2 : at + 2 + size], at + 2 + size
            correlation = value if kind == CORRELATION else correlation
    return Publication(mid, bool(found.flags & 8), topic, correlation, user, body[end:])


def publish(mid: int, topic: str, properties: bytes, payload: bytes, *, retain: bool = False) -> bytes:
    """QoS 1."""
    body = text(topic) + mid.to_bytes(2) + varying(len(properties)) + properties + payload
    return packet(0x32 | retain, body)


def puback(mid: int) -> bytes:
    return b"\x40\x02" + mid.to_bytes(2)


def subscribe(mid: int, topic: str) -> bytes:
    """At QoS 1, without what is retained (Retain Handling 2)."""
    return packet(0x82, mid.to_bytes(2) + b"\x00" + text(topic) + b"\x21")


def packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + varying(len(body)) + body


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return len(data).to_bytes(2) + data


def varying(value: int) -> bytes:
    """A Variable Byte Integer (§1.5.5)."""
    made = b""
    while True:
        value, low = value >> 7, value & 0x7F
        made += bytes((low | (0x80 if value else 0),))
        if not value:
            return made


def number(data: bytes, at: int) -> tuple[int, int]:
    """A Variable Byte Integer, and where it ends. Raises IndexError when it is not all there."""
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + (data[at] << 8) + data[at + 1]
    return data[at + 2 : end].decode(), end
