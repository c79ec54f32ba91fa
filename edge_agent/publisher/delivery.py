"""From the outbox to filed: what every answer, every silence and every lost connection means for a message.

Promises: a message is handed to the broker only while it holds a slot of its consumer's window; a slot is given back by
an answer, by the answer's time limit, or by a refusal, so no consumer and no topic can stop another; everything that
was handed over is closed by an acknowledgement that holds, or is sent again with the same id and bytes. Keeps nothing
that the store does not know: after a restart all of it is built from the store.
"""

import logging
from collections.abc import Callable, Sequence
from random import Random

from edge_agent.clock import Clock
from edge_agent.publisher.answers import AckMessage, Outcome, Wrong
from edge_agent.publisher.backoff import jitter
from edge_agent.publisher.board import Board, Outlet, Sent
from edge_agent.publisher.events import Cause, Ended, PubackCame
from edge_agent.publisher.gate import Gate
from edge_agent.publisher.link import Link
from edge_agent.publisher.options import Confirm, MqttOptions
from edge_agent.publisher.outbox import Outbox
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.retries import Waiting, Why
from edge_agent.publisher.sender import Sender
from edge_agent.publisher.tally import Tally
from edge_agent.publisher.troubles import Troubles
from edge_agent.publisher.verdicts import Answer, Puback, on_puback, reason
from edge_agent.states import MessageState
from edge_agent.store.errors import RefusedError
from edge_agent.store.store import Store

_log = logging.getLogger(__name__)

_UNKNOWN_LIMIT = -1


