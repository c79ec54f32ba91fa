"""OUL^R22^OUL_R22 in the form of IHE LAW: bytes worked out by hand from HL7 2.5.1 and the fields LAW uses."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hl7 import oul_r22
from hl7.text import unescape
from hl7.values import (
    Coded,
    Device,
    Header,
    Inventory,
    Message,
    Note,
    Observation,
    Order,
    PatientValues,
    SpecimenValues,
)

HEADER = Header("AN-200", "", "AM", "", "20240301101502+0100", "GW1-000123")
SERUM = SpecimenValues("498151", Coded("P", "Patient", "HL70369"), Coded("SER", "Serum", "HL70487"))
GLUCOSE = Observation(
    code=Coded("GLU", "", "99AN200"),
    status="F",
    type="SN",
    value=("<", "0.3"),
    run="1",
    unit=Coded("mmol/L", "mmol/L", "99AN200", "mmol/L", "", "UCUM"),
    range="3.9 to 5.6",
    flags=(Coded("<", "", "HL70078"),),
    observers=("jd",),
    devices=(Device("AN-200", "ACME"), Device("SN42", "ACME")),
    analysed="20240301101200+0100",
)
RESULTS = Message(HEADER, SERUM, (Order(Coded("GLU", "", "99AN200"), (GLUCOSE,)),), PatientValues("PID77"))


def segments(values: Message) -> list[str]:
    text = oul_r22.build(values)
    assert text.endswith("\r")
    return text[:-1].split("\r")


def only_result(observation: Observation) -> str:
    (order,) = RESULTS.orders
    (line,) = [
        line
        for line in segments(replace(RESULTS, orders=(replace(order, observations=(observation,)),)))
        if line.startswith("OBX")
    ]
    return line


def test_the_worked_example_is_written_byte_for_byte() -> None:
    """A single glucose result below the measuring range, as the IHE LAW form asks for it."""
    assert segments(RESULTS) == [
        "MSH|^~\\&|AN-200||AM||20240301101502+0100||OUL^R22^OUL_R22|GW1-000123|P|2.5.1|||NE|AL||UNICODE UTF-8|||"
        "LAB-29^IHE",
        "PID|||PID77||^^^^^^U",
        "SPM|1|498151||SER^Serum^HL70487|||||||P^Patient^HL70369",
        "SAC|||498151",
        'OBR||""||GLU^^99AN200',
        "ORC|SC||||CM",
        "OBX|1|SN|GLU^^99AN200|1|<^0.3|mmol/L^mmol/L^99AN200^mmol/L^^UCUM|3.9 to 5.6|<^^HL70078|||F|||||jd"
        "||AN-200^ACME~SN42^ACME|20240301101200+0100||||||||||RSLT",
    ]


def test_a_control_has_no_pid_and_names_its_material_under_the_container() -> None:
    control = SpecimenValues(
        "QC-L2",
        Coded("Q", "Control specimen", "HL70369"),
        carrier="5",
        position="3",
        inventory=Inventory(Coded("MULTI", "L2", "99ACM"), Coded("CO", "Control", "HL70384"), "20261231", "LOT 7"),
    )
    assert segments(replace(RESULTS, specimen=control, patient=None))[1:5] == [
        'SPM|1|QC-L2||""|||||||Q^Control specimen^HL70369',
        "SAC|||QC-L2|||||||5|3",
        "INV|MULTI^L2^99ACM|OK^^HL70383|CO^Control^HL70384|||||||||20261231||||LOT 7",
        'OBR||""||GLU^^99AN200',
    ]


def test_a_specimen_can_say_when_it_was_taken_and_where_it_stands() -> None:
    specimen = replace(SERUM, collected="20240301093000+0100", location=Coded("A-07", "Position", "99ACM"))
    spm, sac = segments(replace(RESULTS, specimen=specimen))[2:4]
    assert spm == "SPM|1|498151||SER^Serum^HL70487|||||||P^Patient^HL70369||||||20240301093000+0100"
    assert sac == "SAC|||498151||||||||||||A-07^Position^99ACM"


def test_a_patient_is_written_with_what_is_known() -> None:
    patient = PatientValues("900101", ("홍", "길동"), "19900101", "M", (Note(("a remark",), "O"),))
    assert segments(replace(RESULTS, patient=patient))[1:3] == ["PID|||900101||홍^길동||19900101|M", "NTE|1|O|a remark"]


def test_a_patient_without_an_id_has_the_null_in_the_required_field() -> None:
    assert segments(replace(RESULTS, patient=PatientValues(sex="F")))[1] == 'PID|||""||^^^^^^U|||F'


def test_notes_about_the_message_share_the_one_nte_after_msh() -> None:
    notes = (Note(("2 results of this specimen are held",), "O"), Note(("possible repeat",), "O"))
    assert segments(replace(RESULTS, notes=notes))[1] == "NTE|1|O|2 results of this specimen are held~possible repeat"


def test_an_order_is_obr_orc_notes_and_priority_in_this_order() -> None:
    order = replace(
        RESULTS.orders[0],
        placer="AW-1",
        priority=Coded("S", "", "HL70485"),
        notes=(Note(("haemolytic",), "L"), Note(("call ward",), "P")),
    )
    assert segments(replace(RESULTS, orders=(order,)))[4:9] == [
        "OBR||AW-1||GLU^^99AN200",
        "ORC|SC||||CM",
        "NTE|1|L|haemolytic",
        "NTE|2|P|call ward",
        "TQ1|||||||||S^^HL70485",
    ]


def test_set_ids_restart_with_every_obr_and_every_result() -> None:
    noted = replace(GLUCOSE, notes=(Note(("one",), "L"), Note(("two",), "O")))
    order = replace(RESULTS.orders[0], observations=(noted, noted))
    starts = ["|".join(line.split("|")[:2]) for line in segments(replace(RESULTS, orders=(order, order)))[4:]]
    one_order = ["OBR|", "ORC|SC", "OBX|1", "NTE|1", "NTE|2", "OBX|2", "NTE|1", "NTE|2"]
    assert starts == one_order * 2


def test_flags_repeat_each_with_its_system() -> None:
    flagged = replace(GLUCOSE, flags=(Coded("H", "", "HL70078"), Coded("VAL", "", "99ACM")))
    assert only_result(flagged).split("|")[8] == "H^^HL70078~VAL^^99ACM"


def test_a_result_that_cannot_be_had_has_neither_type_nor_value() -> None:
    line = only_result(replace(GLUCOSE, type="", value=(), status="X"))
    assert line.startswith("OBX|1||GLU^^99AN200|1||mmol/L^")
    assert line.split("|")[11] == "X"


def test_a_verifier_without_a_performer_stays_in_the_second_place() -> None:
    assert only_result(replace(GLUCOSE, observers=("", "ver"))).split("|")[16] == "~ver"
    assert only_result(replace(GLUCOSE, observers=("jd", ""))).split("|")[16] == "jd"


def test_the_nature_of_testing_is_left_out_as_law_does_not_use_it() -> None:
    assert only_result(replace(GLUCOSE, nature=("A", "S"))).split("|")[10] == ""


# A plain generator of text hardly ever draws a delimiter, so the example gives every leaf all of them.
ANYTHING = st.text(st.sampled_from('|^~\\&\r\n"F1') | st.characters(exclude_categories=["Cs"]), max_size=8)
HOSTILE = "a|b^c~d\\e&f\rPID|g\nh"


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
@example(*[HOSTILE] * 5)
def test_no_text_anywhere_makes_a_segment_or_a_field_more(a: str, b: str, c: str, d: str, e: str) -> None:
    observation = replace(
        GLUCOSE,
        code=Coded(a, b, "99AN200"),
        value=(c, d),
        run=e,
        unit=Coded(a, b, c, d, e, a),
        range=b,
        flags=(Coded(c, d, "99AN200"),),
        observers=(e, a),
        devices=(Device(b, c),),
        notes=(Note((d,), "L"),),
    )
    lines = segments(
        Message(
            Header(a, b, c, d, "20240301101502+0100", e),
            SpecimenValues(
                c,
                Coded("P", d, "HL70369"),
                Coded(e, a, "99AN200"),
                carrier=b,
                position="1" + d,
                inventory=Inventory(Coded(a, b, "99AN200"), Coded("CO"), "", c),
            ),
            (Order(Coded(c, d, "99AN200"), (observation,), placer=e),),
            PatientValues(a, (b, c), "", ""),
        )
    )
    assert [line[:3] for line in lines] == ["MSH", "PID", "SPM", "SAC", "INV", "OBR", "ORC", "OBX", "NTE"]
    assert [line.count("|") for line in lines if line[:3] in ("MSH", "SAC", "OBX", "NTE")] == [20, 11, 29, 3]
    assert lines[4].count("|") in (3, 16)
    assert unescape(lines[7].split("|")[5]) in (f"{c}^{d}", c if not d else f"{c}^{d}")  # no empty part at the end


def test_the_property_above_would_see_a_text_that_is_not_escaped() -> None:
    raw = "OBX|1|ST|GLU||{}|".format("a|b\rPID|1")
    assert len(raw.split("\r")) == 2


@pytest.mark.parametrize("value", ["양성", "µg ^ | \\ & ~", '""', "a\r\nb"])
def test_the_text_of_a_value_can_be_taken_back_from_obx_5(value: str) -> None:
    assert unescape(only_result(replace(GLUCOSE, type="ST", value=(value,))).split("|")[5]) == value
