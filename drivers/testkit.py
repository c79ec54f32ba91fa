"""The conformance kit: does a device folder keep what its samples say?

For every ``samples/<case>``: the bytes of ``wire.bin`` go through the link layer with the profile's dialect, whole and
cut in two at many places; the records through the interpreter; the report is compared with ``expected.json``; and every
field the bytes carry must be mapped or listed in ``unused``. Every table of the profile must name its source.

The kit computes the grade: ``drafted`` when only documents speak, ``captured`` when real traffic was read as well,
``confirmed`` when the folder holds a site's ``CONFIRMED.md``. It does not judge whether the expectations are right:
they are another author's.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.canonical import Hold
from drivers.profile import Profile
from drivers.profile_coverage import Coverage
from drivers.profile_types import SourcedTable
from drivers.protocols.lis02 import Message, Record
from drivers.sdk import Device
from drivers.testkit_compare import Read, compare
from drivers.testkit_transfer import transfer

CUTS_PER_SAMPLE = 24

_COVERED = frozenset("HPORCQL")
_GRADES = ("drafted", "captured", "confirmed")


@dataclass(frozen=True, slots=True)
class Card:
    """The kit's verdict on one device. Equal inputs give an equal card."""

    device: str
    revision: int
    grade: str
    declared: str
    samples: int
    captures: int
    results: int
    findings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.findings

    def __str__(self) -> str:
        head = f"{self.device} revision {self.revision}: {'passed' if self.passed else 'FAILED'}"
        body = f"  samples {self.samples}, captures {self.captures}, results read {self.results}, grade {self.grade}"
        return "\n".join([head, body, *(f"  - {finding}" for finding in self.findings)])


def run(device: Device, folder: Path, captures: Sequence[bytes] = ()) -> Card:
    """Check a device folder. ``captures``: real traffic that fits the profile, where it is at hand."""
    cases = sorted(path for path in (folder / "samples").glob("*") if path.is_dir())
    findings = [*_folder(folder, cases), *_sources(device.profile)]
    results = 0
    for case in cases:
        found, count = _case(device, case)
        results += count
        findings += [f"{case.name}: {text}" for text in found]
    for number, wire in enumerate(captures, 1):
        found, count = _capture(device, wire)
        results += count
        findings += [f"capture {number}: {text}" for text in found]
    grade = _grade(folder, bool(captures) and not findings)
    declared = device.profile.grade
    if captures and _GRADES.index(declared) > _GRADES.index(grade):
        findings.append(f'grade = "{declared}" says more than the kit saw: {grade}')
    return Card(
        device.name, device.profile.revision, grade, declared, len(cases), len(captures), results, tuple(findings)
    )


def unmapped(message: Message, coverage: Coverage) -> list[str]:
    """Components that carry text and that the profile neither reads nor lists as unused."""
    found: dict[str, None] = {}
    for record in message.records:
        if record.type in _COVERED and not record.undecodable:
            found.update(dict.fromkeys(_left_over(record, coverage)))
    return sorted(found)


def _left_over(record: Record, coverage: Coverage) -> Iterable[str]:
    for at in range(2, len(record.fields) + 1):
        if record.type == "H" and at == 2:
            continue
        for repeat in range(1, len(record.repeats(at)) + 1):
            for component, text in enumerate(record.components(at, repeat), 1):
                if text.strip() and not coverage.component(record.type, at, component):
                    yield f"{record.type}.{at}.{component}"


def _case(device: Device, case: Path) -> tuple[list[str], int]:
    wire = (case / "wire.bin").read_bytes()
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    whole = transfer(device.dialect(), wire)
    read, strays = _read(device, whole.texts)
    found = [f"frame refused: {reason}" for reason in whole.refused]
    found += compare(expected, read, strays, whole, device.coding())
    found += _fields(device, read)
    for cut in cuts(len(wire)):
        if transfer(device.dialect(), wire, [cut]) != whole:
            found.append(f"cut at byte {cut} it reads differently")
    return found, _results(read)


def _capture(device: Device, wire: bytes) -> tuple[list[str], int]:
    read, strays = _read(device, transfer(device.dialect(), wire).texts)
    found = [f"{h.code} ({h.detail})" for h in strays]
    found += [f"{h.code} ({h.detail})" for _, r in read for h in r.holds if h.code in ("wrong-device", "undecodable")]
    found += _fields(device, read)
    if not _results(read):
        found.append("no result was read")
    return found, _results(read)


def _read(device: Device, texts: Iterable[bytes]) -> tuple[Read, list[Hold]]:
    read: Read = []
    strays: list[Hold] = []
    for text in texts:
        messages, holds = device.read(text)
        read += messages
        strays += holds
    return read, strays


def _results(read: Read) -> int:
    return sum(len(s.observations()) for _, report in read for s in report.specimens)


def _fields(device: Device, read: Read) -> list[str]:
    left = sorted({path for message, _ in read for path in unmapped(message, device.profile.coverage)})
    return [f"neither mapped nor unused: {', '.join(left)}"] if left else []


def cuts(length: int) -> list[int]:
    """Where a sample is cut in two: near both ends, and evenly between."""
    ends = [1, 2, 3, length - 3, length - 2, length - 1]
    step = max(1, length // CUTS_PER_SAMPLE)
    return sorted({n for n in (*ends, *range(step, length, step)) if 0 < n < length})


def _folder(folder: Path, cases: list[Path]) -> list[str]:
    found = [f"{name} is missing" for name in ("profile.toml", "README.md") if not (folder / name).is_file()]
    found += [] if cases else ["there is no sample"]
    needed = ("wire.bin", "expected.json", "PROVENANCE.md")
    found += [f"{c.name}: {name} is missing" for c in cases for name in needed if not (c / name).is_file()]
    return found


def _sources(profile: Profile) -> list[str]:
    """Tables that were filled in without saying whence."""
    found = [] if profile.sources else ["the profile names no sources"]
    for name in type(profile).model_fields:
        value = getattr(profile, name)
        tables = value if isinstance(value, tuple) else (value,)
        for at, table in enumerate(tables, 1):
            if isinstance(table, SourcedTable) and table.model_fields_set and not table.source:
                found.append(f"{name}{f'[{at}]' if isinstance(value, tuple) else ''} names no source")
    return found


def _grade(folder: Path, read_captures: bool) -> str:
    if (folder / "CONFIRMED.md").is_file():
        return "confirmed"
    return "captured" if read_captures else "drafted"
