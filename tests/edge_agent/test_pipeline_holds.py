"""Nothing is guessed, and nothing waits for what is held (design invariants 5, 9, 10)."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.verdict import judge
from support_pipeline import (
    GENERIC,
    Memory,
    device,
    notes,
    payloads,
    policy,
    records,
    segments,
    states,
    transmission,
    values,
)

from drivers.sdk import Device, load
from edge_agent.pipeline import PATIENT_ROUTE, plan
from edge_agent.states import ItemState, TransmissionState
from edge_agent.store.rows import Chunk, ChunkKind, Route, Settlement

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
PATIENT = "P|1||P-1017"
ORDER = "O|1|S24-0028||^^^NA|R"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
GLU = "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000"
END = "L|1|N"
GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
SODIUM = {"code": "NA", "units": {"mmol/L": "mmol/L"}, "source": "made up for this test"}


def sent(*lines: str) -> bytes:
    return records(HEADER, PATIENT, ORDER, *lines, END)


def settled(text: bytes, by: Device = GENERIC, **changes: object) -> Settlement:
    return Memory(by, policy(**changes)).settle(transmission(text))


def routes(made: Settlement) -> list[Route]:
    return [m.route for g in made.groups for m in g.messages]


# One observation is held, the rest goes


def test_a_unit_that_contradicts_its_test_holds_that_result_and_the_rest_goes() -> None:
    made = settled(sent(NA, GLU), device(test=[SODIUM, GLUCOSE]))
    assert states(made) == [["converted", "held:unit-contradicts"]]
    (payload,) = payloads(made)
    assert values(payload) == ["140"]
    assert notes(payload) == ["1 result of this specimen is held"]
    assert made.groups[0].state is ItemState.CONVERTED
    assert judge(payload, route="result") == []


def test_the_number_of_held_results_is_said() -> None:
    made = settled(sent(NA, GLU, GLU.replace("R|2", "R|3")), device(test=[SODIUM, GLUCOSE]))
    assert notes(payloads(made)[0]) == ["2 results of this specimen are held"]


def test_nothing_is_said_of_holds_where_there_are_none() -> None:
    assert notes(payloads(settled(sent(NA, GLU)))[0]) == []


def test_a_unit_nobody_listed_for_a_test_without_a_unit_table_contradicts_nothing() -> None:
    by = device(test=[{"code": "GLU", "source": "made up for this test"}])
    assert states(settled(sent(GLU), by)) == [["converted"]]


def test_when_every_result_of_a_specimen_is_held_there_is_no_message() -> None:
    made = settled(sent(GLU), device(test=[GLUCOSE]))
    assert payloads(made) == []
    assert made.groups[0].state is ItemState.HELD


def test_what_was_held_goes_out_alone_after_the_fix() -> None:
    memory = Memory(device(test=[SODIUM, GLUCOSE]))
    memory.settle(transmission(sent(NA, GLU)))
    memory.device = device(test=[SODIUM, {**GLUCOSE, "units": {"mg/dL": "mg/dL", "mmol/L": "mmol/L"}}])
    released = memory.settle(transmission(sent(NA, GLU)))
    assert states(released) == [["duplicate", "converted"]]
    assert values(payloads(released)[0]) == ["5.1"]
    assert notes(payloads(released)[0]) == []


# Tests the profile does not know


def test_an_unknown_test_goes_out_under_the_analysers_own_code_with_an_alarm() -> None:
    made = settled(sent(NA, GLU), device(vendor="Bench", test=[SODIUM]))
    assert states(made) == [["converted", "converted"]]
    assert segments(payloads(made)[0], "OBX")[1][3] == "GLU^^99BEN"
    assert made.alarms == (("unknown-test", {"test": "GLU"}),)


def test_an_unknown_test_is_held_where_the_site_wants_it() -> None:
    made = settled(sent(NA, GLU), device(test=[SODIUM]), on_unknown_code="hold")
    assert states(made) == [["converted", "held:unknown-test-held"]]
    assert made.alarms == ()


def test_a_profile_without_a_code_table_raises_no_alarm_for_every_test() -> None:
    assert settled(sent(NA, GLU)).alarms == ()
    units_only = {"code": "*", "units": {"mmol/L": "mmol/L"}, "source": "made up for this test"}
    assert settled(sent(NA, GLU), device(test=[units_only])).alarms == ()


def test_a_test_of_a_control_is_reported_unknown_too() -> None:
    control = records(HEADER, ORDER + "|||||||Q", GLU, END)
    assert settled(control, device(test=[SODIUM])).alarms == (("unknown-test", {"test": "GLU"}),)


# A whole specimen is held


@pytest.mark.parametrize("order", ["O|1|||^^^NA|R", "O|1|  ||^^^NA|R", 'O|1|""||^^^NA|R'])
def test_a_specimen_without_an_id_is_held_and_its_neighbour_goes(order: str) -> None:
    made = settled(records(HEADER, PATIENT, order, NA, "O|2|S24-0029||^^^NA|R", NA, END))
    assert states(made) == [["held:no-specimen-id"], ["converted"]]
    assert segments(payloads(made)[0], "SPM")[0][2] == "S24-0029"


def test_an_id_of_another_shape_than_the_sites_is_held() -> None:
    shape = re.compile("[0-9]{10}")
    two = records(HEADER, PATIENT, ORDER, NA, "O|2|2406120001||^^^NA|R", NA, END)
    made = settled(two, specimen_id=shape)
    assert states(made) == [["held:specimen-id-shape"], ["converted"]]
    assert states(settled(two)) == [["converted"], ["converted"]]


def test_the_shape_is_of_the_whole_id() -> None:
    longer = ORDER.replace("S24-0028", "2406120001X")
    assert states(settled(sent(NA).replace(ORDER.encode(), longer.encode()), specimen_id=re.compile("[0-9]{10}"))) == [
        ["held:specimen-id-shape"]
    ]


def test_a_control_need_not_have_the_shape_of_a_patients_specimen() -> None:
    control = records(HEADER, "O|1|QC-LOW||^^^NA|R||||||Q", NA, END)
    assert states(settled(control, specimen_id=re.compile("[0-9]{10}"))) == [["converted"]]


def test_bytes_that_cannot_be_read_hold_the_specimen_they_stand_in() -> None:
    broken = b"R|2|^^^GLU|5.1\xff|mmol/L||N||F||||20240612102000\r"
    text = records(HEADER, PATIENT, ORDER, NA) + broken + records("O|2|S24-0029||^^^NA|R", NA, END)
    made = settled(text)
    assert states(made) == [["held:undecodable"], ["converted"]]


def test_a_training_run_is_held_whole() -> None:
    made = settled(sent(NA).replace(b"|P|LIS02", b"|T|LIS02"))
    assert (states(made), payloads(made)) == ([["held:training-run"]], [])


def test_a_pattern_on_a_named_patient_decides_nothing() -> None:
    by = device(qc={"rules": [{"path": "O.3", "match": "^S24", "role": "Q"}]})
    assert states(settled(sent(NA), by)) == [["held:role-undecided"]]
    nobody = records(HEADER, ORDER, NA, END)
    assert routes(settled(nobody, by)) == [Route.QC]


def test_records_before_any_header_are_held_with_the_reason() -> None:
    assert settled(records(ORDER, NA, END)).holds == (("no-header", ""),)


def test_another_device_than_the_profiles_is_held() -> None:
    by = load("sysmex_xn")
    made = Memory(by).settle(transmission(sent(NA)))
    assert [g.hold for g in made.groups] == ["wrong-device"]
    assert payloads(made) == []


# Nothing but evidence


def test_refused_frames_alone_are_kept_and_said() -> None:
    refused = Chunk(ChunkKind.REFUSED, b"\x021H|\\^&\r\x03ZZ\r\n", reason="checksum")
    found = plan(transmission(chunks=(refused,), state=TransmissionState.INTERRUPTED), GENERIC, policy())
    assert [(h.code, h.detail) for h in found.holds] == [("frame-refused", "checksum")]


def test_noise_alone_is_kept_and_said() -> None:
    noise = Chunk(ChunkKind.NOISE, b"\xfe\xfe")
    found = plan(transmission(chunks=(noise,), state=TransmissionState.INTERRUPTED), GENERIC, policy())
    assert [h.code for h in found.holds] == ["unframed-bytes"]


def test_a_refused_frame_that_came_well_after_says_nothing() -> None:
    good = Chunk(ChunkKind.FRAME, sent(NA), sent(NA), 1, True)
    refused = Chunk(ChunkKind.REFUSED, b"\x021H", reason="checksum")
    found = plan(transmission(chunks=(refused, good)), GENERIC, policy())
    assert found.holds == ()


# Orders that cannot be done


def test_an_order_that_cannot_be_done_travels_as_x() -> None:
    order = "O|1|S24-0028||^^^FIB\\^^^DD|R||||||||||||||||||||X"
    (payload,) = payloads(settled(records(HEADER, PATIENT, order, END)))
    assert [(obx[3].split("^")[0], obx[5], obx[11]) for obx in segments(payload, "OBX")] == [
        ("FIB", "", "X"),
        ("DD", "", "X"),
    ]
    assert judge(payload, route="result", timeless=True) == []


def test_an_order_without_results_that_is_not_cancelled_makes_no_message() -> None:
    order = "O|1|S24-0028||^^^FIB|R||||||||||||||||||||F"
    assert payloads(settled(records(HEADER, PATIENT, order, END))) == []


# Alarms that hold nothing


def test_an_unanswered_query_raises_an_alarm() -> None:
    made = settled(records(HEADER, "Q|1|^S24-0028||ALL||||||||O", END))
    assert [code for code, _ in made.alarms] == ["query-unanswered"]


def test_an_impossible_time_is_left_out_and_said() -> None:
    by = device(result={"implausible": ["^0000"]})
    made = settled(sent(NA.replace("20240612102000", "00000000000000")), by)
    assert [code for code, _ in made.alarms] == ["implausible-time"]
    assert segments(payloads(made)[0], "OBX")[0][19:20] in ([], [""])
    assert settled(sent(NA), by).alarms == ()


# Routes

ROLES = {"P": "P", "Q": "Q", "C": "C", "V": "V", "E": "E", "B": "B", "F": "F", "O": "O"}
BY_TYPE = device(
    qc={"rules": [{"path": "O.16", "equals": f"role {role}", "role": role} for role in ROLES]},
    specimen={"type": {"path": []}},
)


def of_role(role: str, specimen: str) -> bytes:
    return records(HEADER, f"O|1|{specimen}||^^^NA|R||||||||||role {role}", NA, END)


@pytest.mark.parametrize(
    ("role", "route"),
    [
        ("P", "result"),
        ("B", "result"),
        ("F", "result"),
        ("O", "result"),
        ("Q", "qc"),
        ("C", "qc"),
        ("V", "qc"),
        ("E", "qc"),
    ],
)
def test_a_role_has_its_route(role: str, route: str) -> None:
    made = Memory(BY_TYPE).settle(transmission(of_role(role, "M-1")))
    assert routes(made) == [Route(route)]
    assert judge(payloads(made)[0], route=route) == []
    assert judge(payloads(made)[0], route="qc" if route == "result" else "result") != []


@pytest.mark.parametrize("role", ROLES)
def test_before_production_everything_goes_to_validation(role: str) -> None:
    made = Memory(BY_TYPE, policy(mode="validation")).settle(transmission(of_role(role, "M-1")))
    assert routes(made) == [Route.VALIDATION]
    assert judge(payloads(made)[0], route="validation") == []


markers = st.fixed_dictionaries(
    {
        "role": st.sampled_from(sorted(ROLES)),
        "action": st.sampled_from(["", "Q", "N", "A"]),
        "processing": st.sampled_from(["P", "Q", ""]),
        "patient": st.sampled_from(["", "P|1||P-1017"]),
        "message": st.sampled_from(["OUL_R22", "ORU_R01"]),
    }
)


@given(markers)
@settings(max_examples=60, deadline=None)
def test_no_control_ever_takes_the_patients_route(said: dict[str, str]) -> None:
    header = HEADER.replace("|P|LIS02", f"|{said['processing']}|LIS02")
    order = f"O|1|M-1||^^^NA|R||||||{said['action']}||||role {said['role']}"
    text = records(*[line for line in (header, said["patient"], order, NA, END) if line])
    made = Memory(BY_TYPE, policy(message=said["message"])).settle(transmission(text))
    called_control = "Q" in (said["action"], said["processing"])
    for group in made.groups:
        for message in group.messages:
            assert judge(message.payload, route=message.route) == []
            assert (message.route is Route.RESULT) == (group.role in {role.value for role in PATIENT_ROUTE})
            assert not (called_control and message.route is Route.RESULT)


def test_a_result_without_a_test_code_is_held_and_the_rest_goes() -> None:
    """OBX-3 is required (HL7 2.5.1), and a receiver would put two results without a name one over the other."""
    made = settled(sent(NA, "R|2||5.1|mmol/L||N||F||||20240612102000", 'R|3|^^^""|6||||F'))
    assert states(made) == [["converted", "held:no-test-code", "held:no-test-code"]]
    (payload,) = payloads(made)
    assert values(payload) == ["140"]
    assert judge(payload, route="result") == []


def test_different_results_under_one_code_wait_and_nothing_overwrites_anything() -> None:
    made = settled(sent("R|1|^^^TB^^MTB|DETECTED||||F", "R|2|^^^TB^^rpoB1|INVALID||||F", NA))
    assert states(made) == [["held:test-code-unclear", "held:test-code-unclear", "converted"]]
    free = settled(
        sent("R|1|^^^TB^^MTB|DETECTED||||F", "R|2|^^^TB^^rpoB1|INVALID||||F"), device(result={"doubt": "take"})
    )
    assert states(free) == [["converted", "converted"]]


def test_the_logarithm_of_a_viral_load_cannot_be_filed_over_the_load() -> None:
    """LAW: OBX-3 components 4 to 6 say what belongs to a result; identity is OBX-3 with its class, and OBX-4."""
    text = records(
        "H|@^\\\\|m1||LAB^GeneXpert^6.2|||||||P|1394-97|20240612120000".replace("\\\\", "\\"),
        "P|1",
        "O|1|S24-0028||^^^HIVVL 2|R||||||||||ORH||||||||||F",
        "R|1|^^^HIVVL 2^Xpert HIV^2^^|^873.20|copies/mL|40 to 10000000|A||F||op|20240612100000|20240612102000|M1",
        "R|2|^^^HIVVL 2^Xpert HIV^2^^LOG|^2.94|copies/mL|1.60 to 7.00|A||F||op|20240612100000|20240612102000|M1",
        "R|3|^^^HIVVL 2^^^^|FAIL^|||",  # neither assay nor analyte, status nor time: a detail
        END,
    )
    (payload,) = payloads(settled(text, load("cepheid_genexpert")))
    assert [(obx[3], obx[5]) for obx in segments(payload, "OBX")] == [
        ("HIVVL 2^Xpert HIV^99CEP", "873.20"),
        ("HIVVL 2^Xpert HIV LOG^99CEP^S_OTHER^Other Supplemental^IHELAW", "2.94"),
        ("HIVVL 2^^99CEP^S_RAW^Raw Supplemental^IHELAW", "FAIL"),
    ]
    assert judge(payload, route="result", timeless=True) == []


def test_equipment_is_what_the_sender_calls_itself_and_never_the_name_of_a_standard() -> None:
    (payload,) = payloads(settled(sent(NA)))
    assert segments(payload, "OBX")[0][18] == "BENCH-7"
    (nameless,) = payloads(settled(sent(NA).replace(b"BENCH-7", b"  ^^")))
    assert segments(nameless, "OBX")[0][18] == "an1"
