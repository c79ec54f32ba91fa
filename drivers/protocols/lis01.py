"""LIS01-A2 / ASTM E1381 receiver, without a port, a clock or a thread: bytes in, events and answers out.

What it promises: a frame is acknowledged by ``acknowledge`` alone, and only against a receipt of the store; nothing is
cut, joined or repaired; a damaged frame never becomes data (``lis01_frames`` says how); a retransmission (number and
bytes equal to the last accepted frame) is acknowledged and not handed out as data; one transmission of the sender gets
one answer, because a second one would be read as the answer to its next frame.

What it does not: it keeps no text (the store does), does not look into records except to see an L, and does not read a
clock: the caller passes monotonic seconds and wakes at ``deadline``.

All transitions are in ``lis01_table``.
"""

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType

from drivers.errors import LinkMisuseError
from drivers.protocols.lis01_dialect import Dialect
from drivers.protocols.lis01_events import (
    ACK_BYTE,
    EOT_BYTE,
    NAK_BYTE,
    Busy,
    Closed,
    Event,
    FrameReceived,
    Noise,
    Opened,
    Receipt,
    Refused,
    Repeated,
)
from drivers.protocols.lis01_frames import Cutter, Kind, Piece
from drivers.protocols.lis01_numbers import NEW, REPEAT, Numbers
from drivers.protocols.lis01_records import RecordEnds
from drivers.protocols.lis01_sender import Sender, SenderEvent
from drivers.protocols.lis01_table import TABLE, Signal, State

__all__ = [
    "TABLE",
    "Busy",
    "Closed",
    "Dialect",
    "Event",
    "FrameReceived",
    "Noise",
    "Opened",
    "Receipt",
    "Receiver",
    "Refused",
    "Repeated",
    "Sender",
    "SenderEvent",
    "Signal",
    "State",
]

# Members bound once: on every frame's path an attribute of an enumeration costs more than the check it is used in.
_IDLE, _OPEN, _HELD = State.IDLE, State.OPEN, State.HELD
_NEW, _STORED = Signal.NEW, Signal.STORED
_FRAME = Kind.FRAME


