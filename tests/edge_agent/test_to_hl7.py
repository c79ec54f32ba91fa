"""A canonical report as HL7 bytes, worked out by hand from HL7 2.5.1 and IHE LAW."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.canonical import (
    Comment,
    Control,
    Graphic,
    Hold,
    Kind,
    Observation,
    Order,
    Patient,
    Report,
    Role,
    Sender,
    Specimen,
)
from drivers.coding import CodeRow, Coding, rows_by_code
from edge_agent.to_hl7 import Envelope, NothingToSendError, messages
from edge_agent.to_hl7_observation import HeldError
from hl7.errors import Hl7Error, UnwritableError
from hl7.text import unescape

GLUCOSE = Observation(
    code="GLU",
    full_code="^^^GLU",
    value="<0.3",
    unit="mmol/L",
    range="3.9 to 5.6",
    flags=("<",),
    status="F",
    run="1",
    operators=("jd",),
    started="20240301101000",
    completed="20240301101200",
    instrument="AN-200",
)
ORDER = Order(
    codes=("GLU",),
    priority="R",
    report_type="F",
    collected="20240301093000",
    observations=(GLUCOSE,),
)
SPECIMEN = Specimen(id="498151", patient=Patient(id="PID77"), type="SER", orders=(ORDER,))
REPORT = Report(sender=Sender("AN-200", "SN42", "1.3"), processing_id="P")
CODING = Coding(
    system="99ACM",
    manufacturer="ACME",
    model="AN-200",
    rows=rows_by_code([CodeRow("GLU", units={"mmol/L": "mmol/L"})]),
)
ENVELOPE = Envelope(
    message_id="GW1-000123",
    at=datetime(2024, 3, 1, 9, 15, 2, tzinfo=UTC),
    analyser="an1",
    site="seoul-01",
    gateway="gw-01",
    receiving_application="AM",
    receiving_facility="CENTRAL",
    mode="production",
    message="OUL_R22",
    timezone=ZoneInfo("Europe/Berlin"),
)
PLAIN = replace(ENVELOPE, message="ORU_R01")


def segments(
    specimen: Specimen = SPECIMEN, envelope: Envelope = ENVELOPE, *, held: int = 0, possible_repeat: bool = False
) -> list[str]:
    payload = messages(specimen, REPORT, CODING, envelope, held=held, possible_repeat=possible_repeat)
    assert payload.endswith(b"\r")
    return payload.decode("utf-8")[:-1].split("\r")


def named(name: str, lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(name)]


def with_observations(*observations: Observation, codes: tuple[str, ...] = ()) -> Specimen:
    return replace(SPECIMEN, orders=(Order(codes=codes, report_type="F", observations=observations),))


def test_the_worked_example_becomes_these_bytes() -> None:
    """H, P, O and R of one glucose below the range, clock set to +01:00. As published, plus what its records also say:
    the collection time of O.8 in SPM-17 and the priority of O.6 in TQ1-9."""
    assert segments() == [
        "MSH|^~\\&|an1|seoul-01|AM|CENTRAL|20240301101502+0100||OUL^R22^OUL_R22|GW1-000123|P|2.5.1|||NE|AL"
        "||UNICODE UTF-8|||LAB-29^IHE",
        "PID|||PID77||^^^^^^U",
        "SPM|1|498151||SER^Serum^HL70487|||||||P^Patient^HL70369||||||20240301093000+0100",
        "SAC|||498151",
        'OBR||""||GLU^^99ACM',
        "ORC|SC||||CM",
        "TQ1|||||||||R^^HL70485",
        "OBX|1|SN|GLU^^99ACM|1|<^0.3|mmol/L^mmol/L^99ACM^mmol/L^^UCUM|3.9 to 5.6|<^^HL70078|||F|||||jd"
        "||AN-200^ACME~SN42^ACME|20240301101200+0100||||||||||RSLT",
    ]


def test_a_site_without_law_gets_the_same_result_as_oru() -> None:
    assert segments(envelope=PLAIN) == [
        "MSH|^~\\&|an1|seoul-01|AM|CENTRAL|20240301101502+0100||ORU^R01^ORU_R01|GW1-000123|P|2.5.1|||NE|AL"
        "||UNICODE UTF-8",
        "PID|||PID77||^^^^^^U",
        "ORC|RE||||CM",
        'OBR|1|""||GLU^^99ACM|||20240301093000+0100||||||||||||||||||F',
        "TQ1|||||||||R^^HL70485",
        "OBX|1|SN|GLU^^99ACM|1|<^0.3|mmol/L^mmol/L^99ACM^mmol/L^^UCUM|3.9 to 5.6|<^^HL70078|||F|||||jd"
        "||AN-200^ACME~SN42^ACME|20240301101200+0100||||||||||RSLT",
        "SPM|1|498151||SER^Serum^HL70487|||||||P^Patient^HL70369||||||20240301093000+0100",
    ]


def test_an_analyser_in_validation_sends_training_messages() -> None:
    msh = segments(envelope=replace(ENVELOPE, mode="validation"))[0]
    assert msh.split("|")[10] == "T"


def test_the_same_report_gives_the_same_bytes() -> None:
    assert segments() == segments()


@pytest.mark.parametrize(
    ("held", "possible_repeat", "note"),
    [
        (1, False, "1 result of this specimen is held"),
        (3, False, "3 results of this specimen are held"),
        (0, True, "possible repeat"),
        (2, True, "2 results of this specimen are held~possible repeat"),
    ],
)
def test_what_stays_behind_and_what_may_be_a_repeat_is_said(held: int, possible_repeat: bool, note: str) -> None:
    assert segments(held=held, possible_repeat=possible_repeat)[1] == f"NTE|1|O|{note}"
    plain = named("NTE", segments(envelope=PLAIN, held=held, possible_repeat=possible_repeat))
    assert plain == [f"NTE|{n}|O|{text}" for n, text in enumerate(note.split("~"), start=1)]


def test_a_control_has_no_patient_even_where_the_analyser_sent_one() -> None:
    control = replace(
        SPECIMEN,
        id="QC-L2",
        role=Role.CONTROL,
        patient=Patient("PID77", "DOE^JANE", "19700101", "F"),
        type="",
        rack="5",
        position="3",
        control=Control(lot="LOT 7", level="L2", name="MULTI", expiry="20261231"),
    )
    lines = segments(control)
    assert not named("PID", lines)
    assert lines[1:4] == [
        'SPM|1|QC-L2||""|||||||Q^Control specimen^HL70369||||||20240301093000+0100',
        "SAC|||QC-L2|||||||5|3",
        "INV|MULTI^L2^99ACM|OK^^HL70383|CO^Control^HL70384|||||||||20261231||||LOT 7",
    ]
    plain = segments(control, PLAIN)
    assert not named("PID", plain)
    assert [line.split("|")[3] for line in named("NTE", plain)] == [
        "control name: MULTI",
        "control level: L2",
        "control lot: LOT 7",
        "control expiry: 20261231",
    ]


@pytest.mark.parametrize(
    ("role", "spm_11", "inv_3"),
    [
        (Role.PATIENT, "P^Patient^HL70369", None),
        (Role.CONTROL, "Q^Control specimen^HL70369", "CO^Control^HL70384"),
        (Role.ELECTRONIC_CONTROL, "E^Electronic QC^HL70369", "CO^Control^HL70384"),
        (Role.CALIBRATOR, "C^Calibrator^HL70369", "RC^Reagent calibrator^HL70384"),
        (Role.VERIFIER, "V^Verifying calibrator^HL70369", "RC^Reagent calibrator^HL70384"),
        (Role.BLIND, "B^Blind sample^HL70369", None),
        (Role.PROFICIENCY, "F^Organization proficiency^HL70369", None),
        (Role.OPERATOR_PROFICIENCY, "O^Operator proficiency^HL70369", None),
    ],
)
def test_every_role_is_said_and_only_a_patient_has_a_pid(role: Role, spm_11: str, inv_3: str | None) -> None:
    lines = segments(replace(SPECIMEN, role=role))
    assert named("SPM", lines)[0].split("|")[11] == spm_11
    assert [line.split("|")[3] for line in named("INV", lines)] == ([inv_3] if inv_3 else [])
    assert bool(named("PID", lines)) is (role is Role.PATIENT)


def test_a_control_without_a_name_is_named_by_its_specimen_id() -> None:
    lines = segments(replace(SPECIMEN, role=Role.CONTROL))
    assert named("INV", lines) == ["INV|498151^^99ACM|OK^^HL70383|CO^Control^HL70384"]


def test_an_expiry_that_is_no_date_is_kept_in_a_note() -> None:
    lines = segments(replace(SPECIMEN, role=Role.CONTROL, control=Control(expiry="12/2026")))
    assert named("NTE", lines) == ["NTE|1|O|control expiry: 12/2026"]


@pytest.mark.parametrize(
    ("patient", "pid"),
    [
        (Patient(), []),
        (Patient(id="900101-1"), ["PID|||900101-1||^^^^^^U"]),
        (Patient("1", "홍^길동", "19900101", "M"), ["PID|||1||홍^길동||19900101|M"]),
        (Patient("1", "DOE^JANE^A^JR^DR"), ["PID|||1||DOE^JANE^A^JR^DR"]),
        (Patient("1", "A^B^C^D^E^F^G"), ["PID|||1||A^B^C^D^E\\S\\F\\S\\G"]),
        (Patient("1", "^^^^"), ["PID|||1||^^^^^^U"]),
        (Patient("", "DOE & SON"), ['PID|||""||DOE \\T\\ SON']),
        (Patient("1", sex="X"), ["PID|||1||^^^^^^U"]),
        (Patient("1", sex="f"), ["PID|||1||^^^^^^U"]),
        (Patient("1", birth_date="00000000"), ["PID|||1||^^^^^^U", "NTE|1|O|birth date as sent: 00000000"]),
    ],
)
def test_a_patient_is_what_the_analyser_said_and_no_more(patient: Patient, pid: list[str]) -> None:
    lines = segments(replace(SPECIMEN, patient=patient))
    assert lines[1 : 1 + len(pid)] == pid
    assert lines[1 + len(pid)].startswith("SPM")


@pytest.mark.parametrize(
    ("sent", "spm_4"),
    [
        ("SER", "SER^Serum^HL70487"),
        ("CSF", "CSF^Cerebral spinal fluid^HL70487"),
        ("CVX", "CVX^^HL70487"),
        ("", '""'),
        ("Serum", "Serum^Serum^99ACM"),
        ("ser", "ser^ser^99ACM"),
        ("CTRL", "CTRL^CTRL^99ACM"),
    ],
)
def test_a_specimen_type_is_of_table_0487_or_the_analysers_own(sent: str, spm_4: str) -> None:
    assert named("SPM", segments(replace(SPECIMEN, type=sent)))[0].split("|")[4] == spm_4


@pytest.mark.parametrize(
    ("position", "sac"),
    [
        ("", "SAC|||498151|||||||R1"),
        ("07", "SAC|||498151|||||||R1|07"),
        ("A-7", "SAC|||498151|||||||R1|||||A-7^Position^99ACM"),
    ],
)
def test_a_position_is_a_number_or_a_place(position: str, sac: str) -> None:
    assert named("SAC", segments(replace(SPECIMEN, rack="R1", position=position))) == [sac]


def test_collection_times_that_disagree_are_said_and_none_is_chosen() -> None:
    other = replace(ORDER, collected="20240301094500")
    lines = segments(replace(SPECIMEN, orders=(ORDER, other)))
    assert named("SPM", lines) == ["SPM|1|498151||SER^Serum^HL70487|||||||P^Patient^HL70369"]
    assert named("NTE", lines) == [
        "NTE|1|O|collection time as sent: 20240301093000",
        "NTE|2|O|collection time as sent: 20240301094500",
    ]


def test_an_order_for_one_test_keeps_everything_measured_for_it_together() -> None:
    index = replace(GLUCOSE, code="GLU-IDX", kind=Kind.OTHER, unit="")
    lines = segments(with_observations(GLUCOSE, index, codes=("GLU",)))
    assert [line[:6] for line in lines[4:]] == ['OBR||"', "ORC|SC", "OBX|1|", "OBX|2|"]
    assert named("OBR", lines) == ['OBR||""||GLU^^99ACM']


@pytest.mark.parametrize("codes", [(), ("A", "B")])
def test_an_order_for_several_tests_has_an_obr_for_each_run_of_one_test(codes: tuple[str, ...]) -> None:
    a, b = replace(GLUCOSE, code="A", name="Test A"), replace(GLUCOSE, code="B")
    lines = segments(with_observations(a, a, b, a, codes=codes))
    assert [line.split("|")[4] for line in named("OBR", lines)] == ["A^^99ACM", "B^^99ACM", "A^^99ACM"]
    assert [line.split("|")[1] for line in named("OBX", lines)] == ["1", "2", "1", "1"]


def test_comments_on_an_order_are_said_once() -> None:
    order = Order(
        codes=("A", "B"), comments=(Comment("clot", "I"),), observations=(GLUCOSE, replace(GLUCOSE, code="B"))
    )
    assert named("NTE", segments(replace(SPECIMEN, orders=(order,)))) == ["NTE|1|L|clot"]


def test_orders_never_share_an_obr() -> None:
    placed = (replace(ORDER, placer="AW-1"), replace(ORDER, placer="AW-2"))
    lines = segments(replace(SPECIMEN, orders=placed))
    assert [line.split("|")[2] for line in named("OBR", lines)] == ["AW-1", "AW-2"]


@pytest.mark.parametrize("sent", ["S", "A", "R", "C", "P"])
def test_a_priority_of_lis02_is_one_of_hl7(sent: str) -> None:
    lines = segments(replace(SPECIMEN, orders=(replace(ORDER, priority=sent),)))
    assert named("TQ1", lines) == [f"TQ1|||||||||{sent}^^HL70485"]


def test_another_priority_is_kept_in_a_note() -> None:
    lines = segments(replace(SPECIMEN, orders=(replace(ORDER, priority="9"),)))
    assert (named("TQ1", lines), named("NTE", lines)) == ([], ["NTE|1|O|priority as sent: 9"])
    assert not named("TQ1", segments(replace(SPECIMEN, orders=(replace(ORDER, priority=""),))))


def test_comments_stand_under_what_they_are_about() -> None:
    noted = replace(GLUCOSE, comments=(Comment("of the result", "I"),))
    order = replace(ORDER, comments=(Comment("of the order", "P"),), observations=(noted,), priority="")
    """LIS02-A2 10: after the record it is about, so in HL7 after its segment; OUL_R22 has NTE after PID."""
    noted = replace(SPECIMEN, comments=(Comment("of the patient", "I"),), orders=(order, ORDER))
    lines = segments(noted)
    assert [line[:3] for line in lines[1:]] == [
        *["PID", "NTE", "SPM", "SAC"],
        *["OBR", "ORC", "NTE", "OBX", "NTE"],
        *["OBR", "ORC", "TQ1", "OBX"],
    ]
    assert named("NTE", lines) == ["NTE|1|L|of the patient", "NTE|1|P|of the order", "NTE|1|L|of the result"]
    unnamed = segments(replace(noted, patient=Patient()))
    assert named("NTE", unnamed)[:2] == ["NTE|1|L|of the patient", "NTE|2|P|of the order"]


IMAGE = replace(GLUCOSE, kind=Kind.GRAPHIC, value="", graphic=Graphic("IM", "PNG", "Base64", "iVBORw0KGgo="))


def test_values_never_wait_for_images() -> None:
    both = with_observations(GLUCOSE, IMAGE, codes=("GLU",))
    assert [line.split("|")[2] for line in named("OBX", segments(both))] == ["SN"]


def test_images_travel_in_a_message_of_their_own() -> None:
    payload = messages(with_observations(IMAGE), REPORT, CODING, ENVELOPE, held=0, possible_repeat=False, graphics=True)
    (obx,) = named("OBX", payload.decode().split("\r"))
    assert obx.split("|")[2:6] == [
        "ED",
        "GLU^^99ACM^S_IMAGE^Image Supplemental^IHELAW",
        "1",
        "^IM^PNG^Base64^iVBORw0KGgo=",
    ]


@pytest.mark.parametrize(
    "empty", [replace(SPECIMEN, orders=()), with_observations(), with_observations(IMAGE, codes=("GLU",))]
)
def test_a_message_without_results_is_refused(empty: Specimen) -> None:
    with pytest.raises(NothingToSendError):
        segments(empty)


@pytest.mark.parametrize(
    "held",
    [
        replace(SPECIMEN, holds=(Hold("role-undecided"),)),
        replace(SPECIMEN, id=""),
        with_observations(GLUCOSE, replace(GLUCOSE, holds=(Hold("undecodable"),))),
        with_observations(replace(GLUCOSE, unit="mg/dL")),
    ],
)
def test_what_is_held_cannot_be_sent_by_mistake(held: Specimen) -> None:
    with pytest.raises(HeldError):
        segments(held)


def test_half_a_character_is_refused_without_repeating_the_text() -> None:
    with pytest.raises(UnwritableError) as caught:
        segments(replace(SPECIMEN, id="AB\ud800"))
    assert "AB" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("value", ["양성 (++)", "음성", "µg²", "Ω"])
def test_letters_of_any_script_arrive_as_utf_8(value: str) -> None:
    payload = messages(
        with_observations(replace(GLUCOSE, value=value)), REPORT, CODING, ENVELOPE, held=0, possible_repeat=False
    )
    assert f"|{value}|".encode() in payload


# A plain generator of text hardly ever draws a delimiter, so the example gives every leaf all of them.
LEAF = st.text(st.sampled_from('|^~\\&\r\n"<5.,') | st.characters(exclude_categories=["Cs"]), max_size=8)


HOSTILE = "a|b^c~d\\e&f\rPID|g\nh"


@st.composite
def specimens(draw: Callable[[st.SearchStrategy[str]], str]) -> Specimen:
    return specimen_of(lambda: draw(LEAF))


def specimen_of(leaf: Callable[[], str]) -> Specimen:
    """Every text of it is one ``leaf`` gave."""
    observation = Observation(
        code=leaf(),
        full_code=leaf(),
        component=leaf(),
        name=leaf(),
        value=leaf(),
        unit=leaf(),
        range=leaf(),
        flags=(leaf(), leaf()),
        status=leaf(),
        run=leaf(),
        operators=(leaf(), leaf()),
        completed=leaf(),
        instrument=leaf(),
        no_result=leaf(),
        comments=(Comment(leaf(), leaf()),),
    )
    order = Order(codes=(leaf(),), placer=leaf(), priority=leaf(), collected=leaf(), observations=(observation,))
    return Specimen(
        id="1" + leaf(),
        patient=Patient(leaf(), leaf(), leaf(), leaf()),
        type=leaf(),
        rack=leaf(),
        position=leaf(),
        comments=(Comment(leaf()),),
        orders=(order,),
    )


FIELDS = {"MSH": 20, "OBX": 29, "ORC": 5}


@settings(deadline=None)
@given(specimens(), st.sampled_from(["OUL_R22", "ORU_R01"]))
@example(specimen_of(lambda: HOSTILE), "OUL_R22")
@example(specimen_of(lambda: HOSTILE), "ORU_R01")
def test_no_text_of_an_analyser_changes_the_shape_of_a_message(specimen: Specimen, kind: str) -> None:
    lines = segments(specimen, replace(ENVELOPE, message=kind))
    names = [line.split("|")[0] for line in lines if not line.startswith("NTE")]
    optional = {"PID", "TQ1"}
    law, plain = ["MSH", "SPM", "SAC", "OBR", "ORC", "OBX"], ["MSH", "ORC", "OBR", "OBX", "SPM"]
    assert [n for n in names if n not in optional] == (law if kind == "OUL_R22" else plain)
    assert len(names) == len({*names})
    if kind == "OUL_R22":
        assert {line[:3]: line.count("|") for line in lines if line[:3] in FIELDS} == FIELDS


@settings(deadline=None)
@given(LEAF.filter(bool), st.sampled_from([".", ","]))
def test_the_value_as_sent_can_be_taken_back_from_the_message(value: str, decimal: str) -> None:
    """From OBX-5, or from the note beside it where a decimal comma was read."""
    coding = replace(CODING, decimal=decimal)
    payload = messages(
        with_observations(replace(GLUCOSE, value=value)), REPORT, coding, ENVELOPE, held=0, possible_repeat=False
    )
    lines = payload.decode()[:-1].split("\r")
    obx = named("OBX", lines)[0].split("|")
    joined = unescape(obx[5].replace("^", "") if obx[2] == "SN" else obx[5])
    notes = [unescape(line.split("|")[3]) for line in named("NTE", lines)]
    assert joined == value or notes == [f"value as sent: {value}"]


def test_errors_of_conversion_are_hl7_errors() -> None:
    assert issubclass(HeldError, Hl7Error)
    assert issubclass(NothingToSendError, Hl7Error)
