"""A line between the agent and its broker that goes bad in every way a network or a broken box in between knows.

It listens on a port of its own. Towards the agent it goes packet by packet (MQTT 5.0 §2.1), so that single answers can
be lost; otherwise it moves bytes and knows nothing.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from support_broker import HOST
from support_free_port import free_port

PUBACK = 4
Work = Callable[["_Pair"], None]
_LOOK_S = 0.02


class FaultyLine:
    """From ``with`` to its end. Every fault but ``lose`` and ``trickle`` is over by itself or at ``well``."""

    def __init__(self, broker_port: int, *, tls: bool = False) -> None:
        """``tls``: single packets cannot be told apart, so ``lose`` loses nothing."""
        self._to = broker_port
        self._pieces = pieces if tls else packets
        self.port = free_port()
        self.pubacks_lost = 0
        self.connections = 0
        self._lock = threading.Lock()
        self._open: list[_Pair] = []
        self._every = self._pubacks = 0
        self._trickle_s = 0.0
        self._refuses = self._frozen = self._over = False
        self._listener = socket.create_server((HOST, self.port))
        self._thread = threading.Thread(target=self._accept, name="faulty line", daemon=True)

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._listener.close()
        self.reset()

    # The faults

    def well(self) -> None:
        self._every, self._trickle_s, self._refuses, self._frozen = 0, 0.0, False, False

    def lose(self, every: int) -> None:
        """Every so many-th PUBACK to the agent does not arrive; the connection stays."""
        self._every = every

    def trickle(self, seconds: float) -> None:
        """One byte each so many seconds towards the agent."""
        self._trickle_s = seconds

    def refuse(self) -> None:
        """Who connects is hung up on at once."""
        self._refuses = True
        self.reset()

    def freeze(self) -> None:
        """Nothing moves, nothing is closed, until ``well``."""
        self._frozen = True

    def half_open(self) -> None:
        """Connections that stand now never carry another byte and are never closed; new ones are well."""
        for pair in self._pairs():
            pair.dead = True

    def reset(self) -> None:
        """RST to both sides."""
        for pair in self._pairs():
            pair.reset()

    def cut_inside_a_packet(self, *, upwards: bool) -> None:
        """Half of what comes next that way arrives, then the line is reset."""
        for pair in self._pairs():
            pair.cut_up, pair.cut_down = upwards, not upwards

    def say(self, data: bytes) -> None:
        """Bytes to the agent that the broker never sent."""
        for pair in self._pairs():
            with contextlib.suppress(OSError):
                pair.agent.sendall(data)

    # The work

    def _pairs(self) -> "list[_Pair]":
        with self._lock:
            self._open = [pair for pair in self._open if not pair.closed]
            return list(self._open)

    def _accept(self) -> None:
        while not self._over:
            try:
                agent, _ = self._listener.accept()
            except OSError:
                return
            self._welcome(agent)

    def _welcome(self, agent: socket.socket) -> None:
        self.connections += 1
        try:
            if self._refuses:
                raise ConnectionRefusedError
            broker = socket.create_connection((HOST, self._to), 5)
            broker.settimeout(None)
        except OSError:
            agent.close()
            return
        pair = _Pair(agent, broker)
        with self._lock:
            self._open.append(pair)
        for work in (self._up, self._down):
            threading.Thread(target=self._carry, args=(work, pair), name="faulty line", daemon=True).start()

    def _carry(self, work: Work, pair: "_Pair") -> None:
        with contextlib.suppress(OSError):
            work(pair)
        if not pair.dead:
            pair.close()

    def _up(self, pair: "_Pair") -> None:
        while data := pair.agent.recv(65536):
            self._stand_still(pair)
            if pair.cut_up and len(data) > 4:
                pair.broker.sendall(data[: len(data) // 2])
                pair.reset()
                return
            pair.broker.sendall(data)

    def _down(self, pair: "_Pair") -> None:
        for packet in self._pieces(pair.broker):
            self._stand_still(pair)
            if pair.cut_down:
                pair.agent.sendall(packet[: len(packet) // 2])
                pair.reset()
                return
            if self._pieces is packets and packet[0] >> 4 == PUBACK and self._is_lost():
                continue
            if not self._trickle_s:
                pair.agent.sendall(packet)
                continue
            for byte in packet:
                pair.agent.sendall(bytes([byte]))
                time.sleep(self._trickle_s)

    def _stand_still(self, pair: "_Pair") -> None:
        while (self._frozen or pair.dead) and not self._over:
            time.sleep(_LOOK_S)

    def _is_lost(self) -> bool:
        self._pubacks += 1
        lost = bool(self._every) and self._pubacks % self._every == 0
        self.pubacks_lost += lost
        return lost


class _Pair:
    """Both ends of one connection."""

    def __init__(self, agent: socket.socket, broker: socket.socket) -> None:
        self.agent, self.broker = agent, broker
        self.dead = self.cut_up = self.cut_down = self.closed = False
        for end in (agent, broker):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self.closed = True
        for end in (self.agent, self.broker):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def reset(self) -> None:
        for end in (self.agent, self.broker):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def pieces(end: socket.socket) -> Iterator[bytes]:
    """Bytes as they come."""
    while data := end.recv(65536):
        yield data


def packets(end: socket.socket) -> Iterator[bytes]:
    """Whole MQTT packets as they come."""
    held = b""
    while data := end.recv(65536):
        held += data
        while (size := _size(held)) is not None and len(held) >= size:
            yield held[:size]
            held = held[size:]


def _size(held: bytes) -> int | None:
    """Of the first packet: a byte, up to four of Remaining Length (§2.1.4), and so many bytes."""
    length = 0
    for position, byte in enumerate(held[1:5]):
        length |= (byte & 0x7F) << 7 * position
        if not byte & 0x80:
            return 2 + position + length
    return None
