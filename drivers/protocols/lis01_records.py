"""Where records end in a run of frames: the link layer must see an L, and for some devices acknowledge by record."""

_KEPT = 8  # of a record only its beginning matters


class RecordEnds:
    """Follows the joined texts of a session, frame by frame, keeping a few bytes only."""

    def __init__(self) -> None:
        self.terminated = False  # the last complete record is an L
        self.at_end = False  # no record is open
        self._open = b""  # beginning of the record the last frame left open
        self._before = (False, False, b"")

    def begin(self) -> None:
        self.terminated, self.at_end, self._open = False, False, b""

    def add(self, text: bytes, *, whole: bool) -> bool:
        """Take one frame's text; true when an L is complete. ``whole``: its end is the end of a record, CR or not."""
        self._before = (self.terminated, self.at_end, self._open)
        joined = self._open + text
        body = joined.rstrip(b"\r\n")
        start = max(body.rfind(b"\r"), body.rfind(b"\n")) + 1
        record = body[start : start + 64].lstrip(b" \t")
        self.at_end = whole or len(body) < len(joined)
        if not body and self.at_end:
            return self.terminated  # blank lines after a record end nothing and begin nothing
        self._open = b"" if self.at_end else body[start : start + _KEPT]
        self.terminated = self.at_end and record[:1] in (b"L", b"l") and not record[1:2].isalnum()
        return self.terminated

    def settle(self, *, accepted: bool) -> None:
        """Whether the frame taken last counts; if not, it never was."""
        if not accepted:
            self.terminated, self.at_end, self._open = self._before
