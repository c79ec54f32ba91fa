"""One simulated gateway: an MQTT 5 session with its will, what it says about itself, and one result until it is filed.

Light, so that a thousand of them run in one process: sockets of the event loop and the codec, no thread and no client
library. It promises to send its result again, with the same id and bytes, until `AA` names it. Nothing is on disk.
"""

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import mqtt5

from simulators.errors import FleetError
from simulators.fleet_result import HL7_TYPE, JSON_TYPE, Result, health, result, state

READ = 65_536
HEALTH_S, HEALTH_EXPIRY_S = 60.0, 180
SESSION_S = 7 * 86_400
CONNECT_S = 30.0


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """``first``: the number of the first gateway, which is in every name."""

    host: str
    port: int
    gateways: int = 1000
    first: int = 0
    site: str = "fleet-01"
    prefix: str = "ivd/v1"
    consumer: str = "ivd"
    keepalive_s: int = 30
    will_delay_s: int = 10
    ack_timeout_s: float = 60.0

    @classmethod
    def of(cls, url: str, *, keepalive: int, will_delay: int, ack_timeout: float, **more: Any) -> "FleetOptions":
        """Raises FleetError."""
        parts = urlsplit(url)
        if parts.scheme != "mqtt" or not parts.hostname:
            raise FleetError(f"{url} is not mqtt://host:port.", "A fleet speaks no TLS: use a listener without it.")
        return cls(
            parts.hostname,
            parts.port or 1883,
            keepalive_s=keepalive,
            will_delay_s=will_delay,
            ack_timeout_s=ack_timeout,
            **more,
        )


class Gateway:
    """``run`` until cancelled; ``filed`` and ``connected`` say how far it is."""

    def __init__(self, options: FleetOptions, number: int) -> None:
        self._options = options
        self.name = f"gw-{number:05d}"
        self._root = f"{options.prefix}/{options.site}/{self.name}/"
        self._session = secrets.token_hex(13)
        self._store = secrets.token_hex(4).upper()
        self._result = result(options.site, self.name, number, self._store)
        self._packet = 0
        self._buffer = bytearray()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._sendings = 0
        self.connected, self.filed, self.rejected = asyncio.Event(), asyncio.Event(), ""

    @property
    def message(self) -> Result:
        return self._result

    @property
    def retries(self) -> int:
        return max(0, self._sendings - 1)

    async def open(self) -> None:
        """Connect, subscribe, and say that we are here. Raises OSError and TimeoutError."""
        options = self._options
        self._reader, self._writer = await asyncio.open_connection(options.host, options.port)
        will = mqtt5.Will(
            f"{self._root}state",
            payload=state("lost", self._session),
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            retain=True,
            payload_format_indicator=1,
            content_type=JSON_TYPE,
            will_delay_interval=options.will_delay_s,
        )
        self._send(
            mqtt5.ConnectPacket(
                self.name,
                clean_start=False,
                will=will,
                keep_alive=options.keepalive_s,
                session_expiry_interval=SESSION_S,
            )
        )
        hello = await asyncio.wait_for(self._next(), CONNECT_S)
        if not isinstance(hello, mqtt5.ConnAckPacket) or hello.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            raise ConnectionRefusedError("the broker refused the connection")
        answers = mqtt5.TopicFilter(
            f"{self._root}down/ack/{options.consumer}",
            max_qos=mqtt5.QoS.AT_LEAST_ONCE,
            retain_handling=mqtt5.RetainHandling.SEND_NEVER,
        )
        self._send(mqtt5.SubscribePacket(self._next_id(), [answers]))
        self._tell("state", state("ready", self._session))
        self._tell_health()
        self.connected.set()

    async def run(self) -> None:
        """Everything after `open`: answers, keepalive, heartbeat; the result again while nobody has filed it."""
        tasks = [asyncio.create_task(part) for part in (self._listen(), self._stay(), self._beat())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.connected.clear()

    def deliver(self) -> None:
        """Publish the result, for the first time or again."""
        replay = "retry" if self._sendings else "original"
        self._sendings += 1
        self._publish(
            "up/xn1/result",
            self._result.payload,
            content_type=HL7_TYPE,
            correlation_data=self._result.id.encode(),
            response_topic=f"{self._root}down/ack/{self._options.consumer}",
            user_properties=[*self._result.user, ("replay", replay)],
        )

    async def deliver_until_filed(self) -> None:
        while not self.filed.is_set() and self.connected.is_set():
            self.deliver()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.filed.wait(), self._options.ack_timeout_s)

    async def close(self) -> None:
        """Leave cleanly: `offline`, no will, and no session that would stay at the broker."""
        if self._writer is None:
            return
        with contextlib.suppress(OSError):
            self._tell("state", state("offline", self._session))
            self._send(mqtt5.DisconnectPacket(session_expiry_interval=0))
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()

    async def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                packet = await self._next()
                if isinstance(packet, mqtt5.PublishPacket):
                    self._answered(packet)
                elif isinstance(packet, mqtt5.DisconnectPacket):
                    return

    def _answered(self, packet: mqtt5.PublishPacket) -> None:
        """Only AA that names our message by MSA-2 and correlation data files it."""
        if packet.packet_id is not None:
            self._send(mqtt5.PubAckPacket(packet.packet_id))
        msa = next((line.split("|") for line in packet.payload.decode().split("\r") if line.startswith("MSA|")), [])
        if msa[2:3] != [self._result.id] or packet.correlation_data != self._result.id.encode():
            return
        if msa[1] == "AA":
            self.filed.set()
            self._tell_health()
        else:
            self.rejected = msa[1]

    async def _stay(self) -> None:
        while True:
            await asyncio.sleep(self._options.keepalive_s * 0.8)
            self._send(mqtt5.PingReqPacket())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_S)
            self._tell_health()

    def _tell(self, name: str, payload: bytes, expiry_s: int | None = None) -> None:
        self._publish(name, payload, retain=True, content_type=JSON_TYPE, message_expiry_interval=expiry_s)

    def _tell_health(self) -> None:
        self._tell("health", health(self._store, filed=self.filed.is_set()), HEALTH_EXPIRY_S)

    def _publish(
        self,
        name: str,
        payload: bytes,
        *,
        content_type: str,
        retain: bool = False,
        message_expiry_interval: int | None = None,
        correlation_data: bytes | None = None,
        response_topic: str | None = None,
        user_properties: list[tuple[str, str]] | None = None,
    ) -> None:
        self._send(
            mqtt5.PublishPacket(
                self._root + name,
                payload,
                qos=mqtt5.QoS.AT_LEAST_ONCE,
                retain=retain,
                packet_id=self._next_id(),
                payload_format_indicator=1,
                content_type=content_type,
                message_expiry_interval=message_expiry_interval,
                correlation_data=correlation_data,
                response_topic=response_topic,
                user_properties=user_properties,
            )
        )

    def _next_id(self) -> int:
        self._packet = self._packet % 65_535 + 1
        return self._packet

    def _send(self, packet: mqtt5.Packet) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(packet.write())

    async def _next(self) -> mqtt5.Packet:
        """The next packet. Raises ConnectionError when there is none, ValueError for what is none."""
        assert self._reader is not None
        while True:
            try:
                with memoryview(self._buffer) as view:
                    packet, used = mqtt5.read(view)
            except IndexError:
                data = await self._reader.read(READ)
                if not data:
                    raise ConnectionResetError("the broker closed the connection") from None
                self._buffer += data
                continue
            del self._buffer[:used]
            return packet
