"""LIS01-A2 / ASTM E1381 sender, without a port, a clock or a thread: texts in, bytes to write and events out.

What it promises: one frame is outstanding at a time, and only the first byte after it can be its answer; a frame that
was not accepted is sent again unchanged, six times in all, then the transfer is aborted; a frame answered EOT was
accepted and is never sent again; ``Aborted.accepted`` says how many whole texts the receiver took.

What it does not: it repeats no transfer by itself (when to try again is the caller's decision, LIS02-A2 §4.2.2), and it
answers no ENQ: what comes in while the line is not ours is the receiver's business and waits in ``unclaimed``.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from drivers.errors import LinkMisuseError, OptionError
from drivers.protocols.lis01_dialect import ACK, ENQ, EOT, NAK, Dialect
from drivers.protocols.lis01_encode import OutgoingFrame, frames
from drivers.protocols.lis01_sender_table import SENDER_TABLE, SenderSignal, SenderState

INSTRUMENT_CONTENTION_S = 1.0  # §6.2.1: the instrument waits at least 1 s and wins; the computer steps back


@dataclass(frozen=True, slots=True)
class Accepted:
    """Every frame of this text was acknowledged."""

    text: int
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The line is not ours yet. ``reason``: busy (our ENQ was answered NAK) or contention."""

    reason: str
    until: float
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes to write: ENQ, a frame, or the same frame again."""

    answer: bytes
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Sent:
    """Everything was accepted. ``asked_to_stop``: the receiver has something to send; leave it the line for 15 s."""

    answer: bytes
    asked_to_stop: bool = False


@dataclass(frozen=True, slots=True)
class Aborted:
    """The transfer ended early. ``reason``: no-reply, refused, interrupted, link. ``accepted``: whole texts taken."""

    reason: str
    accepted: int
    answer: bytes = b""


SenderEvent = Accepted | Waiting | Write | Sent | Aborted


class Sender:
    """One transfer after another on one line. Write each event's ``answer``; wake at ``deadline``.

    ``role``: ``instrument`` or ``host``, which decides who gives way when both ask at once. ``honour_interrupt``: when
    the receiver asks for the line, end the transfer at the next text boundary instead of going on to the end.
    """

    def __init__(self, dialect: Dialect, *, role: str = "host", honour_interrupt: bool = False) -> None:
        if role not in ("instrument", "host"):
            raise OptionError(f'role is "{role}"; it may be instrument, host.')
        self.state = SenderState.IDLE
        self.deadline: float | None = None
        self._dialect = dialect
        self._contention_s = INSTRUMENT_CONTENTION_S if role == "instrument" else dialect.contention_s
        self._honour = honour_interrupt
        self._frames: list[OutgoingFrame] = []
        self._at = 0  # the frame that is outstanding
        self._attempt = 0
        self._asked_to_stop = False
        self._number = 0  # last number of former transfers, for dialects that count on
        self._events: deque[SenderEvent] = deque()
        self._unclaimed = bytearray()

    def start(self, texts: Sequence[bytes], now: float) -> None:
        """Begin a transfer of at least one text. Raises ``LinkMisuseError`` while another one is under way."""
        if self.state is not SenderState.IDLE or not texts:
            raise LinkMisuseError("A transfer is under way, or there is nothing to send.")
        first = (self._number + 1) % 8 if self._dialect.frame_number == "continues" else 1
        self._frames = frames(self._dialect, texts, first)
        self._at, self._attempt, self._asked_to_stop = 0, 0, False
        self._step(SenderSignal.START, now)

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes off the wire."""
        if self.state in (SenderState.IDLE, SenderState.WAITING):
            self._unclaimed += data
            if self.state is SenderState.WAITING:
                # §6.2.1: the other side uses the line; we ask again only when it has been quiet
                self.deadline = max(self.deadline or now, now + self._contention_s)
            return
        for byte in data:
            signal = self._reply(byte)
            self._step(signal, now)
            if signal is not SenderSignal.OTHER:
                return  # what else was in this read came before our next bytes went out: it answers nothing

    def next_event(self) -> SenderEvent | None:
        return self._events.popleft() if self._events else None

    def unclaimed(self) -> bytes:
        """Bytes that came while the line was not ours: give them to the receiver."""
        taken = bytes(self._unclaimed)
        self._unclaimed.clear()
        return taken

    def expire(self, now: float) -> None:
        """The deadline has come."""
        if self.deadline is not None and now >= self.deadline:
            self._step(SenderSignal.TIMEOUT, now)

    def link_lost(self, now: float) -> None:
        self._step(SenderSignal.LOST, now)

    # From bytes to signals

    def _reply(self, byte: int) -> SenderSignal:
        if self.state is SenderState.ASKED:
            return _TO_ENQ.get(byte, SenderSignal.OTHER)
        last = self._at == len(self._frames) - 1
        if byte == ACK:
            return SenderSignal.ACK_LAST if last else SenderSignal.ACK
        if byte == EOT:
            if last:
                return SenderSignal.EOT_LAST
            stop = self._honour and self._frames[self._at].last
            return SenderSignal.EOT_HONOURED if stop else SenderSignal.EOT
        return SenderSignal.NAK_LAST if self._attempt >= self._dialect.nak_limit else SenderSignal.NAK

    def _step(self, signal: SenderSignal, now: float) -> None:
        step = SENDER_TABLE[self.state].get(signal)
        if step is None:
            raise LinkMisuseError(f"The sender knows no {signal.name} while {self.state.name}.")
        self.state = step.next
        _ACTIONS[step.action](self, now)

    # Actions of the table

    def _ignore(self, now: float) -> None:
        pass

    def _ask(self, now: float) -> None:
        self._write(bytes((ENQ,)), now)

    def _send_first(self, now: float) -> None:
        self._attempt = 1
        self._write(self._frames[self._at].raw, now)

    def _send_next(self, now: float) -> None:
        self._took()
        self._at += 1
        self._send_first(now)

    def _send_again(self, now: float) -> None:
        self._attempt += 1
        self._write(self._frames[self._at].raw, now)

    def _note_interrupt(self, now: float) -> None:
        self._asked_to_stop = True
        self._send_next(now)

    def _wait_busy(self, now: float) -> None:
        self._wait("busy", now + self._dialect.busy_s)

    def _wait_contention(self, now: float) -> None:
        # Neither ENQ is answered; who waits longer gets the other's next ENQ and answers it (§6.2.1).
        self._wait("contention", now + self._contention_s)

    def _finish(self, now: float) -> None:
        self._took()
        self._end(Sent(bytes((EOT,)), self._asked_to_stop))

    def _finish_interrupted(self, now: float) -> None:
        self._asked_to_stop = True
        self._finish(now)

    def _abort_interrupted(self, now: float) -> None:
        self._took()
        self._end(Aborted("interrupted", self._frames[self._at].text + 1, bytes((EOT,))))

    def _abort_refused(self, now: float) -> None:
        self._abort("refused", bytes((EOT,)))

    def _abort_no_reply(self, now: float) -> None:
        self._abort("no-reply", bytes((EOT,)))

    def _abort_link(self, now: float) -> None:
        self._abort("link", b"")

    # Small parts

    def _took(self) -> None:
        frame = self._frames[self._at]
        self._number = (self._number + 1) % 8
        if frame.last:
            self._events.append(Accepted(frame.text))

    def _abort(self, reason: str, answer: bytes) -> None:
        self._end(Aborted(reason, self._frames[self._at].text, answer))

    def _end(self, event: SenderEvent) -> None:
        self.deadline = None
        self._events.append(event)

    def _wait(self, reason: str, until: float) -> None:
        self.deadline = until
        self._events.append(Waiting(reason, until))

    def _write(self, data: bytes, now: float) -> None:
        self.deadline = now + self._dialect.reply_s
        self._events.append(Write(data, max(self._attempt, 1)))


_TO_ENQ = MappingProxyType({ACK: SenderSignal.ACK, NAK: SenderSignal.NAK, ENQ: SenderSignal.ENQ})
_ACTIONS: Mapping[str, Callable[[Sender, float], None]] = MappingProxyType(
    {step.action: getattr(Sender, "_" + step.action) for row in SENDER_TABLE.values() for step in row.values()}
)
