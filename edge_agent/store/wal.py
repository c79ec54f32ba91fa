"""Reading SQLite's write-ahead log before the database is opened, to tell damage from an unfinished last commit.

SQLite stops at the first frame whose checksum does not fit and drops the rest without a word (walformat.html, "WAL
File Format"); after a power failure that is right, for the last transaction may be torn. Promised: if frames that were
synced must have followed the bad one, ``read_log`` says so. Not promised: noticing a log cut off cleanly or deleted;
``identity.py`` does that by the witness.

A file is read here only while nothing in this process has the database open.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

_MAGIC_LITTLE, _MAGIC_BIG = 0x377F0682, 0x377F0683
HEADER = 32
FRAME_HEADER = 24
_WORD = 0xFFFFFFFF
_PAGE_SIZES = frozenset(1 << n for n in range(9, 17))  # 512 to 65536; SQLite reads no log that names another


@dataclass(frozen=True, slots=True)
class Log:
    """``damaged``: synced frames are unreadable. ``rest``: something of this log's life follows what can be read."""

    damaged: bool = False
    rest: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    commit: bool
    valid: bool


def read_log(path: Path) -> Log:
    """What is behind the last readable commit of ``path`` (a ``-wal`` file; none or an empty one is well)."""
    data = path.read_bytes() if path.exists() else b""
    if len(data) <= HEADER:
        return Log()
    _, _, page_size, _, salt1, salt2, sum1, sum2 = struct.unpack(">8I", data[:HEADER])
    order = byte_order(data)
    if not order or page_size not in _PAGE_SIZES or checksum(data[: HEADER - 8], order, 0, 0) != (sum1, sum2):
        return Log(damaged=any(data), rest=True)
    frames = _frames(data, order, page_size, (salt1, salt2), (sum1, sum2))
    readable = _readable(frames)
    behind = frames[readable:]
    torn = (len(data) - HEADER) % (FRAME_HEADER + page_size) != 0
    return Log(damaged=_was_synced(behind), rest=bool(behind) or torn)


def _frames(data: bytes, order: str, page_size: int, salts: tuple[int, int], sums: tuple[int, int]) -> list[_Frame]:
    """This log's own frames; those of an earlier life of the file have other salts."""
    frames = []
    size = FRAME_HEADER + page_size
    valid = True
    for start in range(HEADER, len(data) - size + 1, size):
        frame = data[start : start + size]
        _, pages, salt1, salt2, sum1, sum2 = struct.unpack(">6I", frame[:FRAME_HEADER])
        own = (salt1, salt2) == salts
        if valid:
            sums = checksum(frame[FRAME_HEADER:], order, *checksum(frame[:8], order, *sums))
            valid = own and sums == (sum1, sum2)
        if own:
            frames.append(_Frame(commit=pages != 0, valid=valid))
    return frames


def _readable(frames: list[_Frame]) -> int:
    """How many frames SQLite will use: up to the last commit before the first bad one."""
    good = 0
    for number, frame in enumerate(frames, start=1):
        if not frame.valid:
            break
        if frame.commit:
            good = number
    return good


def _was_synced(behind: list[_Frame]) -> bool:
    """A COMMIT syncs the log before the next transaction writes, so a commit frame with followers was synced."""
    return any(frame.commit for frame in behind[:-1])


def byte_order(header: bytes) -> str:
    """Of the words the checksums are over, as ``struct`` names it; "" where this is no log."""
    return {_MAGIC_LITTLE: "<", _MAGIC_BIG: ">"}.get(int.from_bytes(header[:4], "big"), "")


def checksum(data: bytes, order: str, s0: int, s1: int) -> tuple[int, int]:
    """walformat.html, "Checksum Algorithm": over pairs of 32-bit words in the byte order the magic number names."""
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x0 + s1) & _WORD
        s1 = (s1 + x1 + s0) & _WORD
    return s0, s1
