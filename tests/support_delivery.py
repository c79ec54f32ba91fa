"""Delivery without a broker: the real outbox on a disk, a connection that only keeps what it is given, a clock by hand.

What a broker does with a message is said by the test (``puback``, ``hang_up``), and so is what a management system
answers (``ack``). Time passes only by ``wait``.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from paho.mqtt.properties import Properties
from support_publisher import GATEWAY, SITE, queue_one

from edge_agent.monitor.alarms import Alarms
from edge_agent.publisher.answers import AckMessage
from edge_agent.publisher.delivery import Delivery
from edge_agent.publisher.events import Cause, Ended, PubackCame
from edge_agent.publisher.gate import Gate
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.outbox import Outbox
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.topics import Topics
from edge_agent.publisher.troubles import Troubles
from edge_agent.states import MessageState
from edge_agent.store.rows import Route
from edge_agent.store.store import Store

ACK_TIMEOUT_S = 60.0


class Steps:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2024, 3, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class HighestDraw(Random):
    """Chance with nothing left to it: every wait is as long as it may be."""

    def uniform(self, a: float, b: float) -> float:
        return b

    def random(self) -> float:
        return 1.0 - 2**-53


class AtOnce:
    """The store's thread, without one."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def later(self, job: Callable[[Store], Any]) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(job(self.store))
        except Exception as error:  # noqa: BLE001  # whatever it raises is the caller's, as in the thread
            done.set_exception(error)
        return done


@dataclass
class Sent:
    topic: str
    id: str
    payload: bytes
    properties: Properties | None
    mid: int

    @property
    def replay(self) -> str:
        assert self.properties is not None
        return dict(self.properties.UserProperty)["replay"]


@dataclass
class KeptLink:
    """A connection with so much ``room``; what it was given waits for its PUBACK in ``flying``."""

    slots: int = 100
    may_deliver: bool = True
    maximum_packet: int | None = None
    gone: bool = False  # the network is, and nobody has said so yet
    closed: bool = False
    sent: list[Sent] = field(default_factory=list)
    flying: dict[str, int] = field(default_factory=dict)
    topics: Topics = field(default_factory=lambda: Topics("ivd/v1", SITE, GATEWAY))
    suspicion: Suspicion = field(default_factory=Suspicion)

    @property
    def room(self) -> int:
        if self.suspicion.one_at_a_time:
            return 1 - min(1, len(self.flying))
        return self.slots - len(self.flying)

    def publish(self, topic: str, payload: bytes, properties: Properties | None) -> int | None:
        assert self.room > 0
        if self.gone:
            self.slots = 0  # until there is another connection
            return None
        mid = len(self.sent) + 1
        message_id = payload.split(b"|")[9].decode()
        self.sent.append(Sent(topic, message_id, payload, properties, mid))
        self.flying[message_id] = mid
        return mid

    def close(self) -> None:
        self.closed = True


class Rig:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.clock = Steps()
        self.store = Store.open(folder, self.clock, reserve_mb=0, low_water_mb=0, allow_unsafe=True)
        self.alarms = Alarms(self.clock)
        self.options = MqttOptions(**{"urls": ("mqtt://127.0.0.1",), "site": SITE, "gateway": GATEWAY, **options})
        self._runner = asyncio.Runner()
        self.begin()

    def begin(self) -> None:
        """As at a start of the agent: with nothing but the store."""
        world: Any = SimpleNamespace(thread=AtOnce(self.store), link=KeptLink())
        self.link: KeptLink = world.link
        self.gate = Gate(self.options.consumer_names, self.clock)
        self.delivery = Delivery(
            self.options,
            Outbox(world.thread, self.clock),
            world.link,
            self.gate,
            self.link.suspicion,
            Troubles(self.alarms, self.clock),
            self.clock,
            HighestDraw(),
        )

    def end(self) -> None:
        self._runner.close()
        self.store.close()

    def do(self, job: Any) -> Any:
        return self._runner.run(job)

    def queue(self, specimen: str = "", analyser: str = "xn1", route: Route = Route.RESULT, **more: Any) -> str:
        message = queue_one(
            self.store, specimen, analyser, route, **{"stat": False, "graphics": False, "filler": 0, **more}
        )
        self.delivery.look()
        return message

    def pump(self) -> list[str]:
        """Let go what may go now; the ids that did."""
        before = len(self.link.sent)
        self.do(self.delivery.pump())
        return [sent.id for sent in self.link.sent[before:]]

    def wait(self, seconds: float) -> list[str]:
        self.clock.seconds += seconds
        return self.pump()

    def puback(self, message: str, code: int = 0, text: str = "") -> None:
        """The broker's answer to the newest publication of ``message``."""
        self.do(self.delivery.heard([PubackCame(1, self.link.flying.pop(message), code, text)]))

    def taken(self, *messages: str) -> None:
        for message in messages:
            self.puback(message)

    def ack(self, message: str, code: str = "AA", error: str = "", consumer: str = "ivd", **more: Any) -> None:
        farewells = self.gate.farewells(consumer)
        fields = {"correlation": message.encode(), "digest": None, "farewells": farewells, **more}
        self.do(self.delivery.heard([AckMessage(consumer, code, message, error, "", **fields)]))

    def hang_up(self, code: int | None = None, cause: Cause = Cause.DROPPED) -> None:
        self.link.flying.clear()
        self.do(self.delivery.disconnected(Ended(1, cause, code, "it hung up")))

    def connect(self, *, session: bool = True) -> None:
        self.do(self.delivery.connected(session))

    def consumer_says(self, online: bool, at: int, consumer: str = "ivd") -> None:
        was = self.gate.is_open(consumer)
        self.gate.heard(consumer, "a", b'{"online": %s, "timestamp": %d}' % (b"true" if online else b"false", at))
        if self.gate.is_open(consumer) != was:
            self.delivery.gate_moved(consumer)

    def state(self, message: str) -> MessageState:
        row = self.store.message(message)
        assert row is not None
        return row.state

    def notes(self, message: str) -> list[str]:
        return [attempt.what for attempt in self.store.attempts(message)]

    def alarmed(self) -> dict[str, Any]:
        return {alarm.code: alarm for alarm in self.alarms.active()}

    @property
    def replays(self) -> list[tuple[str, str]]:
        return [(sent.id, sent.replay) for sent in self.link.sent]
