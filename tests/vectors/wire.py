"""Frames by the standard alone, for tests: shares nothing with the code under test; checked against the vectors."""

from collections.abc import Iterable

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"


def frame(number: int, text: bytes, end: bytes = b"\x03", trailer: bytes = b"\r\n") -> bytes:
    body = b"%d" % number + text + end
    return b"\x02" + body + b"%02X" % (sum(body) % 256) + trailer


def frames(records: Iterable[bytes]) -> list[bytes]:
    """One frame per record, numbered 1, 2, ... 7, 0, 1."""
    return [frame(n % 8, record + b"\r") for n, record in enumerate(records, 1)]


def session(records: Iterable[bytes]) -> bytes:
    return ENQ + b"".join(frames(records)) + EOT


GLUCOSE = (
    rb"H|\^&|||AN-200",
    b"P|1||PID77",
    b"O|1|498151||^^^GLU",
    b"R|1|^^^GLU|5.1|mmol/L",
    b"L|1|N",
)
