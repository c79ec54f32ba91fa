"""What the link layer tells its caller. Every event but ``FrameReceived`` carries the bytes to answer with."""

from dataclasses import dataclass
from typing import Protocol

ACK_BYTE, NAK_BYTE, EOT_BYTE = b"\x06", b"\x15", b"\x04"


class Receipt(Protocol):
    """What the store hands out after COMMIT, and only then."""

    @property
    def chunks(self) -> int:
        """How many chunks the commit made durable."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session began: ENQ was answered, or a frame or bare record came without one (``answer`` is empty then)."""

    answer: bytes
    again: bool = False  # ENQ came again in a session that goes on: nothing new began


@dataclass(frozen=True, slots=True)
class Busy:
    """ENQ came while the caller was not ready."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A good new frame, or a whole bare message. Nothing else happens until it is acknowledged or refused."""

    number: int | None
    text: bytes  # frame number, check bytes and control characters removed
    raw: bytes
    last: bool  # ETX: the end of an E1381 message (one record, by the book); always true for bare messages
    ends_message: bool


@dataclass(frozen=True, slots=True)
class Repeated:
    """The last accepted frame once more, byte for byte: our ACK was lost. Evidence, not data (§6.5.1)."""

    raw: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A damaged or impossible frame. ``answer`` is empty where the sender no longer waits for one."""

    raw: bytes
    reason: str
    answer: bytes
    in_a_row: int  # the sender gives up at ``nak_limit``


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that belong to no frame."""

    raw: bytes
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Closed:
    """A session ended. ``reason``: eot, timeout, enq (a new start after frames had come), idle, link."""

    reason: str
    answer: bytes = b""
    after_refusal: bool = False  # the last frame of the session was refused and never came again


Event = Opened | Busy | FrameReceived | Repeated | Refused | Noise | Closed
