"""What was measured: codes, values, flags, status, times, comments, graphics, queries. Every text as sent."""

from collections.abc import Callable

import pytest

from drivers.canonical import Comment, Kind, Observation, Report
from drivers.sdk import Device

Read = Callable[..., Report]


@pytest.fixture
def result(read: Read) -> Callable[..., Observation]:
    """The one observation of one R record."""

    def make(*records: str, profile: str = "") -> Observation:
        found = read("P|1", "O|1|S1", *records, profile=profile).specimens[0].observations()
        assert len(found) == 1
        return found[0]

    return make


Result = Callable[..., Observation]


@pytest.mark.parametrize(
    ("test_id", "code"),
    [
        ("^^^GLU", "GLU"),
        ("^^^GLU^Glucose", "GLU"),
        ("^^^^WBC^1", "WBC"),
        ("CREAS^Creatinine^^F", "CREAS"),  # a device that puts its code first and a letter into component 4
        ("^GLU", "GLU"),
        ("^Glucose^^GLU", "GLU"),  # LIS02-A2 5.6.1: component 2 is a name
        ("GLU", "GLU"),
        ("^^^AST/ALT", "AST/ALT"),
        ("^^^a+b#%()", "a+b#%()"),
        ("", ""),
    ],
)
def test_the_code_is_the_first_component_that_can_be_one(result: Result, test_id: str, code: str) -> None:
    seen = result(f"R|1|{test_id}|5.0")
    assert (seen.code, seen.full_code) == (code, test_id)


@pytest.mark.parametrize(
    ("step", "sent", "code"),
    [("suffix:/", "685/", "685"), ("upper", "glu", "GLU"), ("before:*", "WBC*2", "WBC"), ("blanks", " A ", "A")],
)
def test_a_code_is_normalised_only_as_the_profile_says(result: Result, step: str, sent: str, code: str) -> None:
    assert result(f"R|1|^^^{sent}|1", profile=f'result = {{ normalise = ["{step}"] }}').code == code
    assert result(f"R|1|^^^{sent}|1").code == sent.strip()


