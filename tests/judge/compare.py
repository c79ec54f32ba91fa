"""Compare an emitted HL7 message with the hand-worked expectations of a device's sample (``expected.json``).

``compare`` takes one message and one specimen of the expectations, ``compare_all`` all messages of a sample. Both
return differences in words; an empty list means agreement. Keys an expectation leaves out are not compared; ``null``
says that the documents leave the point open. The keys are described in ``README.md`` beside this file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from judge.reader import Reading, Segment, read, unescape
from judge.structure import Result, orders

Expected = Mapping[str, Any]

_STATUS = {"F": "F", "P": "P", "C": "C", "X": "X", "I": "I", "S": "S", "V": "F", "W": "R"}
_SUPPLEMENTAL = "IHELAW"


def compare_all(payloads: Sequence[bytes], expected: Expected) -> list[str]:
    """Every specimen that is not held has exactly one message, a held one has none."""
    wanted = [specimen for specimen in expected["specimens"] if publishable(specimen)]
    differences = []
    if len(payloads) != len(wanted):
        differences.append(f"{len(payloads)} messages, expected {len(wanted)}")
    for place, (payload, specimen) in enumerate(zip(payloads, wanted, strict=False), 1):
        differences += [f"message {place}: {text}" for text in compare(payload, specimen)]
    return differences


def publishable(specimen: Expected) -> bool:
    """Neither held nor interrupted, and with something to publish."""
    if specimen.get("hold") or specimen.get("interrupted"):
        return False
    return any(not o.get("interrupted") for o in specimen.get("observations", ())) or bool(specimen.get("report_type"))


def compare(payload: bytes, specimen: Expected) -> list[str]:
    """Differences between one message and one specimen of the expectations."""
    reading = read(payload)
    differences = [str(finding) for finding in reading.findings]
    spm = next(iter(reading.named("SPM")), None)
    if spm is None:
        return [*differences, "no SPM"]
    differences += _specimen(reading, spm, specimen)
    differences += _control(reading, specimen.get("control", {}))
    differences += _remarks(reading, specimen)
    if specimen.get("observations") is not None:
        differences += _observations(reading, specimen["observations"])
    return differences


def _specimen(reading: Reading, spm: Segment, specimen: Expected) -> list[str]:
    differences = _same("specimen id", spm.text(2), specimen["id"])
    differences += _same("role", spm.text(11), specimen["role"])
    if specimen.get("type"):
        differences += _same("specimen type", spm.text(4), specimen["type"])
    pid = next(iter(reading.named("PID")), None)
    if specimen.get("patient_id") and specimen["role"] == "P":
        differences += _same("patient id", pid.text(3) if pid else "", specimen["patient_id"])
    if specimen.get("patient_name"):
        sent = pid.components(5)[: len(specimen["patient_name"].split("^"))] if pid else []
        differences += _same("patient name", "^".join(unescape(part) for part in sent), specimen["patient_name"])
    return differences


def _control(reading: Reading, control: Expected) -> list[str]:
    """A control's lot, level and name are somewhere in INV or SPM: where exactly is the builder's choice."""
    sent = " ".join(unescape(f) for s in reading.segments if s.name in ("INV", "SPM", "NTE") for f in s.fields)
    return [f"control {key} is not in the message" for key, text in control.items() if text and text not in sent]


def _remarks(reading: Reading, specimen: Expected) -> list[str]:
    """Comments on patient, specimen and order appear as notes that are not under an OBX."""
    under_results = {id(note) for order in orders(reading) for result in order.results for note in result.notes}
    sent = "\n".join(_note(note) for note in reading.named("NTE") if id(note) not in under_results)
    wanted = [t for key in ("comments", "order_comments", "order_comments_include") for t in specimen.get(key, ())]
    return [f"comment {place} is in no note" for place, text in enumerate(wanted, 1) if text not in sent]


def _observations(reading: Reading, expected: Sequence[Expected]) -> list[str]:
    kept = [o for o in expected if not o.get("hold") and not o.get("interrupted")]
    wanted = [o for o in kept if o.get("kind", "result") == "result"]
    sent = [result for order in orders(reading) for result in order.results if _is_result(result.obx)]
    differences = _same("number of results", str(len(sent)), str(len(wanted)))
    pairs = [*zip(sent, wanted, strict=False), *_supplemental(reading, [o for o in kept if o not in wanted])]
    if len(pairs) < len(kept):
        differences.append("what belongs to a result is not marked as such")
    for result, observation in pairs:
        differences += [f"{observation['code']}: {text}" for text in _observation(result, observation)]
    return differences


def _supplemental(reading: Reading, wanted: list[Expected]) -> list[tuple[Result, Expected]]:
    """What expectations say of observations that are no results, each with the next OBX of LAW's class for the rest."""
    found = [result for order in orders(reading) for result in order.results if result.obx.text(3, 4) == "S_OTHER"]
    return list(zip(found, wanted, strict=False))


