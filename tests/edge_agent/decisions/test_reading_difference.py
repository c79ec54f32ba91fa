"""A transmission read with two profiles: which results would become something else, and what."""

from typing import Any

import pytest
from support_conversion import reader
from support_pipeline import GENERIC, device, records, transmission

from drivers.errors import InterpretationError
from drivers.sdk import Device
from edge_agent.decisions.reading_difference import Pair, pairs, read

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
GLU = "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000"
TEXT = records(HEADER, "P|1||P-1017", "O|1|S24-0028|A-77|^^^NA|R", NA, GLU, "L|1|N")
NA_ROW = {"code": "NA", "loinc": "2951-2", "units": {"mmol/L": "mmol/L"}, "source": "made up for this test"}
GLU_MG = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}


def compared(old: Device, new: Device, text: bytes = TEXT) -> tuple[Pair, ...]:
    sent = transmission(text)
    return pairs(read(sent, reader(old)), read(sent, reader(new)))


def changes(old: Device, new: Device, text: bytes = TEXT) -> list[dict[str, tuple[str, str]]]:
    return [{what: (before, after) for what, before, after in p.changes()} for p in compared(old, new, text)]


def test_the_same_profile_makes_no_difference() -> None:
    assert changes(GENERIC, device()) == [{}, {}]


def test_a_loinc_code_is_a_difference_of_its_result_alone() -> None:
    assert changes(GENERIC, device(test=[NA_ROW])) == [
        {"LOINC": ("", "2951-2"), "UCUM unit": ("", "mmol/L")},
        {},
    ]


def test_what_would_be_held_is_said_with_its_reason() -> None:
    assert changes(GENERIC, device(test=[GLU_MG])) == [
        {},
        {"outcome": ("sent to result", "held: unit-contradicts (GLU)")},
    ]
    assert changes(device(test=[GLU_MG]), GENERIC)[1] == {"outcome": ("held: unit-contradicts (GLU)", "sent to result")}


def test_another_place_of_the_specimen_id_is_shown_for_each_result() -> None:
    of_o4 = device(specimen={"id": ["O.4.1"], "doubt": "take", "instrument_id": []})
    of_o3 = device(specimen={"id": ["O.3.1"], "doubt": "take", "instrument_id": []})
    assert changes(of_o3, of_o4) == [{"specimen id": ("S24-0028", "A-77")}] * 2


def test_role_and_route_are_shown() -> None:
    control = device(qc={"rules": [{"path": "O.3.1", "equals": "S24-0028", "role": "Q"}]})
    assert changes(GENERIC, control)[0] == {"outcome": ("sent to result", "sent to qc"), "role": ("P", "Q")}


def test_the_status_shown_is_the_one_of_hl7() -> None:
    """LIS02-A2 R.9 empty: the profile's default, else R (not verified)."""
    text = TEXT.replace(b"N||F|", b"N|||")
    assert changes(GENERIC, device(result={"status_default": "F"}), text) == [{"status": ("R", "F")}] * 2


def test_a_record_that_is_no_result_any_more_is_paired_with_what_it_was() -> None:
    raw = device(select=[{"record": "R", "when": [{"path": "R.3.4", "equals": "GLU"}], "as": "ignore"}])
    assert changes(GENERIC, raw) == [{}, {"outcome": ("sent to result", "unread")}]


def test_a_specimen_without_any_result_has_a_place_too() -> None:
    nameless = records(HEADER, "P|1||P-1017", "O|1|||^^^NA|R", NA, "L|1|N")
    assert changes(GENERIC, device(usual_gap_s=60), nameless) == [{}]


def test_what_holds_a_transmission_as_a_whole_is_told_apart() -> None:
    assert read(transmission(b"noise\r"), reader()).whole == "held: not-lis02"


def test_a_driver_that_fails_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = device()

    def fail(*_: Any, **__: Any) -> None:
        raise InterpretationError("The lis02_generic driver failed on message 1")

    monkeypatch.setattr(broken, "read", fail)
    assert read(transmission(TEXT), reader(broken)).whole == "the driver fails"
    assert [c["outcome"] for c in changes(GENERIC, broken)] == [("sent to result", "unread")] * 2
