"""A small MQTT 5 broker for the demonstration, where the machine has no Mosquitto. For demonstration only.

What it does: QoS 0 and 1, retained messages, the will and its properties, user properties, content type, correlation
data and response topic passed on unchanged, reason codes (0x10 where nobody subscribes), wildcards, No Local, Retain
Handling, the client's Receive Maximum and Maximum Packet Size, sessions of absent clients in memory, session takeover.

What it does not: survive its own end, TLS, passwords, access rules, QoS 2, topic aliases, shared subscriptions, will
delay (a will goes out at once), message and session expiry, MQTT 3.1.1. Never put it in a laboratory.

    python -m simulators.broker --port 0        prints ``listening on 127.0.0.1:PORT``
"""

import asyncio
import contextlib
import threading

import click
import mqtt5

from simulators.broker_session import Outlet, Session, retained_for
from simulators.broker_topics import valid_filter, valid_topic

READ = 65_536
BIGGEST = 16 * 1024 * 1024
RECEIVE_MAX = 100
CONNECT_S = 10.0
REFUSED_311 = b"\x20\x02\x00\x01"  # MQTT 3.1.1 §3.2.2.3: unacceptable protocol version


class _ClosedError(Exception):
    """The connection is over; ``will`` says whether the client's will is due."""

    def __init__(self, will: bool, code: mqtt5.DisconnectReasonCode | None = None) -> None:
        super().__init__()
        self.will, self.code = will, code


