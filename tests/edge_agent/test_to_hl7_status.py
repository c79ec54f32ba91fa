"""OBX-11: every letter an analyser may send, under every order. Worked out from LIS02-A2 §9 and HL7 table 0085.

Rows are R.9, columns O.26; "?" is a letter of neither standard.
"""

import pytest

from edge_agent.to_hl7_status import result_status, status_note

ORDERS = ("", "F", "C", "P", "X", "O", "I", "Y", "?")
TABLE = {
    #      ""   F    C    P    X    O    I    Y    ?
    "F": ("F", "F", "C", "P", "X", "F", "F", "F", "F"),
    "C": ("C", "C", "C", "C", "X", "C", "C", "C", "C"),
    "P": ("P", "P", "P", "P", "X", "P", "P", "P", "P"),
    "X": ("X", "X", "X", "X", "X", "X", "X", "X", "X"),
    "I": ("I", "I", "I", "I", "X", "I", "I", "I", "I"),
    "S": ("S", "S", "S", "S", "X", "S", "S", "S", "S"),
    "V": ("F", "F", "C", "P", "X", "F", "F", "F", "F"),
    "W": ("R", "R", "R", "R", "X", "R", "R", "R", "R"),
    "R": ("R", "F", "C", "P", "X", "R", "R", "R", "R"),
    "N": ("R", "F", "C", "P", "X", "R", "R", "R", "R"),
    "M": ("R", "F", "C", "P", "X", "R", "R", "R", "R"),
    "Q": ("R", "F", "C", "P", "X", "R", "R", "R", "R"),
    "": ("R", "F", "C", "P", "X", "R", "R", "R", "R"),
    "?": ("R", "F", "C", "P", "X", "R", "R", "R", "R"),
    "f": ("R", "F", "C", "P", "X", "R", "R", "R", "R"),
    "FF": ("R", "F", "C", "P", "X", "R", "R", "R", "R"),
}
CASES = [(sent, order, row[i]) for sent, row in TABLE.items() for i, order in enumerate(ORDERS)]


@pytest.mark.parametrize(("sent", "order", "status"), CASES)
def test_a_letter_under_an_order_becomes_the_status_of_the_table(sent: str, order: str, status: str) -> None:
    assert result_status(sent, order, "") == status


@pytest.mark.parametrize(
    ("sent", "order", "status"),
    [("", "", "F"), ("R", "", "F"), ("M", "O", "F"), ("", "P", "P"), ("", "C", "C"), ("", "X", "X"), ("W", "", "R")],
)
def test_a_default_of_the_profile_stands_in_only_where_nobody_said_anything(sent: str, order: str, status: str) -> None:
    assert result_status(sent, order, "F") == status


@pytest.mark.parametrize("default", ["V", "W", "N", "D", "final", "f"])
def test_a_default_that_is_no_status_of_ours_is_not_verified(default: str) -> None:
    assert result_status("", "", default) == "R"


@pytest.mark.parametrize("copied", ["R", "N", "W", "M", "Q", "V"])
def test_copying_the_letter_would_say_something_else(copied: str) -> None:
    """What makes the table necessary: with a final order no such letter reaches OBX-11."""
    assert result_status(copied, "F", "") in ("F", "R")
    assert (result_status(copied, "F", "") == "R") == (copied == "W")


@pytest.mark.parametrize(
    ("sent", "status", "note"),
    [
        ("", "R", ""),
        ("F", "F", ""),
        ("V", "F", ""),
        ("V", "P", "status as sent: V (verified by the operator)"),
        ("W", "R", "status as sent: W (validity questionable)"),
        ("R", "F", "status as sent: R (previously transmitted)"),
        ("R", "R", "status as sent: R (previously transmitted)"),
        ("N", "F", "status as sent: N (information for a new order)"),
        ("M", "F", "status as sent: M (value is a MIC level)"),
        ("Q", "F", "status as sent: Q (response to a query)"),
        ("F", "P", "status as sent: F"),
        ("4", "R", "status as sent: 4"),
    ],
)
def test_a_letter_that_is_lost_otherwise_is_kept_in_a_note(sent: str, status: str, note: str) -> None:
    assert status_note(sent, status) == note
