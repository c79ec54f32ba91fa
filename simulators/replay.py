"""Sends a recorded stream again: as plain bytes, or frame by frame as its first sender did.

``raw`` writes every byte as it is, in pieces, without waiting for anything. ``wait_ack`` cuts the stream at the points
where a sender waits (after ENQ, after each frame) and waits there for an answer; a refused frame is sent again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from simulators.errors import LinkLostError
from simulators.lines import Line, open_port

PIECE = 4096
TRIES = 6
# ENQ, EOT, a frame with its check and trailer, or anything else up to the next of these.
TURNS = re.compile(rb"\x05|\x04|\x02[^\x03\x17]*[\x03\x17][0-9A-Fa-f]{0,2}\r?\n?|[^\x02\x04\x05]+|\x02", re.DOTALL)
EXPECTING = (b"\x05", b"\x02")


@dataclass(frozen=True, slots=True)
class ReplayReport:
    bytes_sent: int
    acknowledged: int
    refused: int
    unanswered: int
    answers: bytes  # everything the other side said


def turns(data: bytes) -> Iterator[bytes]:
    """The pieces a sender waits after; joined they are the data again."""
    for found in TURNS.finditer(data):
        yield found[0]


def replay(data: bytes, to: str, *, wait_ack: bool = True, patience: float = 15.0, linger: float = 1.0) -> ReplayReport:
    """Send ``data`` to an address. Raises ``LineError`` or ``LinkLostError`` when it cannot be sent at all."""
    port = open_port(to)
    try:
        line = port.connect()
        try:
            return _answered(line, data, patience) if wait_ack else _raw(line, data, linger)
        finally:
            line.close()
    finally:
        port.close()


def _raw(line: Line, data: bytes, linger: float) -> ReplayReport:
    """Also collects what comes back until the other side is quiet for ``linger`` seconds."""
    for start in range(0, len(data), PIECE):
        line.write(data[start : start + PIECE])
    answers = b""
    try:
        while more := line.read(linger):
            answers += more
    except LinkLostError:
        pass  # the other side may hang up after the last byte; what was sent was sent
    return ReplayReport(len(data), answers.count(b"\x06"), answers.count(b"\x15"), 0, answers)


def _answered(line: Line, data: bytes, patience: float) -> ReplayReport:
    acknowledged = refused = unanswered = 0
    answers = b""
    for turn in turns(data):
        for _ in range(TRIES):
            line.write(turn)
            if turn[:1] not in EXPECTING:
                break
            answer = line.read(patience)
            answers += answer
            acknowledged += b"\x06" in answer
            unanswered += answer == b""
            if b"\x15" not in answer or turn == b"\x05":
                break
            refused += 1
    return ReplayReport(len(data), acknowledged, refused, unanswered, answers)
