"""One observation as an OBX: identifier, value, status, device and the notes that keep what has no field."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from drivers.canonical import Comment, Graphic, Hold, Kind, Observation, Sender
from drivers.coding import CodeRow, Coding, rows_by_code
from edge_agent.to_hl7_observation import Context, HeldError, observation
from hl7 import values

CODING = Coding(
    system="99ACM",
    manufacturer="ACME",
    model="AN-200",
    rows=rows_by_code(
        [
            CodeRow("GLU", name="Glucose", loinc="2345-7", loinc_name="Glucose SerPl", units={"mmol/L": "mmol/L"}),
            CodeRow("HIV", component="LOG", name="HIV-1 log", loinc="29541-0"),
            CodeRow("HIV", name="HIV-1", unit="copies/mL", loinc="20447-9"),
        ]
    ),
)
CONTEXT = Context(CODING, Sender("AN-200", "SN42", "1.3"), ZoneInfo("Asia/Seoul"), "SER", "an1")
GLUCOSE = Observation(
    code="GLU", full_code="^^^GLU", value="5.10", unit="mmol/L", status="F", completed="20240301101200"
)


def made(context: Context = CONTEXT, report_type: str = "F", **changes: object) -> values.Observation:
    return observation(replace(GLUCOSE, **changes), report_type, context)  # type: ignore[arg-type]  # any field


def texts(o: values.Observation) -> list[tuple[str, str]]:
    return [(note.source, *note.texts) for note in o.notes]  # type: ignore[misc]  # every note here has one text


def test_a_mapped_test_has_its_own_code_first_and_loinc_beside_it() -> None:
    assert made().code == values.Coded("GLU", "Glucose", "99ACM", "2345-7", "Glucose SerPl", "LN")


def test_an_unknown_test_travels_with_its_own_code_and_the_name_as_sent() -> None:
    assert made(code="XYZ", name="New test").code == values.Coded("XYZ", "New test", "99ACM")


def test_a_component_is_said_in_the_text_and_chooses_the_loinc() -> None:
    copies = made(code="HIV", unit="copies/mL").code
    logarithm = made(code="HIV", component="LOG", unit="").code
    assert copies == values.Coded("HIV", "HIV-1", "99ACM", "20447-9", "", "LN")
    assert logarithm == values.Coded("HIV", "HIV-1 log LOG", "99ACM", "29541-0", "", "LN")


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        (Kind.INTERPRETATION, ("S_OTHER", "Other Supplemental", "IHELAW")),
        (Kind.OTHER, ("S_OTHER", "Other Supplemental", "IHELAW")),
        (Kind.RAW, ("S_RAW", "Raw Supplemental", "IHELAW")),
        (Kind.GRAPHIC, ("S_GRAPH", "Graph Supplemental", "IHELAW")),
    ],
)
def test_what_belongs_to_a_result_has_its_class_and_no_loinc(kind: Kind, group: tuple[str, str, str]) -> None:
    assert made(kind=kind).code == values.Coded("GLU", "Glucose", "99ACM", *group)


def test_an_image_is_encapsulated_without_the_line_ends_of_its_base64() -> None:
    image = Graphic("IM", "PNG", "Base64", "iVBORw0K\r\nGgo=\r\n")
    o = made(kind=Kind.GRAPHIC, graphic=image, value="")
    assert (o.type, o.value) == ("ED", ("", "IM", "PNG", "Base64", "iVBORw0KGgo="))
    assert o.code.alternate_code == "S_IMAGE"
    assert (o.status, o.unit) == ("F", values.NOTHING)


def test_a_curve_is_no_image() -> None:
    curve = Graphic("AP", "Octet-stream", "Base64", "AAEC")
    assert made(kind=Kind.GRAPHIC, graphic=curve, value="").code.alternate_code == "S_GRAPH"


def test_a_result_without_a_value_is_x_and_says_why() -> None:
    o = made(value="", no_result="clot", status="F")
    assert (o.type, o.value, o.status) == ("", (), "X")
    assert texts(o) == [("O", "no result: clot"), ("O", "status as sent: F")]


def test_dashes_in_place_of_a_value_are_kept_in_a_note() -> None:
    o = made(value="-----", no_result="not measured", status="X")
    assert (o.type, o.value, o.status) == ("", (), "X")
    assert texts(o) == [("O", "no result: not measured"), ("O", "value as sent: -----")]


def test_an_empty_value_is_never_final() -> None:
    assert texts(made(value="", status="")) == [("O", "no result: no value was sent")]
    assert made(value="", status="").status == "X"


def test_a_result_that_is_still_due_stays_pending() -> None:
    assert made(value="", status="I", report_type="").status == "I"


def test_a_battery_that_cannot_be_done_is_x_with_its_reason() -> None:
    o = made(value="", status="X", no_result="cannot be done", report_type="X")
    assert (o.status, texts(o)) == ("X", [("O", "no result: cannot be done")])


@pytest.mark.parametrize(
    ("status", "report_type", "default", "obx_11"),
    [("", "P", "F", "P"), ("", "", "F", "F"), ("", "", "", "R"), ("V", "", "", "F"), ("W", "F", "", "R")],
)
def test_the_status_comes_from_result_order_and_profile(
    status: str, report_type: str, default: str, obx_11: str
) -> None:
    context = replace(CONTEXT, coding=replace(CODING, status_default=default))
    assert made(context, report_type, status=status).status == obx_11


def test_a_decimal_comma_keeps_the_source_in_a_note() -> None:
    o = made(replace(CONTEXT, coding=replace(CODING, decimal=",")), value="7,41")
    assert (o.type, o.value, texts(o)) == ("NM", ("7.41",), [("O", "value as sent: 7,41")])


@pytest.mark.parametrize("sent", ["00000000000000", "19700101020000", "20240000"])
def test_an_impossible_time_is_left_out_and_kept_in_a_note(sent: str) -> None:
    o = made(completed=sent)
    assert (o.analysed, texts(o)) == ("", [("O", f"result time as sent: {sent}")])


def test_no_result_time_is_not_replaced_by_another_one() -> None:
    """The start of the test (LIS02-A2 R.12) is another time; where it is the only one, a note says it as sent."""
    o = made(completed="", started="20240301101000")
    assert (o.analysed, texts(o)) == ("", [("O", "test started as sent: 20240301101000")])
    assert made(started="20240301101000").notes == ()
    assert made(completed="", started='""').notes == ()


def test_comments_come_first_and_say_who_wrote_them() -> None:
    sent = (Comment("lot 7", "I"), Comment("phoned", "L"), Comment("fasting", "P"), Comment("?", "Z"), Comment("", "I"))
    o = made(comments=sent, dilution="1:10", status="M")
    assert texts(o) == [
        ("L", "lot 7"),
        ("L", "phoned"),
        ("P", "fasting"),
        ("O", "?"),
        ("O", "comment source as sent: Z"),  # LIS02-A2 10: P, L or I; one device names the reagent there
        ("O", "status as sent: M (value is a MIC level)"),
        ("O", "dilution as sent: 1:10"),
    ]


@pytest.mark.parametrize(
    ("instrument", "devices"),
    [
        ("", ["AN-200", "SN42"]),
        ("AN-200", ["AN-200", "SN42"]),
        ("SN42", ["AN-200", "SN42"]),
        ("MODULE 2", ["AN-200", "SN42", "MODULE 2"]),
    ],
)
def test_a_device_is_model_serial_number_and_module(instrument: str, devices: list[str]) -> None:
    assert made(instrument=instrument).devices == tuple(values.Device(d, "ACME") for d in devices)


def test_a_profile_without_a_model_uses_what_the_header_says() -> None:
    generic = replace(CONTEXT, coding=Coding())
    assert made(generic).devices == (values.Device("AN-200"), values.Device("SN42"))
    assert made(replace(generic, sender=Sender())).devices == (values.Device("an1"),)


def test_run_range_operators_and_flags_go_as_sent() -> None:
    o = made(run="2", range="3.9 to 5.6", operators=("jd", "ver"), flags=("H", "", '""', "VAL"))
    assert (o.run, o.range, o.observers) == ("2", "3.9 to 5.6", ("jd", "ver"))
    assert o.flags == (values.Coded("H", "", "HL70078"), values.Coded("VAL", "", "99ACM"))


@pytest.mark.parametrize(("sent", "letters"), [("ASR", ("A", "S", "R")), ("N", ("N",)), ("", ()), ("AZ", ())])
def test_the_nature_of_testing_is_split_into_letters_of_table_0080(sent: str, letters: tuple[str, ...]) -> None:
    assert made(nature=sent).nature == letters


def test_nothing_held_can_be_written() -> None:
    with pytest.raises(HeldError):
        made(holds=(Hold("unknown-test-held"),))
    with pytest.raises(HeldError):
        made(unit="mg/dL")


def test_only_a_results_own_unit_can_contradict_its_test() -> None:
    assert made(unit="mg/dL", kind=Kind.RAW).unit == values.Coded("mg/dL", "mg/dL", "99ACM")


def test_an_abnormal_message_without_a_value_is_not_called_a_missing_result() -> None:
    o = made(value="", status="F", flags=("A",), kind=Kind.INTERPRETATION)
    assert (o.status, texts(o)[0]) == ("X", ("O", "message without a value"))
    assert texts(made(value="", status="F"))[0] == ("O", "no result: no value was sent")


def test_a_name_is_said_once_where_the_component_repeats_it() -> None:
    assert made(code="HIV", name="IQS-H", component="IQS-H").code.text == "IQS-H"
    assert made(code="HIV", name="IQS-H", component="Ct").code.text == "IQS-H Ct"
