"""The self-test's analyser: sends over a socket, one frame at a time, and counts what it was told is safe.

Promised: a frame counts as acknowledged if, and only if, an ACK for it came over the line, also when that lay there
unread while the agent was killed: a real analyser would have had it. Not promised: anything a LIS01 sender needs in a
laboratory (contention, receiver interrupt); it is written for this purpose alone.
"""

import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.selftest.ledger import Attempt, Ledger
from edge_agent.selftest.messages import Message

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
REPLY_S = 15.0  # LIS01-A2 6.5.2.2: after that a sender gives up
_MOST_REFUSALS = 6  # 6.5.1.2
_BUSY_S = 0.2  # 6.2.7.1 has 10 s; here nothing else waits for the line


class MomentError(Exception):
    """The moment at which the agent is to be killed has come."""


class LineEndedError(Exception):
    """The other side is gone, or answers no more."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: at a time; or ``wait_s`` after the last byte of the ``frame``-th frame, its ACK read or not."""

    at: float = float("inf")  # monotonic
    frame: int = 0
    wait_s: float = 0.0
    heard: bool = False  # only after the ACK came


class Analyser:
    def __init__(self, line: socket.socket, ledger: Ledger, moment: Moment) -> None:
        self._line = line
        self._ledger = ledger
        self._moment = moment
        self._frames = 0
        self._waiting: Attempt | None = None  # its last frame has no answer yet

    def send(self, messages: Iterator[Message]) -> None:
        """Raises MomentError or LineEndedError; returns when all were acknowledged."""
        for message in messages:
            self._ask()
            self._send(self._ledger.begin(message))
            self._write(EOT)

    def _ask(self) -> None:
        while True:
            self._write(ENQ)
            if self._answer() == ACK:
                return
            self._pause(_BUSY_S)

    def _send(self, attempt: Attempt) -> None:
        for frame in attempt.frames:
            for _ in range(_MOST_REFUSALS):
                self._waiting = attempt
                attempt.sent = attempt.acknowledged + 1
                self._write(frame + b"\r\n")
                if self._acknowledged(attempt):
                    break
                self._ledger.refused += 1
            else:
                raise LineEndedError

    def _acknowledged(self, attempt: Attempt) -> bool:
        self._frames += 1
        aimed = self._frames == self._moment.frame
        if aimed and not self._moment.heard:
            _spin(self._moment.wait_s)
            raise MomentError
        began = time.perf_counter()
        answer = self._answer()
        self._waiting = None
        if answer == ACK:
            attempt.acknowledged += 1
            self._ledger.ack_s.append(time.perf_counter() - began)
        if aimed:
            raise MomentError
        return answer == ACK

    def hear_the_rest(self) -> None:
        """After the kill: an answer that was under way reached the analyser all the same."""
        try:
            while data := self._line.recv(64):
                if self._waiting is not None and data[:1] == ACK:
                    self._waiting.acknowledged += 1
                    self._waiting = None
        except OSError:
            return

    def _write(self, data: bytes) -> None:
        try:
            self._line.sendall(data)
        except OSError:
            raise LineEndedError from None

    def _answer(self) -> bytes:
        patience = min(REPLY_S, self._moment.at - time.monotonic())
        readable, _, _ = select.select([self._line], [], [], max(patience, 0.0))
        if not readable:
            if patience < REPLY_S:
                raise MomentError
            self._ledger.unanswered += 1
            raise LineEndedError
        try:
            answer = self._line.recv(1)
        except OSError:
            raise LineEndedError from None
        if not answer:
            raise LineEndedError
        return answer

    def _pause(self, seconds: float) -> None:
        if time.monotonic() + seconds > self._moment.at:
            raise MomentError
        time.sleep(seconds)


def _spin(seconds: float) -> None:
    """Exactly, where ``sleep`` would take a while longer."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
