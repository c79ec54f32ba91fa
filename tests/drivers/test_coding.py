"""The code table: one row or none, and a unit is only ever renamed."""

import pytest

from drivers.coding import Coded, CodeRow, Coding, local_system, rows_by_code
from drivers.sdk import load

GLUCOSE = CodeRow("GLU", specimen="SER", loinc="14749-6", units={"mmol/L": "mmol/L"})
GLUCOSE_URINE = CodeRow("GLU", specimen="UR", loinc="15076-3", units={"mmol/L": "mmol/L"})
CRP = CodeRow("CRP", name="C-reactive protein", loinc="1988-5", units={"mg/L": "mg/L"}, unit_when_absent="mg/L")
PLAIN = CodeRow("ESR", name="Sedimentation")
ANY = CodeRow("*", units={"copies/mL": "{copies}/mL"})
LOG = CodeRow("*", component="LOG")
TABLE = Coding(rows=rows_by_code([GLUCOSE, GLUCOSE_URINE, CRP, PLAIN, ANY, LOG]))


def test_the_row_that_fits_code_and_specimen_is_taken() -> None:
    assert TABLE.test("GLU", specimen_type="SER", unit="mmol/L").loinc == "14749-6"
    assert TABLE.test("GLU", specimen_type="UR", unit="mmol/L").loinc == "15076-3"


def test_without_a_single_row_the_code_travels_alone_but_is_known() -> None:
    assert TABLE.test("GLU", specimen_type="CSF", unit="mmol/L") == Coded(known=True)
    twice = Coding(rows=rows_by_code([CRP, CRP]))
    assert twice.test("CRP") == Coded(known=True)


def test_an_unknown_code_is_unknown() -> None:
    assert TABLE.test("XYZ", unit="mg/L") == Coded(known=False)


def test_a_unit_that_the_row_does_not_list_contradicts_it() -> None:
    assert TABLE.test("CRP", unit="mg/dL").unit_contradicts
    assert not TABLE.test("CRP", unit="mg/L").unit_contradicts
    assert not TABLE.test("ESR", unit="mm/h").unit_contradicts  # a row without units contradicts none


def test_an_absent_unit_stays_absent_unless_a_source_says_what_it_is() -> None:
    assert TABLE.test("CRP").ucum == "mg/L"
    assert TABLE.test("GLU", specimen_type="SER").ucum == ""
    assert not TABLE.test("CRP").unit_contradicts


def test_a_code_without_a_row_may_still_have_its_unit_named() -> None:
    assert TABLE.test("HIVVL", unit="copies/mL") == Coded(ucum="{copies}/mL", known=False)
    assert TABLE.test("HIVVL", unit="copies/mL", component="LOG").ucum == ""  # two rows fit: the unit is not one
    assert TABLE.test("CRP", unit="copies/mL").ucum == ""  # a row of its own comes first
    assert TABLE.test("HIVVL", unit="copies/ml").ucum == ""  # as sent means as sent


@pytest.mark.parametrize(
    ("vendor", "system"),
    [("Sysmex", "99SYS"), ("bioMérieux", "99BIO"), ("3M", "99LOC"), ("", "99LOC"), ("시스", "99LOC")],
)
def test_the_local_coding_system_is_99_and_three_letters(vendor: str, system: str) -> None:
    assert local_system(vendor) == system


def test_a_device_hands_its_table_and_facts_to_the_hl7_policy() -> None:
    coding = load("horiba_yumizen").coding()
    assert (coding.system, coding.manufacturer, coding.decimal) == ("99HOR", "HORIBA", ".")
    wbc = coding.test("WBC", unit="10E3/uL")
    assert (wbc.loinc, wbc.ucum, wbc.known) == ("6690-2", "10*3/uL", True)
