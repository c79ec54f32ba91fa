"""What hl7apy says of a message: an opinion by a third author, on the base standard only.

hl7apy 1.3.5 knows 2.5.1 and no LAW profile. The fields LAW takes from later versions make it refuse correct messages
(OBX-29, OBX-21, coded OBX-8), so the message is reduced first: OBX cut after field 19, each repetition of OBX-8
reduced to its code. Nothing it writes is ever used. It takes about 0.1 s per message.
"""

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

_CUT_AFTER, _FLAGS = 19, 8


def reduced(payload: bytes) -> str:
    """The message as base 2.5.1 knows it; raises UnicodeDecodeError when it is not UTF-8."""
    segments = payload.decode("utf-8").split("\r")
    return "\r".join(_reduced(segment) for segment in segments)


def _reduced(segment: str) -> str:
    fields = segment.split("|")
    if fields[0] != "OBX":
        return segment
    if len(fields) > _FLAGS:
        fields[_FLAGS] = "~".join(flag.split("^")[0] for flag in fields[_FLAGS].split("~"))
    return "|".join(fields[: _CUT_AFTER + 1]).rstrip("|")


def second_opinion(payload: bytes) -> list[str]:
    """Findings of STRICT parsing and ``validate()``; hl7apy stops at its first, so the list has one entry at most."""
    try:
        message = parse_message(reduced(payload), validation_level=VALIDATION_LEVEL.STRICT)
        message.validate()
    except (HL7apyException, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]
    return []
