"""A broker in virtual time: one gateway, one management system, queues, retained messages, and its faults.

Written from MQTT 5.0 and from what Mosquitto 2.0.11 was seen to do; it knows topics and properties, not bytes.
``Uplink`` is put in the place of ``edge_agent.publisher.client.Connection``.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_agent.publisher.events import Cause, Connected, Ended, Event, PubackCame, Received, Subscribed

TRIP_S = 0.002


@dataclass(frozen=True)
class Packet:
    topic: str
    payload: bytes
    retained: bool = False
    correlation: bytes | None = None
    user: tuple[tuple[str, str], ...] = ()


@dataclass
class SimBroker:
    on_result: Callable[[Packet], None]  # the management system's subscription
    up: bool = True
    frozen: bool = False  # connections stand, and nobody answers
    forbidden: bool = False  # the access list lost its line for results
    central_there: bool = True
    central_known: bool = True  # a session that keeps what comes meanwhile
    pubacks_lost: int = 0
    retained: dict[str, Packet] = field(default_factory=dict)
    for_central: deque[Packet] = field(default_factory=deque)
    for_gateway: deque[Packet] = field(default_factory=deque)
    gateway_known: bool = False
    uplink: "Uplink | None" = None
    filters: set[str] = field(default_factory=set)

    # What happens to it

    def stop(self, *, forgets: bool) -> None:
        """``forgets``: sessions, queues and retained messages are gone, as after a kill without persistence."""
        self.up = False
        self.drop()
        if forgets:
            self.retained.clear()
            self.for_central.clear()
            self.for_gateway.clear()
            self.gateway_known = self.central_known = False

    def drop(self) -> None:
        """The gateway's connection ends without a word."""
        if self.uplink is not None:
            self.uplink.lost()

    def central(self, there: bool) -> None:
        self.central_there = there
        if there and self.up:
            self.central_known = True
            while self.for_central:
                self.on_result(self.for_central.popleft())

    # What it does

    def take(self, uplink: "Uplink", mid: int, packet: Packet) -> None:
        """A PUBLISH of the gateway."""
        if not self.up or self.frozen or uplink is not self.uplink:
            return
        code = 0x00
        if "/up/" in packet.topic:
            code = self._result(packet)
        elif packet.retained:
            self._retain(packet)
        elif packet.topic in self.filters:
            self.to_gateway(packet)
        if self.pubacks_lost and "/up/" in packet.topic:
            self.pubacks_lost -= 1
            return
        uplink.post(PubackCame(uplink.number, mid, code, ""))

    def _result(self, packet: Packet) -> int:
        if self.forbidden:
            return 0x87
        if self.central_there:
            self.on_result(packet)
        elif self.central_known:
            self.for_central.append(packet)
        else:
            return 0x10
        return 0x00

    def _retain(self, packet: Packet) -> None:
        if packet.payload:
            self.retained[packet.topic] = packet
        else:
            self.retained.pop(packet.topic, None)

    def to_gateway(self, packet: Packet) -> None:
        """From the management system, or the gateway's own echo."""
        if not self.up or not self.gateway_known:
            return
        if self.uplink is None or self.frozen:
            self.for_gateway.append(packet)
        else:
            self.uplink.deliver(packet)

    def say(self, topic: str, payload: bytes) -> None:
        """A retained STATE of the management system."""
        self.retained[topic] = Packet(topic, payload, retained=True)
        if self.up and self.uplink is not None and not self.frozen:
            self.uplink.deliver(Packet(topic, payload))


