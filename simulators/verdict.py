"""hl7apy's opinion of a message's structure: the second opinion, about a tenth of a second each.

hl7apy 1.3.5 knows the base standard, not IHE LAW: it refuses fields LAW takes from later versions. What it is shown is
therefore a copy with OBX cut after field 19 and OBX-8 reduced to its codes. It also holds the data of an image (ED.5)
to the length of a line of text, so the copy has but the beginning of it. It must never write a message.
"""

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

LAST_OBX = 19
FLAGS = 8
VALUE_TYPE, VALUE = 2, 5
IMAGE_DATA, SHOWN_OF_IMAGE = 4, 64


def judge(payload: bytes) -> str:
    """ "" when hl7apy finds nothing wrong, else its complaint without the message's content."""
    try:
        text = payload.decode("utf-8")
        parse_message(shown(text), validation_level=VALIDATION_LEVEL.STRICT).validate()
    except UnicodeDecodeError:
        return "not UTF-8"
    except HL7apyException as error:
        return type(error).__name__
    except ValueError as error:  # hl7apy's own for a value that is no date, time or number
        return type(error).__name__
    return ""


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
