"""Cuts a byte stream into frames, control bytes and noise, for any chunking of the stream.

What it promises: cutting depends on the bytes alone, never on how reads were split; every byte is in exactly one piece,
except padding between frames (CR, LF, NUL; in gs_hex dialects ETX), which is swallowed; memory is bounded by
``max_frame`` (bare records: ``max_message``) plus what the caller has not yet let it cut.

Why it is suspicious of control bytes. One changed bit makes an ENQ, EOT or STX of an innocent byte, and the answer to
such a byte would be taken by the sender as the answer to its frame: a whole message acknowledged and never received.
So (1) check bytes and trailer are taken by position, whatever they hold; (2) an STX inside a frame starts nothing, it
spoils the frame; (3) ENQ or EOT inside a frame, and ENQ anywhere in a session, count only where they stand alone:
followed by another control byte, or by ``settle_s`` of silence, because a sender that asks, waits.

What it does not: two errors that cancel in the sum modulo 256 pass here, as the standard has it.
"""

import re
from enum import IntEnum, auto
from typing import NamedTuple

from drivers.protocols.lis01_dialect import CR, ENQ, EOT, ETB, STX, Dialect
from drivers.protocols.lis01_records import is_terminator

NOISE_CAP = 1024

_HEADER = re.compile(rb"[ \t]*[Hh][^0-9A-Za-z\x00-\x1f]")
_BARE_MARKS = re.compile(rb"[\r\n\x02\x03\x04\x05\x17]")
_ENQ_NEXT = re.compile(rb"[\r\n\x00]*\x04?[\r\n\x00]*\x05")
_NEW_START = re.compile(rb"[\x02\x04\x05]")
_NEW_START_OR_HEADER = re.compile(rb"[\x02\x04\x05]|(?<=[\r\n])[ \t]*[Hh][^0-9A-Za-z\x00-\x1f]")


class Kind(IntEnum):
    ENQ = auto()
    EOT = auto()
    FRAME = auto()
    DAMAGED = auto()
    NOISE = auto()
    BARE = auto()


_FRAME = Kind.FRAME


class Piece(NamedTuple):
    kind: Kind
    raw: bytes
    reason: str = ""
    cut: bool = False  # its sender has gone on and waits for no answer
    number: int | None = None
    text: bytes = b""
    last: bool = True


