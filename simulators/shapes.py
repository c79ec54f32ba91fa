"""Message shapes: a device's samples, with the places marked that a simulated analyser may fill anew.

A sample is ``wire.bin``, the bytes as on the wire, and ``expected.json``, what a person worked out from the vendor's
document. Only plain samples serve as shapes: one message, ended normally, nothing held, every expected result found in
an R record. What merely belongs to a result (curves, interpretations) is sent, and not counted.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.devices import Device
from simulators.errors import ShapeError
from simulators.framing import Framing, take_apart

NORMAL_ENDS = ("", "N", "F")  # LIS02-A2 §12.3
DELETE = '""'  # §5.4.9
NOT_FOR_THE_CHART = ("T", "D")  # §6.12: training, debugging


@dataclass(frozen=True, slots=True)
class Mark:
    """One expected observation and where it stands: ``record`` and ``field`` count from 0."""

    record: int
    field: int
    specimen: int
    code: str
    component: str  # the analyte within the test, where the document tells one
    value: str
    unit: str
    flags: tuple[str, ...]
    status: str
    completed: str | None  # None: the document does not say which field it is
    run: str | None


@dataclass(frozen=True, slots=True)
class SpecimenMark:
    id: str
    role: str
    patient: str


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    delimiters: str  # field, repeat, component, escape
    charset: str
    records: tuple[str, ...]
    specimens: tuple[SpecimenMark, ...]
    marks: tuple[Mark, ...]
    framing: Framing

    def fields(self, record: int) -> list[str]:
        return split_record(self.records[record], self.delimiters[0])


def split_record(record: str, delimiter: str) -> list[str]:
    """Fields of a record; H keeps its four delimiters as field 2 (LIS02-A2 §6.2)."""
    if record[:1].upper() != "H":
        return record.split(delimiter)
    return [record[:1], record[2:5], *record[6:].split(delimiter)]


def join_record(fields: Sequence[str], delimiter: str) -> str:
    return delimiter.join(fields)


def shapes(device: Device, names: Sequence[str] = ()) -> tuple[Shape, ...]:
    """The shapes of a device, by sample name. Raises ``ShapeError`` when a named one, or every one, is unusable."""
    made: list[Shape] = []
    folders = sorted(p for p in (device.folder / "samples").iterdir() if p.is_dir())
    for folder in folders:
        if names and folder.name not in names:
            continue
        shape = _shape(device, folder)
        if isinstance(shape, Shape):
            made.append(shape)
        elif names:
            raise ShapeError(f"The sample {folder.name} of {device.name} cannot be varied: {shape}.", "Use `replay`.")
    missing = set(names) - {shape.name for shape in made}
    if missing or not made:
        wanted = ", ".join(sorted(missing)) or "of a plain result message"
        raise ShapeError(f"{device.name} has no sample {wanted}.", "Look into the device's samples folder.")
    return tuple(made)


def _shape(device: Device, folder: Path) -> Shape | str:
    """A shape, or the reason why there is none."""
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    recorded = take_apart((folder / "wire.bin").read_bytes(), device.numbered, device.checksum)
    if len(recorded.messages) != 1:
        return "it does not hold exactly one message"
    try:
        records = tuple(record.decode(device.charset) for record in recorded.messages[0])
    except UnicodeDecodeError:
        return "it holds bytes that are no text"
    reason = _not_plain(records, expected)
    if reason:
        return reason
    delimiters = records[0][1:5]
    specimens = tuple(
        SpecimenMark(s["id"], s.get("role", "P"), s.get("patient_id") or "") for s in expected["specimens"]
    )
    marks = list(_marks(records, delimiters, expected["specimens"]))
    if None in marks or len({(m.record, m.value) for m in marks if m}) != len(marks):
        return "not every expected observation has an R record of its own"
    found = tuple(mark for mark in marks if mark is not None)
    return Shape(folder.name, delimiters, device.charset, records, specimens, found, recorded.framing)


def _not_plain(records: Sequence[str], expected: Mapping[str, Any]) -> str:
    observations = [o for s in expected["specimens"] for o in s.get("observations", ())]
    if records[0][:1].upper() != "H" or records[-1][:1].upper() != "L" or len(records[0]) < 5:
        return "it does not run from H to L"
    delimiter = records[0][1]
    if [*records[-1].split(delimiter), "", ""][2] not in NORMAL_ENDS:
        return "it was not ended normally"
    if (split_record(records[0], delimiter) + [""] * 12)[11] in NOT_FOR_THE_CHART:
        return "it is a training or debugging run"
    if expected.get("held") or any(o.get("held") for o in observations):
        return "something in it is held"
    if not observations or not all(s["id"] for s in expected["specimens"]):
        return "it has no results or no specimen id"
    if not any(_is_result(o) for o in observations):
        return "it holds no results"
    if any(o["value"] == DELETE for o in observations):
        return "it deletes a value"
    return ""


def _marks(records: Sequence[str], delimiters: str, specimens: Sequence[Mapping[str, Any]]) -> Iterator[Mark | None]:
    owners = _owners(records, delimiters, [s["id"] for s in specimens])
    for number, specimen in enumerate(specimens):
        mine = [i for i, owner in enumerate(owners) if owner == number and records[i][:1].upper() == "R"]
        start = 0
        for observation in filter(_is_result, specimen.get("observations", ())):
            place = next((p for p in range(start, len(mine)) if _fits(records[mine[p]], delimiters, observation)), None)
            if place is None:
                yield None
                continue
            start = place + 1
            yield _mark(mine[place], records[mine[place]], delimiters, number, observation)


def _owners(records: Sequence[str], delimiters: str, ids: Sequence[str]) -> list[int]:
    """For each record the expected specimen it belongs to, -1 before the first: results belong to the latest O."""
    owners: list[int] = []
    current = -1
    for record in records:
        if record[:1].upper() in ("O", "P"):
            words = _words(record, delimiters)
            current = next((n for n, id_ in enumerate(ids) if id_.strip() in words), current)
        owners.append(current)
    return owners


def _words(text: str, delimiters: str) -> list[str]:
    separators = "".join(re.escape(c) for c in delimiters[:3])
    return [word.strip() for word in re.split(f"[{separators}]", text)]


def _is_result(observation: Mapping[str, Any]) -> bool:
    return bool(observation.get("kind", "result") == "result")


def _fits(record: str, delimiters: str, observation: Mapping[str, Any]) -> bool:
    fields = record.split(delimiters[0]) + [""] * 4
    words, value = _words(fields[2], delimiters), observation["value"]
    if observation["code"] not in words or (observation.get("component") or observation["code"]) not in words:
        return False
    return value in _plain(fields[3], delimiters) if value else not "".join(_words(fields[3], delimiters))


def _plain(text: str, delimiters: str) -> str:
    """A field with the four delimiter escapes of LIS02-A2 §5.4.5.1 resolved."""
    escape = delimiters[3]
    for letter, character in zip("FRS", delimiters[:3], strict=True):
        text = text.replace(escape + letter + escape, character)
    return text.replace(f"{escape}E{escape}", escape)


def _mark(index: int, record: str, delimiters: str, specimen: int, observation: Mapping[str, Any]) -> Mark:
    return Mark(
        record=index,
        field=3,
        specimen=specimen,
        code=observation["code"],
        component=observation.get("component") or "",
        value=observation["value"],
        unit=observation["unit"],
        flags=tuple(observation["flags"]),
        status=observation["status"],
        completed=observation.get("completed"),
        run=observation.get("run"),
    )
