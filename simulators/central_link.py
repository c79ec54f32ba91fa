"""One connection of the management system to the broker, thrown away when it ends.

A delivery is acknowledged only to the connection it came on: packet ids mean nothing on the next one. Nothing blocks
in paho's callbacks; they put one item into a queue.
"""

import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from simulators.central_desk import Arrival
from simulators.errors import AddressError, LineError

PATIENCE_S = 10.0
SESSION_S = 7 * 86_400
REQUEST_S = 7 * 86_400
CONTENT_TYPE = "application/hl7-v2; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the broker. ``url`` is mqtt:// or mqtts://."""

    url: str
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A delivery and the connection to acknowledge it to."""

    link: "Link"
    mid: int
    qos: int
    arrival: Arrival


class Link:
    def __init__(
        self,
        access: Access,
        client_id: str,
        topic: str,
        state_topic: str,
        inbox: "queue.Queue[Item | None]",
        ended: Callable[[], None],
    ) -> None:
        self._access, self._topic, self._state_topic, self._inbox, self._ended = (
            access,
            topic,
            state_topic,
            inbox,
            ended,
        )
        self._connected, self._subscribed = threading.Event(), threading.Event()
        self._refusal = ""
        self._birth = time.time_ns() // 1_000_000
        self.alive = False
        self._client = self._make(client_id)

    def _make(self, client_id: str) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if self._access.username is not None:
            client.username_pw_set(self._access.username, self._access.password)
        if urlsplit(self._access.url).scheme == "mqtts":
            self._use_tls(client)
        will = _json(PacketTypes.WILLMESSAGE)
        client.will_set(self._state_topic, self._state(online=False), qos=1, retain=True, properties=will)
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _use_tls(self, client: paho.Client) -> None:
        files = (self._access.ca_file, self._access.cert_file, self._access.key_file)
        try:
            client.tls_set(*files, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        except (OSError, ValueError) as error:
            raise AddressError(f"The certificate files cannot be used: {_why(error)}.", "Check the files.") from error

    def open(self) -> None:
        """Connect, subscribe, say that we are here. Raises ``LineError``."""
        parts = urlsplit(self._access.url)
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = 100
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        try:
            self._client.connect(parts.hostname or "", port, keepalive=30, clean_start=False, properties=properties)
        except ValueError as error:
            raise AddressError(f"The broker cannot be reached: {_why(error)}.", "Check the address.") from error
        except OSError as error:
            raise LineError(f"The broker cannot be reached: {_why(error)}.", "Check the address.") from error
        self._client.loop_start()
        if not self._connected.wait(PATIENCE_S) or self._refusal:
            self._fail(self._refusal or "it does not answer")
        self._client.subscribe(self._topic, options=SubscribeOptions(qos=1, retainHandling=2))
        if not self._subscribed.wait(PATIENCE_S) or self._refusal:
            self._fail(self._refusal or "the subscription is not answered")
        if not self._say(online=True, patience=PATIENCE_S):
            self._fail("it did not take our STATE")

    def _fail(self, reason: str) -> None:
        self.close(clean=True)
        raise LineError(f"The broker refused: {reason}.", "Check user, rights and protocol of the broker.")

    def _say(self, *, online: bool, patience: float) -> bool:
        """Publish our STATE; whether the broker took it in time."""
        said = self._client.publish(self._state_topic, self._state(online=online), 1, True, _json(PacketTypes.PUBLISH))
        try:
            said.wait_for_publish(patience)
            return said.is_published()
        except (RuntimeError, ValueError):  # paho's words for a line that went away meanwhile
            return False

    def _state(self, *, online: bool) -> bytes:
        """The will and the farewell carry the birth's own timestamp."""
        return json.dumps({"online": online, "timestamp": self._birth}).encode()

    def close(self, *, clean: bool) -> None:
        """``clean``: say farewell and disconnect; else cut the line, so that the broker sends the will."""
        if clean:
            if self.alive:
                self._say(online=False, patience=2.0)
            self._client.disconnect()
        else:
            self.cut()
        self._client.loop_stop()
        self.alive = False

    def cut(self) -> None:
        """Break the line as a fault would."""
        line = self._client.socket()
        if isinstance(line, socket.socket):
            line.shutdown(socket.SHUT_RDWR)

    def ack(self, item: Item) -> None:
        if self.alive:
            self._client.ack(item.mid, item.qos)

    def publish(self, topic: str, payload: bytes, correlation: bytes, digest: str, *, retain: bool = False) -> bool:
        """Send one acknowledgement; False when the line is down (the sender will ask again)."""
        properties = _properties(PacketTypes.PUBLISH)
        properties.ContentType = CONTENT_TYPE
        properties.PayloadFormatIndicator = 1
        if correlation:
            properties.CorrelationData = correlation
        if digest:
            properties.UserProperty = [("digest", digest)]
        return (
            self.alive
            and self._client.publish(topic, payload, 1, retain, properties).rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        )

    def ask(self, topic: str, payload: bytes) -> bool:
        """Send one request; False when the line is down (the next manifest brings it up again)."""
        properties = _json(PacketTypes.PUBLISH)
        properties.MessageExpiryInterval = REQUEST_S
        return (
            self.alive
            and self._client.publish(topic, payload, 1, False, properties).rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        )

    def _on_connect(self, _c: Any, _u: Any, _flags: Any, code: Any, _p: Any) -> None:
        self._refusal = str(code) if code.is_failure else ""
        self.alive = not code.is_failure
        self._connected.set()

    def _on_subscribe(self, _c: Any, _u: Any, _mid: Any, codes: Any, _p: Any) -> None:
        self._refusal = next((str(code) for code in codes if code.is_failure), "")
        self._subscribed.set()

    def _on_disconnect(self, _c: Any, _u: Any, _flags: Any, _code: Any, _p: Any) -> None:
        self.alive = False
        self._ended()

    def _on_message(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        self._inbox.put(Item(self, message.mid, message.qos, _arrival(message)))


def _why(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho has no types here


def _json(packet: int) -> Properties:
    made = _properties(packet)
    made.ContentType = "application/json"
    made.PayloadFormatIndicator = 1
    return made


def _no_delay(_client: Any, _userdata: Any, line: Any) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _arrival(message: paho.MQTTMessage) -> Arrival:
    properties = message.properties
    pairs = dict(getattr(properties, "UserProperty", ()))
    return Arrival(
        topic=message.topic,
        payload=bytes(message.payload),
        correlation=bytes(getattr(properties, "CorrelationData", b"")),
        response_topic=getattr(properties, "ResponseTopic", ""),
        digest=pairs.get("digest", ""),
        sequence=pairs.get("sequence", ""),
        replay=pairs.get("replay", ""),
        dup=message.dup,
        retained=message.retain,
    )
