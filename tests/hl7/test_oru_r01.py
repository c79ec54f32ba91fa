"""ORU^R01^ORU_R01 of HL7 2.5.1: ORC before OBR, SPM after the results, and the results as LAW writes them."""

from dataclasses import replace

import pytest

from hl7 import oru_r01
from hl7.values import Coded, Device, Header, Message, Note, Observation, Order, PatientValues, SpecimenValues

GLUCOSE = Observation(
    code=Coded("GLU", "Glucose", "99ACM", "2345-7", "Glucose SerPl", "LN"),
    status="F",
    type="NM",
    value=("5.10",),
    unit=Coded("mmol/L", "mmol/L", "99ACM", "mmol/L", "", "UCUM"),
    flags=(Coded("H", "", "HL70078"), Coded("VAL", "", "99ACM")),
    nature=("A", "S"),
    observers=("jd", "ver"),
    devices=(Device("AN-200", "ACME"),),
    analysed="20240301101200+0100",
)
RESULTS = Message(
    Header("an1", "site-1", "IVD", "CENTRAL", "20240301101502+0100", "GW1-7", "T"),
    SpecimenValues("498151", Coded("P", "Patient", "HL70369"), collected="20240301093000+0100"),
    (Order(Coded("GLU", "", "99ACM"), (GLUCOSE,), placer="AW-1", priority=Coded("R", "", "HL70485")),),
    PatientValues("PID77"),
    notes=(Note(("possible repeat",), "O"),),
)


def segments(values: Message) -> list[str]:
    return oru_r01.build(values)[:-1].split("\r")


def test_a_result_is_written_byte_for_byte() -> None:
    assert segments(RESULTS) == [
        "MSH|^~\\&|an1|site-1|IVD|CENTRAL|20240301101502+0100||ORU^R01^ORU_R01|GW1-7|T|2.5.1|||NE|AL||UNICODE UTF-8",
        "PID|||PID77||^^^^^^U",
        "ORC|RE||||CM",
        "OBR|1|AW-1||GLU^^99ACM|||20240301093000+0100||||||||||||||||||F",
        "NTE|1|O|possible repeat",
        "TQ1|||||||||R^^HL70485",
        "OBX|1|NM|GLU^Glucose^99ACM^2345-7^Glucose SerPl^LN||5.10|mmol/L^mmol/L^99ACM^mmol/L^^UCUM||H^^HL70078"
        "~VAL^^99ACM||A~S|F|||||jd~ver||AN-200^ACME|20240301101200+0100||||||||||RSLT",
        'SPM|1|498151||""|||||||P^Patient^HL70369||||||20240301093000+0100',
    ]


def test_every_order_has_its_specimen_and_only_the_first_the_notes_on_the_message() -> None:
    order = replace(RESULTS.orders[0], notes=(Note(("clot",), "L"),), priority=Coded())
    names = [line[:5] for line in segments(replace(RESULTS, orders=(order, order), patient=None))]
    assert names == [
        "MSH|^",
        *["ORC|R", "OBR|1", "NTE|1", "NTE|2", "OBX|1", "SPM|1"],
        *["ORC|R", "OBR|2", "NTE|1", "OBX|1", "SPM|1"],
    ]


@pytest.mark.parametrize(
    ("statuses", "obr_25"),
    [("F", "F"), ("FF", "F"), ("P", "P"), ("C", "C"), ("XX", "X"), ("R", "R"), ("S", "A"), ("FX", "A"), ("FC", "A")],
)
def test_the_status_of_an_order_is_what_all_its_results_have(statuses: str, obr_25: str) -> None:
    observations = tuple(replace(GLUCOSE, status=status) for status in statuses)
    order = replace(RESULTS.orders[0], observations=observations)
    (obr,) = [line for line in segments(replace(RESULTS, orders=(order,))) if line.startswith("OBR")]
    assert obr.split("|")[25] == obr_25
