"""One connection to the broker: paho-mqtt behind the few calls we need.

Promises: exactly one ``Ended`` comes for every opened connection, whatever happens to paho's thread; each callback
puts one item into the loop's queue and does nothing else (``on_publish`` runs inside paho's mutex; an exception would
kill its thread while ``is_connected`` stays true); never more than ``limit`` QoS 1 messages are handed over without
their PUBACK; one whose PUBACK does not come in time ends the connection (MQTT 5.0 §4.4 has no other way to send it
again, and its place would be taken for ever); an owed PUBACK goes to the connection the message came on, since it can
only be sent through that connection's object. Does not reconnect, does not resend: a connection that ended is thrown
away and the outbox alone decides what is sent again. No payload is ever logged.
"""

import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.clock import Clock
from edge_agent.publisher import tls
from edge_agent.publisher.events import Cause, Connected, Ended, Event, PubackCame, Received, Subscribed
from edge_agent.publisher.options import Broker, MqttOptions, Version
from edge_agent.publisher.properties import JSON_TYPE, new_properties
from edge_agent.publisher.property_tables import share_tables
from edge_agent.publisher.reason_codes import admit_every_refusal
from edge_agent.publisher.verdicts import reason

SESSION_EXPIRY_S = 7 * 86_400
OPEN_TIMEOUT_S = 5.0
_IPPROTO_TCP, _TCP_NODELAY = 6, 1  # the same numbers on every platform we run on

admit_every_refusal()
share_tables()

Post = Callable[[Event], None]  # thread-safe


