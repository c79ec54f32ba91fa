"""Proof that the broker delivers to us: a nonce sent to ourselves must come back.

A broker answers "granted" to a subscription its access list forbids to read (tried with Mosquitto 2.0.11), so neither
SUBACK nor silence proves anything. Promises to notice within ``TIMEOUT_S`` of asking; asks at every connect, every
15 minutes, and every minute while unproven. Proves ``down/echo``, not each topic: a list that allows echo and forbids
ack shows itself as messages without an answer.
"""

from enum import StrEnum
from random import Random

from edge_agent.clock import Clock

TIMEOUT_S = 10.0
AGAIN_S = 900.0
UNPROVEN_AGAIN_S = 60.0


class Proven(StrEnum):
    UNKNOWN = "unknown"
    YES = "yes"
    NO = "no"


class Proof:
    def __init__(self, clock: Clock, rng: Random, timeout_s: float = TIMEOUT_S) -> None:
        self._clock = clock
        self._rng = rng
        self._timeout_s = timeout_s
        self._nonce = b""
        self._due: float | None = None  # when to ask, or when to give up waiting
        self.proven = Proven.UNKNOWN
        self.refused: tuple[str, ...] = ()  # filters the broker refused in SUBACK

    def connected(self) -> None:
        """Subscribing has begun. A nonce nobody knows yet makes a SUBACK that never comes count as a lost one."""
        self._nonce, self.proven, self.refused = self._draw(), Proven.UNKNOWN, ()
        self._due = self._clock.monotonic() + self._timeout_s

    def subscribed(self, refused: tuple[str, ...]) -> None:
        """Every filter's SUBACK is in; the refused ones are named. Asking is due now."""
        self.refused = refused
        if refused:
            self.proven = Proven.NO
        self._nonce, self._due = b"", self._clock.monotonic()

    def disconnected(self) -> None:
        self._nonce, self._due = b"", None

    @property
    def deadline(self) -> float | None:
        return self._due

    def ask(self) -> bytes | None:
        """The nonce to publish on echo if asking is due; also notices that the last one did not come back."""
        if self._due is None or self._clock.monotonic() < self._due:
            return None
        if self._nonce:
            self._nonce, self.proven = b"", Proven.NO
            self._due = self._clock.monotonic() + UNPROVEN_AGAIN_S
            return None
        self._nonce = self._draw()
        self._due = self._clock.monotonic() + self._timeout_s
        return self._nonce

    def heard(self, nonce: bytes) -> None:
        """Something came on echo. An older connection's nonce proves nothing."""
        if not self._nonce or nonce != self._nonce:
            return
        self._nonce = b""
        self.proven = Proven.NO if self.refused else Proven.YES
        self._due = self._clock.monotonic() + (UNPROVEN_AGAIN_S if self.refused else AGAIN_S)

    def _draw(self) -> bytes:
        return self._rng.randbytes(16).hex().encode("ascii")
