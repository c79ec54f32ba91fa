"""Builds LIS01-A2 frames (§6.3.1), for everything the dialect may say of check bytes, numbers and trailer."""

from collections.abc import Sequence
from typing import NamedTuple

from drivers.errors import LinkMisuseError
from drivers.protocols.lis01_dialect import STX, Dialect

# §6.6.2: SOH STX ETX EOT ENQ ACK LF DLE DC1-DC4 NAK SYN ETB. CR is allowed: it ends LIS02 records.
RESTRICTED = bytes((0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17))


class OutgoingFrame(NamedTuple):
    raw: bytes
    text: int  # index of the text it belongs to
    last: bool  # whether it is that text's last frame


def frame(dialect: Dialect, number: int, text: bytes, *, last: bool) -> bytes:
    """One frame. ``number`` 0-7; ignored where the dialect has none."""
    end = b"\x1d" if dialect.checksum == "gs_hex" else b"\x03" if last else b"\x17"
    body = (b"%d" % number if dialect.numbered else b"") + text + end
    trailer = b"" if dialect.trailer == "none" else b"\r\n"
    return bytes((STX,)) + body + dialect.check(body) + trailer


def frames(dialect: Dialect, texts: Sequence[bytes], first: int = 1) -> list[OutgoingFrame]:
    """Frames of at most ``max_frame`` bytes. Each text is one E1381 message (one record, by the book) with its CR.

    Numbers run on across texts from ``first`` (§6.3.2). A text longer than a frame is cut into ETB frames and one ETX
    frame. Raises ``LinkMisuseError`` for a restricted character, naming the text's position only.
    """
    room = dialect.max_frame - len(frame(dialect, 0, b"", last=True))
    if room < 1:
        raise LinkMisuseError("A frame of this dialect has no room for text.")
    out: list[OutgoingFrame] = []
    for index, text in enumerate(texts):
        if len(text) != len(text.translate(None, RESTRICTED)):
            raise LinkMisuseError(f"Text {index} holds a character that a frame may not carry.")
        pieces = [text[i : i + room] for i in range(0, len(text), room)] or [b""]
        for n, piece in enumerate(pieces, 1):
            last = n == len(pieces)
            out.append(OutgoingFrame(frame(dialect, (first + len(out)) % 8, piece, last=last), index, last))
    return out
