"""A broker of one connection that says what the test gives it, byte by byte, and one of our connections to it."""

import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

from edge_agent.clock import Clock, SystemClock
from edge_agent.publisher.client import Connection
from edge_agent.publisher.events import Connected, Event
from edge_agent.publisher.options import MqttOptions

# MQTT 5.0: CONNACK §3.2, DISCONNECT §3.14, PUBACK §3.4, PUBLISH §3.3.
TAKEN = b"\x20\x03\x00\x00\x00"
TAKEN_WITH_LIMITS = (
    b"\x20\x0b\x00\x00\x08\x21\x00\x05\x27\x00\x00\x10\x00"  # Receive Maximum 5, Maximum Packet Size 4096
)


class Broker:
    """Takes one connection, says ``CONNACK``, keeps what comes."""

    def __init__(self, connack: bytes) -> None:
        self._connack = connack
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = b""
        self.over = threading.Event()
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            self.sock, _ = self.listener.accept()
        except OSError:
            return
        first = self.sock.recv(4096)
        with self._changed:
            self.heard += first
        self.sock.sendall(self._connack)
        try:
            while data := self.sock.recv(4096):
                with self._changed:
                    self.heard += data
                    self._changed.notify_all()
        except OSError:
            pass
        self.over.set()

    def hears(self, what: bytes) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: what in self.heard, 10), self.heard.hex(" ")


class Desk:
    def __init__(self, broker: Broker, clock: Clock | None = None, **options: Any) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        fields = {"urls": (f"mqtt://127.0.0.1:{broker.port}",), "site": "seoul-01", "gateway": "gw-01", **options}
        made = MqttOptions(**fields)
        self.broker = broker
        self.connection = Connection(
            7, made.brokers[0], made, b"{}", "t/state", self.events.put, clock or SystemClock()
        )

    def next(self) -> Any:
        return self.events.get(timeout=10)

    def connect(self) -> Connected:
        self.connection.open()
        event = self.next()
        assert isinstance(event, Connected)
        return event

    def end(self) -> None:
        self.broker.listener.close()
        if hasattr(self.broker, "sock"):
            self.broker.sock.close()


MakeDesk = Callable[..., Desk]
