"""A second reader of HL7 v2 text, written from the standard alone: it shares no line with the encoder it judges.

It splits bytes into segments, fields, repetitions, components and subcomponents, reports what is wrong with the text
itself (HL7 2.5.1 section 2.6 and 2.7: encoding, delimiters, escape sequences) and never raises, whatever the bytes
are. It repairs nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

FIELD, COMPONENT, REPEAT, ESCAPE, SUBCOMPONENT = "|", "^", "~", "\\", "&"

_ESCAPES = {"F": FIELD, "S": COMPONENT, "R": REPEAT, "E": ESCAPE, "T": SUBCOMPONENT, "H": "", "N": ""}
_SEGMENT_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_HEX = re.compile(r"X(?:[0-9A-Fa-f]{2})+")
_FORMATTING = re.compile(r"\.(?:br|ce|fi|nf|sp ?[0-9]*|sk ?[0-9]+|in ?[+-]?[0-9]+|ti ?[+-]?[0-9]+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to refuse a message: the rule broken, where, and what is wrong, without any data of a patient."""

    rule: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.where}: {self.text}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. ``fields[n]`` is field n as in the standard; in MSH field 1 is the separator itself."""

    name: str
    number: int  # place in the message, from 1
    fields: tuple[str, ...]

    def raw(self, n: int) -> str:
        return self.fields[n] if n < len(self.fields) else ""

    def repeats(self, n: int) -> list[str]:
        text = self.raw(n)
        return text.split(REPEAT) if text else []

    def components(self, n: int, repeat: int = 1) -> list[str]:
        repeats = self.repeats(n)
        return repeats[repeat - 1].split(COMPONENT) if len(repeats) >= repeat else []

    def component(self, n: int, c: int, repeat: int = 1) -> str:
        parts = self.components(n, repeat)
        return parts[c - 1] if len(parts) >= c else ""

    def text(self, n: int, c: int = 1, repeat: int = 1) -> str:
        """The leaf with its escapes removed; formatting commands become line ends."""
        return unescape(self.component(n, c, repeat))

    def at(self, n: int = 0) -> str:
        name = self.name if _SEGMENT_NAME.fullmatch(self.name) else "?"
        return f"{name}[{self.number}]" + (f"-{n}" if n else "")


@dataclass(slots=True)
class Reading:
    segments: list[Segment] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def named(self, name: str) -> list[Segment]:
        return [segment for segment in self.segments if segment.name == name]

    def refuse(self, rule: str, where: str, text: str) -> None:
        self.findings.append(Finding(rule, where, text))


def read(payload: bytes) -> Reading:
    """Split ``payload``; what cannot be split is reported in ``findings`` and the segments read so far are kept."""
    reading = Reading()
    try:
        text = payload.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        reading.refuse("utf-8", f"byte {error.start}", "not UTF-8")
        return reading
    _check_characters(text, reading)
    if not text.startswith("MSH|"):
        reading.refuse("msh-first", "message", "does not begin with MSH and the field separator |")
        return reading
    for number, line in enumerate(_segments(text, reading), 1):
        reading.segments.append(_segment(number, line, reading))
    for segment in reading.segments:
        _check_escapes(segment, reading)
    return reading


def unescape(text: str) -> str:
    """Remove HL7 escapes in one pass from left to right; an unknown sequence is left as it stands."""
    out: list[str] = []
    for is_escape, part in _tokens(text):
        out.append(_unescaped(part) if is_escape else part)
    return "".join(out)


def _unescaped(body: str) -> str:
    if body in _ESCAPES:
        return _ESCAPES[body]
    if _HEX.fullmatch(body):
        return bytes.fromhex(body[1:]).decode("latin-1")
    return "\n" if _FORMATTING.fullmatch(body) else f"\\{body}\\"


def _tokens(text: str) -> Iterator[tuple[bool, str]]:
    """Pieces of ``text``: (False, plain) and (True, what stands between two escape characters)."""
    rest = text
    while rest:
        before, first, after = rest.partition(ESCAPE)
        body, second, rest_after = after.partition(ESCAPE)
        yield False, before
        if not first:
            return
        if not second:
            yield False, first + after
            return
        yield True, body
        rest = rest_after


def _check_characters(text: str, reading: Reading) -> None:
    if text.startswith("﻿"):
        reading.refuse("byte-order-mark", "message", "begins with a byte order mark")
    for place, character in enumerate(text):
        if character == "\n":
            reading.refuse("line-feed", f"character {place}", "segments end with CR alone")
            return
        if (character < " " and character != "\r") or "\x7f" <= character <= "\x9f":
            reading.refuse("control-character", f"character {place}", f"U+{ord(character):04X}")
            return


def _segments(text: str, reading: Reading) -> list[str]:
    lines = text.split("\r")
    if lines[-1]:
        reading.refuse("last-segment-end", "message", "the last segment does not end with CR")
    else:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not line:
            reading.refuse("empty-segment", f"segment {number}", "empty")
    return [line for line in lines if line]


def _segment(number: int, line: str, reading: Reading) -> Segment:
    parts = line.split(FIELD)
    name = parts[0]
    if name == "MSH":
        parts.insert(1, FIELD)
    if not _SEGMENT_NAME.fullmatch(name):
        reading.refuse("segment-name", f"segment {number}", "no segment name in front")
    return Segment(name, number, tuple(parts))


def _check_escapes(segment: Segment, reading: Reading) -> None:
    for n, raw in enumerate(segment.fields):
        if n == 0 or (segment.name == "MSH" and n in (1, 2)):
            continue
        formatted = (segment.name, n) == ("NTE", 3) or (segment.name, n, segment.raw(2)) == ("OBX", 5, "FT")
        for leaf in re.split(r"[~^&]", raw):
            problem = escape_problem(leaf, formatted=formatted)
            if problem:
                reading.refuse("escape", segment.at(n), problem)


def escape_problem(leaf: str, *, formatted: bool) -> str:
    """What is wrong with the escape sequences of one leaf, or ""."""
    plain = "".join(part for is_escape, part in _tokens(leaf) if not is_escape)
    if ESCAPE in plain:
        return "a lone escape character"
    for is_escape, body in _tokens(leaf):
        if not is_escape or body in _ESCAPES or _HEX.fullmatch(body):
            continue
        if _FORMATTING.fullmatch(body):
            if not formatted:
                return "a formatting command outside formatted text"
            continue
        return "an unknown escape sequence"
    return ""
