"""Reading HL7 v2 text (ER7) as segments and fields, by what MSH-1 and MSH-2 say the delimiters are.

Nothing is validated beyond that: unknown segments, extra fields and any order are read. Positions count as in the
standard, so MSH-1 is the field separator itself.
"""

from dataclasses import dataclass

from hl7.errors import NotHl7Error
from hl7.text import unescape

_BLOCK_START, _BLOCK_END = "\x0b", "\x1c"  # MLLP, where a transport left it on
_DEFAULTS = "^~\\&"
_SHORTEST = len("MSH|^~\\")


@dataclass(frozen=True, slots=True)
class Separators:
    """MSH-1 and MSH-2. A character MSH-2 leaves out is "": then nothing is split or unescaped by it."""

    field: str
    component: str
    repeat: str
    escape: str
    subcomponent: str


@dataclass(frozen=True, slots=True)
class Segment:
    name: str
    fields: tuple[str, ...]  # raw, field 1 first
    separators: Separators

    def field(self, number: int) -> str:
        """The field as it stands, escapes included; "" when absent."""
        return self.fields[number - 1] if 0 < number <= len(self.fields) else ""

    def get(self, number: int, component: int = 1, subcomponent: int = 1, *, repeat: int = 1) -> str:
        """One leaf, escapes removed; "" when absent. The HL7 null comes back as it is."""
        leaf = self.field(number)
        s = self.separators
        for separator, position in ((s.repeat, repeat), (s.component, component), (s.subcomponent, subcomponent)):
            leaf = _part(leaf, separator, position)
        return (
            unescape(leaf, s.field + s.component + s.repeat + s.escape + (s.subcomponent or "&")) if s.escape else leaf
        )


@dataclass(frozen=True, slots=True)
class Reading:
    separators: Separators
    segments: tuple[Segment, ...]

    def all(self, name: str) -> tuple[Segment, ...]:
        return tuple(s for s in self.segments if s.name == name)


def read(text: str) -> Reading:
    """Segments of one message. CR ends a segment; LF and CR LF are taken too. Raises NotHl7Error."""
    body = text.strip().strip(_BLOCK_START + _BLOCK_END).strip()
    if not body.startswith("MSH") or len(body) < _SHORTEST:
        raise NotHl7Error("The text does not start with an MSH segment.")
    lines = [line for line in body.replace("\n", "\r").split("\r") if line]
    separators = _separators(lines[0])
    return Reading(separators, tuple(_segment(line, separators) for line in lines))


def _separators(msh: str) -> Separators:
    field = msh[3:4]
    encoding = msh[4:].split(field, 1)[0] if field else ""
    characters = [*encoding, *[""] * len(_DEFAULTS)][: len(_DEFAULTS)]
    chosen = [field, *(c for c in characters if c)]
    if not field or field.isalnum() or field.isspace() or not encoding or len(set(chosen)) != len(chosen):
        raise NotHl7Error("The MSH segment does not say its delimiters.")
    return Separators(field, *characters)


def _segment(line: str, separators: Separators) -> Segment:
    name, *fields = line.split(separators.field)
    if name == "MSH":
        fields = [separators.field, *fields]
    return Segment(name, tuple(fields), separators)


def _part(text: str, separator: str, position: int) -> str:
    if not separator:
        return text if position == 1 else ""
    parts = text.split(separator, position)
    return parts[position - 1] if position <= len(parts) else ""