class Uplink:
    """One connection of the gateway. ``broker`` stands for all of them: see ``plugged_into``."""

    def __init__(
        self, broker: SimBroker, number: int, address: Any, options: Any, post: Callable[[Event], None]
    ) -> None:
        self.number = number
        self.broker = address
        self._sim = broker
        self._options = options
        self._post = post
        self._limit = options.window
        self._pending: dict[int, float] = {}  # when each was handed over
        self._mids = 0
        self._unacknowledged: dict[int, Packet] = {}
        self._over = self._closing = False
        self._loop = asyncio.get_running_loop()

    def post(self, event: Event) -> None:
        """After a trip over the network, unless the connection ended meanwhile."""
        self._loop.call_later(TRIP_S, lambda: None if self._over else self._post(event))

    def open(self) -> None:
        if not self._sim.up:
            self._loop.call_later(TRIP_S, self._end, Cause.NETWORK, "nothing listens there")
            return
        if self._sim.uplink is not None:
            self._sim.uplink.lost()
        self._sim.uplink = self
        if self._sim.frozen:
            self._loop.call_later(5.0, self._end, Cause.NETWORK, "no answer in time")
            return
        known, self._sim.gateway_known = self._sim.gateway_known, True
        self.post(Connected(self.number, 0, known, 65_535, None))

    @property
    def room(self) -> int:
        return self._limit - len(self._pending)

    @property
    def pending(self) -> int:
        return len(self._pending)

    def limit(self, receive_maximum: int) -> None:
        self._limit = max(1, min(self._options.window, receive_maximum))

    def publish(self, topic: str, payload: bytes, properties: Any, *, retain: bool = False) -> int | None:
        if self._over:
            self._limit = 0
            return None
        self._mids += 1
        self._pending[self._mids] = self._loop.time()
        correlation = getattr(properties, "CorrelationData", None)
        packet = Packet(topic, payload, retain, correlation, tuple(getattr(properties, "UserProperty", ())))
        self._loop.call_later(TRIP_S, self._sim.take, self, self._mids, packet)
        if self._sim.frozen:
            self._loop.call_later(self._options.keepalive_s * 1.5, self._silent)
        return self._mids

    def _silent(self) -> None:
        if self._sim.frozen:
            self._end(Cause.NETWORK, "the broker did not answer in time")

    def answered(self, mid: int) -> None:
        self._pending.pop(mid, None)

    @property
    def overdue_at(self) -> float | None:
        if self._closing:
            return None
        patience = max(self._options.ack_timeout_s, self._options.keepalive_s)
        return next((at + patience for at in self._pending.values()), None)

    def give_up_if_overdue(self) -> None:
        if self.overdue_at is not None and self._loop.time() >= self.overdue_at:
            self._closing = True
            self._loop.call_later(TRIP_S, self._end, Cause.NETWORK, "the broker did not confirm what it was sent")

    def subscribe(self, filters: Sequence[tuple[str, bool]]) -> int | None:
        self._mids += 1
        own = self._mids
        self._sim.filters = {name for name, _ in filters}
        self.post(Subscribed(self.number, own, tuple(1 for _ in filters)))
        for packet in list(self._sim.retained.values()):
            if any(wanted and _matches(name, packet.topic) for name, wanted in filters):
                self.deliver(packet)
        while self._sim.for_gateway:
            self.deliver(self._sim.for_gateway.popleft())
        return own

    def deliver(self, packet: Packet) -> None:
        self._mids += 1
        self._unacknowledged[self._mids] = packet
        self.post(
            Received(
                self.number,
                self._mids,
                1,
                packet.topic,
                packet.payload,
                packet.retained,
                packet.correlation,
                packet.user,
            )
        )

    def acknowledge(self, message: Received) -> None:
        self._unacknowledged.pop(message.mid, None)

    def close(self, *, keep_will: bool = False, end_session: bool = False) -> None:
        self._loop.call_later(TRIP_S, self._end, Cause.CLOSED, "closed by the gateway")

    def lost(self) -> None:
        """Without a word. What it had not acknowledged comes again, in the order it came."""
        self._end(Cause.DROPPED, "the broker closed the connection without a reason")

    def killed(self) -> None:
        """The gateway is dead: the broker notices, and nobody hears of it."""
        self._over = True
        self._keep()

    def _end(self, cause: Cause, reason: str) -> None:
        if self._over:
            return
        self._over = True
        self._keep()
        self._post(Ended(self.number, cause, None, reason))

    def _keep(self) -> None:
        if self._sim.uplink is self:
            self._sim.uplink = None
        if self._sim.gateway_known:
            again = [p for p in self._unacknowledged.values() if not p.retained]
            self._sim.for_gateway.extendleft(reversed(again))


def _matches(name: str, topic: str) -> bool:
    wanted, found = name.split("/"), topic.split("/")
    return len(wanted) == len(found) and all(w in ("+", f) for w, f in zip(wanted, found, strict=True))


def plugged_into(broker: SimBroker) -> Callable[..., Uplink]:
    """What makes connections of this broker, in the place of the class ``Connection``."""

    def connection(
        number: int, address: Any, options: Any, will: bytes, will_topic: str, post: Any, clock: Any
    ) -> Uplink:
        return Uplink(broker, number, address, options, post)

    return connection
