"""Where records end in a run of frames: the link layer must see an L, and for some devices acknowledge by record."""

_KEPT = 64  # of a record only its beginning matters: indentation and two characters


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
