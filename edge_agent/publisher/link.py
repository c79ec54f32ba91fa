"""The way to the broker: which address, when to try again, what to subscribe, what the broker should hold about us.

Promises: addresses are tried in their order, each round after a longer wait; another client with our id is not fought
(one alarm, long waits), also where the broker does not say so: Mosquitto 2.0.11 just closes the connection, but a
namesake's birth then stands where ours stood. At every connect the birth is published under the session id of that
connection's will; messages of ours that report on ourselves count against the same limit as results. Results flow only
once the broker was seen to deliver to us, or was seen not to: a nonce sent after subscribing comes back after the
retained STATE of the management systems, so the gate is known before the first result goes.
"""

import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from random import Random

from paho.mqtt.properties import Properties

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.presence import Presence
from edge_agent.publisher.backoff import delay
from edge_agent.publisher.client import Connection
from edge_agent.publisher.events import Cause, Connected, Ended, Event, PubackCame, Received, Subscribed
from edge_agent.publisher.forbidden import Forbidden
from edge_agent.publisher.namesake import is_namesake
from edge_agent.publisher.note import Note
from edge_agent.publisher.options import Broker, Confirm, MqttOptions
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.proof import Proof, Proven
from edge_agent.publisher.properties import json_properties, packet_size, text_properties
from edge_agent.publisher.topics import HEALTH_EXPIRY_S, Topics
from edge_agent.publisher.verdicts import TAKEOVER, Puback, on_puback, reason

_log = logging.getLogger(__name__)

STEADY_S = 30.0  # a connection that lived this long starts a new count of failures
SHORT_LIVED = 3  # so many that did not are a trouble of their own
RECONNECT_CAP_S = 60.0
TAKEOVER_S = 300.0
TAKEOVER_CAP_S = 3600.0


