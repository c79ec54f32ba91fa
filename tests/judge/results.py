"""Rules for OBX and NTE: HL7 2.5.1 chapter 7, what IHE LAW pre-adopts (OBX-8 coded, OBX-29), design section 5."""

import re
from collections.abc import Callable

from judge import tables, values
from judge.reader import Reading, Segment
from judge.rules import coded, in_table, is_time, last_field, need, set_ids, unused
from judge.structure import Result, notes_by_parent

_LAST = 29


def observation(reading: Reading, result: Result, *, timeless: bool) -> None:
    """One OBX with its notes. ``timeless`` allows an absent OBX-19, for analysers that sent no result time."""
    obx = result.obx
    if need(reading, obx, 3, "observation identifier"):
        coded(reading, obx, 3, _second_identifier)
    value(reading, obx)
    unit(reading, obx)
    flags(reading, obx)
    status(reading, result)
    origin(reading, obx, timeless=timeless)
    if re.search(r"[\^~&]", obx.raw(7)):
        reading.refuse("raw-delimiter", obx.at(7), "the range is plain text")
    if len(obx.raw(4)) > 20 or re.search(r"[\^~&]", obx.raw(4)):
        reading.refuse("sub-id", obx.at(4), "not a run number")
    unused(reading, obx, 9, 12, 13, 14, 15, 17, 20, 22, 23, 24, 25, 26, 27, 28)
    if obx.raw(_LAST) != "RSLT":
        reading.refuse("observation-type", obx.at(_LAST), "must be RSLT")
    last_field(reading, obx, _LAST)


def _second_identifier(parts: list[str]) -> str:
    code, _, system = parts
    if system == "LN":
        return values.loinc(code)
    if system == "IHELAW":
        return "" if code in tables.SUPPLEMENTAL_CLASS else "not a LAW class of supplemental results"
    return "the second triplet is LOINC (LN) or a LAW class (IHELAW)"


def value(reading: Reading, obx: Segment) -> None:
    """OBX-2 names the type whenever OBX-5 is valued (2.5.1), and OBX-5 is what OBX-2 says."""
    kind, raw = obx.raw(2), obx.raw(5)
    if kind and kind not in tables.VALUE_TYPE:
        reading.refuse("table", obx.at(2), "not in table 0125")
    if bool(kind) != bool(raw):
        reading.refuse("value-type", obx.at(2), "type and value go together")
        return
    problem = _TYPES[kind](obx) if kind in _TYPES else ""
    if problem:
        reading.refuse("value-type", obx.at(5), problem)


def _one(check: Callable[[list[str]], str]) -> Callable[[Segment], str]:
    def only_one(obx: Segment) -> str:
        return "repeats" if len(obx.repeats(5)) > 1 else check(obx.components(5))

    return only_one


def _number(parts: list[str]) -> str:
    return "components in a number" if len(parts) > 1 else values.number(parts[0])


def _string(obx: Segment) -> str:
    return values.plain(obx.raw(5), limit=199)


def _text(obx: Segment) -> str:
    return "a raw delimiter in text" if re.search(r"[\^&]", obx.raw(5)) else ""


def _moment(parts: list[str]) -> str:
    return values.time(parts[0], offset=True) if len(parts) == 1 else "components in a time"


def _code(parts: list[str]) -> str:
    return "" if any(parts[:2]) and len(parts) <= 6 else "neither code nor text"


_TYPES: dict[str, Callable[[Segment], str]] = {
    "NM": _one(_number),
    "SN": _one(values.structured_number),
    "ED": _one(values.encapsulated),
    "TS": _one(_moment),
    "CE": _one(_code),
    "ST": _string,
    "TX": _text,
    "FT": _text,
}


def unit(reading: Reading, obx: Segment) -> None:
    """OBX-6: unit as sent in the first triplet, UCUM in the second; or UCUM alone in the first."""
    if not obx.raw(6):
        return
    parts = (obx.components(6) + [""] * 6)[:6]
    if len(obx.components(6)) > 6:
        reading.refuse("triplet", obx.at(6), "more than two triplets")
    problem = _unit(parts[:3], local=True)
    if not problem and any(parts[3:]):
        problem = _unit(parts[3:], local=False)
    if problem:
        reading.refuse("unit", obx.at(6), problem)
    if obx.raw(2) == "ED":
        reading.refuse("unit", obx.at(6), "a picture has no unit")


def _unit(parts: list[str], *, local: bool) -> str:
    code, _, system = parts
    if not code or not system:
        return "a unit without its system, or a system without unit"
    if system == "UCUM":
        return values.ucum(code)
    return values.local_system(system) if local else "the second triplet is UCUM"


def flags(reading: Reading, obx: Segment) -> None:
    """OBX-8 in the coded form LAW takes from 2.7: code, text, system; HL70078 only with a code of that table."""
    for place, _ in enumerate(obx.repeats(8), 1):
        parts = (obx.components(8, place) + [""] * 3)[:3]
        if not parts[0] or not parts[2]:
            reading.refuse("flag", obx.at(8), "a flag without code or system")
        elif parts[2] == "HL70078" and parts[0] not in tables.ABNORMAL_FLAG:
            reading.refuse("table", obx.at(8), "not in table 0078")
        elif parts[2] != "HL70078" and values.local_system(parts[2]):
            reading.refuse("flag", obx.at(8), "neither HL70078 nor a local system")
    for place, code in enumerate(obx.repeats(10), 1):
        if code not in tables.NATURE_OF_TEST:
            reading.refuse("table", obx.at(10), f"repeat {place} not in table 0080")


def status(reading: Reading, result: Result) -> None:
    """OBX-11: required; never a code that means something no analyser said; no value only with X (or I: pending)."""
    obx = result.obx
    code = obx.raw(11)
    if not code:
        reading.refuse("required", obx.at(11), "result status is missing")
    elif code not in tables.RESULT_STATUS:
        reading.refuse("table", obx.at(11), "not in table 0085")
    elif code not in tables.OUR_RESULT_STATUS:
        reading.refuse("status", obx.at(11), "a status no analyser result has")
    if not obx.raw(5) and code not in ("X", "I"):
        reading.refuse("no-result", obx.at(11), "no value: the status must be X")
    if not obx.raw(5) and not result.notes:
        reading.refuse("no-result", obx.at(5), "no value and no note that says why")


def origin(reading: Reading, obx: Segment, *, timeless: bool) -> None:
    need(reading, obx, 18, "equipment")
    for place, _ in enumerate(obx.repeats(18), 1):
        if not obx.component(18, 1, place) or len(obx.components(18, place)) > 4:
            reading.refuse("equipment", obx.at(18), "an equipment id without identifier")
    if not timeless or obx.raw(19):
        need(reading, obx, 19, "time of the analysis")
    is_time(reading, obx, 19)


def sets_of_results(reading: Reading, results: list[Result]) -> None:
    set_ids(reading, [result.obx for result in results], required=True)


def notes(reading: Reading) -> None:
    """NTE: numbered from 1 under its parent, source from table 0105, never without text."""
    for _, run in notes_by_parent(reading):
        set_ids(reading, run, required=True)
        for note in run:
            in_table(reading, note, 2, tables.NOTE_SOURCE, "0105")
            if not note.raw(3):
                reading.refuse("required", note.at(3), "a note without text")
            if re.search(r"[\^&]", note.raw(3)):
                reading.refuse("raw-delimiter", note.at(3), "a raw delimiter in a note")
            last_field(reading, note, 4)
