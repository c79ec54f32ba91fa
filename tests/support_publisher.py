"""The publisher against real parts: a store on disk, a real broker, and a small management system of the test's own.

The management system is written on paho's public calls and shares no code with the publisher.
"""

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from support_broker import HOST, Broker

from edge_agent.clock import SystemClock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.proof import Proven
from edge_agent.publisher.publisher import Publisher
from edge_agent.states import ItemState, MessageState
from edge_agent.store.rows import (
    Chunk,
    ChunkKind,
    NewGroup,
    NewMessage,
    OutboxRow,
    Route,
    Settlement,
    Source,
)
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

SITE, GATEWAY = "seoul-01", "gw-01"
ROOT = f"ivd/v1/{SITE}/{GATEWAY}"


def until(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> Any:
    """Wait for ``condition``; what it returned. Fails with ``what``."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"never: {what}")


@dataclass(frozen=True)
class Arrived:
    """One PUBLISH as the management system got it."""

    topic: str
    payload: bytes
    correlation: bytes
    response_topic: str
    content_type: str
    format: int | None
    user: dict[str, str]


@dataclass
class Central:
    """The management system: answers as told, remembers everything."""

    port: int
    name: str = "ivd"
    instance: str = "a"
    answer: Callable[[Arrived], str | None] = field(default=lambda _m: "AA")  # MSA-1, or None for silence
    digest: Callable[[Arrived], str | None] = field(default=lambda m: hashlib.sha256(m.payload).hexdigest())
    error: str = ""  # ERR-3
    text: str = ""  # MSA-3
    client_id: str = ""
    says_state: bool = False
    client_setup: Callable[[paho.Client], None] = field(default=lambda _c: None)
    arrived: list[Arrived] = field(default_factory=list)
    seen: dict[str, bytes] = field(default_factory=dict)  # retained and other topics of gateways: newest payload

    def start(self) -> "Central":
        self._subscribed = threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self.client_id or f"central-{self.name}-{self.instance}",
            protocol=paho.MQTTv5,
        )
        self.client_setup(self.client)
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = self._message
        self.client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]  # fractions work
        if self.says_state:
            self.client.will_set(self._state_topic, self._state(False), qos=1, retain=True)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self.client.connect(HOST, self.port, clean_start=False, properties=properties)
        self.client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def say(self, online: bool, instance: str = "", timestamp: int | None = None) -> None:
        topic = f"ivd/v1/_central/{self.name}/{instance or self.instance}/state"
        info = self.client.publish(topic, self._state(online, timestamp), qos=1, retain=True)
        info.wait_for_publish(5)

    def ack(
        self,
        message_id: str,
        code: str,
        *,
        digest: str | None = None,
        consumer: str = "",
        correlation: str | None = None,
    ) -> None:
        """An acknowledgement out of turn."""
        wanted = message_id if correlation is None else correlation
        self._send(f"{ROOT}/down/ack/{consumer or self.name}", message_id, code, digest, wanted)

    def retain_ack(self, message_id: str, code: str) -> None:
        self._send(f"{ROOT}/down/ack/{self.name}", message_id, code, None, message_id, retain=True)

    def put(self, topic: str, payload: bytes) -> None:
        """A retained message, as an earlier gateway may have left it."""
        self.client.publish(topic, payload, qos=1, retain=True).wait_for_publish(5)

    def ids(self) -> list[str]:
        return [m.correlation.decode() for m in self.arrived]

    @property
    def _state_topic(self) -> str:
        return f"ivd/v1/_central/{self.name}/{self.instance}/state"

    def _state(self, online: bool, timestamp: int | None = None) -> bytes:
        at = int(time.time() * 1000) if timestamp is None else timestamp
        return json.dumps({"online": online, "timestamp": at}).encode()

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(f"{ROOT}/#", paho.SubscribeOptions(qos=1))])

    def _message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        if not message.topic.startswith(f"{ROOT}/up/") or message.topic == f"{ROOT}/up/manifest":
            self.seen[message.topic.removeprefix(f"{ROOT}/")] = bytes(message.payload)
            return
        props = message.properties
        got = Arrived(
            message.topic,
            bytes(message.payload),
            getattr(props, "CorrelationData", b"") or bytes(message.payload).split(b"|")[9],
            getattr(props, "ResponseTopic", ""),
            getattr(props, "ContentType", ""),
            getattr(props, "PayloadFormatIndicator", None),
            dict(getattr(props, "UserProperty", [])),
        )
        self.arrived.append(got)
        code = self.answer(got)
        if code is not None:
            message_id = got.correlation.decode()
            self._send(f"{ROOT}/down/ack/{self.name}", message_id, code, self.digest(got), message_id)

    def _send(
        self, topic: str, message_id: str, code: str, digest: str | None, correlation: str, *, retain: bool = False
    ) -> None:
        error = f"ERR|||{self.error}|E\r" if self.error else ""
        payload = (
            f"MSH|^~\\&|IVD|CENTRAL|||20240301||ACK^R22^ACK|1|P|2.5.1\rMSA|{code}|{message_id}|{self.text}\r{error}"
        )
        properties = Properties(PacketTypes.PUBLISH)
        if correlation:
            properties.CorrelationData = correlation.encode()
        if digest is not None:
            properties.UserProperty = ("digest", digest)
        self.client.publish(topic, payload.encode(), qos=1, properties=properties, retain=retain)


class Agent:
    """A publisher with its own event loop in a thread, on a real store."""

    def __init__(self, data_dir: Path, broker: Broker, seed: int = 7, **options: Any) -> None:
        self.clock = SystemClock()
        self.seed = seed
        self.options = MqttOptions(**{"urls": (broker.url,), "site": SITE, "gateway": GATEWAY, **options})
        self.store = StoreThread(
            lambda: Store.open(data_dir, self.clock, reserve_mb=0, low_water_mb=0, allow_unsafe=True)
        )
        self.alarms = Alarms(self.clock)
        self.presence = Presence("0.1.0", self.alarms, Info(version="0.1.0", site=SITE, gateway=GATEWAY))
        self.presence.running()
        self.timing: dict[str, float] = {}
        self.published_order: list[str] = []

    def ready(self) -> "Agent":
        """Connected, with what is queued from now on no backlog."""
        until(lambda: self.publisher.status().proven is not Proven.UNKNOWN, "what the broker knows of consumers")
        return self

    def start(self) -> "Agent":
        self.store.start()
        return self.begin()

    def begin(self) -> "Agent":
        """The store runs already."""
        self.loop = asyncio.new_event_loop()
        self.publisher = Publisher(
            self.options, self.store, self.clock, Random(self.seed), self.alarms, self.presence, **self.timing
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.publisher.run())

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.publisher.stop)
            self._thread.join(20)
            assert not self._thread.is_alive(), "the publisher does not stop"
        self.loop.close()
        self.store.stop()

    def queue(
        self,
        specimen: str = "",
        *,
        analyser: str = "xn1",
        route: Route = Route.RESULT,
        stat: bool = False,
        graphics: bool = False,
        filler: int = 0,
    ) -> str:
        """One message more; its id."""
        message_id = self.store.urgent(
            lambda s: queue_one(s, specimen, analyser, route, stat=stat, graphics=graphics, filler=filler)
        ).result()
        if hasattr(self, "publisher") and self.loop.is_running():
            self.loop.call_soon_threadsafe(self.publisher.kick)
        return message_id

    def call(self, job: Callable[[], Any]) -> None:
        """In the event loop's thread."""
        self.loop.call_soon_threadsafe(job)

    def cut(self) -> None:
        """The network goes away under an open connection."""
        connection = self.publisher._link._connection
        assert connection is not None
        connection._client.socket().shutdown(socket.SHUT_RDWR)

    def count(self, state: MessageState) -> int:
        return self.store.urgent(lambda s: s.counts()).result().messages.get(state, 0)

    def row(self, message_id: str) -> Any:
        return self.store.urgent(lambda s: s.message(message_id)).result()

    def state(self, message_id: str) -> MessageState:
        state: MessageState = self.row(message_id).state
        return state

    def attempts(self, message_id: str) -> list[Any]:
        return self.store.urgent(lambda s: s.attempts(message_id)).result()

    def filed(self, *ids: str) -> bool:
        return all(self.state(i) is MessageState.FILED for i in ids)

    def alarm(self, code: str) -> Any:
        return next((a for a in self.alarms.active() if a.code == code), None)


_SOURCE = Source("xn1", "127.0.0.1", "sysmex_xn", 1, "00", "production")


def queue_one(
    store: Store, specimen: str, analyser: str, route: Route, *, stat: bool, graphics: bool, filler: int
) -> str:
    """One message more in the store; its id."""
    (reserved,) = store.reserve(1)
    transmission = store.open_transmission(_SOURCE)
    store.append(transmission, [Chunk(ChunkKind.FRAME, b"\x02x", text=b"x", number=1, last=True)], end="L")
    key = hashlib.sha256((specimen or reserved.id).encode()).digest()
    payload = hl7_message(reserved.id, analyser, filler)
    message = NewMessage(reserved.id, reserved.at, analyser, route, key, payload, stat=stat, graphics=graphics)
    store.settle(Settlement(transmission, (NewGroup("S", "P", ItemState.CONVERTED, messages=(message,)),)))
    return reserved.id


def outbox_row(message_id: str) -> OutboxRow:
    """A row as the store would hand it out."""
    payload = hl7_message(message_id)
    return OutboxRow(
        id=message_id,
        analyser="xn1",
        route=Route.RESULT,
        sequence=42,
        specimen_key=b"k",
        payload=payload,
        digest=hashlib.sha256(payload).hexdigest(),
        state=MessageState.QUEUED,
        code="",
        reason="",
        stat=False,
        graphics=False,
        created=datetime(2024, 3, 1, 3, 12, 0, 5000, tzinfo=UTC),
        queued=datetime(2024, 3, 1, 3, 12, 1, tzinfo=UTC),
        attempts=1,
        replay="",
        repeat_of="",
        replaces="",
        transmission=1,
        filed=None,
    )


def hl7_message(message_id: str, analyser: str = "xn1", filler: int = 0) -> bytes:
    """Written by hand: MSH and one OBX, with an optional long comment."""
    msh = f"MSH|^~\\&|{analyser}|seoul-01|IVD|CENTRAL|20240301101200+0900||OUL^R22^OUL_R22|{message_id}|P|2.5.1"
    note = f"NTE|1||{'x' * filler}\r" if filler else ""
    return f"{msh}\rOBX|1|NM|GLU^Glucose^99SYS||5.0|mmol/L|||||F\r{note}".encode()


MakeAgent = Callable[..., Agent]
MakeCentral = Callable[..., Central]


@contextmanager
def watching(broker: Broker, topic: str, *, retained: bool = True) -> Iterator[list[paho.MQTTMessage]]:
    """Everything that comes on ``topic`` for a client of its own."""
    got: list[paho.MQTTMessage] = []
    ready = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe(topic, options=paho.SubscribeOptions(qos=1))
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _u, m: got.append(m)
    client.connect(HOST, broker.port)
    client.loop_start()
    assert ready.wait(10)
    try:
        yield got
    finally:
        client.disconnect()
        client.loop_stop()
