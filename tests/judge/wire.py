"""Frames taken apart by the book (LIS01-A2 6.3), to check the samples; the receiver under test is not used."""

from dataclasses import dataclass

ENQ, EOT, STX, ETX, ETB = 0x05, 0x04, 0x02, 0x03, 0x17
RESTRICTED = frozenset((0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17))


@dataclass(frozen=True, slots=True)
class Frame:
    number: str
    text: bytes
    last: bool


def frames(wire: bytes) -> list[Frame]:
    """All frames of one or more ENQ..EOT sessions; AssertionError at the first byte that breaks the standard."""
    found: list[Frame] = []
    place = 0
    while place < len(wire):
        if wire[place] in (ENQ, EOT):
            place += 1
            continue
        assert wire[place] == STX, f"byte {place} is no STX"
        end = next(i for i in range(place + 1, len(wire)) if wire[i] in (ETX, ETB))
        body = wire[place + 1 : end]
        assert wire[end + 1 : end + 3] == b"%02X" % ((sum(body) + wire[end]) % 256), f"checksum at {end}"
        assert wire[end + 3 : end + 5] == b"\r\n", f"trailer at {end}"
        assert not RESTRICTED & set(body), f"restricted character in the frame at {place}"
        found.append(Frame(chr(body[0]), body[1:], wire[end] == ETX))
        place = end + 5
    return found


def text(wire: bytes) -> bytes:
    """The text of all frames, a frame repeated with the same number and bytes counted once."""
    kept: list[Frame] = []
    for frame in frames(wire):
        if not kept or kept[-1] != frame:
            kept.append(frame)
    return b"".join(frame.text for frame in kept)
