"""LIS02-A2 / ASTM E1394: the text of accepted frames, joined, becomes messages of records.

What it promises: ``read`` never raises for any bytes; every byte that is not a record separator (or an indentation
blank) is in the ``raw`` of exactly one record, in order; nothing is corrected, renumbered or dropped; a record that
does not decode strictly is kept, marked, and keeps its place in the hierarchy, so one bad byte never costs the rest.

What it does not: it judges no field, trusts no sequence number, and strips no frame digit that a badly written
middleware left in front of a record (such a record is simply of an unknown type).
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from drivers.errors import OptionError
from drivers.protocols.lis01_records import is_terminator
from drivers.protocols.lis02_text import USUAL, Delimiters, from_header, unescape

__all__ = [
    "Delimiters",
    "Message",
    "Reading",
    "Record",
    "RecordOptions",
    "carries_terminator",
    "read",
    "unescape",
]

# The hierarchy of §4.1. C and M float: they stand one level below the record they belong to (§4.1, §10).
LEVELS: Mapping[str, int] = MappingProxyType({"H": 0, "L": 0, "P": 1, "Q": 1, "S": 1, "O": 2, "R": 3})

_SEPARATORS = {
    "any": re.compile(rb"[\r\n]+"),
    "cr": re.compile(rb"\r+"),
    "lf": re.compile(rb"\n+"),
    "crlf": re.compile(rb"(?:\r\n)+"),
}
_ESCAPES = ("lis02", "none", "lenient")
_LAST_RECORD = re.compile(rb"(?:\A|[\r\n])[ \t]*([^\r\n]*)[\r\n]*\Z")


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """How one device writes records. An option with an unknown value raises ``OptionError``."""

    charset: str = "utf-8"
    unknown: str = "keep"
    # a type's own level: {"M": 4} makes M hierarchical instead of floating
    levels: Mapping[str, int] = field(default_factory=dict)
    # what a floating record hangs under. "previous": the record before it, comments (and its own type) stepped over
    # (§10); "parent": as before, but never a C or M; a type letter: the nearest earlier record of that type
    attach: Mapping[str, str] = field(default_factory=dict)
    escapes: str = "lenient"
    record_sep: str = "any"
    strip_indent: bool = True

    def __post_init__(self) -> None:
        try:
            codecs.lookup(self.charset)
        except LookupError:
            raise OptionError(f'There is no character set "{self.charset}".') from None
        for name, value, known in (
            ("escapes", self.escapes, _ESCAPES),
            ("record_sep", self.record_sep, tuple(_SEPARATORS)),
            ("unknown", self.unknown, ("keep",)),
        ):
            if value not in known:
                raise OptionError(f'{name} is "{value}"; it may be {", ".join(known)}.')


_DEFAULT = RecordOptions()


@dataclass(frozen=True, slots=True)
class Record:
    """One record. Field positions count as in the standard: the record type is field 1."""

    index: int  # position in the message; of a stray record, among the strays
    type: str  # upper case (§5.5); "?" when undecodable, "" when the first field is no name at all
    text: str  # "" when undecodable
    raw: bytes
    fields: tuple[str, ...]  # escapes not removed; of H, position 2 is the delimiter definition
    parent: int | None  # index of the record it hangs under
    level: int
    undecodable: bool
    delimiters: Delimiters = field(default=USUAL, repr=False)
    escapes: str = field(default="lenient", repr=False)

    def field(self, n: int) -> str:
        """Field ``n`` as sent, "" if absent. ``\"\"`` (two quotes, "delete", §5.4.9) is not the same as absent."""
        return self.fields[n - 1] if 0 < n <= len(self.fields) else ""

    def repeats(self, n: int) -> list[str]:
        """The repeats of field ``n`` as sent; one empty text for an empty field."""
        return self.field(n).split(self.delimiters.repeat)

    def components(self, n: int, repeat: int = 1) -> list[str]:
        """The components of one repeat of field ``n`` as sent."""
        return _nth(self.repeats(n), repeat).split(self.delimiters.component)

    def get(self, n: int, component: int | None = None, repeat: int | None = None, unescape: bool = True) -> str:
        """A leaf of field ``n``, escapes removed; "" if absent. Without component and repeat: the field as a whole."""
        text = self.field(n)
        if self.type == "H" and n == 2:
            return text
        if repeat is not None or component is not None:
            text = _nth(text.split(self.delimiters.repeat), repeat or 1)
        if component is not None:
            text = _nth(text.split(self.delimiters.component), component)
        return _unescape(text, self.delimiters, self.escapes) if unescape else text


_unescape = unescape  # the name is a parameter of Record.get


def _nth(parts: list[str], n: int) -> str:
    return parts[n - 1] if 0 < n <= len(parts) else ""