class Cutter:
    """The input buffer of one link. ``deadline``: when silence will decide something, or None."""

    def __init__(self, dialect: Dialect) -> None:
        self.deadline: float | None = None
        self._dialect = dialect
        self._framed = dialect.framing != "bare"
        gs = dialect.checksum == "gs_hex"
        self._ends = b"\x1d" if gs else b"\x03\x17"
        self._marks = re.compile(rb"[\x02\x04\x05\x1d]" if gs else rb"[\x02\x03\x04\x05\x17]")
        # bioMerieux closes a chunk with ETX after the check digits: there it is padding
        self._after = b"\n\x02\x04\x03" if gs else b"\n\x02\x04"  # what may follow check bytes at once, trailer "any"
        self._padding = re.compile(rb"[\r\n\x00\x03]+" if gs else rb"[\r\n\x00]+")
        self.reading = False  # inside a frame and nothing to decide before its end comes
        self._whole = _whole_frame(dialect)
        self._longest = dialect.max_frame - dialect.check_length - (2 if dialect.trailer == "crlf" else 0)
        self._buffer = bytearray()
        self._grown = 0.0  # when the last byte came
        self._ended = False  # no byte will come any more: all silence has passed
        self._scanned = 0
        self._restricted = False
        self._missing = "unfinished"  # what to call the frame if nothing more comes
        self._bare = False

    def add(self, data: bytes, now: float) -> None:
        if self.reading and (self._marks.search(data) or len(self._buffer) + len(data) > self._longest):
            self.reading = False
        self._buffer += data
        self._grown = now

    def end(self) -> None:
        """The stream is over: decide at once what silence would decide."""
        self._ended = True

    def restart(self) -> None:
        """A new stream begins on the same link."""
        self._ended = False

    @property
    def inside(self) -> bool:
        """Whether a frame or bare message has begun and not ended."""
        return self._bare or self._buffer[:1] == b"\x02"

    @property
    def begun_anew(self) -> bool:
        """Whether an ENQ comes next, behind an EOT or not: the sender gave up what it sent before, and asks again."""
        return _ENQ_NEXT.match(self._buffer) is not None

    def flush(self) -> Piece | None:
        """Everything left over, given up."""
        if not self._buffer:
            return None
        kind = Kind.DAMAGED if self.inside else Kind.NOISE
        self._bare = False
        return self._take(len(self._buffer), kind, self._missing, cut=True)

    def next(self, now: float, *, in_session: bool, bare_allowed: bool) -> Piece | None:
        """The next piece, or None: more bytes or more silence are needed.

        ``bare_allowed``: whether a header here begins bare records, where the dialect knows such.
        """
        self.deadline = None
        self.reading = False
        buffer = self._buffer
        if buffer[:1] == b"\x02" and self._framed and not self._bare:
            return self._cut_frame(now)
        if padding := self._padding.match(buffer):
            del buffer[: padding.end()]
            return self.next(now, in_session=in_session, bare_allowed=bare_allowed)
        if self._bare and ((piece := self._cut_bare(now)) or self._bare):
            return piece
        if not buffer:
            return None
        first = buffer[0]
        bare_allowed = bare_allowed and self._dialect.framing != "lis01"
        if first == EOT:
            return self._take(1, Kind.EOT)
        if first == ENQ:
            alone = self._stands_alone(0, now, bare_allowed) if in_session else True
            if alone is not False:
                return self._take_enq(in_session) if alone else None
        if bare_allowed and _HEADER.match(buffer):
            self._bare = True
            return self._cut_bare(now)
        return self._cut_noise(now, bare_allowed)

    def _take_enq(self, in_session: bool) -> Piece:
        # In a session an ENQ that something follows waits for no answer: its sender has gone on, and would take a late
        # ACK for the answer to what it sent since.
        waits = not in_session or self._nothing_behind(1)
        return self._take(1, Kind.ENQ, cut=not waits)

    def _nothing_behind(self, start: int) -> bool:
        """Whether there is padding at most from ``start`` on."""
        found = self._padding.match(self._buffer, start)
        return (found.end() if found else start) == len(self._buffer)

    # Frames

    def _cut_whole(self, whole: re.Match[bytes]) -> Piece | None:
        """The usual case at once: a whole frame with nothing odd in it. Anything else is looked at slowly."""
        body, length = whole[1], whole.end()
        dialect = self._dialect
        if length > dialect.max_frame or not dialect.verifies(body, whole[2]):
            return None
        return self._good(body, length)

    def _cut_frame(self, now: float) -> Piece | None:
        buffer = self._buffer
        if not self._scanned and (whole := self._whole.match(buffer)) and (piece := self._cut_whole(whole)):
            return piece
        while buffer[1:2] == b"\x02":  # of a run of STX only the last can begin a frame
            noise = self._take(1, Kind.NOISE)
            if "vt_padding" not in self._dialect.resync:
                return noise
        position = self._scanned or 1
        while (found := self._marks.search(buffer, position)) and found.start() < self._longest:
            at = found.start()
            if buffer[at] in self._ends:
                self._scanned = at
                return self._cut_tail(at + 1, now)
            alone = self._stands_alone(at, now) if buffer[at] != STX else False
            if alone is None:
                self._scanned = at
                return None
            if alone:
                return self._give_up(at)
            # The frame is read on to its end and refused whole, even if its sum is right by chance.
            self._restricted = True
            position = at + 1
        if len(buffer) > self._longest:
            return self._take(self._longest, Kind.DAMAGED, "too-long")
        self._scanned = len(buffer)
        self.reading = True
        return None

    def _cut_tail(self, end: int, now: float) -> Piece | None:
        """The frame from STX to its end character is there: judge check bytes and trailer."""
        buffer, dialect = self._buffer, self._dialect
        done = end + dialect.check_length
        if self._lacks_check(end, now):
            return self._take(end, Kind.DAMAGED, "no-checksum")
        if len(buffer) < done:
            return self._stalled(end, now)
        body = bytes(buffer[1:end])
        if not dialect.verifies(body, bytes(buffer[end:done])):
            return self._take(done, Kind.DAMAGED, "checksum")
        if self._restricted:
            return self._take(done, Kind.DAMAGED, "restricted")
        if dialect.numbered and not 0x30 <= body[0] <= 0x37:
            return self._take(done, Kind.DAMAGED, "frame-number")
        if dialect.trailer == "none":
            return self._good(body, done)
        return self._cut_crlf(body, done, now) if dialect.trailer == "crlf" else self._cut_any(body, done, now)

    def _cut_crlf(self, body: bytes, done: int, now: float) -> Piece | None:
        trailer = self._buffer[done : done + 2]
        if trailer == b"\r\n":
            return self._good(body, done + 2)
        if trailer == b"\r" or not trailer:
            self._missing = "trailer"
            return None
        if trailer[0] == EOT:
            alone = self._stands_alone(done, now)
            if alone is not False:
                return self._give_up(done) if alone else None
        # The wrong bytes go with the frame: an ENQ left standing here would be answered, and the answer misread.
        return self._take(done + (2 if trailer[0] == CR else 1), Kind.DAMAGED, "trailer")

    def _cut_any(self, body: bytes, done: int, now: float) -> Piece | None:
        """CR LF, LF, or a CR or nothing before a control byte or silence. The raw bytes end with the check bytes.

        A text byte changed into ETX makes two text bytes look like check bytes; what follows them gives it away.
        """
        following = bytes(self._buffer[done : done + 2])
        if following in (b"", b"\r"):
            return self._good(body, done) if self._quiet(now) else None
        if following[0] in self._after or following in (b"\r\n", b"\r\r", b"\r\x02", b"\r\x04"):
            return self._good(body, done)
        # As above: an ENQ where the trailer should be must not be answered on its own.
        spoilt = 1 if following[0] == ENQ else 2 if following == b"\r\x05" else 0
        return self._take(done + spoilt, Kind.DAMAGED, "trailer")

    def _good(self, body: bytes, length: int) -> Piece:
        raw = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._scanned = 0
        self._missing = "unfinished"
        if self._dialect.numbered:
            return Piece(_FRAME, raw, "", False, body[0] - 0x30, body[1:-1], body[-1] != ETB)
        return Piece(_FRAME, raw, "", False, None, body[:-1], body[-1] != ETB)

    def _lacks_check(self, end: int, now: float) -> bool:
        """Whether this is a frame of the kind that has neither number nor check bytes (some immunoassay analysers)."""
        dialect, buffer = self._dialect, self._buffer
        if dialect.check_length < 2 or not dialect.numbered or 0x30 <= buffer[1] <= 0x37:
            return False
        if len(buffer) > end:
            return buffer[end] in (STX, EOT, ENQ)
        return self._quiet(now)

    def _stalled(self, end: int, now: float) -> Piece | None:
        """Check bytes are missing. Only a lone ENQ or EOT in their place, and silence, says that none will come."""
        if len(self._buffer) == end + 1 and self._buffer[end] in (ENQ, EOT) and self._quiet(now):
            return self._give_up(end)
        return None

    def _stands_alone(self, at: int, now: float, before_header: bool = False) -> bool | None:
        """Whether the ENQ or EOT at ``at`` was sent as one. None: the next byte, or silence, will tell."""
        buffer = self._buffer
        following = self._padding.match(buffer, at + 1)
        after = following.end() if following else at + 1
        if after == len(buffer):
            return True if self._quiet(now) else None
        return buffer[after] in (STX, ENQ, EOT) or (before_header and buffer[after] in b"Hh")

    def _give_up(self, at: int) -> Piece:
        """End an unfinished frame before the control byte at ``at``."""
        if self._buffer[at] == ENQ and self._nothing_behind(at + 1):
            # NAK is right for both: a new sender tries ENQ again in 10 s, one whose byte was damaged resends its frame.
            return self._take(len(self._buffer), Kind.DAMAGED, "unfinished")
        return self._take(at, Kind.DAMAGED, "unfinished", cut=True)

    # Everything else

    def _cut_bare(self, now: float) -> Piece | None:
        buffer, dialect = self._buffer, self._dialect
        line = buffer.rfind(b"\r", 0, self._scanned) + 1 if self._scanned else 0
        line = max(line, buffer.rfind(b"\n", 0, self._scanned) + 1)
        while found := _BARE_MARKS.search(buffer, self._scanned):
            at = found.start()
            self._scanned = at + 1
            if buffer[at] in b"\r\n":
                ends = is_terminator(bytes(buffer[line:at]))
                if ends or dialect.ack_unit == "record":
                    return self._take_bare(at + 1, ends)
                line = at + 1
            elif buffer[at] in (ENQ, EOT):
                return self._take_bare(at, True)
            else:
                return self._spoil_bare(at)
        self._scanned = len(buffer)
        if len(buffer) > dialect.max_message:
            return self._spoil_bare(dialect.max_message, "too-long")
        if not self._quiet(now, dialect.idle_s):
            return None
        return self._take_bare(len(buffer), True)

    def _take_bare(self, length: int, ends: bool) -> Piece | None:
        if ends:
            self._bare = False
        if not length:
            return None
        piece = self._take(length, Kind.BARE)
        return piece._replace(text=piece.raw)

    def _spoil_bare(self, at: int, reason: str = "restricted") -> Piece:
        # STX or ETX among bare records: these were frames whose beginning was lost, nothing in them is verified
        self._bare = False
        return self._take(at, Kind.DAMAGED, reason)

    def _cut_noise(self, now: float, bare_allowed: bool) -> Piece | None:
        buffer = self._buffer
        start = (_NEW_START_OR_HEADER if bare_allowed else _NEW_START).search(buffer, 1)
        if start and start.start() <= NOISE_CAP:
            return self._take(start.start(), Kind.NOISE)
        if len(buffer) >= NOISE_CAP:
            return self._take(NOISE_CAP, Kind.NOISE)
        return self._take(len(buffer), Kind.NOISE) if self._quiet(now) else None

    def _quiet(self, now: float, seconds: float | None = None) -> bool:
        """Whether nothing came for so long; if not, ``deadline`` says when it will be."""
        due = self._grown + (self._dialect.settle_s if seconds is None else seconds)
        if self._ended or now >= due:
            return True
        self.deadline = due
        return False

    def _take(self, length: int, kind: Kind, reason: str = "", *, cut: bool = False) -> Piece:
        raw = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._scanned = 0
        self._restricted = False
        self._missing = "unfinished"
        return Piece(kind, raw, reason, cut)


def _whole_frame(dialect: Dialect) -> re.Pattern[bytes]:
    """STX, number, text, end character, check bytes and trailer, in one piece and without a control byte inside."""
    number = b"[0-7]" if dialect.numbered else b""
    text = rb"[^\x02\x04\x05\x1d]*\x1d" if dialect.checksum == "gs_hex" else rb"[^\x02\x03\x04\x05\x17]*[\x03\x17]"
    trailer = {"crlf": rb"\r\n", "any": rb"(?=\n|\r\n)", "none": b""}[dialect.trailer]
    return re.compile(rb"\x02(%b%b)(.{%d})%b" % (number, text, dialect.check_length, trailer), re.DOTALL)