VALUES = [
    "5.10", "-0.4", "+3", "<0.3", "> 500", "<=3", "1:128", "3.26E+05", "7,41", "161,152", "-----", "Positive",
    "12.6 %  314.9 mg/dl", "0.000000001", "007", "~5", '""', "A^NEG^ccee", "505", ".....", "3+^3+^45",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_the_text_that_was_sent(result: Result, value: str) -> None:
    assert result(f"R|1|^^^A|{value}").value == value


@pytest.mark.parametrize(
    ("sent", "value"), [("505^^^^", "505"), ("^1234.56", "^1234.56"), ("NOT DETECTED^", "NOT DETECTED")]
)
def test_empty_parts_at_the_end_are_no_part_of_a_value(result: Result, sent: str, value: str) -> None:
    assert result(f"R|1|^^^A|{sent}").value == value


def test_padding_is_removed_only_where_the_profile_calls_it_padding(result: Result) -> None:
    assert result("R|1|^^^A|  5.5").value == "5.5"
    assert result("R|1|^^^A|  5.5", profile='text = { strip = "none" }').value == "  5.5"


def test_every_field_of_a_result_is_kept(result: Result) -> None:
    seen = result(r"R|1|^^^GLU^x|5.0|mmol/L|3.9 to 5.6|H\A|ASR|F|19990101|ann^bob|20240612100000|20240612100500|AN-2")
    assert (seen.unit, seen.range, seen.flags) == ("mmol/L", "3.9 to 5.6", ("H", "A"))
    assert (seen.nature, seen.status, seen.operators) == ("ASR", "F", ("ann", "bob"))
    assert (seen.started, seen.completed, seen.instrument) == ("20240612100000", "20240612100500", "AN-2")
    assert (seen.run, seen.dilution, seen.kind, seen.resend) == ("", "", Kind.RESULT, False)


def test_a_missing_time_stays_missing_though_the_first_result_had_one(read: Read) -> None:
    report = read("P|1", "O|1|S1", "R|1|^^^A|1|||||F||||20240612100500", "R|2|^^^B|2|||||F")
    assert [o.completed for o in report.specimens[0].observations()] == ["20240612100500", ""]


@pytest.mark.parametrize(
    ("split", "sent", "flags"),
    [
        ("repeat", r"H\A", ("H", "A")),
        ("repeat", "HA", ("HA",)),
        ("chars", "HA", ("H", "A")),
        ("~", "L~N", ("L", "N")),
        ("~", "~N", ("N",)),
    ],
)
def test_flags_are_split_as_the_profile_says(result: Result, split: str, sent: str, flags: tuple[str, ...]) -> None:
    assert result(f"R|1|^^^A|1|||{sent}", profile=f'result = {{ flags = {{ split = "{split}" }} }}').flags == flags


def test_flags_and_status_are_translated_only_by_the_profiles_map(result: Result) -> None:
    profile = 'result = { flags = { map = { "@" = "A" } }, status = { map = { V = "F" } } }'
    seen = result("R|1|^^^A|1|||@||V", profile=profile)
    assert (seen.flags, seen.status) == (("A",), "F")
    assert result("R|1|^^^A|1|||@||V").status == "V"


def test_a_resend_is_marked(result: Result) -> None:
    assert result("R|1|^^^A|1|||||R").resend  # LIS02-A2 9: previously transmitted
    assert not result("R|1|^^^A|1|||||F").resend
    profile = 'result = { resend_marker = { path = "R.2", equals = "r" } }'
    assert result("R|r|^^^A|1|||||F", profile=profile).resend


def test_run_and_dilution_come_only_from_where_the_profile_says(result: Result) -> None:
    seen = result("R|7|^^^A^5|1", profile='result = { run = ["R.2"], dilution = ["R.3.5"] }')
    assert (seen.run, seen.dilution) == ("7", "5")


def test_a_text_that_means_no_value_is_told_apart_and_kept(result: Result) -> None:
    profile = 'result = { no_result = { texts = ["----"] } }'
    assert (result("R|1|^^^A|----", profile=profile).value, result("R|1|^^^A|----", profile=profile).no_result) == (
        "----",
        "----",
    )
    assert result("R|1|^^^A|----").no_result == ""


def test_an_empty_value_takes_its_reason_from_the_comment(result: Result) -> None:
    seen = result("R|1|^^^A||U/L||||X", "C|1|I|insufficient sample|I")
    assert (seen.value, seen.no_result) == ("", "insufficient sample")
    assert [c.text for c in seen.comments] == ["insufficient sample"]
    assert result("R|1|^^^A||U/L||||X").no_result == ""  # nobody gave a reason: none is invented


def test_a_comment_on_a_value_is_a_remark_and_no_reason(result: Result) -> None:
    profile = 'comment = [{ when = [{ path = "C.5", equals = "N" }], as = "no_result_reason" }]'
    assert result("R|1|^^^A|5.0", "C|1|I|Error 5|N", profile=profile).no_result == ""
    assert result("R|1|^^^A|", "C|1|I|Error 5|N", profile=profile).no_result == "Error 5"


def test_one_text_may_hold_value_and_unit_or_two_values(read: Read) -> None:
    profile = """
    [result]
    value_split = [
        "^(?P<value>[0-9.]+) (?P<unit>%) +(?P<second>[0-9.]+) (?P<second_unit>.+)$",
        "^(?P<value>[^ ]+) (?P<unit>.+)$",
    ]
    """
    lines = ("P|1", "O|1|S1", "R|1|^^^HBA1C|12.6 %  314.9 mg/dl", "R|2|^^^VL|3.26E+05 cp/mL", "R|3|^^^GLU|5.0|mmol/L")
    found = read(*lines, profile=profile).specimens[0].observations()
    assert [(o.value, o.unit, o.kind.value) for o in found] == [
        ("12.6", "%", "result"),
        ("314.9", "mg/dl", "other"),
        ("3.26E+05", "cp/mL", "result"),
        ("5.0", "mmol/L", "result"),
    ]


@pytest.mark.parametrize(
    ("form", "sent", "time"),
    [
        ("DD-MM-YYYY hh:mm", "18-11-2021 07:05", "202111180705"),
        ("MM/DD/YY", "10/25/24", "20241025"),
        ("YY/MM/DD hh:mm", "24/10/29 13:08", "202410291308"),
        ("DD-MM-YYYY", "20240612100500", "20240612100500"),  # does not fit: as sent
    ],
)
def test_a_vendors_time_is_rewritten_only_where_its_format_fits(
    result: Result, form: str, sent: str, time: str
) -> None:
    assert result(f"R|1|^^^A|1|||||F||||{sent}", profile=f'result = {{ time_formats = ["{form}"] }}').completed == time


def test_a_time_the_profile_calls_impossible_is_left_out_and_shown(read: Read) -> None:
    lines = ("P|1", "O|1|S1", "R|1|^^^A|1|||||F||||00000000000000")
    report = read(*lines, profile='result = { implausible = ["^0+$", "^1970"] }')
    assert report.specimens[0].observations()[0].completed == ""
    assert ("R.13", "implausible-time") in [(u.path, u.reason) for u in report.unread]


SELECT = """
[[select]]
record = "R"
when = [{ path = "R.3.5", equals = "RLU" }]
as = "raw"
[[select]]
record = "R"
when = [{ path = "R.3.5", equals = "INT" }]
as = "interpretation"
[[select]]
record = "R"
when = [{ path = "R.3.5", equals = "REM" }]
as = "comment"
[[select]]
record = "R"
when = [{ path = "R.3.5", equals = "STA" }]
as = "status"
[[select]]
record = "R"
when = [{ path = "R.3.5", equals = "DROP" }]
as = "ignore"
[[select]]
record = "R"
when = [{ path = "R.3.5", in = ["RLU", "OTH"] }, { path = "R.4", empty = false }]
as = "other"
"""


def test_the_first_rule_that_fits_decides_what_a_record_is(read: Read) -> None:
    lines = [
        "R|1|^^^A|5|||||P",
        "R|2|^^^A^RLU|9000",
        "R|3|^^^A^INT|reactive",
        "R|4|^^^A^OTH|x",
        "R|5|^^^A^OTH|",
        "R|6|^^^A^REM|repeat it",
        "R|7|^^^A^STA|F",
        "R|8|^^^A^DROP|secret",
    ]
    report = read("P|1", "O|1|S1", *lines, profile=SELECT)
    found = report.specimens[0].observations()
    assert [(o.value, o.kind.value) for o in found] == [
        ("5", "result"),
        ("9000", "raw"),
        ("reactive", "interpretation"),
        ("x", "other"),
        ("", "result"),  # not all questions of the rule fit
    ]
    assert [c.text for c in found[-1].comments] == ["repeat it"]
    assert found[-1].status == "F"
    assert [(u.path, u.reason) for u in report.unread] == [("R", "ignored")]


def test_of_replicates_the_profile_says_which_is_the_main_one(read: Read) -> None:
    lines = ("P|1", "O|1|S1", "R|1|^^^A|1", "R|2|^^^A|2", "R|3|^^^B|3", "R|4|^^^A|4")

    def kinds(rule: str) -> list[str]:
        found = read(*lines, profile=f'result = {{ replicate = {{ rule = "{rule}" }} }}').specimens[0].observations()
        return [f"{o.value} {o.kind.value}" for o in found]

    assert kinds("all") == ["1 result", "2 result", "3 result", "4 result"]
    assert kinds("mean_main") == ["1 result", "2 other", "3 result", "4 other"]
    assert kinds("last_main") == ["1 other", "2 other", "3 result", "4 result"]


def test_comments_hang_where_they_were_sent(read: Read) -> None:
    lines = (
        "P|1||PID",
        "C|1|P|fasting",
        "O|1|S1",
        "C|1|I|haemolysed|G",
        "C|2|L|second",
        "R|1|^^^A|1",
        "C|1|I|checked|I",
        "R|2|^^^B|2",
    )
    specimen = read(*lines).specimens[0]
    assert specimen.comments == (Comment("fasting", "P", ""),)
    assert [c.text for c in specimen.orders[0].comments] == ["haemolysed", "second"]
    assert [[c.text for c in o.comments] for o in specimen.observations()] == [["checked"], []]


def test_empty_comments_are_none(result: Result) -> None:
    assert result("R|1|^^^A|1", "C|1||", "C|2|I||I", "C|3|I|^^^|I", "C|4|I|   |I").comments == ()


def test_a_comment_rule_may_make_a_flag_a_lot_or_nothing_of_it(read: Read) -> None:
    profile = """
    qc = { rules = [{ path = "O.12", equals = "Q", role = "Q" }] }
    comment = [
        { when = [{ path = "C.5", equals = "I" }], as = "flag" },
        { when = [{ path = "C.5", equals = "L" }], as = "lot" },
        { when = [{ path = "C.4", match = "^Curve " }], as = "ignore" },
    ]
    """
    lines = (
        "P|1",
        "O|1|S1|||||||||Q",
        "C|1||LOT77|L",
        "R|1|^^^A|1|||H",
        "C|1|I|43|I",
        "C|2|I|Curve 9|G",
        "C|3|I|kept|G",
    )
    specimen = read(*lines, profile=profile).specimens[0]
    assert specimen.control.lot == "LOT77"
    assert specimen.observations()[0].flags == ("H", "43")
    assert [c.text for c in specimen.observations()[0].comments] == ["kept"]


def test_unknown_records_move_nothing_and_are_shown(read: Read) -> None:
    report = read("P|1", "O|1|S1", "R|1|^^^A|1", "Z|1|LAMP", "C|1|I|about A", "M|1|CURVE|1,2", "R|2|^^^B|2")
    specimen = report.specimens[0]
    assert [o.code for o in specimen.observations()] == ["A", "B"]
    assert [c.text for c in specimen.observations()[0].comments] == ["about A"]
    assert [(u.path, u.record) for u in report.unread] == [("Z", 4), ("M", 6)]


def test_a_field_nobody_mapped_is_shown(read: Read) -> None:
    report = read("P|1", "O|1|S1", "R|1|^^^A|1|||||F||||||extra")
    assert [(u.path, u.reason) for u in report.unread] == [("R.15", "unmapped")]


def test_curves_become_graphics_each_path_one(read: Read) -> None:
    profile = """
    [[select]]
    record = "M"
    when = [{ path = "M.3", equals = "CURVE" }]
    as = "graphic"
    [graphics]
    path = ["M.5.2", "M.6.2"]
    code = ["M.4"]
    max_bytes = 8
    """
    lines = ("P|1", "O|1|S1", "M|1|CURVE|RBC|b64^AAAA|b64^BBBB", "M|2|CURVE|PLT|b64^AAAA|b64^123456789", "R|1|^^^A|1")
    report = read(*lines, profile=profile)
    found = report.specimens[0].observations()
    assert [(o.code, o.kind.value, o.graphic.data if o.graphic else "") for o in found] == [
        ("RBC", "graphic", "AAAA"),
        ("RBC", "graphic", "BBBB"),
        ("PLT", "graphic", "AAAA"),
        ("A", "result", ""),
    ]
    assert len({o.full_code for o in found}) == 4
    assert ("M.6.2", "graphic too large") in [(u.path, u.reason) for u in report.unread]


@pytest.mark.parametrize(
    ("record", "specimens", "patients", "codes"),
    [
        ("Q|1|^S1||ALL", ("S1",), (), ("ALL",)),
        ("Q|1|^S1||^^^ALL", ("S1",), (), ("ALL",)),
        ("Q|1|PID7^S1||^^^A", ("S1",), ("PID7",), ("A",)),
        (r"Q|1|^S1\^S2\^S3||^^^A\^^^B", ("S1", "S2", "S3"), (), ("A", "B")),
        ("Q|1|^ S1 ^R2^5", ("S1",), (), ()),
        ("Q|1|^^S1", ("S1",), (), ()),
        ("Q|1|PID7", (), ("PID7",), ()),
    ],
)
def test_a_query_names_specimens_patients_and_tests(
    read: Read, record: str, specimens: tuple[str, ...], patients: tuple[str, ...], codes: tuple[str, ...]
) -> None:
    report = read(record + "|" * (12 - record.count("|")) + "O", profile='query = { forms = ["Q.3.2", "Q.3.3"] }')
    [query] = report.queries
    assert (query.specimen_ids, query.patient_ids, query.codes, query.status) == (specimens, patients, codes, "O")
    assert report.specimens == ()


def test_header_and_terminator_are_told(read: Read) -> None:
    report = read(r"H|\^&|||AN-2^SN7^1.0|||||||P|LIS02-A2|20240612100000", "L|1|T")
    assert (report.sender.name, report.processing_id, report.sent, report.termination) == (
        "AN-2^SN7^1.0",
        "P",
        "20240612100000",
        "T",
    )
    assert report.specimens == ()
    assert report.holds == ()


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (b"", []),
        (b"\r\n", []),
        (b"P|1\rO|1|S1\rR|1|^^^A|1\rL|1\r", ["no-header"]),
        (b"MSH|^~\\&|GX\rPID|1\rOBX|1|ST|A\r", ["foreign-protocol"]),
        (b"Na 131 mmol/L\r", ["not-lis02"]),
        (b"\x1emtrsl|\x1epi|", ["not-lis02"]),
        (b"\xff\xfe\x00", ["not-lis02"]),
        (b"R|1|^^^A|\xff\r", ["no-header"]),
    ],
)
def test_text_outside_any_message_is_held_with_what_it_is(
    device_with: Callable[[str], Device], text: bytes, codes: list[str]
) -> None:
    reports, strays = device_with("").read(text)
    assert reports == []
    assert [h.code for h in strays] == codes


def test_what_stands_before_the_header_does_not_cost_the_message(device_with: Callable[[str], Device]) -> None:
    reports, strays = device_with("").read(b"R|9|^^^OLD|1\rH|\\^&\rP|1\rO|1|S1\rR|1|^^^A|1\rL|1\r")
    assert [h.code for h in strays] == ["no-header"]
    assert [o.code for _, r in reports for s in r.specimens for o in s.observations()] == ["A"]
