"""What the demonstration shows: progress, a message beside the records it came from, a table."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence

from simulators.er7 import Segment
from simulators.generate import Transmission
from simulators.shapes import split_record
from simulators.table import table

NARROWEST, WIDEST = 80, 180
RIGHT_OF = {"H": ("MSH",), "P": ("PID", "PV1"), "O": ("SPM", "SAC", "OBR", "ORC", "TQ1"), "R": ("OBX", "NTE")}


def side_by_side(transmission: Transmission, payload: bytes) -> str:
    """The records at the left, the HL7 segments each became at the right."""
    width = max(NARROWEST, min(shutil.get_terminal_size((120, 24)).columns, WIDEST))
    left = width * 2 // 5
    lines = [f"{'as the analyser sent it':<{left}}   as the management system filed it", "-" * width]
    for record, segments in _pairs(transmission, payload.decode("utf-8").rstrip("\r").split("\r")):
        lines += _columns(record, segments, left, width - left - 3)
    return "\n".join(lines)


def _pairs(transmission: Transmission, segments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Records with a counterpart, each with its segments; a result's OBX is the one with its code and value."""
    remaining = list(segments)
    for raw in transmission.records:
        record = raw.decode(transmission.shape.charset)
        kind = record[:1].upper()
        if kind == "R":
            found = _obx(record, transmission.shape.delimiters, remaining)
        else:
            found = [s for s in remaining if s[:3] in RIGHT_OF.get(kind, ())]
        remaining = [s for s in remaining if s not in found]
        if found:
            yield record, found


def _obx(record: str, delimiters: str, segments: Sequence[str]) -> list[str]:
    fields = split_record(record, delimiters[0]) + [""] * 4
    for index, text in enumerate(segments):
        segment = Segment(text)
        value = "".join(segment.parts(5))
        if segment.name == "OBX" and segment.part(3, 1) in fields[2] and value and value in fields[3]:
            notes = [note for note in segments[index + 1 : index + 2] if note.startswith("NTE")]
            return [text, *notes]
    return []


def _columns(record: str, segments: Sequence[str], left: int, right: int) -> Iterator[str]:
    one = _wrapped(record, left)
    other = [line for segment in segments for line in _wrapped(segment, right)]
    for number in range(max(len(one), len(other))):
        first = one[number] if number < len(one) else ""
        second = other[number] if number < len(other) else ""
        yield f"{first:<{left}} | {second}".rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", drop_whitespace=False, break_on_hyphens=False)


def summary(rows: Sequence[Sequence[object]]) -> str:
    columns = ("analyser", "device", "line", "results sent", "acknowledged", "filed", "HL7 messages")
    return table(columns, [[str(cell) for cell in row] for row in rows])
