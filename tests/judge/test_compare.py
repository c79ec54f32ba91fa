"""The comparison of a message with expectations: agreement on a hand-written pair, and a difference for each change."""

from collections.abc import Mapping
from typing import Any

import pytest
from judge.compare import compare, compare_all
from judge.verdict import judge
from spoiled.changes import Change, drop, put

SPECIMEN: Mapping[str, Any] = {
    "id": "498151",
    "role": "P",
    "patient_id": "PID77",
    "patient_name": "김^민준",
    "type": "SER",
    "order_comments": ["용혈 검체"],
    "observations": [
        {"code": "GLU", "value": "<0.3", "unit": "mmol/L", "flags": ["<"], "status": "F", "range": "3.9 to 5.6",
         "completed": "20240301101200", "operator": "jd", "ucum": "mmol/L", "hl7_type": "SN", "hl7_value": "<^0.3"},
        {"code": "VL", "value": "128,40", "unit": "copies/mL", "flags": [], "status": "F",
         "not_ucum": "10*3/uL", "loinc": ""},
        {"code": "WBC", "value": "----", "unit": "10*3/uL", "flags": ["A"], "status": "F", "no_result": True,
         "loinc": "6690-2", "comments": ["analysis error"]},
        {"code": "PLT", "value": "12", "unit": "", "flags": [], "status": "V"},
    ],
}  # fmt: skip
_END = "|||||jd||AN-200^ACME|20240301101200+0100||||||||||RSLT"
MESSAGE = "".join(
    segment + "\r"
    for segment in (
        "MSH|^~\\&|an1|lab-1|IVD||20240301101502+0100||OUL^R22^OUL_R22|7K2QX9AB-1|P|2.5.1|||NE|AL"
        "||UNICODE UTF-8|||LAB-29^IHE",
        "PID|||PID77||김^민준^^^^^L",
        "SPM|1|498151||SER|||||||P^Patient^HL70369",
        "SAC|||498151",
        'OBR|1|""||GLU^^99AN200',
        "ORC|SC||||CM",
        "NTE|1|L|용혈 검체",
        "OBX|1|SN|GLU^^99AN200||<^0.3|mmol/L^^99AN200^mmol/L^^UCUM|3.9 to 5.6|<^^HL70078|||F" + _END,
        "OBX|2|NM|VL^^99AN200||128.40|copies/mL^^99AN200|||||F" + _END,
        "NTE|1|L|as sent: 128,40",
        "OBX|3||WBC^^99AN200^6690-2^^LN|||10*3/uL^^99AN200||A^^HL70078|||X" + _END,
        "NTE|1|L|analysis error",
        "OBX|4|NM|PLT^^99AN200||12||||||F" + _END,
        "OBX|5|ST|SCAT^^99AN200^S_OTHER^^IHELAW||file.png||||||F" + _END,
    )
).encode()


def test_a_message_that_says_what_is_expected_has_no_differences() -> None:
    assert judge(MESSAGE) == []
    assert compare(MESSAGE, SPECIMEN) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (put("SPM", 2, "498152"), "specimen id differs"),
        (put("SPM", 11, "Q^^HL70369"), "role differs"),
        (put("SPM", 4, '""'), "specimen type differs"),
        (put("PID", 3, "PID78"), "patient id differs"),
        (put("PID", 5, "김^민중"), "patient name differs"),
        (drop("NTE"), "comment 1 is in no note"),
        (drop("OBX", 4), "number of results differs"),
        (put("OBX", 3, "GLUC^^99AN200"), "GLU: code differs"),
        (put("OBX", 5, "<^0.30"), "GLU: OBX-5 differs"),
        (put("OBX", 2, "ST"), "GLU: OBX-2 differs"),
        (put("OBX", 6, "mg/dL^^99AN200^mmol/L^^UCUM"), "GLU: unit is not as sent"),
        (put("OBX", 6, "mmol/L^^99AN200^mg/dL^^UCUM"), "GLU: UCUM differs"),
        (put("OBX", 7, "3.9-5.6"), "GLU: range differs"),
        (put("OBX", 8, ""), "GLU: flags differs"),
        (put("OBX", 11, "P"), "GLU: status differs"),
        (put("OBX", 16, "kd"), "GLU: operator is missing"),
        (put("OBX", 19, "20240301101300+0100"), "GLU: time differs"),
        (drop("NTE", 2), "VL: the value is not the text the analyser sent"),
        (put("OBX", 5, "128.4", 2), "VL: the value is not the text the analyser sent"),
        (put("OBX", 6, "copies/mL^^99AN200^10*3/uL^^UCUM", 2), "VL: a UCUM unit of another magnitude"),
        (put("OBX", 3, "VL^^99AN200^20447-9^^LN", 2), "VL: LOINC differs"),
        (put("OBX", 5, "0", 3), "WBC: a value or another status than X where there is no result"),
        (put("OBX", 11, "F", 3), "WBC: status differs"),
        (drop("NTE", 3), "WBC: comment 1 is in no note"),
    ],
)
def test_a_change_is_named(change: Change, difference: str) -> None:
    assert difference in compare(change(MESSAGE), SPECIMEN)


def test_held_and_interrupted_specimens_expect_no_message() -> None:
    expected = {
        "specimens": [SPECIMEN, {**SPECIMEN, "id": "", "hold": "no-specimen-id"}, {**SPECIMEN, "interrupted": True}]
    }
    assert compare_all([MESSAGE], expected) == []
    assert compare_all([MESSAGE, MESSAGE], expected) == ["2 messages, expected 1"]
    assert compare_all([], expected) == ["0 messages, expected 1"]


def test_a_control_says_what_it_is() -> None:
    control = {"id": "498151", "role": "P", "control": {"level": "SER", "lot": ""}, "observations": None}
    assert compare(MESSAGE, control) == []
    assert compare(MESSAGE, {**control, "control": {"lot": "L7781"}}) == ["control lot is not in the message"]


def test_what_belongs_to_a_result_is_compared_and_must_be_marked_as_such() -> None:
    path = {"code": "SCAT", "value": "file.png", "unit": "", "flags": [], "status": "F", "kind": "other"}
    specimen = {**SPECIMEN, "observations": [*SPECIMEN["observations"], path]}
    assert compare(MESSAGE, specimen) == []
    assert compare(MESSAGE.replace(b"file.png", b"other.png"), specimen) != []
    assert compare(MESSAGE.replace(b"^S_OTHER^^IHELAW", b""), specimen) != []