class Receiver:
    """One link's receiver. Give it bytes, take events until ``None``, write each event's ``answer``.

    ``ready``: set it to False while nothing can be stored; ENQ and frames are then answered NAK.
    """

    _size: int

    def __init__(self, dialect: Dialect) -> None:
        self.ready = True
        self.state = State.IDLE
        self._dialect = dialect
        self._cutter = Cutter(dialect)
        self._numbers = Numbers(dialect.frame_number)
        self._records = RecordEnds()
        self._events: deque[Event] = deque()
        self._held: FrameReceived | None = None
        self._interrupt = False
        self._last_answer = ACK_BYTE
        self._since: float | None = None  # when the receive timer was last started; None: at the next event
        self._grown = 0.0
        self._due = False
        self._lost = False
        self._begin(asked=False)

    # The caller's side

    def receive(self, data: bytes, now: float) -> None:
        """Append bytes off the wire. ``now``: monotonic seconds."""
        self._cutter.add(data, now)
        self._grown = now

    def next_event(self, now: float) -> Event | None:
        """The next event, or None: more bytes are needed, or a frame waits for its receipt."""
        if self._since is None:
            self._since = now
        if self._cutter.reading and not (self._lost or self._due or self._events):
            return None  # the usual case on a slow line: one more byte of a frame
        events = self._events
        while not events:
            if self.state is _HELD or not self._advance(now):
                return None
        return events.popleft()

    def acknowledge(self, frame: FrameReceived, receipt: Receipt) -> bytes:
        """The frame is durable: the bytes to answer with, which may be none (``ack_unit``).

        Raises ``LinkMisuseError`` for any other frame than the one handed out last, and for an empty receipt.
        """
        if receipt.chunks < 1:
            raise LinkMisuseError("A receipt that covers no chunk acknowledges nothing.")
        return self._answer(_STORED, frame)

    def refuse(self, frame: FrameReceived) -> bytes:
        """The frame could not be stored: NAK, and forget it, so that the sender's resend is new."""
        return self._answer(Signal.NOT_STORED, frame)

    def interrupt(self, wanted: bool = True) -> None:
        """Ask for the line: the next good frame is answered EOT, "accepted, please stop" (§6.3.5)."""
        self._interrupt = wanted

    @property
    def overtaken(self) -> bool:
        """Whether a new ENQ already follows what is to be answered: its sender gave up waiting, while the line stood.

        Written now, the answer would be taken for that to the new ENQ, and the ACK of each frame for that of the next.
        """
        return self._cutter.begun_anew

    @property
    def deadline(self) -> float | None:
        """When ``expire`` is due, monotonic seconds; None: only bytes can change anything."""
        if self.state is _HELD:
            return None
        due = [t for t in (self._cutter.deadline, self._timer()) if t is not None]
        return min(due, default=None)

    def expire(self, now: float) -> None:
        """The deadline has come: then ``next_event`` says what follows from it."""
        timer = self._timer()
        self._due = timer is not None and now >= timer

    def link_lost(self) -> None:
        """No byte will come any more: what is whole is still handed out, then an open session ends (``link``)."""
        self._cutter.end()
        self._lost = True

    # From pieces to signals

    def _advance(self, now: float) -> bool:
        """Take one step; false when nothing more can be done now."""
        idle = self.state is _IDLE
        piece = self._cutter.next(now, in_session=not idle, bare_allowed=idle or not self._framed)
        if piece is not None:
            self._due = False
            self._step(self._signal(piece), piece, now)
            return True
        if self._lost:
            self._leave(Signal.LOST, now)
            self._lost = False
            self._cutter.restart()
            return True
        if self._due:
            self._due = False
            self._leave(Signal.QUIET if self._silence_ends() else Signal.TIMEOUT, now)
            return True
        return False

    def _leave(self, signal: Signal, now: float) -> None:
        """What was begun and will not be finished goes first, then the session."""
        rest = self._cutter.flush()
        if rest is not None:
            self._step(Signal.NOISE if rest.kind is Kind.NOISE else Signal.BAD, rest, now)
        self._step(signal, _NOTHING, now)

    def _signal(self, piece: Piece) -> Signal:
        kind = piece.kind
        if kind is _FRAME:
            return self._judge(piece)
        if kind is Kind.ENQ:
            return self._enq()
        if kind is Kind.EOT:
            early = "eot_first" in self._dialect.resync and self.state is _OPEN and not self._frames
            return Signal.EOT_EARLY if early else Signal.EOT
        if kind is Kind.BARE and self._asked and not self.ready and self.state is _OPEN:
            return Signal.BAD  # without an ENQ nobody could be told: then the caller may try to store it
        return _SIGNALS[kind]

    def _enq(self) -> Signal:
        if not self.ready:
            return Signal.ENQ_BUSY
        if self.state is _IDLE:
            return Signal.ENQ
        again = not self._frames or "enq_again" in self._dialect.resync
        return Signal.ENQ_AGAIN if again else Signal.ENQ_ANEW

    def _judge(self, piece: Piece) -> Signal:
        if self.state is _IDLE:
            return Signal.NEW_UNASKED if self.ready and self._may_begin(piece) else _NEW
        verdict = self._numbers.judge(piece)
        if verdict is REPEAT:
            return Signal.REPEAT
        if not self._asked and self._complete and self._may_begin(piece):
            return Signal.NEW_UNASKED
        return _NEW if verdict is NEW and self.ready and self._fits(piece) else Signal.BAD

    def _may_begin(self, piece: Piece) -> bool:
        """Whether a frame may begin a session that no ENQ began."""
        header = piece.text[:1] in (b"H", b"h") or "eot_first" in self._dialect.resync
        return header and self._dialect.check_length > 0 and self._numbers.may_begin(piece)

    def _fits(self, piece: Piece) -> bool:
        return self._size + len(piece.text) <= self._dialect.max_message

    def _reason(self, piece: Piece) -> str:
        if piece.reason:
            return piece.reason
        if not self.ready:
            return "not-ready"
        if not self._fits(piece):
            return "message-too-long"
        return self._numbers.reason(piece)

    # Actions of the table

    def _step(self, signal: Signal, piece: Piece, now: float) -> None:
        step = _STEPS[self.state].get(signal)
        if step is None:
            raise LinkMisuseError(f"The link layer knows no {signal.name} while {self.state.name}.")
        act, following = step
        act(self, piece, now)
        self.state = following

    def _ignore(self, piece: Piece, now: float) -> None:
        pass

    def _noise(self, piece: Piece, now: float) -> None:
        self._events.append(Noise(piece.raw))

    def _open(self, piece: Piece, now: float) -> None:
        self._begin(asked=True)
        self._emit(Opened(b"" if piece.cut else ACK_BYTE), now)

    def _open_again(self, piece: Piece, now: float) -> None:
        self._numbers.allow_restart()
        self._emit(Opened(b"" if piece.cut else ACK_BYTE, again=True), now)

    def _reopen(self, piece: Piece, now: float) -> None:
        self._close("enq")
        self._open(piece, now)

    def _busy(self, piece: Piece, now: float) -> None:
        if self.state is _OPEN:
            self._close("enq")
        self._emit(Busy(b"" if piece.cut else NAK_BYTE), now)

    def _hold(self, piece: Piece, now: float) -> None:
        rule = self._dialect.end_of_message
        ends = self._records.add(piece.text, whole=piece.last or self._dialect.etb == "record") and rule == "L"
        if piece.kind is _FRAME:
            self._framed = True
            self._numbers.propose(piece)
        elif rule == "idle":
            ends = True  # bare records are handed out when silence (or an L) ended them
        self._held = FrameReceived(piece.number, piece.text, piece.raw, piece.last, ends)
        self._events.append(self._held)

    def _hold_unasked(self, piece: Piece, now: float) -> None:
        self._begin(asked=False)
        self._emit(Opened(b""), now)
        self._hold(piece, now)

    def _reopen_unasked(self, piece: Piece, now: float) -> None:
        self._close("enq")
        self._hold_unasked(piece, now)

    def _repeat(self, piece: Piece, now: float) -> None:
        self._in_a_row = 0
        self._emit(Repeated(piece.raw, self._last_answer), now)

    def _refuse_frame(self, piece: Piece, now: float) -> None:
        self._in_a_row += 1
        self._numbers.missed(piece)
        answer = NAK_BYTE if self._asked or self._framed else b""
        self._emit(Refused(piece.raw, self._reason(piece), b"" if piece.cut else answer, self._in_a_row), now)

    def _close_eot(self, piece: Piece, now: float) -> None:
        # One ACK per session: every frame of it has had its receipt, or this ACK is not given.
        good = self._dialect.ack_unit == "session" and self._frames and not self._in_a_row
        self._close("eot", ACK_BYTE if good else b"")

    def _close_timeout(self, piece: Piece, now: float) -> None:
        self._close("timeout")

    def _close_idle(self, piece: Piece, now: float) -> None:
        self._close("idle")

    def _close_link(self, piece: Piece, now: float) -> None:
        self._close("link")

    def _accept(self, frame: FrameReceived) -> bytes:
        self._numbers.settle(accepted=True)
        self._frames += 1
        self._in_a_row = 0
        self._complete = self._records.terminated
        self._size = 0 if self._complete else self._size + len(frame.text)
        self._last_answer = ACK_BYTE if self._acknowledges(frame) else b""
        if self._interrupt and self._last_answer:
            self._interrupt = False
            return EOT_BYTE
        return self._last_answer

    def _forget(self, frame: FrameReceived) -> bytes:
        self._numbers.settle(accepted=False)
        self._records.undo()
        self._in_a_row += 1
        return NAK_BYTE if self._asked or self._framed else b""

    # Small parts

    def _answer(self, signal: Signal, frame: FrameReceived) -> bytes:
        if frame is not self._held or self._events:
            raise LinkMisuseError("Only the frame handed out last can be acknowledged or refused, and only once.")
        step = TABLE[self.state][signal]
        self._held = None
        self.state = step.next
        self._since = None
        return self._accept(frame) if signal is _STORED else self._forget(frame)

    def _acknowledges(self, frame: FrameReceived) -> bool:
        """Whether this frame is one that the device waits for an ACK to."""
        if frame.number is None and not self._asked and not self._framed:
            return False  # bare records that nobody announced: nobody waits
        unit = self._dialect.ack_unit
        if unit == "record":
            return self._records.at_end
        if unit == "message":
            return self._complete
        return unit == "frame"

    def _begin(self, *, asked: bool) -> None:
        self._asked = asked  # the session was opened by ENQ
        self._numbers.begin()
        self._records.begin()
        self._frames = 0  # data frames accepted in the session
        self._size = 0  # text of the message so far
        self._in_a_row = 0  # refusals
        self._framed = False  # an STX frame came in the session: no bare records any more
        self._complete = False  # the last accepted frame ended a message

    def _close(self, reason: str, answer: bytes = b"") -> None:
        self._events.append(Closed(reason, answer, self._in_a_row > 0))

    def _emit(self, event: Event, now: float) -> None:
        self._since = now
        self._events.append(event)

    def _silence_ends(self) -> bool:
        return self._dialect.end_of_message == "idle" and self._frames > 0 and not self._cutter.inside

    def _timer(self) -> float | None:
        """When silence becomes an end, counted from the start and each answer; a growing frame is no silence."""
        if self.state is not _OPEN or self._since is None:
            return None
        if self._silence_ends():
            return max(self._grown, self._since) + self._dialect.idle_s
        since = max(self._since, self._grown) if self._cutter.inside else self._since
        return since + self._dialect.receive_s


_NOTHING = Piece(Kind.NOISE, b"")
_SIGNALS = MappingProxyType({Kind.DAMAGED: Signal.BAD, Kind.NOISE: Signal.NOISE, Kind.BARE: Signal.BARE})
_STEPS: Mapping[State, Mapping[Signal, tuple[Callable[[Receiver, Piece, float], None], State]]] = {
    state: {
        signal: (getattr(Receiver, "_" + step.action), step.next)
        for signal, step in row.items()
        if signal not in (Signal.STORED, Signal.NOT_STORED)
    }
    for state, row in TABLE.items()
}
