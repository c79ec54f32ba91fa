"""Two profiles compared: the keys a person finds in the file, and what they can change besides."""

import pytest
from support_pipeline import GENERIC, device

from edge_agent.decisions.profile_difference import Difference, Touches, profile_differences

NA = {"code": "NA", "loinc": "2951-2", "units": {"mmol/L": "mmol/L"}, "source": "made up for this test"}
URINE = {**NA, "when": {"specimen": "U"}}
MG = {**NA, "units": {"mmol/L": "mmol/L", "mg/dL": "mg/dL"}}


def test_equal_profiles_differ_in_nothing() -> None:
    assert profile_differences(GENERIC.profile, device().profile) == ()


def test_a_key_is_named_as_in_the_file_with_both_contents() -> None:
    found = profile_differences(GENERIC.profile, device(text={"charset": "euc-kr"}).profile)
    assert found == (Difference("text.charset", '"utf-8"', '"euc-kr"', Touches.IDENTITY),)


def test_a_new_table_of_a_list_is_shown_by_what_it_states() -> None:
    found = profile_differences(GENERIC.profile, device(test=[NA]).profile)
    assert [(d.path, d.new) for d in found] == [
        ("test[NA].code", '"NA"'),
        ("test[NA].loinc", '"2951-2"'),
        ('test[NA].units."mmol/L"', '"mmol/L"'),
        ("test[NA].source", '"made up for this test"'),
    ]


def test_an_entry_that_empties_something_is_not_passed_over() -> None:
    to_nothing = device(result={"status": {"map": {"Z": ""}}}).profile
    assert [(d.path, d.old, d.new) for d in profile_differences(GENERIC.profile, to_nothing)] == [
        ("result.status.map.Z", "not set", '""')
    ]


def test_a_code_row_is_named_by_its_code_and_not_by_its_place() -> None:
    found = profile_differences(device(test=[NA]).profile, device(test=[URINE, MG]).profile)
    assert [(d.path, d.old, d.new) for d in found if d.path.startswith("test[NA].")] == [
        ('test[NA].units."mg/dL"', "not set", '"mg/dL"')
    ]
    assert {d.path for d in found if not d.path.startswith("test[NA].")} >= {"test[NA, specimen U].loinc"}


def test_the_order_of_code_rows_is_no_difference() -> None:
    glucose = {**NA, "code": "GLU", "loinc": ""}
    one, other = device(test=[NA, glucose]).profile, device(test=[glucose, NA]).profile
    assert one.hash != other.hash
    assert profile_differences(one, other) == ()


def test_two_rows_that_nothing_tells_apart_are_both_there() -> None:
    found = profile_differences(device(test=[NA]).profile, device(test=[NA, NA]).profile)
    assert ("test[NA].code (2)", "not set") in {(d.path, d.old) for d in found}


@pytest.mark.parametrize(
    ("change", "touches"),
    [
        ({"link": {"checksum": "none"}}, Touches.LINK),
        ({"link": {"source": "another page"}}, Touches.NOTHING),
        ({"specimen": {"id": ["O.4.1"]}}, Touches.IDENTITY),
        ({"result": {"volatile": ["time"]}}, Touches.IDENTITY),
        ({"result": {"status_default": "F"}}, Touches.NOTHING),
        ({"result": {"status": {"map": {"Z": "F"}}}}, Touches.IDENTITY),
        ({"usual_gap_s": 60}, Touches.NOTHING),
        ({"test": [NA]}, Touches.NOTHING),
    ],
)
def test_what_a_key_can_change_besides_is_said(change: dict[str, object], touches: Touches) -> None:
    found = profile_differences(GENERIC.profile, device(**change).profile)
    assert {d.touches for d in found} == {touches}