class Connection:
    """``post`` is called from this connection's own thread."""

    def __init__(
        self,
        number: int,
        broker: Broker,
        options: MqttOptions,
        will: bytes,
        will_topic: str,
        post: Post,
        clock: Clock,
    ) -> None:
        self.number = number
        self.broker = broker
        self._options = options
        self._post = post
        self._clock = clock
        self._v5 = options.version is Version.V5
        self._pending: dict[int, float] = {}  # when each was handed over, oldest first
        self._limit = options.window
        self._failure = _LastError()
        self._said: tuple[Cause, int | None, str] | None = None
        self._tls: tls.Context | None = None
        self._client = self._make(will, will_topic)

    def open(self) -> None:
        """Start connecting; the outcome comes as ``Connected`` or ``Ended``."""
        threading.Thread(target=self._serve, name=f"mqtt-{self.number}", daemon=True).start()

    @property
    def room(self) -> int:
        """How many more QoS 1 messages may be handed over now."""
        return self._limit - len(self._pending)

    @property
    def pending(self) -> int:
        """Handed over, PUBACK not yet seen."""
        return len(self._pending)

    def limit(self, receive_maximum: int) -> None:
        """The broker's Receive Maximum (MQTT 5.0 §3.2.2.3.3), which paho ignores."""
        if self._said is None:
            self._limit = max(1, min(self._options.window, receive_maximum))

    def publish(self, topic: str, payload: bytes, properties: Properties | None, *, retain: bool = False) -> int | None:
        """Hand over one QoS 1 message. Its packet id, or None when the connection is already gone."""
        assert self.room > 0, "the caller looks at room first"
        info = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties if self._v5 else None)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._limit = 0
            return None
        self._pending[info.mid] = self._clock.monotonic()
        return info.mid

    def answered(self, mid: int) -> None:
        self._pending.pop(mid, None)

    @property
    def overdue_at(self) -> float | None:
        """When the PUBACK that has been waited for longest counts as lost, in monotonic seconds; None for none."""
        if self._said is not None:
            return None  # it is ending
        patience = max(self._options.ack_timeout_s, self._options.keepalive_s)
        return next((at + patience for at in self._pending.values()), None)

    def give_up_if_overdue(self) -> None:
        """``Ended`` follows. No message is to blame: the broker lives, for it answers our pings."""
        if self.overdue_at is not None and self._clock.monotonic() >= self.overdue_at:
            self._said = (Cause.NETWORK, None, "the broker did not confirm what it was sent")
            self._client.disconnect()

    def subscribe(self, filters: Sequence[tuple[str, bool]]) -> int | None:
        """Ask for (filter, whether retained messages are wanted) at QoS 1, each; the packet id or None.

        Where they are not wanted: Retain Handling 2, and Retain As Published so that a retained command shows itself.
        """
        if self._v5:
            wanted: list[Any] = [(f, _subscribe_options(with_retained)) for f, with_retained in filters]
        else:
            wanted = [(f, 1) for f, _ in filters]
        return self._client.subscribe(wanted)[1]

    def acknowledge(self, message: Received) -> None:
        """Send the PUBACK we owe. Called only after what the message brought is committed."""
        assert message.connection == self.number, "a PUBACK goes to the connection its message came on"
        self._client.ack(message.mid, message.qos)

    def close(self, *, keep_will: bool = False, end_session: bool = False) -> None:
        """Say goodbye. ``keep_will``: the broker publishes the will (MQTT 5.0 reason 0x04).

        ``end_session``: it forgets our subscriptions and what waits for us (§3.14.2.2.2); MQTT 3.1.1 has no such word.
        """
        self._said = self._said or (Cause.CLOSED, None, "closed by the gateway")
        self._limit = 0  # its end may be long in coming; meanwhile nothing more is handed to it
        code = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message") if keep_will and self._v5 else None
        properties = None
        if end_session and self._v5:
            properties = new_properties(PacketTypes.DISCONNECT)
            properties.SessionExpiryInterval = 0
        self._client.disconnect(reasoncode=code, properties=properties)

    def _make(self, will: bytes, will_topic: str) -> Client:
        options = self._options
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.gateway,
            clean_session=None if self._v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = OPEN_TIMEOUT_S
        client.max_inflight_messages_set(options.window)  # never reached: our own counter is lower or equal
        client.enable_logger(self._failure)
        if options.username:
            client.username_pw_set(options.username, options.password or None)
        client.will_set(will_topic, will, qos=1, retain=True, properties=self._will_properties())
        self._attach(client)
        return client

    def _attach(self, client: Client) -> None:
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = _no_delay
        # With this callback set, publish() never writes to the socket itself: only this connection's thread does.
        client.on_socket_register_write = _nothing

    def _will_properties(self) -> Properties:
        made = new_properties(PacketTypes.WILLMESSAGE)
        made.WillDelayInterval = self._options.will_delay_s
        made.ContentType = JSON_TYPE
        made.PayloadFormatIndicator = 1
        return made

    def _serve(self) -> None:
        try:
            self._open()
            if self._said is not None:  # closed while it was being opened
                self._client.disconnect()
            # paho only looks at its keepalive between these; a publish wakes it at once
            nap = min(5.0, self._options.keepalive_s / 4)
            while self._client.loop(nap) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
        except tls.CertificateFileError as error:
            self._said = (Cause.CERTIFICATE, None, str(error))
        except ssl.SSLError as error:
            self._said = (Cause.CERTIFICATE, None, tls.explain(error))
        except (OSError, UnicodeError) as error:
            self._said = self._said or (Cause.NETWORK, None, _network_words(error) + self._where())
        finally:
            if self._tls is not None:
                self._tls.close_wrapped()
            # Also after an error nobody foresaw: without this item the publisher would wait for ever.
            cause, code, words = self._said or self._unsaid()
            self._post(Ended(self.number, cause, code, words))

    def _open(self) -> None:
        if self.broker.tls:
            self._tls = tls.context(self._options)
            self._client.tls_set_context(self._tls)
        host, port, keepalive = self.broker.host, self.broker.port, self._options.keepalive_s
        if self._v5:
            wish = new_properties(PacketTypes.CONNECT)
            wish.SessionExpiryInterval = SESSION_EXPIRY_S
            self._client.connect(host, port, keepalive, clean_start=False, properties=wish)
        else:
            self._client.connect(host, port, keepalive)

    def _where(self) -> str:
        shaking_hands = self._tls is not None and self._tls.wrapped is not None and self._client.socket() is None
        return " during the TLS handshake; perhaps this port does not speak TLS" if shaking_hands else ""

    def _unsaid(self) -> tuple[Cause, int | None, str]:
        alert = tls.explain_text(self._failure.text)
        if alert:
            return Cause.CERTIFICATE, None, alert
        return Cause.DROPPED, None, "the broker closed the connection without a reason"

    # Callbacks: paho's side. One item each, or one note of why it ended; nothing that can fail or wait.

    def _on_connect(self, _c: Client, _u: Any, flags: ConnectFlags, code: ReasonCode, props: Properties | None) -> None:
        self._post(
            Connected(
                self.number,
                _number(code),
                flags.session_present,
                getattr(props, "ReceiveMaximum", 65_535),
                getattr(props, "MaximumPacketSize", None),
                getattr(props, "ReasonString", ""),
            )
        )

    def _on_subscribe(self, _c: Client, _u: Any, mid: int, codes: list[ReasonCode], _p: Properties | None) -> None:
        self._post(Subscribed(self.number, mid, tuple(_number(code) for code in codes)))

    def _on_publish(self, _c: Client, _u: Any, mid: int, code: ReasonCode, props: Properties | None) -> None:
        self._post(PubackCame(self.number, mid, _number(code), getattr(props, "ReasonString", "")))

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        props = message.properties
        self._post(
            Received(
                self.number,
                message.mid,
                message.qos,
                message.topic,
                bytes(message.payload),
                message.retain,
                getattr(props, "CorrelationData", None),
                tuple(getattr(props, "UserProperty", ())),
            )
        )

    def _on_disconnect(
        self, _c: Client, _u: Any, flags: DisconnectFlags, code: ReasonCode, props: Properties | None
    ) -> None:
        if self._said is not None:
            return
        if flags.is_disconnect_packet_from_server:
            number = _number(code)
            self._said = (Cause.BROKER, number, reason(number, getattr(props, "ReasonString", "")))
        elif _number(code) == _KEEPALIVE:
            self._said = (Cause.NETWORK, None, "the broker did not answer in time")


class _LastError(logging.Logger):
    """paho says why a socket failed only to a logger; its last error is kept, nothing is written anywhere."""

    def __init__(self) -> None:
        super().__init__(__name__, logging.ERROR)
        self.text = ""

    def handle(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


_KEEPALIVE = 0x8D


def _number(code: ReasonCode) -> int:
    return int(code.value)


def _subscribe_options(with_retained: bool) -> SubscribeOptions:
    if with_retained:
        return SubscribeOptions(qos=1, noLocal=True, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
    return SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)


def _no_delay(_client: Client, _userdata: Any, sock: Any) -> None:
    sock.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)


def _nothing(_client: Client, _userdata: Any, _sock: Any) -> None:
    return


def _network_words(error: OSError | UnicodeError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    return getattr(error, "strerror", None) or "a name that is no valid text"
