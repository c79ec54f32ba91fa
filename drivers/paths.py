"""Where a text stands in a message: ``REC.field[.component[.sub]][~repeat]``, parsed once when a profile loads.

LIS02 positions count as in the standard (the record type is field 1); HL7 segments are written ``OBX-5.1``. Vendor
layouts use ``@from-to`` columns, counted from 1, both ends included. A path without a component is the whole field.
"""

import re
from dataclasses import dataclass

from drivers.protocols.lis02 import Record, unescape

_LIS02 = re.compile(r"([A-Z])\.([0-9]{1,3})(?:\.([0-9]{1,3}))?(?:\.([0-9]{1,3}))?(?:~([0-9]{1,3}))?")
_HL7 = re.compile(r"([A-Z][A-Z0-9]{2})-([0-9]{1,3})(?:\.([0-9]{1,3}))?(?:\.([0-9]{1,3}))?(?:~([0-9]{1,3}))?")
_COLUMNS = re.compile(r"@([0-9]{1,4})-([0-9]{1,4})")


class PathError(ValueError):
    """A path that follows no grammar. Its text is a sentence."""


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. All numbers count from 1; ``repeat`` 0 = the field as a whole (or its first repeat)."""

    record: str
    field: int
    component: int | None = None
    sub: int | None = None
    repeat: int = 0

    def __str__(self) -> str:
        mark = "." if len(self.record) == 1 else "-"
        tail = "".join(f".{n}" for n in (self.component, self.sub) if n is not None)
        return f"{self.record}{mark}{self.field}{tail}" + (f"~{self.repeat}" if self.repeat else "")

    def covers(self, field: int, component: int) -> bool:
        """Whether reading this path reads the component (repeats are not told apart)."""
        return self.field == field and self.component in (None, component)


def parse(text: str) -> Path:
    """Parse a path; ``PathError`` says what is wrong with it."""
    found = _LIS02.fullmatch(text) or _HL7.fullmatch(text)
    if found is None:
        raise PathError(f'"{text}" is no path; write "R.3", "R.3.4", "O.3.1~2" or, for HL7, "OBX-5.1"')
    record, *numbers = found.groups()
    field, component, sub, repeat = (int(n) if n is not None else None for n in numbers)
    if 0 in (field, component, sub, repeat) or field is None:
        raise PathError(f'"{text}": positions count from 1')
    return Path(record, field, component, sub, repeat or 0)


def parse_columns(text: str) -> tuple[int, int]:
    """Parse ``@from-to`` into both column numbers, from 1."""
    found = _COLUMNS.fullmatch(text)
    if found is None:
        raise PathError(f'"{text}" is no column range; write "@5-12"')
    first, last = int(found[1]), int(found[2])
    if not 1 <= first <= last:
        raise PathError(f'"{text}": columns count from 1, and the first is not after the last')
    return first, last


def read(path: Path, record: Record | None) -> str:
    """The text at the path, escapes removed; "" where the record is missing, of another type, or the text absent.

    A whole field loses the component and repeat delimiters at its end: empty parts at the end need none (LIS02-A2
    5.4.7), so ``NOT DETECTED^`` and ``NOT DETECTED`` say the same.
    """
    if record is None or record.type != path.record or path.field > len(record.fields):
        return ""
    text, marks = record.fields[path.field - 1], record.delimiters
    if not text:
        return ""
    if path.component is None and not path.repeat:
        text = text.rstrip(marks.component + marks.repeat)
    else:
        if path.repeat or marks.repeat in text:
            text = _nth(text.split(marks.repeat), path.repeat or 1)
        if path.component is not None:
            text = _nth(text.split(marks.component), path.component)
    return unescape(text, marks, record.escapes) if marks.escape in text else text


def _nth(parts: list[str], n: int) -> str:
    return parts[n - 1] if n <= len(parts) else ""
