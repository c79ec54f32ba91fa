"""A small reader of HL7 result messages for the management system's stand-in. It splits and unescapes; no more.

Written for the simulators alone. It reads OUL^R22 and ORU^R01 by segment order and turns every OBX into one row of
text; whether the message is a good one is judged elsewhere (``verdict``), except for what a receiver needs to file it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

ESCAPES = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}
ESCAPED = re.compile(r"\\([FSTRE]|X(?:[0-9A-Fa-f]{2})+|\.br)\\")
STRUCTURES = ("OUL^R22^OUL_R22", "ORU^R01^ORU_R01")
LONGEST_ID = 20


class UnreadableError(Exception):
    """The payload is no HL7 message that could be answered by its MSH-10."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One OBX, as text. ``value_text`` is the second component of a coded value; ``flags`` the codes of OBX-8."""

    specimen: str
    role: str
    patient: str
    code: str
    name: str
    supplemental: str  # LAW's class of what belongs to a result: OBX-3.4 where OBX-3.6 is IHELAW
    type: str
    value: str
    value_text: str
    unit: str
    flags: tuple[str, ...]
    status: str
    run: str
    time: str
    notes: str


@dataclass(slots=True)
class Message:
    control_id: str
    structure: str
    sender: str  # MSH-3
    facility: str  # MSH-4
    processing: str  # MSH-11
    observations: list[Observation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def unescape(text: str) -> str:
    return ESCAPED.sub(lambda found: _resolved(found[1]), text)


def _resolved(word: str) -> str:
    if word == ".br":
        return "\n"
    return ESCAPES[word] if word in ESCAPES else bytes.fromhex(word[1:]).decode("utf-8")


class Segment:
    """``field(n)`` counts as the standard does; MSH-1 is the separator itself."""

    def __init__(self, text: str) -> None:
        self.fields = text.split("|")
        self.name = self.fields[0]
        if self.name == "MSH":
            self.fields.insert(1, "|")

    def field(self, number: int) -> str:
        return self.fields[number] if number < len(self.fields) else ""

    def part(self, number: int, component: int) -> str:
        """A component of the field's first repetition, unescaped; subcomponents stay together."""
        parts = self.field(number).split("~")[0].split("^")
        return unescape(parts[component - 1]) if component <= len(parts) else ""

    def parts(self, number: int) -> list[str]:
        return [unescape(part) for part in self.field(number).split("^")]


def read(payload: bytes) -> Message:
    """The message in ``payload``. Raises ``UnreadableError`` when not even its id can be read."""
    try:
        text = payload.decode("utf-8")
        segments = [Segment(line) for line in text.split("\r") if line]
        return _read(segments)
    except UnicodeDecodeError as error:
        raise UnreadableError("the payload is not UTF-8") from error


def _read(segments: Sequence[Segment]) -> Message:
    if not segments or segments[0].name != "MSH" or segments[0].field(2) != "^~\\&":
        raise UnreadableError("the payload does not begin with MSH|^~\\&")
    head = segments[0]
    if not head.field(10):
        raise UnreadableError("MSH-10 is empty")
    message = Message(head.field(10), head.field(9), head.part(3, 1), head.part(4, 1), head.part(11, 1))
    message.observations = _observations(segments, message.structure.startswith("ORU"))
    message.problems = list(_problems(segments, message))
    return message


def _observations(segments: Sequence[Segment], specimen_last: bool) -> list[Observation]:
    """In OUL^R22 the specimen comes before its results, in ORU^R01 after them."""
    made: list[Observation] = []
    patient = ""
    specimen = Segment("SPM")
    waiting = 0  # ORU^R01: results from here on have no specimen yet
    for index, segment in enumerate(segments):
        if segment.name == "PID":
            patient = segment.part(3, 1)
        elif segment.name == "SPM" and specimen_last:
            made[waiting:] = [_of(row, segment) for row in made[waiting:]]
            waiting = len(made)
        elif segment.name == "SPM":
            specimen = segment
        elif segment.name == "SAC" and not specimen.field(2):
            specimen.fields += [""] * (3 - len(specimen.fields))
            specimen.fields[2] = segment.field(3)
        elif segment.name == "OBX":
            made.append(_observation(segment, specimen, patient, _notes(segments, index + 1)))
    return made


def _of(row: Observation, specimen: Segment) -> Observation:
    changed = {name: getattr(row, name) for name in Observation.__slots__}
    return Observation(**{**changed, "specimen": _specimen_id(specimen), "role": specimen.part(11, 1)})


def _specimen_id(segment: Segment) -> str:
    return unescape(segment.field(2).split("~")[0].split("^")[0].split("&")[0])


def _observation(obx: Segment, specimen: Segment, patient: str, notes: str) -> Observation:
    kind = obx.field(2)
    value, value_text = _value(obx, kind)
    return Observation(
        specimen=_specimen_id(specimen),
        role=specimen.part(11, 1),
        patient=patient,
        code=obx.part(3, 1),
        name=obx.part(3, 2),
        supplemental=obx.part(3, 4) if obx.part(3, 6) == "IHELAW" else "",
        type=kind,
        value=value,
        value_text=value_text,
        unit=_unit(obx),
        flags=_flags(obx.field(8)),
        status=obx.field(11),
        run=obx.part(4, 1),
        time=obx.part(19, 1),
        notes=notes,
    )


def _value(obx: Segment, kind: str) -> tuple[str, str]:
    """What OBX-5 says, as one text: SN's components joined again; of an image only that there is one."""
    parts = obx.parts(5)
    if kind == "SN":
        return "".join(parts), ""
    if kind in ("CE", "CWE"):
        return parts[0], parts[1] if len(parts) > 1 else ""
    if kind == "ED":
        return "", "image"
    return "^".join(parts), ""


def _unit(obx: Segment) -> str:
    """The unit as sent: the first coded triple of OBX-6 that is not UCUM's translation."""
    parts = [*obx.parts(6), "", "", "", "", "", ""]
    for start in (0, 3):
        if parts[start] and parts[start + 2] != "UCUM":
            return parts[start]
    return parts[0] or parts[3]


def _flags(text: str) -> tuple[str, ...]:
    codes = [unescape(repetition.split("^")[0]) for repetition in text.split("~")]
    return tuple(code for code in codes if code not in ("", '""', "NONE"))


def _notes(segments: Sequence[Segment], start: int) -> str:
    texts: list[str] = []
    for segment in segments[start:]:
        if segment.name == "NTE":
            texts.append(unescape(segment.field(3)))
        elif segment.name not in ("TCD", "SID", "INV"):
            break
    return "\n".join(texts)


def _problems(segments: Sequence[Segment], message: Message) -> list[str]:
    """What keeps this receiver from filing, in words without content."""
    found: list[str] = []
    if message.structure not in STRUCTURES:
        found.append("MSH-9 is neither OUL^R22 nor ORU^R01")
    if segments[0].field(12) != "2.5.1":
        found.append("MSH-12 is not 2.5.1")
    if len(message.control_id) > LONGEST_ID:
        found.append("MSH-10 is longer than 20 characters")
    if not message.observations:
        found.append("there is no OBX")
    if not all(row.specimen for row in message.observations):
        found.append("a result has no specimen")
    if not all(row.code and row.status for row in message.observations):
        found.append("an OBX lacks OBX-3 or OBX-11")
    return found
