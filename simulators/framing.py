"""Frames as an analyser writes them: LIS01-A2 §6.3, from the sender's side only.

This module is written for the simulators and shares nothing with the agent's decoder. It makes frames and takes a
recorded session apart; it does not judge what a receiver should refuse.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from simulators.errors import ShapeError

STX, ETX, EOT, ENQ, ACK, NAK, ETB = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15", b"\x17"
CR, CRLF = b"\r", b"\r\n"

SHORT = 240  # characters of text in a frame of E1381 (247 with the seven of overhead)
LONG = 63_993  # of LIS01-A2: 64 000 with overhead

# What the sum runs over, by the profile's word: the standard counts from the frame number to ETX/ETB inclusive.
_SUMS: Mapping[str, Callable[[bytes, bytes], int]] = {
    "standard": lambda body, end: sum(body) + sum(end),
    "incl_stx": lambda body, end: sum(STX) + sum(body) + sum(end),
    "no_etx": lambda body, _end: sum(body),
}


@dataclass(frozen=True, slots=True)
class Framing:
    """How one analyser frames: text limit in bytes, whether records share frames, which check it adds."""

    limit: int = LONG
    stream: bool = False  # True: the message is cut anywhere; False: every record starts a frame
    checksum: str = "standard"  # standard | incl_stx | no_etx | none
    numbered: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """``ends_at``: how many bytes of the message are delivered once this frame is acknowledged."""

    wire: bytes
    ends_at: int


def checksum(body: bytes, end: bytes, kind: str = "standard") -> bytes:
    """Two upper-case hex digits over ``body`` (frame number and text) and ``end``; nothing for kind "none"."""
    if kind == "none":
        return b""
    if kind not in _SUMS:
        raise ShapeError(
            f"This sender does not know the checksum {kind!r}.",
            "Use a device whose link.checksum is standard, incl_stx, no_etx or none.",
        )
    return b"%02X" % (_SUMS[kind](body, end) & 0xFF)


def frames(records: Sequence[bytes], framing: Framing, first: int = 1) -> list[Frame]:
    """The frames of one message. ``records`` come without their CR; ``first`` is the first frame's number."""
    made: list[Frame] = []
    done = 0
    for text in _units(records, framing):
        for piece, last in _cut(text, framing.limit):
            number = (first + len(made)) % 8
            done += len(piece)
            made.append(Frame(_wire(piece, number, last, framing), done))
    return made


def _units(records: Sequence[bytes], framing: Framing) -> Iterator[bytes]:
    if framing.stream:
        yield b"".join(record + CR for record in records)
        return
    for record in records:
        yield record + CR


def _cut(text: bytes, limit: int) -> Iterator[tuple[bytes, bool]]:
    for start in range(0, len(text), limit):
        yield text[start : start + limit], start + limit >= len(text)


def _wire(piece: bytes, number: int, last: bool, framing: Framing) -> bytes:
    body = (b"%d" % number if framing.numbered else b"") + piece
    end = ETX if last else ETB
    return STX + body + end + checksum(body, end, framing.checksum) + CRLF


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded session taken apart: every message's records, and how they had been framed."""

    messages: tuple[tuple[bytes, ...], ...]
    framing: Framing


def take_apart(wire: bytes, numbered: bool = True, check: str = "standard") -> Recorded:
    """Records of a recorded session of good frames; a frame equal to the one before it is a retransmission."""
    pieces = list(_pieces(wire, numbered))
    text = b"".join(piece for piece, _ in pieces)
    records = [record for record in text.replace(b"\n", b"").split(CR) if record]
    short = any(not last and len(piece) <= SHORT for piece, last in pieces)
    stream = any(CR in piece.rstrip(b"\r\n") for piece, _ in pieces)
    framing = Framing(SHORT if short else LONG, stream, check, numbered)
    return Recorded(tuple(_messages(records)), framing)


def _pieces(wire: bytes, numbered: bool) -> Iterator[tuple[bytes, bool]]:
    position, before = wire.find(STX), b""
    while position >= 0:
        ends = [end for end in (wire.find(ETX, position), wire.find(ETB, position)) if end >= 0]
        if not ends:
            return
        end = min(ends)
        frame = wire[position : end + 1]
        if frame != before:
            yield frame[2 if numbered else 1 : -1], frame[-1:] == ETX
        position, before = wire.find(STX, end), frame


def _messages(records: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    current: list[bytes] = []
    for record in records:
        if record[:1].upper() == b"H" and current:
            yield tuple(current)
            current = []
        current.append(record)
    if current:
        yield tuple(current)