def _is_result(obx: Segment) -> bool:
    return obx.raw(2) != "ED" and _SUPPLEMENTAL not in (obx.component(3, 3), obx.component(3, 6))


def _observation(result: Result, expected: Expected) -> list[str]:
    obx = result.obx
    differences = _same("code", obx.text(3), expected["code"])
    differences += _value(result, expected)
    differences += _unit(obx, expected)
    differences += _same("flags", _flags(obx), ",".join(expected["flags"]))
    differences += _status(obx, expected)
    differences += _details(result, expected)
    return differences


def _value(result: Result, expected: Expected) -> list[str]:
    obx = result.obx
    if expected.get("no_result") or not expected["value"]:
        empty = not obx.raw(5) and obx.raw(11) in ("X", "I")
        return [] if empty else ["a value or another status than X where there is no result"]
    if expected.get("hl7_type"):
        return _same("OBX-2", obx.raw(2), expected["hl7_type"]) + _same("OBX-5", obx.raw(5), expected["hl7_value"])
    return [] if _source_text_kept(result, expected["value"]) else ["the value is not the text the analyser sent"]


def _source_text_kept(result: Result, source: str) -> bool:
    """The joined components are the source; or a number with a point stands for a comma and a note has the source."""
    sent = unescape(result.obx.raw(5).replace("^", "" if result.obx.raw(2) == "SN" else "^"))
    if sent == source:
        return True
    noted = any(source in _note(note) for note in result.notes)
    blankless = result.obx.raw(2) == "SN" and sent == source.replace(" ", "")
    return blankless or (result.obx.raw(2) == "NM" and sent == source.replace(",", ".") and noted)


def _unit(obx: Segment, expected: Expected) -> list[str]:
    sent = [obx.text(6, c) for c in (1, 2)]
    differences = [] if expected["unit"] in sent or not (expected["unit"] or any(sent)) else ["unit is not as sent"]
    if "ucum" in expected:
        differences += _same("UCUM", ucum(obx), expected["ucum"])
    if expected.get("not_ucum") and ucum(obx) == expected["not_ucum"]:
        differences.append("a UCUM unit of another magnitude")
    return differences


def ucum(obx: Segment) -> str:
    """The UCUM code of OBX-6, or ""."""
    return next((obx.text(6, c) for c in (4, 1) if obx.component(6, c + 2) == "UCUM"), "")


def loinc(obx: Segment) -> str:
    """The LOINC code of OBX-3, or ""."""
    return next((obx.text(3, c) for c in (4, 1) if obx.component(3, c + 2) == "LN"), "")


def _flags(obx: Segment) -> str:
    return ",".join(obx.text(8, 1, repeat) for repeat in range(1, len(obx.repeats(8)) + 1))


def _status(obx: Segment, expected: Expected) -> list[str]:
    if "hl7_status" in expected:
        wanted = expected["hl7_status"]
    else:
        wanted = "X" if expected.get("no_result") or not expected["value"] else _STATUS.get(expected["status"])
    return _same("status", obx.raw(11), wanted) if wanted else []


def _details(result: Result, expected: Expected) -> list[str]:
    obx = result.obx
    differences = _same("range", obx.text(7), expected["range"]) if "range" in expected else []
    if "loinc" in expected:
        differences += _same("LOINC", loinc(obx), expected["loinc"])
    if "completed" in expected:
        stamp = obx.raw(19).partition("+")[0].partition("-")[0]
        differences += _same("time", stamp, expected["completed"])
    if "operator" in expected and expected["operator"] not in [unescape(c) for c in obx.components(16)]:
        differences.append("operator is missing")
    sent = "\n".join(_note(note) for note in result.notes)
    wanted = expected.get("comments", ())
    return differences + [f"comment {n} is in no note" for n, text in enumerate(wanted, 1) if text not in sent]


def _note(note: Segment) -> str:
    return "\n".join(unescape(repeat) for repeat in note.repeats(3))


def _same(what: str, sent: str, wanted: str) -> list[str]:
    return [] if sent == wanted else [f"{what} differs"]
