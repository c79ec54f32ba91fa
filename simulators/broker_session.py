"""One MQTT client's session in the demonstration broker: filters, what waits for it, what it has not confirmed."""

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Protocol

import mqtt5

from simulators.broker_topics import matches

LAST_PACKET_ID = 65_535


class Outlet(Protocol):
    """The connection a session is bound to."""

    receive_max: int
    max_packet_size: int | None

    def send(self, packet: mqtt5.Packet) -> None: ...


class Session:
    """In memory only: it survives a client's absence, not the broker's end. Expiry intervals are not counted down."""

    def __init__(self, client_id: str, kept: bool) -> None:
        self.client_id = client_id
        self.kept = kept
        self.filters: dict[str, mqtt5.TopicFilter] = {}
        self.outlet: Outlet | None = None
        self._waiting: deque[mqtt5.PublishPacket] = deque()
        self._unconfirmed: dict[int, mqtt5.PublishPacket] = {}
        self._ids = itertools.cycle(range(1, LAST_PACKET_ID + 1))

    def subscription(self, topic: str, publisher: str) -> mqtt5.TopicFilter | None:
        """The matching filter with the highest QoS, or None. A No Local filter does not match the client's own."""
        found = [f for pattern, f in self.filters.items() if matches(pattern, topic)]
        found = [f for f in found if not (f.no_local and publisher == self.client_id)]
        return max(found, key=lambda f: int(f.max_qos), default=None)

    def offer(self, packet: mqtt5.PublishPacket, granted: mqtt5.QoS, retain: bool) -> None:
        """Deliver now, or keep for later: QoS 1 waits for an absent client, QoS 0 does not (§4.5)."""
        qos = min(int(packet.qos), int(granted), 1)
        copy = _copy(packet, qos, retain=retain)
        if qos == 0:
            if self.outlet is not None and self._fits(copy):
                self.outlet.send(copy)
            return
        self._waiting.append(copy)
        self.pump()

    def bind(self, outlet: Outlet) -> None:
        """A connection came: what was sent and not confirmed goes again first, marked as a duplicate (§4.4)."""
        self.outlet = outlet
        for packet_id, packet in self._unconfirmed.items():
            outlet.send(_copy(packet, 1, packet_id=packet_id, duplicate=True, retain=packet.retain))
        self.pump()

    def confirm(self, packet_id: int) -> None:
        """A PUBACK of any reason code ends the exchange."""
        self._unconfirmed.pop(packet_id, None)
        self.pump()

    def pump(self) -> None:
        while self.outlet and self._waiting and len(self._unconfirmed) < self.outlet.receive_max:
            packet = self._waiting.popleft()
            if not self._fits(packet):
                continue  # §3.1.2.11.4: what the client cannot take is dropped as if it had been delivered
            packet_id = next(i for i in self._ids if i not in self._unconfirmed)
            self._unconfirmed[packet_id] = packet
            self.outlet.send(_copy(packet, 1, packet_id=packet_id, retain=packet.retain))

    def _fits(self, packet: mqtt5.PublishPacket) -> bool:
        limit = self.outlet.max_packet_size if self.outlet else None
        return limit is None or len(packet.write()) <= limit

    def backlog(self) -> int:
        return len(self._waiting) + len(self._unconfirmed)


def retained_for(
    added: mqtt5.TopicFilter, known: bool, retained: dict[str, mqtt5.PublishPacket]
) -> Iterator[mqtt5.PublishPacket]:
    """Retained messages a new subscription brings (§3.3.1.3 and Retain Handling)."""
    handling = added.retain_handling
    if handling == mqtt5.RetainHandling.SEND_NEVER:
        return
    if handling == mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS and known:
        return
    for topic, packet in retained.items():
        if matches(added.pattern, topic):
            yield packet


def _copy(
    packet: mqtt5.PublishPacket, qos: int, *, retain: bool, packet_id: int = 1, duplicate: bool = False
) -> mqtt5.PublishPacket:
    return mqtt5.PublishPacket(
        packet.topic,
        packet.payload,
        qos=mqtt5.QoS(qos),
        retain=retain,
        packet_id=packet_id if qos else None,
        duplicate=duplicate,
        payload_format_indicator=packet.payload_format_indicator,
        message_expiry_interval=packet.message_expiry_interval,
        content_type=packet.content_type,
        response_topic=packet.response_topic,
        correlation_data=packet.correlation_data,
        user_properties=packet.user_properties,
    )