class Connection:
    """One client on the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._buffer = bytearray()
        self.receive_max = RECEIVE_MAX
        self.max_packet_size: int | None = None

    def send(self, packet: mqtt5.Packet) -> None:
        if not self._writer.is_closing():
            self._writer.write(packet.write())

    async def next(self, patience: float | None) -> mqtt5.Packet:
        """The next packet. Raises ``_ClosedError`` when there is none."""
        while True:
            try:
                with memoryview(self._buffer) as view:
                    packet, used = mqtt5.read(view)
            except IndexError:
                await self._more(patience)
                continue
            except ValueError as error:
                self._refuse_311()
                raise _ClosedError(True, mqtt5.DisconnectReasonCode.MALFORMED_PACKET) from error
            del self._buffer[:used]
            return packet

    async def _more(self, patience: float | None) -> None:
        if len(self._buffer) > BIGGEST:
            raise _ClosedError(True, mqtt5.DisconnectReasonCode.PACKET_TOO_LARGE)
        await self._writer.drain()
        try:
            data = await asyncio.wait_for(self._reader.read(READ), patience)
        except TimeoutError as error:
            raise _ClosedError(True, mqtt5.DisconnectReasonCode.KEEP_ALIVE_TIMEOUT) from error
        if not data:
            raise _ClosedError(True)
        self._buffer += data

    def _refuse_311(self) -> None:
        if self._buffer[:1] == b"\x10" and b"MQTT\x04" in self._buffer[:12]:
            self._writer.write(REFUSED_311)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Broker:
    """``await start()``, ``.port``, ``await stop()``. Everything runs on the caller's event loop."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host, self.port = host, port
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, mqtt5.PublishPacket] = {}
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self._named = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection, task in list(self._open.items()):
            connection.send(mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SERVER_SHUTTING_DOWN))
            task.cancel()
        await asyncio.gather(*self._open.values(), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._open[connection] = task
        try:
            await self._talk(connection)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.pop(connection, None)
            await connection.close()

    async def _talk(self, connection: Connection) -> None:
        session: Session | None = None
        will: mqtt5.Will | None = None
        try:
            hello = await connection.next(CONNECT_S)
            if not isinstance(hello, mqtt5.ConnectPacket):
                raise _ClosedError(False, mqtt5.DisconnectReasonCode.PROTOCOL_ERROR)
            session, will = self._welcome(connection, hello), hello.will
            patience = hello.keep_alive * 1.5 if hello.keep_alive else None
            while True:
                self._take(connection, session, await connection.next(patience))
        except _ClosedError as closed:
            if closed.code is not None:
                connection.send(mqtt5.DisconnectPacket(reason_code=closed.code))
            if not closed.will:
                will = None
        finally:
            self._leave(connection, session, will)

    def _welcome(self, connection: Connection, hello: mqtt5.ConnectPacket) -> Session:
        self._named += 1
        client_id = hello.client_id or f"anonymous-{self._named}"
        known = self._sessions.get(client_id)
        if known is not None and known.outlet is not None:
            self._take_over(known.outlet)
        present = known is not None and not hello.clean_start
        session = known if known is not None and present else Session(client_id, kept=True)
        session.kept = hello.session_expiry_interval > 0
        self._sessions[client_id] = session
        connection.receive_max, connection.max_packet_size = hello.receive_max, hello.max_packet_size
        connection.send(
            mqtt5.ConnAckPacket(
                session_present=present,
                assigned_client_id=None if hello.client_id else client_id,
                receive_max=RECEIVE_MAX,
                max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                max_packet_size=BIGGEST,
                shared_subscription_available=False,
                subscription_id_available=False,
            )
        )
        session.bind(connection)
        return session

    def _take_over(self, outlet: Outlet) -> None:
        outlet.send(mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER))
        if isinstance(outlet, Connection) and outlet in self._open:
            self._open[outlet].cancel()

    def _leave(self, connection: Connection, session: Session | None, will: mqtt5.Will | None) -> None:
        taken_over = session is not None and session.outlet is not connection
        if session is not None and not taken_over:
            session.outlet = None
            if not session.kept and self._sessions.get(session.client_id) is session:
                self._sessions.pop(session.client_id, None)
        if will is not None and not (taken_over and will.will_delay_interval):
            self._publish(_from_will(will), session.client_id if session else "")

    def _take(self, connection: Connection, session: Session, packet: mqtt5.Packet) -> None:
        if isinstance(packet, mqtt5.PublishPacket):
            self._published(connection, session, packet)
        elif isinstance(packet, mqtt5.PubAckPacket):
            session.confirm(packet.packet_id)
        elif isinstance(packet, mqtt5.SubscribePacket):
            self._subscribe(connection, session, packet)
        elif isinstance(packet, mqtt5.UnsubscribePacket):
            self._unsubscribe(connection, session, packet)
        elif isinstance(packet, mqtt5.PingReqPacket):
            connection.send(mqtt5.PingRespPacket())
        elif isinstance(packet, mqtt5.DisconnectPacket):
            wanted = packet.reason_code == mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE
            raise _ClosedError(will=wanted)
        else:
            raise _ClosedError(True, mqtt5.DisconnectReasonCode.PROTOCOL_ERROR)

    def _published(self, connection: Connection, session: Session, packet: mqtt5.PublishPacket) -> None:
        if packet.qos == mqtt5.QoS.EXACTLY_ONCE:
            raise _ClosedError(True, mqtt5.DisconnectReasonCode.QOS_NOT_SUPPORTED)
        if packet.topic_alias is not None:
            raise _ClosedError(True, mqtt5.DisconnectReasonCode.TOPIC_ALIAS_INVALID)
        if not valid_topic(packet.topic):
            raise _ClosedError(True, mqtt5.DisconnectReasonCode.TOPIC_NAME_INVALID)
        reached = self._publish(packet, session.client_id)
        if packet.packet_id is not None:
            code = mqtt5.PubAckReasonCode.SUCCESS if reached else mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS
            connection.send(mqtt5.PubAckPacket(packet.packet_id, reason_code=code))

    def _publish(self, packet: mqtt5.PublishPacket, publisher: str) -> int:
        """Route to every session with a matching filter; an absent client's session counts as reached."""
        if packet.retain and packet.payload:
            self._retained[packet.topic] = packet
        elif packet.retain:
            self._retained.pop(packet.topic, None)
        reached = 0
        for session in list(self._sessions.values()):
            chosen = session.subscription(packet.topic, publisher)
            if chosen is not None:
                reached += 1
                session.offer(packet, chosen.max_qos, packet.retain and chosen.retain_as_published)
        return reached

    def _subscribe(self, connection: Connection, session: Session, packet: mqtt5.SubscribePacket) -> None:
        codes: list[mqtt5.SubAckReasonCode] = []
        fresh: list[tuple[mqtt5.TopicFilter, bool]] = []
        for wanted in packet.topic_filters:
            if not valid_filter(wanted.pattern):
                codes.append(mqtt5.SubAckReasonCode.TOPIC_FILTER_INVALID)
            elif wanted.pattern.startswith("$share/"):
                codes.append(mqtt5.SubAckReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED)
            else:
                fresh.append((wanted, wanted.pattern in session.filters))
                session.filters[wanted.pattern] = wanted
                codes.append(mqtt5.SubAckReasonCode(min(int(wanted.max_qos), 1)))
        connection.send(mqtt5.SubAckPacket(packet.packet_id, codes))
        for added, known in fresh:
            for kept in retained_for(added, known, self._retained):
                session.offer(kept, added.max_qos, retain=True)

    def _unsubscribe(self, connection: Connection, session: Session, packet: mqtt5.UnsubscribePacket) -> None:
        gone = [session.filters.pop(pattern, None) for pattern in packet.patterns]
        ok, none = mqtt5.UnsubAckReasonCode.SUCCESS, mqtt5.UnsubAckReasonCode.NO_SUBSCRIPTION_EXISTED
        connection.send(mqtt5.UnsubAckPacket(packet.packet_id, [none if f is None else ok for f in gone]))


def _from_will(will: mqtt5.Will) -> mqtt5.PublishPacket:
    return mqtt5.PublishPacket(
        will.topic,
        will.payload or b"",
        qos=will.qos,
        retain=will.retain,
        packet_id=1 if int(will.qos) else None,
        payload_format_indicator=will.payload_format_indicator,
        message_expiry_interval=will.message_expiry_interval,
        content_type=will.content_type,
        response_topic=will.response_topic,
        correlation_data=will.correlation_data,
        user_properties=will.user_properties,
    )


class BrokerThread:
    """The broker on a thread and a loop of its own, for tests."""

    def __init__(self) -> None:
        self.broker = Broker()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo-broker", daemon=True)

    def start(self) -> int:
        """Start it; the port it listens on."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.broker.start(), self._loop).result(10)
        return self.broker.port

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.broker.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _run(host: str, port: int) -> None:
    broker = Broker(host, port)
    await broker.start()
    click.echo("demonstration broker, not for a laboratory: nothing it holds survives it", err=True)
    click.echo(f"listening on {host}:{broker.port}")
    try:
        await asyncio.Event().wait()
    finally:
        await broker.stop()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=1883, show_default=True, help="0 lets the system choose.")
def main(host: str, port: int) -> None:
    """A small MQTT 5 broker, for demonstration only."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(host, port))


if __name__ == "__main__":
    main()
