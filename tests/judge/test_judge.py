"""The judge itself: values worked out from the standard's text, and no bytes that make it fall over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import values
from judge.reader import read, unescape
from judge.verdict import judge
from spoiled.good import GOOD

# standards sheet, section J, second half; the analyser and site names there do not have this project's shape
WORKED_EXAMPLE = (
    "MSH|^~\\&|AN-200||AM||20240301101502+0100||OUL^R22^OUL_R22|GW1-000123|P|2.5.1|||NE|AL||UNICODE UTF-8|||LAB-29^IHE",
    "PID|||PID77||^^^^^^U",
    "SPM|1|498151||SER^Serum^HL70487|||||||P^Patient^HL70369",
    "SAC|||498151",
    'OBR||""||GLU^^99AN200',
    "ORC|SC||||CM",
    "OBX|1|SN|GLU^^99AN200|1|<^0.3|mmol/L^mmol/L^99AN200^mmol/L^^UCUM|3.9 to 5.6|<^^HL70078|||F|||||jd"
    "||AN-200^ACME~SN42^ACME|20240301101200+0100||||||||||RSLT",
)


def test_the_worked_example_breaks_only_the_rules_on_names_this_project_adds() -> None:
    payload = "".join(segment + "\r" for segment in WORKED_EXAMPLE).encode()
    assert [(f.rule, f.where) for f in judge(payload)] == [
        ("msh-name", "MSH[1]-3"),
        ("msh-name", "MSH[1]-4"),
        ("control-id", "MSH[1]-10"),
    ]


def test_a_result_without_time_is_accepted_only_where_the_analyser_sent_none() -> None:
    payload = GOOD["no patient"].replace(b"20240612091200+0900", b"")
    assert [finding.rule for finding in judge(payload)] == ["required"]
    assert judge(payload, timeless=True) == []


def test_findings_never_quote_the_message() -> None:
    payload = GOOD["patient"].replace(b"\rSPM", b"\rSora Lim|").replace(b"5.10", b"secret")
    assert not any(word in str(f) for f in judge(payload) for word in ("Sora", "secret"))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\\F\\b", "a|b"),
        ("\\S\\\\T\\\\R\\\\E\\", "^&~\\"),
        ("\\X0D0A\\", "\r\n"),
        ("one\\.br\\two", "one\ntwo"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\E\\X0D\\E\\", "\\X0D\\"),
        ("lone \\ stays", "lone \\ stays"),
        ("\\Zab\\", "\\Zab\\"),
    ],
)
def test_escapes_are_removed_in_one_pass(raw: str, text: str) -> None:
    assert unescape(raw) == text


@pytest.mark.parametrize("text", ["5.1", "-0.4", "+3", "007", "5.", ".5", "0.000000001"])
def test_an_hl7_number(text: str) -> None:
    assert values.number(text) == ""


@pytest.mark.parametrize(
    "text", ["", "<5", "1E5", "3.26E+05", "7,41", "161,152", " 5", "5 ", "--", "1.2.3", "٣", "5.1^"]
)
def test_no_hl7_number(text: str) -> None:
    assert values.number(text) != ""


@pytest.mark.parametrize("text", ["<^0.3", ">^500", "<=^3", "^1^:^128", "^2^-^20", "^1^+", "=^5"])
def test_a_structured_number(text: str) -> None:
    assert values.structured_number(text.split("^")) == ""


@pytest.mark.parametrize(
    "code", ["6690-2", "789-8", "718-7", "4544-3", "787-2", "785-6", "786-4", "777-3", "751-8", "32623-1"]
)
def test_loinc_check_digits_of_codes_a_yumizen_sends(code: str) -> None:
    assert values.loinc(code) == ""


@pytest.mark.parametrize("code", ["6690-3", "6690", "WBC", "6690-22", ""])
def test_no_loinc_code(code: str) -> None:
    assert values.loinc(code) != ""


@pytest.mark.parametrize("code", ["10*3/uL", "mmol/L", "[iU]/mL", "{copies}/mL", "%", "mm[Hg]", "ug/L"])
def test_a_unit_that_can_be_ucum(code: str) -> None:
    assert values.ucum(code) == ""


@pytest.mark.parametrize(
    "stamp", ["20240612091200+0900", "20240612091200.1234-0330", "202406120912+0545", "20240612+0000"]
)
def test_a_time_with_offset(stamp: str) -> None:
    assert values.time(stamp, offset=True) == ""


@pytest.mark.parametrize(
    "stamp", ["20240612091200", "2024061209120+0900", "20240230+0900", "20240612250000+0900", "2024-06-12"]
)
def test_no_time_with_offset(stamp: str) -> None:
    assert values.time(stamp, offset=True) != ""


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_judge_fall_over(noise: bytes) -> None:
    assert judge(noise)
    assert judge(b"MSH|^~\\&|" + noise)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 10_000), st.binary(max_size=6))
def test_no_damage_makes_the_judge_fall_over(name: str, place: int, noise: bytes) -> None:
    payload = GOOD[name]
    place %= len(payload)
    assert isinstance(judge(payload[:place] + noise + payload[place + len(noise) :]), list)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10_000))
def test_a_cut_message_is_refused(place: int) -> None:
    payload = GOOD["patient"]
    cut = payload[: place % len(payload)]
    complete = cut.endswith(b"\r") and cut.split(b"\r")[-2][:3] in (b"OBX", b"NTE") and b"\rOBX" in cut
    assert bool(judge(cut)) is not complete


def test_the_reader_counts_msh_from_the_separator() -> None:
    msh = read(GOOD["patient"]).segments[0]
    assert (msh.raw(1), msh.raw(2), msh.raw(3), msh.raw(12)) == ("|", "^~\\&", "xn1", "2.5.1")
