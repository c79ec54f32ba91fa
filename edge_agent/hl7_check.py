"""A second opinion on HL7 messages: hl7apy's, which shares no code with what wrote them.

hl7apy 1.3.5 knows the base standard, not IHE LAW: it refuses fields LAW takes from later versions. What it is shown is
therefore a copy with OBX cut after field 19 and OBX-8 reduced to its codes. It also holds the data of an image (ED.5)
to the length of a line of text, so the copy has but the beginning of it. Not looked at then: OBX-20 and later, whether
OBX-5 fits OBX-2, and what a profile asks beyond the standard. What is wrong is said without the message's content.
Takes about a tenth of a second for each message. Nothing on the way of a result uses it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import (
    ChildNotFound,
    ChildNotValid,
    HL7apyException,
    InvalidEncodingChars,
    InvalidName,
    MaxChildLimitReached,
    MaxLengthReached,
    OperationNotAllowed,
    ParserError,
    UnsupportedVersion,
    ValidationError,
)
from hl7apy.parser import parse_message, parse_segment

LAST_OBX, FLAGS, VALUE_TYPE, VALUE = 19, 8, 2, 5
IMAGE_DATA, SHOWN_OF_IMAGE = 4, 64
MSH_TYPE, MSH_ID, MSH_VERSION = 8, 9, 11  # after splitting, MSH-1 is the separator itself
_LONGEST_SHOWN = 40
_MLLP = re.compile(rb"\x0b([^\x0b\x1c]*)(?:\x1c\r?|(?=\x0b)|\Z)")
_NO_MESSAGE = frozenset({"FHS", "BHS", "BTS", "FTS"})  # HL7 v2.5.1 §2.10.3: around messages of a batch
# hl7apy's own, and what it trips over where a message is not one
_COMPLAINTS = (HL7apyException, AttributeError, LookupError, TypeError, ValueError)

_WORDS = (
    (MaxLengthReached, "a value is longer than its type allows"),
    (OperationNotAllowed, "a message type, segment or field that this version of HL7 does not have"),
    (ChildNotFound, "an element that this version of HL7 does not have"),
    (ChildNotValid, "an element that does not belong here"),
    (InvalidName, "a segment that this version of HL7 does not have"),
    (UnsupportedVersion, "MSH-12 names no version of HL7 v2 that is known here"),
    (InvalidEncodingChars, "MSH-1 and MSH-2 are no separators"),
    (ParserError, "it cannot be read as HL7"),
    (ValueError, "a value is no valid date, time or number"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """``segment`` counts from 1; 0 where the message as a whole is meant."""

    segment: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``id`` is MSH-10, ``type`` MSH-9, as far as there are any."""

    id: str
    type: str
    problems: tuple[Problem, ...]

    @property
    def accepted(self) -> bool:
        return not self.problems


def split(content: bytes) -> Iterator[bytes]:
    """The messages of a file, segments ended by CR. They may be MLLP frames; segments may end with CR, LF or both.

    What stands before the first MSH, or outside the frames, comes as a message of its own, so that it is refused.
    """
    if b"\x0b" not in content:
        yield from _messages(content)
        return
    end = 0
    for frame in _MLLP.finditer(content):
        yield from _messages(content[end : frame.start()])
        yield from _messages(frame[1]) if frame[1].strip() else (b"",)
        end = frame.end()
    yield from _messages(content[end:])


def _messages(content: bytes) -> Iterator[bytes]:
    lines = [line for line in re.split(rb"[\r\n]+", content) if line.strip()]
    message: list[bytes] = []
    for line in lines:
        kind = line[:3].decode("ascii", "backslashreplace")
        if message and (kind == "MSH" or kind in _NO_MESSAGE):
            yield b"\r".join(message) + b"\r"
            message = []
        if kind not in _NO_MESSAGE:
            message.append(line)
    if message:
        yield b"\r".join(message) + b"\r"


def judge(message: bytes) -> Verdict:
    """hl7apy's opinion of one message, segments ended by CR."""
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError as error:
        return Verdict("", "", (Problem(0, "", f"it is not UTF-8 at byte {error.start + 1}"),))
    if not text.startswith("MSH"):
        return Verdict("", "", (Problem(0, "", "it does not begin with MSH"),))
    copy = shown(text)
    head = copy.split("\r", 1)[0].split(copy[3:4] or "|")
    return Verdict(_part(head, MSH_ID), _part(head, MSH_TYPE), tuple(_problems(copy, _part(head, MSH_VERSION))))


def _part(head: list[str], place: int) -> str:
    return head[place][:_LONGEST_SHOWN] if len(head) > place else ""


def _problems(text: str, version: str) -> Iterator[Problem]:
    try:
        parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate()
    except UnsupportedVersion as error:
        yield Problem(0, "", _words(error))
    except _COMPLAINTS as error:
        found = list(_segments(text, version.split("^")[0]))
        yield from found or [Problem(0, "", _words(error))]


def _segments(text: str, version: str) -> Iterator[Problem]:
    """Which segments are wrong by themselves: hl7apy names none when it looks at the whole."""
    for number, segment in enumerate(text.rstrip("\r").split("\r"), 1):
        try:
            parse_segment(segment, version=version, validation_level=VALIDATION_LEVEL.STRICT).validate()
        except _COMPLAINTS as error:
            name = segment[:3] if re.fullmatch("[A-Z][A-Z0-9]{2}", segment[:3]) else "?"
            yield Problem(number, name, _words(error))


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError | MaxChildLimitReached):
        return str(error)  # names of elements only
    return next((words for kind, words in _WORDS if isinstance(error, kind)), "it cannot be read as HL7")


def shown(text: str) -> str:
    """The copy hl7apy is shown."""
    return "\r".join(_reduced(segment) for segment in text.rstrip("\r").split("\r")) + "\r"


def _reduced(segment: str) -> str:
    if not segment.startswith("OBX|"):
        return segment
    fields = segment.split("|")[: LAST_OBX + 1]
    if len(fields) > FLAGS:
        fields[FLAGS] = "~".join(repetition.split("^")[0] for repetition in fields[FLAGS].split("~"))
    if len(fields) > VALUE and fields[VALUE_TYPE] == "ED":
        parts = fields[VALUE].split("^")
        fields[VALUE] = "^".join([*parts[:IMAGE_DATA], *(part[:SHOWN_OF_IMAGE] for part in parts[IMAGE_DATA:])])
    return "|".join(fields)
