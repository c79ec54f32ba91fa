"""Sends bytes as they are, with nothing of ours in between: a socket, ENQ and EOT where a file has none, and patience.

Frames are cut at control bytes only as far as waiting for an answer needs it; no checksum is computed or checked.
"""

import re
import socket

ENQ, ACK, EOT, NAK = b"\x05", b"\x06", b"\x04", b"\x15"
# STX ... (ETX|ETB), then whatever stands before the next control byte that starts something
_PIECES = re.compile(rb"\x05|\x04|\x02[^\x03\x17]*[\x03\x17][^\x02\x04\x05]*", re.DOTALL)


def send(host: str, port: int, data: bytes, patience: float = 5.0) -> list[bytes]:
    """Send a file piece by piece, waiting after each for one answering byte; the answers ("" = none came)."""
    answers = []
    with socket.create_connection((host, port), timeout=patience) as line:
        for piece in pieces(data):
            line.sendall(piece)
            answers.append(b"" if piece == EOT else _answer(line))
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass
    return answers


def pieces(data: bytes) -> list[bytes]:
    """The file in the steps an analyser would take; bare records go in one."""
    found = _PIECES.findall(data)
    if not found or b"\x02" not in data:
        return [data]
    framed = found if found[0] == ENQ else [ENQ, *found]
    return framed if framed[-1] == EOT else [*framed, EOT]


def _answer(line: socket.socket) -> bytes:
    try:
        return line.recv(1)
    except TimeoutError:
        return b""