class Delivery:
    def __init__(
        self,
        options: MqttOptions,
        outbox: Outbox,
        link: Link,
        gate: Gate,
        suspicion: Suspicion,
        troubles: Troubles,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._link = link
        self._gate = gate
        self._suspicion = suspicion
        self._troubles = troubles
        self._clock = clock
        self._rng = rng
        self._board = Board(options, clock, rng)
        self._sender = Sender(options, outbox, link, gate, suspicion, troubles, self._board, clock, rng)
        self._limit: int | None = _UNKNOWN_LIMIT  # the last broker's Maximum Packet Size

    @property
    def tally(self) -> Tally:
        return self._board.tally

    @property
    def in_flight(self) -> int:
        return len(self._board.flights)

    @property
    def unanswered(self) -> int:
        return len(self._board.sent)

    def look(self) -> None:
        """Something was queued, or may go that could not before."""
        self._sender.look = True

    def deadline(self) -> float | None:
        times = [self._sender.deadline(), *(o.window.deadline() for o in self._board.outlets.values())]
        return min((t for t in times if t is not None), default=None)

    async def pump(self) -> None:
        await self._give_up_waiting()
        await self._sender.pump()

    # At the start, and every minute

    async def restore(self) -> None:
        """Take up what is at the broker and nobody here waits for: left by an earlier life of the agent, or by a COMMIT
        that reported an error and was made."""
        if self._options.confirm is Confirm.BROKER:
            return  # at-broker is this mode's last word
        due = self._clock.monotonic() + self._options.ack_timeout_s
        for row in await self._outbox.unfinished(MessageState.AT_BROKER):
            retries = self._board.outlet(row.route).retries
            if row.id not in retries and row.id not in self._board.sent:
                retries.add(Waiting(row.id, Why.UNANSWERED, due, 1))

    async def review(self) -> None:
        """People may have decided over messages meanwhile; and has anything waited too long for its answer?"""
        rejected = await self._outbox.unfinished(MessageState.REJECTED)
        blocked = await self._outbox.unfinished(MessageState.BLOCKED)
        self._troubles.review(rejected, blocked)
        if self._options.confirm is Confirm.APPLICATION:
            self._troubles.unconfirmed(await self._outbox.unanswered_since())
        self.look()

    async def decided(self, message: str) -> None:
        """A person queued it again or set it aside: no back-off, no waiting for an answer to what went before."""
        row, _ = await self._outbox.to_resend(message)
        if row is not None and row.state is MessageState.AT_BROKER:
            return  # it went out meanwhile; forgotten here it would not be sent again before a restart
        sent = self._board.sent.get(message)
        if not self._board.in_flight(message):
            self._board.close(message)
        elif sent is not None and sent.state is MessageState.REJECTED:
            sent.state = MessageState.QUEUED  # if this try is not answered, it is tried again like any other

    async def _unblock(self) -> None:
        """Limits or configuration changed: what could not pass before may pass now."""
        for row in await self._outbox.unfinished(MessageState.BLOCKED):
            await self._outbox.unblock(row.id)
        self._troubles.nothing_blocked()

    # The connection comes and goes

    async def connected(self, session: bool) -> None:
        """``session``: this broker still knows us. If not, what it, or another one, had taken may be gone."""
        for outlet in self._board.outlets.values():
            outlet.fresh_since = self._clock.now()
            if not session:
                self._lost(outlet)
        if self._link.maximum_packet != self._limit:
            await self._unblock()
            self._limit = self._link.maximum_packet  # only now: after a storage error the next connection tries again
        self.look()

    def _lost(self, outlet: Outlet) -> None:
        for message in [m for m, sent in self._board.sent.items() if sent.outlet is outlet]:
            sent = self._board.give_back(message)
            if sent is not None and sent.state is MessageState.AT_BROKER:
                sent.entry.why, sent.entry.due = Why.LOST, self._clock.monotonic()
                outlet.retries.add(sent.entry)
        outlet.retries.all_lost()

    async def disconnected(self, event: Ended) -> None:
        """What was in flight goes back to where it came from; perhaps one of it is to blame."""
        flying = list(self._board.flights.values())
        self._board.flights.clear()
        for message in flying:
            self._board.pauses.trial_lost(message)
            self._back(message)
        network = event.cause in (Cause.NETWORK, Cause.CERTIFICATE, Cause.CLOSED)
        blamed = self._suspicion.disconnected(flying, event.code, network)
        if blamed is not None:
            await self._sender.block(blamed, "blocked", f"the broker hangs up on it: {event.reason}")

    def _back(self, message: str) -> None:
        """Handed over, and nobody knows whether it arrived."""
        sent = self._board.give_back(message)
        if sent is not None and sent.state is MessageState.AT_BROKER:
            sent.entry.why, sent.entry.due = Why.LOST, self._clock.monotonic()
            sent.outlet.retries.add(sent.entry)
        self._board.refused.discard(message)  # queued: the store hands it out again

    # Answers of the broker

    async def heard(self, news: Sequence[PubackCame | AckMessage]) -> None:
        """Answers of the broker and of management systems, in the order they came; each committed when this returns.

        A message the store refuses to hear about (purged, or another decision came first) stops nothing.
        """
        known = [one for one in news if isinstance(one, AckMessage) or one.mid in self._board.flights]
        outcomes = await self._outbox.together([self._job(one) for one in known])
        for one, outcome in zip(known, outcomes, strict=True):
            if isinstance(outcome, RefusedError):
                _log.error("%s (%s)", outcome.sentence, outcome.code)
            elif isinstance(one, AckMessage) and isinstance(outcome, Outcome):
                self._answered(one, outcome)
            elif isinstance(one, PubackCame) and isinstance(outcome, MessageState):
                await self._taken_or_not(one, outcome)

    def _job(self, one: PubackCame | AckMessage) -> Callable[[Store], MessageState | Outcome]:
        if isinstance(one, AckMessage):
            return self._outbox.answer(one, self._options, jitter(self._rng))
        message = self._board.flights[one.mid]
        self._suspicion.passed(message)
        return self._outbox.puback(message, one.code, _words(one))

    async def _taken_or_not(self, event: PubackCame, state: MessageState) -> None:
        message = self._board.flights.pop(event.mid)
        self.look()
        verdict, sent = on_puback(event.code), self._board.sent.get(message)
        if verdict in (Puback.TAKEN, Puback.NO_SUBSCRIBER):
            self._taken(message, sent, state, verdict)
        elif sent is not None:
            await self._not_taken(message, sent, verdict, _words(event))

    def _taken(self, message: str, sent: Sent | None, state: MessageState, verdict: Puback) -> None:
        self._sender.taken()
        self._board.tally.taken += 1
        self._board.refused.discard(message)
        if sent is not None:
            sent.state = state
            self._board.pauses.passed(sent.topic)
            self._troubles.taken(sent.analyser, sent.topic, nobody=verdict is Puback.NO_SUBSCRIBER)
        if self._options.confirm is Confirm.BROKER:
            self._board.close(message)

    async def _not_taken(self, message: str, sent: Sent, verdict: Puback, words: str) -> None:
        self._board.give_back(message)
        self._board.tally.refused += 1
        if verdict is Puback.NEVER:
            await self._sender.block(message, "blocked", words)
        elif verdict is Puback.TOPIC_REFUSED:
            self._board.pauses.refused(sent.topic, message)
            self._troubles.refused(sent.analyser, sent.topic, words)
        else:
            self._sender.brake()
            # What was rejected or filed before keeps that state, and the store its time.
            if sent.state in (MessageState.QUEUED, MessageState.AT_BROKER):
                sent.outlet.retries.again(sent.entry, Why.REFUSED)
                self._board.refused.add(message)
        if verdict is Puback.RECONNECT:
            self._link.close()

    async def _give_up_waiting(self) -> None:
        for outlet in self._board.outlets.values():
            for message in outlet.window.overdue():
                sent = self._board.give_back(message)
                outlet.window.give_back(message)
                if sent is not None and sent.state in (MessageState.QUEUED, MessageState.AT_BROKER):
                    outlet.retries.again(sent.entry, Why.UNANSWERED)
                self.look()
                self._board.tally.unanswered += 1
                await self._outbox.timed_out(message)

    # Answers of the management system

    def _answered(self, ack: AckMessage, outcome: Outcome) -> None:
        if outcome.wrong is not None:
            self._troubles.wrong_ack(outcome.wrong, outcome.analyser)
            return
        self._opened(ack.consumer, ack.farewells)
        if outcome.answer is Answer.RECEIVED:
            return
        self._count(ack.control_id, outcome.answer is Answer.FILED, outcome.state is MessageState.REJECTED)
        if outcome.answer is Answer.FILED:
            self._troubles.filed(outcome.analyser, ack.control_id)
        elif outcome.state is MessageState.REJECTED:
            self._troubles.rejected(outcome.analyser, ack.control_id)
        self._board.close(ack.control_id)
        self._suspicion.forget(ack.control_id)
        self.look()

    def _count(self, message: str, filed: bool, rejected: bool) -> None:
        tally, sent = self._board.tally, self._board.sent.get(message)
        tally.filed += filed
        tally.rejected += rejected
        if filed and sent is not None:
            tally.filing.observe(self._clock.monotonic() - sent.at)

    def foreign(self) -> None:
        """Something on an acknowledgement topic that is no acknowledgement of ours."""
        self._troubles.wrong_ack(Wrong.FOREIGN, "")

    def _opened(self, consumer: str, farewells: int) -> None:
        was_open = self._gate.is_open(consumer)
        self._gate.answered(consumer, farewells)
        if self._gate.is_open(consumer) != was_open:
            self.gate_moved(consumer)

    def gate_moved(self, consumer: str) -> None:
        """Results received while the management system was away are backlog, too."""
        since = self._gate.closed_since(consumer)
        self._troubles.gate(consumer, since)
        if since is None:
            self._board.outlets[consumer].fresh_since = self._clock.now()
            self.look()


def _words(event: PubackCame) -> str:
    return reason(event.code, event.text) if event.code >= 0x80 else event.text
