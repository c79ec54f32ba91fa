"""Where records end in a run of frames: the link layer must see an L, and for some devices acknowledge by record."""

import re
from collections.abc import Iterable

_KEPT = 64  # of a record only its beginning matters: indentation and two characters


# A record's beginning that no field would have by chance: letter, delimiter, sequence number; of H the delimiters.
_BEGINS = re.compile(rb"[ \t]*(?:[Hh][^\w\s]|[Ll](?=[\r\n]|\Z)|[PORQCMSLporqcmsl]([^\w\s])\d+(?:\1|[\r\n]|\Z))")


def joined(frames: Iterable[tuple[bytes, bool]]) -> bytes:
    """Frames as one text. A frame is its text and whether ETX ended it.

    Nothing is put between them, for a split point may be anywhere (LIS01-A2 §6.3.1), but one thing: ETX ends a record,
    CR or not. Where a sender leaves the CR away and the next frame begins a record, two results would become one.
    """
    text = bytearray()
    after_etx = False
    for part, etx in frames:
        if after_etx and not text.endswith((b"\r", b"\n")) and _BEGINS.match(part):
            text += b"\r"
        text += part
        after_etx = etx and bool(text)
    return bytes(text)


def is_terminator(record: bytes) -> bool:
    """Whether the record is an L (LIS02-A2 §12): the letter alone, or before no letter and no digit."""
    record = record.lstrip(b" \t")
    return record[:1] in (b"L", b"l") and not record[1:2].isalnum()


class RecordEnds:
    """Follows the joined texts of a session, frame by frame, keeping a few bytes only."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.terminated = False  # the last complete record is an L
        self.at_end = False  # no record is open
        self._open = b""  # beginning of the record the last frame left open
        self._before = (False, False, b"")

    def add(self, text: bytes, *, whole: bool) -> bool:
        """Take one frame's text; true when an L is complete. ``whole``: its end is the end of a record, CR or not."""
        self._before = (self.terminated, self.at_end, self._open)
        joined = self._open + text if self._open else text
        body = joined.rstrip(b"\r\n")
        self.at_end = whole or len(body) < len(joined)
        if not body and self.at_end:
            return self.terminated  # blank lines after a record end nothing and begin nothing
        start = body.rfind(b"\r") + 1
        start = max(start, body.rfind(b"\n", start) + 1)
        self._open = b"" if self.at_end else body[start : start + _KEPT]
        self.terminated = self.at_end and is_terminator(body[start : start + _KEPT])
        return self.terminated

    def undo(self) -> None:
        """The frame taken last was not stored: it never was."""
        self.terminated, self.at_end, self._open = self._before