@dataclass(frozen=True, slots=True)
class Message:
    """H to L, or as far as it came."""

    delimiters: Delimiters
    records: tuple[Record, ...]
    terminated: bool  # an L was seen
    termination: str  # L.3 as sent: "" or N normal; T, R, E are an interruption all the same
    saved: int  # how many records the sender may presume saved (§4.2.1)


@dataclass(frozen=True, slots=True)
class Reading:
    messages: tuple[Message, ...]
    stray: tuple[Record, ...]  # before any H, or between an L and the next H


def read(text: bytes, options: RecordOptions = _DEFAULT) -> Reading:
    """Cut joined frame texts into messages of records. Never raises, whatever the bytes."""
    messages: list[Message] = []
    stray = _Builder(USUAL, options)
    current: _Builder | None = None
    for raw in _SEPARATORS[options.record_sep].split(text):
        body = raw.lstrip(b" \t")
        if not body:
            continue
        if _starts_message(body):
            if current is not None:
                messages.append(current.message())
            current = _Builder(_delimiters(body, options.charset), options)
        builder = stray if current is None else current
        if builder.add(raw, body if options.strip_indent else raw) and current is not None:
            messages.append(current.message())
            current = None
    if current is not None:
        messages.append(current.message())
    return Reading(tuple(messages), tuple(stray.records))


def carries_terminator(text: bytes) -> bool:
    """Whether the last record of ``text`` is an L (§12)."""
    found = _LAST_RECORD.search(text)
    return found is not None and is_terminator(found[1])


def _starts_message(body: bytes) -> bool:
    # §5.4: a delimiter is never alphanumeric, so "HGB|..." is a broken piece and not a header.
    return body[:1] in (b"H", b"h") and not body[1:2].isalnum()


def _delimiters(header: bytes, charset: str) -> Delimiters:
    try:
        return from_header(header.decode(charset))
    except UnicodeError:
        # Delimiters are ASCII in every header seen; a bad byte further on must not cost the message.
        return from_header(header.decode("iso8859-1"))


class _Builder:
    """Collects the records of one message and gives each its place."""

    def __init__(self, delimiters: Delimiters, options: RecordOptions) -> None:
        self.records: list[Record] = []
        self._letters: list[str] = []  # of every record, the undecodable ones too
        self._delimiters = delimiters
        self._options = options
        self._charset = options.charset
        self._escapes = options.escapes
        self._levels = {**LEVELS, **options.levels} if options.levels else LEVELS
        self._open: list[tuple[int, int]] = []  # (level, index): the records a next one may hang under
        self._level = 0
        self._saved = 0
        self._termination: str | None = None

    def add(self, raw: bytes, body: bytes) -> bool:
        """Add one record; true when it is the L that ends the message."""
        index = len(self.records)
        delimiters = self._delimiters
        fields: tuple[str, ...]
        try:
            text = body.decode(self._charset)
        except UnicodeError:
            # The letter is read from the bytes: one bad byte must not cost the record its place among the others.
            letter = _letter(body, delimiters.field)
            record_type, text, fields, undecodable = "?", "", (), True
        else:
            fields, undecodable = tuple(text.split(delimiters.field)), False
            letter = record_type = fields[0] if fields[0] in self._levels else _type(fields[0])
        level, parent = self._place(letter, index)
        # Any decrease of the level obliges us to have saved what came before (§4.2.1).
        if level < self._level:
            self._saved = index
        self._level = level
        self.records.append(
            Record(index, record_type, text, raw, fields, parent, level, undecodable, delimiters, self._escapes)
        )
        self._letters.append(letter)
        if letter != "L":
            return False
        self._termination = self.records[-1].get(3)
        return True

    def message(self) -> Message:
        terminated = self._termination is not None
        saved = len(self.records) if terminated else self._saved
        return Message(self._delimiters, tuple(self.records), terminated, self._termination or "", saved)

    def _place(self, letter: str, index: int) -> tuple[int, int | None]:
        level = self._levels.get(letter)
        if level is None:
            parent = self._floating_parent(letter)
            return (self.records[parent].level + 1 if parent is not None else 1), parent
        open_ = self._open
        while open_ and open_[-1][0] >= level:
            open_.pop()
        parent = open_[-1][1] if open_ else None
        open_.append((level, index))
        return level, parent

    def _floating_parent(self, letter: str) -> int | None:
        rule = self._options.attach.get(letter, "previous")
        skip = {"C", letter} if rule == "previous" else {"C", "M", letter}
        for index in range(len(self._letters) - 1, -1, -1):
            before = self._letters[index]
            if before == rule or (rule in ("previous", "parent") and before not in skip):
                return index
        return None


def _type(first: str) -> str:
    name = first.strip()
    return name.upper() if len(name) == 1 or (len(name) <= 3 and name.isalnum()) else ""


def _letter(body: bytes, delimiter: str) -> str:
    name = body.partition(delimiter.encode("utf-8"))[0]
    return name.decode("ascii").upper() if len(name) <= 3 and name.isalnum() and name.isascii() else ""
