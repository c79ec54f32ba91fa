"""The sending side of LIS01-A2 as an analyser plays it: ENQ, frames one by one, EOT (§6.2 to §6.5).

It promises that ``deliver`` returns normally only when every frame was acknowledged, and that ``delivered`` never says
more than the receiver acknowledged. It does not receive: an ENQ of the host outside a contention is answered NAK.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulators.errors import NotAcceptedError
from simulators.framing import ACK, ENQ, EOT, NAK, Frame
from simulators.lines import Line

MOST_STALE = 16  # reads; a line that never ends talking is not waited for


@dataclass(frozen=True, slots=True)
class Timers:
    """Seconds; LIS01-A2 §6.2.3, §6.2.4, §6.3.2, §6.5.2. ``sends`` is how often one frame is sent before giving up."""

    reply_s: float = 15.0
    busy_s: float = 10.0
    contention_s: float = 1.0  # the instrument's; a computer waits 20
    sends: int = 6
    enquiries: int = 20


@dataclass(slots=True)
class Counters:
    enquiries: int = 0
    frames: int = 0
    naks: int = 0
    busy: int = 0
    contentions: int = 0
    silences: int = 0
    interrupts: int = 0


class Sender:
    """One session after another over one line."""

    def __init__(
        self,
        line: Line,
        timers: Timers | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        counters: Counters | None = None,
    ) -> None:
        self._line = line
        self._timers = timers or Timers()
        self._clock = clock
        self._sleep = sleep
        self._unread = b""
        self.counters = counters or Counters()
        self.delivered = 0

    def deliver(self, frames: Sequence[Frame], acknowledged: Callable[[Frame], None] = lambda _: None) -> None:
        """Send one transmission. Calls ``acknowledged`` for each frame the receiver took.

        Raises ``NotAcceptedError`` (after sending EOT) or ``LinkLostError``.
        """
        self.delivered = 0
        self._establish()
        for frame in frames:
            self._send(frame)
            self.delivered = frame.ends_at
            acknowledged(frame)
        self._line.write(EOT)

    def _establish(self) -> None:
        self._throw_away()
        for _ in range(self._timers.enquiries):
            self._line.write(ENQ)
            self.counters.enquiries += 1
            answer = self._answer((ACK, NAK, ENQ))
            if answer == ACK:
                return
            if answer == b"":
                self.counters.silences += 1
                self._give_up("The receiver did not answer the ENQ.")
            self._stand_back(answer)
        self._give_up("The receiver stayed busy.")

    def _throw_away(self) -> None:
        """What came since the last session answers nothing of this one."""
        self._unread = b""
        for _ in range(MOST_STALE):
            if not self._line.read(0.0):
                return

    def _stand_back(self, answer: bytes) -> None:
        if answer == NAK:
            self.counters.busy += 1
            self._sleep(self._timers.busy_s)
            return
        # Both sent ENQ: neither is acknowledged, the instrument tries again first (§6.2.7).
        self.counters.contentions += 1
        self._sleep(self._timers.contention_s)

    def _send(self, frame: Frame) -> None:
        for _ in range(self._timers.sends):
            self._line.write(frame.wire)
            self.counters.frames += 1
            answer = self._answer(None)
            if answer == ACK:
                return
            if answer == EOT:  # accepted, and the receiver would like to speak; ignoring the wish is allowed (§6.3.5)
                self.counters.interrupts += 1
                return
            if answer == b"":
                self.counters.silences += 1
                self._give_up("The receiver did not answer a frame.")
            self.counters.naks += 1
        self._give_up(f"The receiver refused a frame {self._timers.sends} times.")

    def _give_up(self, sentence: str) -> None:
        self._line.write(EOT)
        raise NotAcceptedError(sentence, "Look at the receiver's log for the reason.")

    def _answer(self, wanted: tuple[bytes, ...] | None) -> bytes:
        """The next byte of interest, or b"" after the reply timer. ``None``: any byte is an answer (§6.3.2)."""
        deadline = self._clock() + self._timers.reply_s
        while True:
            while self._unread:
                byte, self._unread = self._unread[:1], self._unread[1:]
                if wanted is None or byte in wanted:
                    return byte
            left = deadline - self._clock()
            if left <= 0:
                return b""
            self._unread = self._line.read(left)
