"""Which message goes to the broker next.

Order of things: a message on trial for a refused topic, due retries, probes of closed gates, then the store's rows
(STAT first, then oldest; images after values; one per specimen), and last, alone, a message under suspicion. Each row
goes only into a free slot of its own share, so that backlog, retries and fresh results cannot starve each other.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from random import Random

from edge_agent.clock import Clock
from edge_agent.publisher.backoff import delay
from edge_agent.publisher.board import Board, Outlet, Sent
from edge_agent.publisher.gate import Gate
from edge_agent.publisher.link import Link
from edge_agent.publisher.options import Confirm, MqttOptions, Version
from edge_agent.publisher.outbox import Outbox
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.properties import packet_size, result_properties
from edge_agent.publisher.retries import Waiting, Why
from edge_agent.publisher.troubles import GRAPHICS, Troubles
from edge_agent.publisher.window import Lane
from edge_agent.states import MessageState
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.rows import OutboxRow

_AT_A_TIME = 64  # rows asked of the store at once, whatever the window
_LOOK_AGAIN_S, _JUST_DUE_S = 5.0, 0.05
_BRAKE_CAP_S = 30.0
_AGAIN = (MessageState.QUEUED, MessageState.AT_BROKER, MessageState.REJECTED)


class Sender:
    def __init__(
        self,
        options: MqttOptions,
        outbox: Outbox,
        link: Link,
        gate: Gate,
        suspicion: Suspicion,
        troubles: Troubles,
        board: Board,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._link = link
        self._gate = gate
        self._suspicion = suspicion
        self._troubles = troubles
        self._board = board
        self._clock = clock
        self._rng = rng
        self._not_before = 0.0  # the broker asked for a pause
        self._refusals = 0
        self._next_due: float | None = None  # when the store has rejected or asked-for-again rows for us
        self.look = True  # the store may have something for us
        self._unnoted: list[tuple[str, str]] = []  # published in this pump: (message, replay)

    def deadline(self) -> float | None:
        """When `pump` has something to do although nothing happened; None while nothing can be sent anyway."""
        if not self._link.may_deliver or self._link.room < 1:
            return None
        if self._braked():
            return self._not_before
        times = [self._board.pauses.next_due(), self._gate.next_probe(), self._next_due]
        for outlet in self._board.outlets.values():
            if outlet.window.room(Lane.RETRY) and self._gate.is_open(outlet.name):
                times.append(outlet.retries.next_due())
        return min((t for t in times if t is not None), default=None)

    def brake(self) -> None:
        """The broker is busy: nothing for a while, longer every time until it takes something again."""
        wait = delay(self._refusals, base_s=1.0, cap_s=min(_BRAKE_CAP_S, self._options.retry_max_s), rng=self._rng)
        self._not_before = self._clock.monotonic() + wait
        self._refusals += 1

    def taken(self) -> None:
        self._refusals = 0

    async def pump(self) -> None:
        """Publish what may go now."""
        if not self._link.may_deliver or self._braked():
            return
        try:
            await self._send_what_may_go()
        finally:  # before any PUBACK of theirs is looked at
            if self._unnoted:
                self._outbox.note_published(tuple(self._unnoted))
                self._unnoted.clear()

    async def _send_what_may_go(self) -> None:
        await self._trial()
        for outlet in self._board.outlets.values():
            if self._gate.is_open(outlet.name):
                await self._retry(outlet)
            elif self._gate.probe_due(outlet.name):
                await self._probe(outlet)
        if self._next_due is not None and self._clock.monotonic() >= self._next_due:
            self.look, self._next_due = True, None
        if self.look:
            await self._from_the_store()
        if self._suspicion.one_at_a_time and self._link.room > 0:
            await self._try_suspect()

    async def block(self, message: str, code: str, words: str) -> None:
        """It cannot pass as things are: out of the way, and seen."""
        row = await self._outbox.block(message, code, words)
        if row is not None:
            self._troubles.blocked(row.analyser, message, code, words)
        self._board.close(message)
        self._suspicion.forget(message)
        self.look = True

    # Messages that were out before

    async def _trial(self) -> None:
        if self._link.room > 0:
            message = self._board.pauses.on_trial()
            if message is not None:
                try:
                    await self._send_again(message, None, Lane.RETRY)
                finally:
                    if not self._board.in_flight(message):
                        self._board.pauses.trial_lost(message)

    def _braked(self) -> bool:
        return self._clock.monotonic() < self._not_before

    async def _retry(self, outlet: Outlet) -> None:
        while outlet.window.room(Lane.RETRY) > 0 and self._link.room > 0:
            entry = outlet.retries.pop_due(self._may_go_again)
            if entry is None:
                return
            await self._send_taken(outlet, entry, Lane.RETRY)

    async def _send_taken(self, outlet: Outlet, entry: Waiting, lane: Lane) -> None:
        """An entry that was taken out of its retries. Its message is not handed out by the store: forgotten is lost."""
        try:
            await self._send_again(entry.id, entry, lane)
        except StorageFailedError:
            outlet.retries.add(entry)
            raise

    def _may_go_again(self, entry: Waiting) -> bool:
        return entry.id not in self._suspicion.suspects and not self._board.in_flight(entry.id)

    async def _send_again(self, message: str, entry: Waiting | None, lane: Lane) -> None:
        row, later_unanswered = await self._outbox.to_resend(message)
        if row is None or row.state not in _AGAIN:
            self._board.close(message)  # a person or another answer decided meanwhile
            self._suspicion.forget(message)
        elif later_unanswered and entry is not None:
            # Message n of a specimen waits for the answer to n+1, which went after ten unanswered minutes.
            self._board.outlet(row.route).retries.not_yet(entry)
        else:
            await self._publish(row, entry, lane)

    async def _try_suspect(self) -> None:
        """Everything else had its turn: the least suspect message goes alone."""
        message = next(iter(self._suspicion.suspects))  # not in flight: then there would be no room
        entries = [outlet.retries.remove(message) for outlet in self._board.outlets.values()]
        self._board.give_back(message)
        await self._send_again(message, next((e for e in entries if e is not None), None), Lane.RETRY)

    async def _probe(self, outlet: Outlet) -> None:
        """One message to a consumer that says it is offline: rather one that was out before than one more."""
        if self._link.room < 1:
            return
        self._gate.probed(outlet.name)
        entry = next((e for e in outlet.retries if self._may_go_again(e)), None)
        if entry is not None:
            outlet.retries.remove(entry.id)
            await self._send_taken(outlet, entry, Lane.PROBE)
            return
        parked = next((message for message, name in self._board.parked.items() if name == outlet.name), None)
        if parked is not None:  # the store does not hand it out meanwhile
            del self._board.parked[parked]
            await self._send_again(parked, None, Lane.PROBE)
            return
        for row in await self._ready(_AT_A_TIME):
            if self._board.outlet(row.route) is outlet and self._topic(row) not in self._board.pauses:
                await self._publish(row, None, Lane.PROBE)
                return

    # Messages the store has queued

    async def _from_the_store(self) -> None:
        board = self._board
        if not self._somebody_can_take():
            return
        board.parked = {m: name for m, name in board.parked.items() if not self._can_take(board.outlets[name])}
        # Not a row more is read than can go: what is read in vain, all that waits, would be read at every answer.
        while self._link.room > 0 and self._somebody_can_take():
            limit = min(self._link.room, _AT_A_TIME)
            self.look = False  # before reading: what is queued meanwhile sets it again and must not be forgotten
            rows = await self._ready(limit)
            waits = await self._publish_all(rows)
            self.look = self.look or waits or len(rows) == limit
            if waits and len(rows) == limit:
                await self._fresh({row.id for row in rows})
            if waits or len(rows) < limit:
                return

    async def _fresh(self, seen: set[str]) -> None:
        """The backlog has used up its share; rows received since have their own."""
        since = [o.fresh_since for o in self._board.outlets.values() if o.fresh_since and self._can_take(o)]
        if since and self._link.room > 0:
            await self._publish_all(await self._ready(min(self._link.room, _AT_A_TIME), min(since), seen))

    async def _ready(
        self, limit: int, since: datetime | None = None, seen: Collection[str] = ()
    ) -> Sequence[OutboxRow]:
        skip = {*seen, *self._suspicion.suspects, *self._board.held_back()}
        found = await self._outbox.ready(limit, since, skip)
        if found.next_due is not None:
            wait = (found.next_due - self._clock.now()).total_seconds()
            # Due for a while and yet not given: its specimen waits for another answer.
            late = _LOOK_AGAIN_S if wait < -1 else _JUST_DUE_S
            self._next_due = self._clock.monotonic() + (wait if wait > 0 else late)
        return found.rows

    async def _publish_all(self, rows: Sequence[OutboxRow]) -> bool:
        """Whether some row has to wait for a slot of its share."""
        waits = False
        for row in rows:
            outlet, topic = self._board.outlet(row.route), self._topic(row)
            lane = _lane(row, outlet)
            if row.state is not MessageState.QUEUED and self._options.confirm is Confirm.BROKER:
                continue  # rejected in another mode: only a person sends it again here
            if topic in self._board.pauses:
                self._board.pauses.keep(topic, row.id)
            elif not self._can_take(outlet):
                self._board.parked[row.id] = outlet.name
            elif outlet.window.room(lane) < 1 or self._link.room < 1:
                waits = True
            else:
                await self._publish(row, None, lane)
        return waits

    def _somebody_can_take(self) -> bool:
        return any(self._can_take(outlet) for outlet in self._board.outlets.values())

    def _can_take(self, outlet: Outlet) -> bool:
        return self._gate.is_open(outlet.name) and outlet.window.room(Lane.FRESH) > 0

    def _topic(self, row: OutboxRow) -> str:
        return self._link.topics.up(row.analyser, row.route)

    # One message

    async def _publish(self, row: OutboxRow, entry: Waiting | None, lane: Lane) -> None:
        topic, outlet = self._topic(row), self._board.outlet(row.route)
        replay = _replay(row, entry)
        properties = None
        if self._options.version is Version.V5:
            properties = result_properties(row, replay, self._link.topics, outlet.name)
        limit = self._link.maximum_packet
        if limit is not None and (size := packet_size(topic, row.payload, properties)) > limit:
            # MQTT 5.0 §3.2.2.3.6: it must not be sent. An image never holds up the values of its specimen.
            words = f"{size} bytes are more than the broker's maximum packet size of {limit}"
            await self.block(row.id, GRAPHICS if row.graphics else "blocked", words)
            return
        mid = self._link.publish(topic, row.payload, properties)
        if mid is None:  # the connection is gone: its end is on the way to us
            if entry is not None:
                outlet.retries.add(entry)
            return
        entry = entry or Waiting(row.id, Why.UNANSWERED, self._clock.monotonic(), 0)
        self._board.flights[mid] = row.id
        self._board.sent[row.id] = Sent(entry, outlet, row.analyser, topic, row.state, self._clock.monotonic())
        self._board.tally.published += 1
        outlet.window.take(row.id, lane)
        self._unnoted.append((row.id, replay))


def _lane(row: OutboxRow, outlet: Outlet) -> Lane:
    if row.state is not MessageState.QUEUED:
        return Lane.RETRY  # rejected and due, or filed and asked for again by the analyser
    old = outlet.fresh_since is not None and row.queued < outlet.fresh_since
    return Lane.BACKLOG if old else Lane.FRESH


def _replay(row: OutboxRow, entry: Waiting | None) -> str:
    """The property ``replay``: what made this publication happen."""
    if entry is None and row.replay in ("analyser", "operator"):
        return row.replay
    return "retry" if row.attempts or entry is not None else "original"
