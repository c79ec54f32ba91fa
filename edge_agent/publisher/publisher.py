"""Outbox to filed: one loop that joins the broker's connection, the gate, the windows and the store.

Promises: whatever comes from the management system is acknowledged to the broker only after the store committed what it
meant; one message, one topic, one consumer or one broker that misbehaves stops nothing else; a stop says `offline`.
Other options are used from the next connection on: the old one is taken leave of, and all that was out is taken up from
the store, as at a start, with the same ids.
When storage fails, the connection is given up: what was not committed was not acknowledged and comes again. Does not
own the store and does not decide what a result says.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.certificates import Expiry
from edge_agent.monitor.presence import Presence
from edge_agent.publisher import answers
from edge_agent.publisher.answers import AckMessage
from edge_agent.publisher.delivery import Delivery
from edge_agent.publisher.events import Connected, Ended, Event, PubackCame, Received, Subscribed
from edge_agent.publisher.gate import BadStateError, Gate
from edge_agent.publisher.inbox import Inbox
from edge_agent.publisher.link import Link
from edge_agent.publisher.options import Confirm, MqttOptions
from edge_agent.publisher.outbox import Outbox
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.proof import TIMEOUT_S, Proof
from edge_agent.publisher.reconcile import Reconciler
from edge_agent.publisher.status import PublisherStatus
from edge_agent.publisher.tally import Tally
from edge_agent.publisher.troubles import Troubles
from edge_agent.store.errors import RefusedError, StorageFailedError, StoreError
from edge_agent.store.thread import StoreThread

_log = logging.getLogger(__name__)

REVIEW_S = 60.0
GOODBYE_S = 3.0
RETIRE_S = 10.0
AT_ONCE = 32  # answers in one job of the store: a few milliseconds that others may have to wait for


@dataclass(frozen=True, slots=True)
class _Change:
    options: MqttOptions
    done: "asyncio.Future[None]"


class Publisher:
    """Built anywhere, run in one event loop; every method is called from that loop's thread."""

    def __init__(
        self,
        options: MqttOptions,
        store: StoreThread,
        clock: Clock,
        rng: Random,
        alarms: Alarms,
        presence: Presence,
        *,
        proof_timeout_s: float = TIMEOUT_S,
        probe_s: float = 60.0,
    ) -> None:
        self._options = options
        self._store = store
        self._clock = clock
        self._rng = rng
        self._probe_s = probe_s
        self._alarms = alarms
        self._inbox = Inbox()
        self._stopping = False
        self._in_doubt = False  # a storage error: the store may be further than we are
        self._reviewed = clock.monotonic()
        self._decided: list[str] = []
        self._change: _Change | None = None
        self._retired = asyncio.Event()
        self._suspicion = Suspicion()
        proof = Proof(clock, rng, proof_timeout_s)
        self._link = Link(
            options, presence, alarms, self._suspicion, proof, clock, rng, self._inbox.post, self._inbox.wake
        )
        self._troubles = Troubles(alarms, clock)
        self._expiry = Expiry(clock, alarms)
        self._reconciler = Reconciler(store, self._link, alarms, presence, clock, self.kick)
        self._gate, self._delivery = self._begin()
        presence.on_fact = self._link.fact

    async def run(self) -> None:
        """Deliver until `stop`; then say `offline`. Cancelling does the same."""
        self._inbox.open()
        self._look_at_options()
        try:
            await self._restore()
            while not self._stopping:
                await self._step()
                if self._change is not None:
                    await self._change_over(self._change)
        finally:
            if self._change is not None:
                self._change.done.cancel()
            await self._goodbye()

    async def use(self, options: MqttOptions) -> None:
        """Connect anew by ``options``; returns when the old connection is given up, connected again or not yet.

        One at a time. To be called while ``run`` runs.
        """
        self._change = _Change(options, asyncio.get_running_loop().create_future())
        self._inbox.wake()
        await self._change.done

    def kick(self) -> None:
        """Something was queued."""
        self._delivery.look()
        self._inbox.wake()

    def decided(self, message: str) -> None:
        """A person decided over a message in the store: to send it, or to set it aside."""
        self._decided.append(message)
        self.kick()

    def stop(self) -> None:
        self._stopping = True
        self._inbox.wake()

    async def retire(self, patience_s: float = RETIRE_S) -> bool:
        """Stop delivering and have the broker forget us; whether it said that it did. ``unretire`` takes it back."""
        self._retired = asyncio.Event()
        self._link.retire()
        if not self._link.up:
            return False
        self._inbox.wake()
        try:
            async with asyncio.timeout(patience_s):
                await self._retired.wait()
        except TimeoutError:
            return False
        return True

    def unretire(self) -> None:
        self._link.unretire()
        self._inbox.wake()

    def retained(self) -> list[str]:
        """The topics under which the broker holds something about us."""
        return self._link.retained()

    def resume(self) -> None:
        """Try the broker now, whatever was waited for."""
        self._link.resume()
        self._inbox.wake()

    def say_state(self) -> None:
        """What the agent is doing changed (starting, running, stopping)."""
        self._link.say_state()

    @property
    def tally(self) -> Tally:
        return self._delivery.tally

    def status(self) -> PublisherStatus:
        return PublisherStatus(
            connected=self._link.up,
            url=self._link.url,
            since=self._link.since,
            reason=self._link.reason,
            proven=self._link.proof.proven,
            gates={name: self._gate.closed_since(name) for name in self._options.consumer_names},
            in_flight=self._delivery.in_flight,
            unanswered=self._delivery.unanswered,
            weakness=self._options.weakness(),
        )

    # The loop

    def _begin(self) -> tuple[Gate, Delivery]:
        """With nothing that the store does not know."""
        options, clock = self._options, self._clock
        gate = Gate(options.consumer_names, clock, self._probe_s)
        outbox = Outbox(self._store, clock)
        delivery = Delivery(options, outbox, self._link, gate, self._suspicion, self._troubles, clock, self._rng)
        return gate, delivery

    async def _change_over(self, change: _Change) -> None:
        """What the broker took before the end is still noted; what it may have taken goes again, by the same id."""
        await self._goodbye()
        await self._see_it_end()
        self._options = change.options
        self._link.use(change.options)
        self._troubles.anew()
        self._gate, self._delivery = self._begin()
        self._look_at_options()
        self._change = None
        change.done.set_result(None)  # before the store is asked: an agent that is to stop would wait for it for ever
        await self._restore()

    async def _see_it_end(self) -> None:
        """A connection that hangs is forgotten; whatever still comes of it is not taken for the next one's."""
        until = self._clock.monotonic() + GOODBYE_S
        while not self._link.closed and self._clock.monotonic() < until:
            try:
                await self._take(await self._inbox.wait(until - self._clock.monotonic()))
            except StoreError:
                return

    def _look_at_options(self) -> None:
        weakness = self._options.weakness()
        if weakness:
            self._alarms.raise_("weak-mode", reason=weakness)
        else:
            self._alarms.clear("weak-mode")
        self._expiry.look(self._options.cert_file, self._options.ca_file)

    async def _restore(self) -> None:
        while not self._stopping:
            try:
                await self._delivery.restore()
            except StorageFailedError:
                await asyncio.sleep(1.0)  # the store's own alarm is up
            else:
                return

    async def _step(self) -> None:
        """Wait for something, take all of it, then publish what may go."""
        batch = await self._inbox.wait(self._wait_s())
        try:
            await self._take(batch)
            self._link.tick()
            if self._link.retired:
                self._retired.set()
            if self._link.retiring:
                return
            await self._catch_up()
            await self._follow_decisions()
            await self._delivery.pump()
            await self._reconciler.tick(self._options, self._gate)
            await self._review()
        except StorageFailedError:
            self._in_doubt = True
            self._link.close()
        except RefusedError as error:
            _log.error("%s (%s)", error.sentence, error.code)

    async def _catch_up(self) -> None:
        """On the next connection after a storage error. It stays where storage still fails, for it tells of that."""
        if self._in_doubt and self._link.room > 0:
            with suppress(StorageFailedError):
                await self._delivery.restore()
                self._in_doubt = False

    async def _follow_decisions(self) -> None:
        if not self._decided:
            return
        while self._decided:
            await self._delivery.decided(self._decided[0])
            self._decided.pop(0)  # only now: a storage error in between must not forget it
        await self._delivery.review()

    def _wait_s(self) -> float:
        now = self._clock.monotonic()
        times = [now + REVIEW_S, self._link.deadline]
        if not self._link.retiring:  # all else waits until that is taken back, however long it has been due
            times.append(self._reviewed + REVIEW_S)
            times += [self._delivery.deadline(), self._reconciler.deadline()] if self._link.up else []
        return min(t for t in times if t is not None) - now

    async def _take(self, batch: Sequence[Event]) -> None:
        """Answers are taken together, so that the store commits them together; everything else in its order.

        A connection's end is the last there is of it, so it is heard also where the store would not have what came
        before: without it no other connection would ever be made.
        """
        try:
            await self._take_all(batch)
        except StorageFailedError:
            for event in batch:
                if isinstance(event, Ended) and self._link.is_current(event.connection):
                    await self._take_one(event)
            raise

    async def _take_all(self, batch: Sequence[Event]) -> None:
        together: list[Event] = []
        for event in batch:
            if not self._link.is_current(event.connection):
                continue
            if isinstance(event, PubackCame | Received):
                together.append(event)
                continue
            await self._take_answers(together)
            together = []
            await self._take_one(event)
        await self._take_answers(together)

    async def _take_answers(self, events: Sequence[Event]) -> None:
        heard: list[PubackCame | AckMessage] = []
        for event in events:
            if isinstance(event, PubackCame):
                if not self._link.note_answered(event):
                    heard.append(event)
            elif isinstance(event, Received):
                if self._link.topics.own_name(event.topic) is not None:
                    # At once: what stood there before our birth must not be looked at after the birth's PUBACK.
                    self._link.own_topic(event)
                elif (ack := self._received(event)) is not None:
                    heard.append(ack)
        parts = [heard[at : at + AT_ONCE] for at in range(0, len(heard), AT_ONCE)]
        await asyncio.gather(*(self._delivery.heard(part) for part in parts))
        for event in events:
            if isinstance(event, Received) and event.topic == self._link.topics.reconcile and not event.retained:
                await self._reconcile(event)
        # Only now, after the commits, and in the order they came (MQTT 5.0 §4.6).
        for event in events:
            if isinstance(event, Received):
                self._link.acknowledge(event)

    async def _take_one(self, event: Event) -> None:
        if isinstance(event, Connected):
            session = self._link.connected(event)
            if event.code < 0x80:
                await self._delivery.connected(session)
        elif isinstance(event, Subscribed):
            self._link.subscribed(event)
        elif isinstance(event, Ended):
            self._link.ended(event)
            await self._delivery.disconnected(event)

    async def _reconcile(self, message: Received) -> None:
        try:
            await self._reconciler.take(message)
        except RefusedError as error:
            _log.error("%s (%s)", error.sentence, error.code)

    def _received(self, message: Received) -> AckMessage | None:
        """A message to us, by its topic; an acknowledgement is for the store to judge."""
        topics = self._link.topics
        if topics.is_down(message.topic) and message.retained:
            self._troubles.retained(message.topic)
        elif message.topic == topics.echo:
            self._link.echoed(message.payload)
        elif (consumer := topics.acking_consumer(message.topic)) is not None:
            return self._acknowledgement(message, consumer)
        elif (instance := topics.central_instance(message.topic)) is not None:
            self._state_heard(instance, message.payload)
        return None

    def _acknowledgement(self, message: Received, consumer: str) -> AckMessage | None:
        if self._options.confirm is Confirm.BROKER:
            return None  # an old subscription's: in this mode nothing is ever filed
        known = consumer in self._options.consumer_names
        ack = answers.read(message, consumer, self._gate.farewells(consumer)) if known else None
        if ack is None:
            self._delivery.foreign()
        return ack

    def _state_heard(self, instance: tuple[str, str], payload: bytes) -> None:
        consumer, name = instance
        if consumer not in self._options.consumer_names:
            return
        was_open = self._gate.is_open(consumer)
        try:
            self._gate.heard(consumer, name, payload)
        except BadStateError as error:
            _log.warning("The state of the management system %s cannot be read: %s.", consumer, error)
        if self._gate.is_open(consumer) != was_open:
            self._delivery.gate_moved(consumer)

    async def _review(self) -> None:
        """Every minute: people may have decided over messages we hold."""
        if self._clock.monotonic() < self._reviewed + REVIEW_S:
            return
        self._reviewed = self._clock.monotonic()
        self._expiry.look(self._options.cert_file, self._options.ca_file)
        await self._delivery.review()

    async def _goodbye(self) -> None:
        """Say offline, and hear that it was heard; what comes meanwhile is still taken."""
        until = self._clock.monotonic() + GOODBYE_S
        last: int | None = None
        while self._link.up and not self._link.retiring and self._clock.monotonic() < until:
            last = self._link.say_offline() if last is None else last
            batch = await self._inbox.wait(until - self._clock.monotonic())
            try:
                await self._take(batch)
            except StoreError:
                break
            if last is not None and any(isinstance(e, PubackCame) and e.mid == last for e in batch):
                break
        self._link.close()
