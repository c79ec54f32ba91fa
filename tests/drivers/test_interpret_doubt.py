"""What is not certain is held or left alone: results nothing in HL7 would tell apart, texts in odd places, reasons."""

import re
from collections.abc import Callable

import pytest

from drivers.canonical import Report
from drivers.errors import ProfileError

Read = Callable[..., Report]


def held(report: Report) -> list[list[str]]:
    return [[h.code for h in o.holds] for s in report.specimens for o in s.observations()]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # Architect: the test id's last component says F final, I interpretation, P light units
        ("R|1|^^^0021^B-hCG^F|< 1.20|mIU/mL", "R|2|^^^0021^B-hCG^I|NEGATIVE|"),
        # GeneXpert read by the generic profile: a result and a detail of it
        ("R|1|^UV2^^TBPos^Ultra^4^MTB^|DETECTED LOW|", "R|2|^UV2^^TBPos^^^rpoB1^|INVALID|"),
        # one test in two units: one code cannot stand for both scales
        ("R|1|^^^HBA1C|5.6|%", "R|2|^^^HBA1C|38|mmol/mol"),
    ],
)
def test_different_results_under_one_code_are_held_where_nothing_in_hl7_would_tell_them_apart(
    read: Read, first: str, second: str
) -> None:
    records = ("P|1", "O|1|S1", first, second, "R|3|^^^NA|140|mmol/L")
    assert held(read(*records)) == [["test-code-unclear"], ["test-code-unclear"], []]
    assert held(read(*records, profile='result = { doubt = "take" }')) == [[], [], []]


def test_replicates_of_one_test_are_no_different_results(read: Read) -> None:
    """The standard's own example sends one test id twice (LIS02-A2 annex); a unit left out contradicts nothing."""
    assert held(read("P|1", "O|1|S1", "R|1|^^^A1|0.295", "R|2|^^^A1|0.312|g/L")) == [[], []]


def test_results_under_one_code_in_two_specimens_do_not_meet(read: Read) -> None:
    report = read("P|1", "O|1|S1", "R|1|^^^GLU^A|5|mg/dL", "O|2|S2", "R|1|^^^GLU^B|6|mmol/L")
    assert held(report) == [[], []]


def test_a_value_in_the_place_of_the_status_is_held(read: Read) -> None:
    """Field practice: one device leaves R.4 empty and writes the value into R.9."""
    report = read("P|1", "O|1|S1", "R|1|^^^GLU||mg/dL|||| 5.6", "R|2|^^^NA||mmol/L||||X", "R|3|^^^K|4|mmol/L||||5.6")
    assert held(report) == [["value-place-unclear"], [], []]


@pytest.mark.parametrize(("test_id", "code"), [("^AST/ALT^^F", "AST/ALT"), ("^^^F", ""), ('^^^""', ""), ('""', "")])
def test_what_is_never_a_code_is_not_taken_for_one(read: Read, test_id: str, code: str) -> None:
    """BS-240: every test id ends in F, and calculated tests have a name but no code."""
    (seen,) = read("P|1", "O|1|S1", f"R|1|{test_id}|5.0").specimens[0].observations()
    assert (seen.code, seen.full_code) == (code, test_id)


def test_only_the_comments_a_profile_calls_reasons_are_reasons(read: Read) -> None:
    """A GeneXpert writes the operator's notes under a result that has no value because it does not apply."""
    rule = '[[comment]]\nwhen = [{ path = "C.4.1", equals = "Error" }]\nas = "no_result_reason"'

    def reason(comment: str, profile: str = "") -> str:
        report = read("P|1", "O|1|S1", "R|1|^^^A1|", comment, profile=profile)
        return report.specimens[0].observations()[0].no_result

    assert reason("C|1|I|Notes^^seen|I") == "Notes^^seen"
    assert reason("C|1|I|Notes^^seen|I", rule) == ""
    assert reason("C|1|I|Error^7|I", rule) == "Error^7"


CURVES = """
[[select]]
record = "M"
when = [{ path = "M.3", equals = "CURVE" }]
as = "graphic"
[graphics]
path = ["M.5.2", "M.6.2"]
part = ["axis", "curve"]
form = ["M.5.1", "M.6.1"]
code = ["M.4"]
"""


def test_two_graphics_of_one_code_say_which_is_which_and_how_they_were_made(read: Read) -> None:
    report = read("P|1", "O|1|S1", "M|1|CURVE|RBC|float/deflate^AAAA|^BBBB", profile=CURVES)
    found = report.specimens[0].observations()
    assert [(o.component, [c.text for c in o.comments]) for o in found] == [
        ("axis", ["float/deflate"]),
        ("curve", []),
    ]


@pytest.mark.parametrize("key", ["part", "form"])
def test_parts_and_forms_of_graphics_have_one_entry_for_each_path(read: Read, key: str) -> None:
    with pytest.raises(ProfileError, match="one entry for each path"):
        read("P|1", profile=_short(key))


def _short(key: str) -> str:
    """The same table with one entry of the list taken away."""
    return re.sub(rf'^{key} = \["([^"]*)", "[^"]*"\]', rf'{key} = ["\1"]', CURVES, flags=re.MULTILINE)
