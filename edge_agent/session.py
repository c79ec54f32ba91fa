"""One connection of one analyser: read, receive, store, answer.

Promised: stored, then acknowledged. The bytes of an ACK for data are made only from the store's receipt, which exists
only after COMMIT; while storage does not work, frames and ENQ are answered NAK. Whatever ends a transmission, what was
acknowledged of it is kept and its end is stored with a reason. An answer that comes too late for its sender is not
sent: the sender would take it for the answer to its next ENQ or frame.

Not promised: that what was stored was also acknowledged. An analyser that missed our ACK sends again, and the content
is recognised later. Nothing is sent here but answers: the line belongs to the analyser.

No patient data reaches a log or an alarm from here.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from drivers.protocols.lis01 import (
    Busy,
    Closed,
    Dialect,
    Event,
    FrameReceived,
    Noise,
    Opened,
    Receiver,
    Refused,
    Repeated,
)
from edge_agent.clock import Clock
from edge_agent.idle_line import IdleLine
from edge_agent.intake import Endings, Intake, UncertainError
from edge_agent.monitor.alarms import Alarms
from edge_agent.patience import Patience
from edge_agent.states import TransmissionEvent
from edge_agent.store.errors import StoreError
from edge_agent.store.rows import Chunk, ChunkKind, Source
from edge_agent.store.thread import StoreThread
from edge_agent.transport.base import Connection

IN_TIME = 0.6  # part of the sender's reply timer (LIS01-A2 §6.5.2.2: 15 s) after which an answer would be a stray one
LAST_COMMIT_S = 5.0  # how long a stopping session waits for its last commit
NOT_READY = "not-ready"  # Refused.reason of a good frame that came while nothing could be stored
AT_ONCE = 16_384  # bytes
TURN = 64  # events
FLUSH_S = 2.0  # evidence of an open transmission is stored at least this soon


def _never() -> bool:
    return False


@dataclass(slots=True)
class Activity:
    """What has been seen of an analyser, over all its connections."""

    last_byte: datetime | None = None
    last_result: datetime | None = None  # when a transmission with frames was last completed
    bytes: int = 0
    frames: int = 0  # stored and acknowledged
    messages: int = 0
    refused: int = 0  # frames answered NAK
    refused_for: str = ""  # why the last one was, if anything was wrong with it
    asked: datetime | None = None  # when it last asked to send (ENQ, or a frame without one)
    unframed: int = 0  # bytes outside any frame

    def completed(self, at: datetime) -> None:
        self.last_result = at
        self.messages += 1


class Session:
    def __init__(
        self,
        connection: Connection,
        source: Source,
        dialect: Dialect,
        store: StoreThread,
        clock: Clock,
        alarms: Alarms,
        on_stored: Callable[[], None],
        *,
        disk_low: Callable[[], bool] = _never,
        endings: Endings | None = None,
        activity: Activity | None = None,
    ) -> None:
        """``on_stored`` is called after each transmission that ended. ``disk_low``: nothing new is taken while true."""
        self._connection = connection
        self._analyser = source.analyser
        self._dialect = dialect
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._disk_low = disk_low
        self._activity = activity or Activity()
        self._receiver = Receiver(dialect)
        self._intake = Intake(source, store, endings or Endings(store, on_stored))
        self._idle_line = IdleLine()
        self._patience = Patience(dialect.reply_s * IN_TIME, self._storage_is_slow)
        self._unanswered: FrameReceived | None = None  # its commit is under way
        self._open = False
        self._mute = False  # the other side is gone
        self._heard_at = 0.0
        self._saw_failure = False

    @property
    def receiving(self) -> bool:
        return self._open or self._intake.transmission is not None

    async def run(self) -> None:
        """Serve until the other side is gone. Cancellation leaves every frame either stored or unacknowledged."""
        reason = "link"
        try:
            await self._serve()
        except asyncio.CancelledError:
            reason = "restart"
            raise
        finally:
            await self._finish(reason)

    async def _serve(self) -> None:
        while (data := await self._read()) != b"":
            self._heard_at = self._clock.monotonic()
            if data is None:
                await self._timers(self._heard_at)
                await self._events()
            else:
                self._activity.last_byte = self._clock.now()
                self._activity.bytes += len(data)
                await self._receive(data)
            if self._is_late():
                await self._catch_up()
        self._heard_at = self._clock.monotonic()
        self._receiver.link_lost()  # hands out what only the end made whole, then closes
        await self._events()

    async def _receive(self, data: bytes) -> None:
        for start in range(0, len(data), AT_ONCE):
            self._receiver.receive(data[start : start + AT_ONCE], self._clock.monotonic())
            await self._events()
            if start + AT_ONCE < len(data):  # a line that babbles leaves the others their turn
                await asyncio.sleep(0)

    def _is_late(self) -> bool:
        return self._clock.monotonic() - self._heard_at >= self._dialect.reply_s * IN_TIME

    async def _catch_up(self) -> None:
        """Storage stood still for so long that the sender gave up, perhaps several times (EOT, ENQ, EOT, ENQ).

        Two answers to two ENQ would make it one answer ahead: it would take the ACK of each frame for that of the
        next, and believe its last one stored when it is not. So what came meanwhile is received, and not answered:
        it stays late until the next bytes are waited for.
        """
        while data := await self._connection.read(0.0):  # what is there already
            await self._receive(data)

    async def _read(self) -> bytes | None:
        """Bytes; b"" at the end; None when a timer is due."""
        due = self._due()
        return await self._connection.read(None if due is None else max(0.0, due - self._clock.monotonic()))

    # timers

    def _due(self) -> float | None:
        times = [t for t in (self._receiver.deadline, self._evidence_due()) if t is not None]
        return min(times, default=None)

    def _evidence_due(self) -> float | None:
        evidence = self._intake.evidence
        if evidence.since is None:
            return None
        if self._intake.transmission is not None:
            return evidence.since + FLUSH_S
        return None if self._open else self._idle_line.due(evidence)

    async def _timers(self, now: float) -> None:
        deadline, evidence_due = self._receiver.deadline, self._evidence_due()
        if deadline is not None and now >= deadline:
            self._receiver.expire(now)
        if evidence_due is not None and now >= evidence_due:
            if self._intake.transmission is not None:
                await self._intake.flush(now)
            else:
                self._idle_line.was_noisy()
                await self._intake.close(TransmissionEvent.ENDED, "idle")

    # events

    async def _events(self) -> None:
        for number in itertools.count(1):
            if number % TURN == 0:  # thousands of ENQ in one read leave the others their turn
                await asyncio.sleep(0)
            self._receiver.ready = self._ready()
            event = self._receiver.next_event(self._clock.monotonic())
            if event is None:
                return
            await self._on(event)

    def _ready(self) -> bool:
        """Whether anything may be taken. A message that has begun may end even on a disk that is nearly full."""
        if self._store.failed is not None:
            self._saw_failure = True
            return False
        if self._saw_failure:
            self._saw_failure = False
            self._alarms.clear("storage")
        return self._intake.transmission is not None or not self._disk_low()

    async def _on(self, event: Event) -> None:
        match event:
            case FrameReceived():
                await self._on_frame(event)
            case Opened(answer=answer):
                await self._answer(answer)
                await self._on_opened()
            case Busy(answer=answer):
                await self._answer(answer)
            case Repeated(raw=raw, answer=answer):
                await self._answer(answer)
                self._on_repeat(raw)
            case Refused(answer=answer):
                await self._answer(answer)
                self._on_refused(event)
            case Noise(raw=raw, answer=answer):
                await self._answer(answer)
                self._activity.unframed += len(raw)
                self._note(Chunk(ChunkKind.NOISE, raw))
            case Closed(answer=answer):
                await self._answer(answer)
                await self._on_closed(event)

    async def _on_opened(self) -> None:
        self._activity.asked = self._clock.now()
        was_open, self._open = self._open, True
        if self._intake.transmission is None and self._idle_line.deserves_its_own(self._intake.evidence):
            event = TransmissionEvent.BROKEN if was_open else TransmissionEvent.ENDED
            await self._intake.close(event, "enq" if was_open else "idle")

    async def _on_frame(self, frame: FrameReceived) -> None:
        """Store, then acknowledge."""
        self._unanswered = frame
        chunk = Chunk(ChunkKind.FRAME, frame.raw, frame.text, frame.number, frame.last)
        self._patience.begin()
        try:
            receipt = await self._intake.keep(chunk, "L" if frame.ends_message else None)
        except UncertainError:
            await self._give_up(frame)
        except StoreError as error:
            self._unanswered = None
            self._storage_down(_why(error.sentence))
            await self._answer(self._receiver.refuse(frame))
        else:
            self._unanswered = None
            await self._answer(self._receiver.acknowledge(frame, receipt))
            self._went_well(ended=frame.ends_message)
        finally:
            self._patience.end()

    async def _give_up(self, frame: FrameReceived) -> None:
        """The store may hold this frame or not: no answer at all, so that the analyser sends everything again."""
        self._unanswered = None
        self._receiver.refuse(frame)
        self._mute = True
        await self._interrupt("link")
        await self._connection.close()

    def _went_well(self, *, ended: bool) -> None:
        self._idle_line.was_good()
        self._activity.frames += 1
        self._alarms.clear("storage")
        self._alarms.clear("nak-limit", self._analyser)
        if ended:
            self._activity.completed(self._clock.now())
            self._alarms.clear("frame-number", self._analyser)

    def _on_repeat(self, raw: bytes) -> None:
        if self._intake.transmission is None:  # a repeat of the frame that ended its transmission: stored already
            self._intake.evidence.forgive()
        else:
            self._note(Chunk(ChunkKind.REPEAT, raw))

    def _on_refused(self, event: Refused) -> None:
        self._activity.refused += 1
        if event.reason == NOT_READY:  # nothing was wrong with it, and its sender knows that it was not taken
            return
        self._activity.refused_for = event.reason
        self._note(Chunk(ChunkKind.REFUSED, event.raw, reason=event.reason))
        if event.in_a_row >= self._dialect.nak_limit:
            self._alarms.raise_("nak-limit", self._analyser, count=str(event.in_a_row), reason=event.reason)
        if event.reason == "frame-number-reused":
            self._alarms.raise_("frame-number", self._analyser)

    def _note(self, chunk: Chunk) -> None:
        self._intake.evidence.add(chunk, self._clock.monotonic())

    async def _on_closed(self, event: Closed) -> None:
        self._open = False
        if self._is_an_end(event):
            if self._intake.frames:
                self._activity.completed(self._clock.now())
            await self._intake.close(TransmissionEvent.ENDED, event.reason)
        else:
            await self._interrupt(event.reason)

    def _is_an_end(self, event: Closed) -> bool:
        """EOT or silence ends a message only where the profile says so, and never after a refused last frame."""
        if event.after_refusal or not self._intake.frames:
            return False
        return event.reason == "idle" or (event.reason == "eot" and self._dialect.end_of_message != "L")

    async def _interrupt(self, reason: str) -> None:
        """What was received of a message stays, visible as interrupted (design invariant 4)."""
        broken_off = self._intake.frames > 0
        at = self._clock.now().isoformat(timespec="seconds")
        await self._intake.close(TransmissionEvent.BROKEN, reason)
        if broken_off:  # after its end is stored: who looks at the store then does not clear it
            self._alarms.raise_("interrupted", self._analyser, at=at)

    # the way out

    async def _finish(self, reason: str) -> None:
        self._patience.stop()
        await self._intake.recover(LAST_COMMIT_S)
        if self._unanswered is not None:  # stored or not, it was not acknowledged
            self._receiver.refuse(self._unanswered)
        self._receiver.link_lost()
        while (event := self._receiver.next_event(self._clock.monotonic())) is not None:
            self._left_over(event)
        if self.receiving:
            await self._interrupt(reason)
        else:  # bytes outside any session are shown as such; no message was broken off
            await self._intake.close(TransmissionEvent.ENDED, reason)
        await self._connection.close()

    def _left_over(self, event: Event) -> None:
        """Stopping: a frame that came whole and was never answered is the analyser's to send again."""
        match event:
            case FrameReceived():
                self._receiver.refuse(event)
            case Noise(raw=raw):
                self._note(Chunk(ChunkKind.NOISE, raw))
            case Refused(raw=raw, reason=reason):
                self._note(Chunk(ChunkKind.REFUSED, raw, reason=reason))

    async def _answer(self, data: bytes) -> None:
        """Write, unless nobody waits for it any more: what has come is still received, and stored."""
        if not data or self._mute or self._is_late() or self._receiver.overtaken:
            return
        try:
            await self._connection.write(data)
        except ConnectionError:
            self._mute = True
            await self._connection.close()

    # storage

    def _storage_is_slow(self) -> None:
        self._storage_down("the disk has not answered for several seconds.")

    def _storage_down(self, why: str) -> None:
        self._alarms.raise_("storage", reason=why)


def _why(sentence: str) -> str:
    """The alarm has a sentence of its own around the reason."""
    return sentence.removeprefix("Results cannot be stored: ")
