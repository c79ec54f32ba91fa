"""A broker of raw bytes for what no real one does on request: few slots, no answers, hanging up, DISCONNECT codes.

Speaks just enough MQTT 5 (OASIS MQTT 5.0 §2, §3), written from the standard; shares nothing with paho.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Published:
    connection: int
    mid: int
    topic: str
    body: bytes  # properties and payload, as they came


# What to do with a PUBLISH: a reason code for its PUBACK, None = no answer, or bytes to send before hanging up.
Decide = Callable[[Published], "int | bytes | None"]


@dataclass
class StubBroker:
    """``connack``: properties of CONNACK, encoded."""

    connack: bytes = b""
    decide: Decide = field(default=lambda _p: 0)
    echo: bool = True
    refuse: int = 0  # reason code of CONNACK
    listen: int = 0  # port; 0 = any
    published: list[Published] = field(default_factory=list)
    connections: int = 0
    connects: list[bytes] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)  # packet ids of PUBACKs from the gateway

    def start(self) -> "StubBroker":
        self._listener = socket.create_server((HOST, self.listen))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which would keep the port
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def send(self, packet: bytes) -> None:
        """On the newest connection."""
        self._open[-1].sendall(packet)

    def hang_up(self) -> None:
        self._open[-1].shutdown(socket.SHUT_RDWR)

    def puback(self, published: Published, code: int = 0) -> None:
        self.send(_puback(published.mid, code))

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            reader = sock.makefile("rb")
            while head := reader.read(1):
                body = reader.read(_remaining_length(reader))
                if not self._packet(sock, number, head[0], body):
                    sock.shutdown(socket.SHUT_RDWR)
                    return
        except (OSError, ValueError):
            return

    def _packet(self, sock: socket.socket, number: int, head: int, body: bytes) -> bool:
        kind = head >> 4
        if kind == 1:
            self.connects.append(body)
            sock.sendall(_frame(0x20, bytes([0, self.refuse]) + _varint(len(self.connack)) + self.connack))
        elif kind == 8:
            sock.sendall(_frame(0x90, body[:2] + b"\x00" + b"\x01" * _filters(body)))
        elif kind == 4:
            self.acknowledged.append(int.from_bytes(body[:2], "big"))
        elif kind == 12:
            sock.sendall(b"\xd0\x00")
        elif kind == 3:
            return self._publish(sock, number, body)
        return kind != 14 and not self.refuse

    def _publish(self, sock: socket.socket, number: int, body: bytes) -> bool:
        size = int.from_bytes(body[:2], "big")
        topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
        published = Published(number, int.from_bytes(rest[:2], "big"), topic, rest[2:])
        self.published.append(published)
        verdict = self.decide(published)
        if isinstance(verdict, bytes):
            sock.sendall(verdict)
            return False
        if verdict is not None:
            sock.sendall(_puback(published.mid, verdict))
        if self.echo and topic.endswith("/down/echo"):
            echoed = body[: 2 + size] + b"\x00\x63" + rest[2:]
            sock.sendall(_frame(0x32, echoed))
        return True


def disconnect(code: int) -> bytes:
    return bytes([0xE0, 0x02, code, 0x00])


def _puback(mid: int, code: int) -> bytes:
    return bytes([0x40, 0x04]) + mid.to_bytes(2, "big") + bytes([code, 0x00])


def _frame(head: int, body: bytes) -> bytes:
    return bytes([head]) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = divmod(value, 128)
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def _remaining_length(reader) -> int:  # type: ignore[no-untyped-def]  # a buffered reader
    value, shift = 0, 0
    while True:
        byte = reader.read(1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value


def _filters(body: bytes) -> int:
    """How many filters a SUBSCRIBE has; its properties are empty."""
    count, at = 0, 3
    while at < len(body):
        at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
        count += 1
    return count
