"""The pages of a database that nobody has open, with its log laid over them, however damaged either is.

Promised: of each page the newest version whose checksum fits, also from frames behind a bad one: a frame's checksum
begins at the sum the frame before it carries (walformat.html, "Checksum Algorithm"), so one bad frame hides itself and
at most its follower. Frames behind the last commit are left out. Nothing is written. Not promised: that the pages fit
together; where a frame is lost its page is an older one, and ``stale`` names it.
"""

import os
import struct
from pathlib import Path
from typing import Self

from edge_agent.store.wal import FRAME_HEADER, HEADER, byte_order, checksum

PAGE = 4096  # what SQLite makes, and the only size this agent has

_SUMS = slice(16, 24)  # of a frame's header


class Image:
    """Read-only; close it, or use it as a context."""

    def __init__(self, database: Path, log: Path) -> None:
        """Raises OSError. A missing file is an empty one."""
        self._database = _open(database)
        self._log = _open(log)
        self._newest: dict[int, int] = {}  # page -> where it begins in the log
        self.stale: set[int] = set()
        self.lost_frames = 0
        self._read_log()
        self.pages = max([os.fstat(self._database).st_size // PAGE, *self._newest])

    def page(self, number: int) -> bytes | None:
        """Raises OSError. None where there is none."""
        if number in self._newest:
            return os.pread(self._log, PAGE, self._newest[number])
        data = os.pread(self._database, PAGE, (number - 1) * PAGE) if 0 < number <= self.pages else b""
        return data if len(data) == PAGE else None

    def close(self) -> None:
        os.close(self._database)
        os.close(self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_log(self) -> None:
        header = os.pread(self._log, HEADER, 0)
        count = max(os.fstat(self._log).st_size - HEADER, 0) // (FRAME_HEADER + PAGE)
        if len(header) < HEADER or not count:
            return
        salts = self._salts(header)
        order, sums = byte_order(header) or "<", struct.unpack(">2I", header[24:])
        frames = []
        for index in range(count):
            frame = self._frame(index)
            good = frame[8:16] == salts and _fits(frame, order, sums)
            frames.append((index, good, frame[8:16] == salts, *struct.unpack(">2I", frame[:8])))
            sums = struct.unpack(">2I", frame[_SUMS])
        self._lay_over(frames)

    def _salts(self, header: bytes) -> bytes:
        """Of this life of the log: where the header is spoiled, those of its first frame."""
        first = self._frame(0)[8:16]
        intact = byte_order(header) and checksum(header[:24], byte_order(header), 0, 0) == struct.unpack(
            ">2I", header[24:]
        )
        return header[16:24] if intact else first

    def _frame(self, index: int) -> bytes:
        return os.pread(self._log, FRAME_HEADER + PAGE, HEADER + index * (FRAME_HEADER + PAGE))

    def _lay_over(self, frames: list[tuple[int, bool, bool, int, int]]) -> None:
        """``frames``: which, whether it is good, whether of this life, its page, how many pages after its commit."""
        commits = [index for index, good, own, _, after in frames if after and (good or own)]
        last = commits[-1] if commits else -1
        for index, good, own, number, _ in frames:
            if good and index <= last:
                self._newest[number] = HEADER + index * (FRAME_HEADER + PAGE) + FRAME_HEADER
                self.stale.discard(number)
            elif index <= last or (own and not good):
                self.lost_frames += 1
                self.stale.add(number)


def _open(path: Path) -> int:
    return os.open(path if path.exists() else os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _fits(frame: bytes, order: str, sums: tuple[int, int]) -> bool:
    found = checksum(frame[FRAME_HEADER:], order, *checksum(frame[:8], order, *sums))
    return found == struct.unpack(">2I", frame[_SUMS])
