"""Frames become one text: a split may be anywhere, but ETX ends a record, whether its CR is there or not."""

import pytest

from drivers.protocols import lis02
from drivers.protocols.lis01_records import joined

HEADER, ORDER, END = rb"H|\^&|||BENCH-7", b"O|1|S24-0028||^^^GLU|R", b"L|1|N"
GLUCOSE, SODIUM = b"R|1|^^^GLU|5.1|mmol/L||N||F", b"R|2|^^^NA|140|mmol/L||N||F"
RECORDS = (HEADER, b"P|1||P-1017", ORDER, GLUCOSE, SODIUM, END)


def etx(*texts: bytes) -> list[tuple[bytes, bool]]:
    return [(text, True) for text in texts]


def test_records_whose_sender_leaves_the_cr_away_stay_apart() -> None:
    """Glued to the glucose, the sodium was read as its fifteenth field, and lost without a word."""
    (message,) = lis02.read(joined(etx(*RECORDS)), lis02.RecordOptions()).messages
    assert [r.raw for r in message.records] == list(RECORDS)
    assert message.terminated


def test_glued_they_would_be_one() -> None:
    """Negative control of the test above."""
    (message,) = lis02.read(b"".join(RECORDS), lis02.RecordOptions()).messages
    assert [r.type for r in message.records] == ["H"]


def test_where_the_cr_is_there_nothing_is_added() -> None:
    assert joined(etx(*(r + b"\r" for r in RECORDS))) == b"".join(r + b"\r" for r in RECORDS)
    assert joined(etx(*(r + b"\r\n" for r in RECORDS))) == b"".join(r + b"\r\n" for r in RECORDS)


@pytest.mark.parametrize("cut", range(1, len(GLUCOSE)))
def test_a_record_cut_by_etb_is_joined_with_nothing_between(cut: int) -> None:
    assert joined([(GLUCOSE[:cut], False), (GLUCOSE[cut:] + b"\r", True)]) == GLUCOSE + b"\r"


@pytest.mark.parametrize("cut", range(1, len(GLUCOSE)))
def test_a_record_cut_by_etx_against_the_book_is_not_broken_in_two(cut: int) -> None:
    assert joined([(GLUCOSE[:cut], True), (GLUCOSE[cut:] + b"\r", True)]) == GLUCOSE + b"\r"


@pytest.mark.parametrize("rest", [b"F||||20240612", b"P||||20240612", b"C", b"R|", b"|1|", b"1|^^^NA", b"L5|N"])
def test_a_field_that_begins_like_a_record_is_a_field(rest: bytes) -> None:
    assert joined(etx(b"R|1|^^^GLU|5.1|mmol/L||N||", rest)) == b"R|1|^^^GLU|5.1|mmol/L||N||" + rest


@pytest.mark.parametrize(
    "begin", [rb"H|\^&", rb"H@^\&", b"P|1", b"O|12|S1", b"r|2|^^^NA", b"C!1!x", b"L", b"L|1|N", b"  R|3|"]
)
def test_a_record_that_begins_after_etx_begins_a_line(begin: bytes) -> None:
    assert joined(etx(b"R|1|^^^GLU|5.1", begin)) == b"R|1|^^^GLU|5.1\r" + begin