class Link:
    def __init__(
        self,
        options: MqttOptions,
        presence: Presence,
        alarms: Alarms,
        suspicion: Suspicion,
        proof: Proof,
        clock: Clock,
        rng: Random,
        post: Callable[[Event], None],
        wake: Callable[[], None],
    ) -> None:
        self.topics = Topics(options.prefix, options.site, options.gateway)
        self.proof = proof
        self.up = False
        self.since: datetime | None = None
        self.reason = "not connected yet"
        self.maximum_packet: int | None = None
        self._options = options
        self._brokers = options.brokers
        self._presence = presence
        self._alarms = alarms
        self._suspicion = suspicion
        self._clock = clock
        self._rng = rng
        self._post = post
        self._wake = wake
        self._number = 0
        self._connection: Connection | None = None
        self._last_broker: Broker | None = None
        self._session = ""
        self._notes: dict[str, Note] = {}
        self._note_mids: dict[int, tuple[str, bool]] = {}
        self._forbidden = Forbidden(alarms)
        self._subscription: tuple[int | None, tuple[str, ...]] = (None, ())
        self._index = 0
        self._failures = 0
        self._short_lived = 0
        self._takeovers = 0
        self.retiring = False  # what the broker holds about us is to go
        self._sessions: deque[str] = deque(maxlen=100)  # those of our own births
        self._born = False  # the broker took one of them
        self._namesake = False
        self._connected_at = 0.0
        self._due: float | None = clock.monotonic()

    # State others look at

    @property
    def url(self) -> str:
        return str(self._connection.broker) if self._connection is not None else ""

    @property
    def closed(self) -> bool:
        """Whether there is no connection, and none being made."""
        return self._connection is None

    @property
    def may_deliver(self) -> bool:
        return self.up and self.proof.proven is not Proven.UNKNOWN

    @property
    def room(self) -> int:
        """How many more QoS 1 messages may be handed over: one in all while a message is under suspicion."""
        if self._connection is None or not self.up:
            return 0
        if self._suspicion.one_at_a_time:
            return min(self._connection.room, 1 - min(1, self._connection.pending))
        return self._connection.room

    @property
    def deadline(self) -> float | None:
        if self._connection is None:
            return self._due
        if not self.up:
            return None
        steady = self._connected_at + STEADY_S if self._short_lived else None
        times = (self.proof.deadline, steady, self._connection.overdue_at)
        return min((t for t in times if t is not None), default=None)

    def is_current(self, connection: int) -> bool:
        return self._connection is not None and self._connection.number == connection

    # What happens

    def tick(self) -> None:
        """Open the next connection if it is time; send what we have to say about ourselves."""
        if self._connection is None:
            if self._due is not None and self._clock.monotonic() >= self._due:
                self._open()
            return
        if self.up:
            self._grow_steady(self._clock.monotonic() - self._connected_at)
            self._connection.give_up_if_overdue()
            self._ask()
            self._flush()

    def connected(self, event: Connected) -> bool:
        """CONNACK. Whether the broker still knows our session, so that answers on their way will come."""
        assert self._connection is not None
        if event.code >= 0x80:
            self.reason = reason(event.code, event.text)
            return False
        broker = self._connection.broker
        session = event.session_present and self._last_broker in (None, broker)
        self.up, self.since, self.reason = True, self._clock.now(), ""
        self.maximum_packet = event.maximum_packet
        self._connected_at = self._clock.monotonic()
        self._last_broker = broker
        self._connection.limit(event.receive_maximum)
        if self._short_lived < SHORT_LIVED:
            _log.info("Connected to the broker %s.", broker)
            self._alarms.clear("broker-down")
        self.proof.connected()
        self._subscribe()
        self._birth()
        return session

    def subscribed(self, event: Subscribed) -> None:
        mid, filters = self._subscription
        if event.mid != mid:
            return
        refused = tuple(f for f, code in zip(filters, event.codes, strict=False) if code >= 0x80)
        needed = tuple(f for f in refused if f not in self.topics.read_back())
        self.proof.subscribed(needed)
        self._judge_proof()

    def note_answered(self, event: PubackCame) -> bool:
        """A PUBACK; True if it was for one of our own messages."""
        assert self._connection is not None
        self._connection.answered(event.mid)
        topic, retain = self._note_mids.pop(event.mid, ("", False))
        if not topic:
            return False
        self._born = self._born or (topic == self.topics.state and event.code < 0x80)
        if on_puback(event.code) is Puback.TOPIC_REFUSED:
            self._forbidden.add(topic, reason(event.code, event.text), retained=retain)
        elif event.code < 0x80 and (self._forbidden.passed(topic) or topic == self.topics.own("health")):
            self._say_again()
        return True

    def echoed(self, nonce: bytes) -> None:
        self.proof.heard(nonce)
        self._judge_proof()

    def own_topic(self, message: Received) -> None:
        """What the broker holds under our name: cleared when it is no longer true, watched for a namesake."""
        name = self.topics.own_name(message.topic)
        if name == "state":
            if self._born and message.retained and is_namesake(message.payload, self._sessions):
                self._namesake = True
                self._alarms.raise_("session-taken")
        elif name is not None and message.retained and message.payload and not self._presence.is_true(name):
            self._notes[message.topic] = Note(b"", retain=True)

    def ended(self, event: Ended) -> bool:
        """The connection is gone; True if it had been up."""
        was_up, lived = self.up, self._clock.monotonic() - self._connected_at
        if was_up or not self.reason or event.cause is not Cause.DROPPED:
            self.reason = event.reason
        where = self.url
        self._connection, self.up, self.since = None, False, None
        self._notes.clear()
        self._note_mids.clear()
        self.proof.disconnected()
        self._schedule(event, was_up, lived)
        if not was_up:
            self._alarms.raise_("broker-down", reason=f"{where}: {self.reason}")
        elif self._short_lived >= SHORT_LIVED:
            again = "it closes the connection again and again"
            self._alarms.raise_("broker-down", reason=f"{where}: {again}; {self.reason}")
        elif self._short_lived <= 1:
            _log.warning("The connection to the broker %s ended: %s.", where, self.reason)
        return was_up

    def fact(self, name: str, payload: bytes) -> None:
        """Something the broker should hold about us changed."""
        if not self.up or self.retiring:
            return
        self._notes[self.topics.own(name)] = Note(payload, retain=True, expiry_s=HEALTH_EXPIRY_S * (name == "health"))
        if name.startswith("alarm/"):
            self._say_state()
        self._wake()

    def say(self, name: str, payload: bytes, expiry_s: int) -> None:
        """Something that is true now and not retained."""
        self._notes[self.topics.own(name)] = Note(payload, retain=False, expiry_s=expiry_s)

    def refused(self, name: str) -> bool:
        """Whether the broker's access list forbade this topic of ours when it was last tried."""
        return self.topics.own(name) in self._forbidden

    def say_state(self) -> None:
        if self.up and not self.retiring:
            self._say_state()
            self._flush()

    def publish(self, topic: str, payload: bytes, properties: Properties | None) -> int | None:
        assert self._connection is not None
        return self._connection.publish(topic, payload, properties)

    def acknowledge(self, message: Received) -> None:
        """The PUBACK we owe, if the connection it is owed to still stands."""
        if self._connection is not None and self._connection.number == message.connection:
            self._connection.acknowledge(message)

    def retire(self) -> None:
        """Say offline, then have the broker forget what it holds about us. ``retired`` when it has said that it did."""
        self.retiring = True
        if self.up:
            self.say_offline()
            self._forget()

    def unretire(self) -> None:
        was, self.retiring = self.retiring, False
        if was and self.up:
            self._birth()

    @property
    def retired(self) -> bool:
        return self.retiring and self.up and not self._notes and not self._note_mids

    def retained(self) -> list[str]:
        """What the broker holds about us."""
        return [self.topics.state, *map(self.topics.own, self._presence.facts())]

    def close(self) -> None:
        """Give this connection up; ``Ended`` follows. After a retirement the session at the broker ends, too."""
        if self._connection is not None:
            self._connection.close(end_session=self.retiring)

    def resume(self) -> None:
        """Try again now, whatever was waited for: a person or a reload asks."""
        self._takeovers = self._failures = self._short_lived = 0
        self._namesake = False
        self._alarms.clear("session-taken")
        if self._connection is None:
            self._due = self._clock.monotonic()

    def use(self, options: MqttOptions) -> None:
        """Other options from the next connection on, which is tried at once; the present one is forgotten.

        The number of connections, the sessions that were ours and the last broker are kept: the broker may know them.
        """
        self.topics = Topics(options.prefix, options.site, options.gateway)
        self._options, self._brokers, self._index = options, options.brokers, 0
        self._connection, self.up, self.since = None, False, None
        self._notes.clear()
        self._note_mids.clear()
        self._forbidden.clear()
        self.proof.disconnected()
        self.resume()

    def say_offline(self) -> int | None:
        """The last word of a clean stop; its packet id, None when there is nobody or no room to say it to."""
        if self._connection is None or not self.up or self._connection.room < 1:
            return None
        last = self._presence.word("offline", self._session, self._clock.now())
        return self._connection.publish(self.topics.state, last.encode(), json_properties(), retain=True)

    # Steps

    def _open(self) -> None:
        self._number += 1
        self._session = self._rng.randbytes(13).hex()
        self._sessions.append(self._session)
        self._due = None
        self.reason = ""
        will = self._presence.word("lost", self._session, self._clock.now()).encode()
        broker, options, topic = self._brokers[self._index], self._options, self.topics.state
        self._connection = Connection(self._number, broker, options, will, topic, self._post, self._clock)
        self._connection.open()

    def _schedule(self, event: Ended, was_up: bool, lived: float) -> None:
        now = self._clock.monotonic()
        self._short_lived += 1 if was_up and lived < STEADY_S else 0
        if event.code == TAKEOVER or (self._namesake and was_up and event.cause is Cause.DROPPED):
            self._alarms.raise_("session-taken")
            self._due = now + min(TAKEOVER_CAP_S, max(TAKEOVER_S, self._options.retry_max_s) * 2**self._takeovers)
            self._takeovers = min(self._takeovers + 1, 10)
            return
        self._index = 0 if was_up else (self._index + 1) % len(self._brokers)
        if self._index == 0:
            cap = min(RECONNECT_CAP_S, self._options.retry_max_s)
            self._due = now + delay(self._failures, base_s=min(0.5, cap), cap_s=cap, rng=self._rng)
            self._failures += 1
        else:
            self._due = now

    def _grow_steady(self, lived: float) -> None:
        if lived >= STEADY_S and (self._short_lived or self._failures):
            self._short_lived = self._failures = 0
            self._alarms.clear("broker-down")
        if lived >= TAKEOVER_CAP_S:
            self._takeovers, self._namesake = 0, False
            self._alarms.clear("session-taken")

    def _subscribe(self) -> None:
        assert self._connection is not None
        answered = self._options.confirm is Confirm.APPLICATION
        wanted = self.topics.wanted(self._options.consumer_names, answered=answered)
        self._subscription = (self._connection.subscribe(wanted), tuple(f for f, _ in wanted))

    def _forget(self) -> None:
        self._notes = {topic: Note(b"", retain=True) for topic in self.retained()}

    def _birth(self) -> None:
        self._notes.clear()
        if self.retiring:
            self._forget()
            return
        self._say_state()
        for name, payload in self._presence.facts().items():
            self.fact(name, payload)

    def _say_again(self) -> None:
        """What was forbidden may be allowed by now; else it would be missing at the broker until it changes."""
        facts, under_way = self._presence.facts(), {topic for topic, _ in self._note_mids.values()}
        for topic in set(self._forbidden.retained()) - under_way:
            if topic == self.topics.state:
                self._say_state()
            elif name := self.topics.own_name(topic):
                self.fact(name, facts.get(name, b""))

    def _say_state(self) -> None:
        state = self._presence.state(self._session, self._clock.now())
        self._notes[self.topics.state] = Note(state.encode(), retain=True)

    def _ask(self) -> None:
        nonce = self.proof.ask()
        if nonce is not None:
            self._notes[self.topics.echo] = Note(nonce, retain=False, is_json=False)
        self._judge_proof()

    def _judge_proof(self) -> None:
        if self.proof.proven is Proven.NO:
            self._alarms.raise_("subscription-unproven")
        elif self.proof.proven is Proven.YES:
            self._alarms.clear("subscription-unproven")

    def _flush(self) -> None:
        """Send our own messages, as far as there is room."""
        while self._notes and self.room > 0:
            topic = next(iter(self._notes))
            note = self._notes.pop(topic)
            assert self._connection is not None
            properties = json_properties(note.expiry_s) if note.is_json else text_properties()
            if self.maximum_packet is not None and packet_size(topic, note.payload, properties) > self.maximum_packet:
                _log.warning("A message of the gateway about itself exceeds the broker's packet size: %s.", topic)
                continue
            mid = self._connection.publish(topic, note.payload, properties, retain=note.retain)
            if mid is None:
                return
            self._note_mids[mid] = topic, note.retain
