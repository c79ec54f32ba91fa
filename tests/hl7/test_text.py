"""Escaping of leaf values: HL7 2.5.1 §2.7, and what a raw control character would do to a message."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hl7.text import NULL, composite, escape, message, segment, unescape

# Left: data. Right: the text worked out from HL7 2.5.1 §2.7.1 (\F\ \S\ \T\ \R\ \E\) and §2.7.5 (\Xdd..\).
WRITTEN = [
    ("a|b", "a\\F\\b"),
    ("3^4", "3\\S\\4"),
    ("a & b", "a \\T\\ b"),
    ("~5", "\\R\\5"),
    ("c:\\x", "c:\\E\\x"),
    ("\\F\\", "\\E\\F\\E\\"),
    ("a\rb", "a\\X0D\\b"),
    ("a\nb", "a\\X0A\\b"),
    ("a\r\nb", "a\\X0D\\\\X0A\\b"),
    ("\x0b\x1c", "\\X0B\\\\X1C\\"),
    ("\x00\x7f", "\\X00\\\\X7F\\"),
    ("\x85", "\\XC285\\"),
    ("\u2028\u2029", "\\XE280A8\\\\XE280A9\\"),
]


@pytest.mark.parametrize(("data", "text"), WRITTEN)
def test_a_character_with_a_meaning_is_written_as_its_sequence(data: str, text: str) -> None:
    assert escape(data) == text


@pytest.mark.parametrize(("data", "text"), WRITTEN)
def test_a_sequence_is_read_as_its_character(data: str, text: str) -> None:
    assert unescape(text) == data


@pytest.mark.parametrize("plain", ["", "5.10", "<0.3", " 7 ", "10*3/uL", "µg/L", "홍길동", "양성 (2+)", '"'])
def test_ordinary_text_is_written_as_it_is(plain: str) -> None:
    assert escape(plain) == plain


def test_the_null_is_no_text_and_stays() -> None:
    assert escape(NULL) == '""'


@given(st.text())
@example("\\E\\F\\")
@example("\\X0D\\")
@example("\\.br\\")
def test_whatever_is_written_is_read_back(data: str) -> None:
    assert unescape(escape(data)) == data


@given(st.text())
def test_no_written_text_can_end_a_leaf_a_segment_or_a_line(data: str) -> None:
    written = escape(data)
    assert not set(written) & set("|^~&\r\n\x0b\x1c")
    assert len(written.splitlines()) <= 1


def test_the_check_for_line_ends_sees_one() -> None:
    assert len("a\u2028b".splitlines()) == 2


def test_escaping_in_the_wrong_order_would_be_noticed() -> None:
    """The escape character last turns the sequences just written into text: the reason for one pass."""
    wrong = "a|b".replace("|", "\\F\\").replace("\\", "\\E\\")
    assert unescape(wrong) != "a|b"


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("5 \\H\\high\\N\\", "5 high"),
        ("line\\.br\\line", "line\nline"),
        ("\\XEAB980\\", "김"),
        ("\\xEA\\", "\\xEA\\"),
        ("\\XFF\\", "\\XFF\\"),
        ("\\X0\\", "\\X0\\"),
        ("\\X\\", "\\X\\"),
        ("\\Z03BC\\", "\\Z03BC\\"),
        ("a\\b", "a\\b"),
        ("\\", "\\"),
        ("\\\\", "\\\\"),
        ("\\q\\F\\", "\\q|"),
        ("\\E\\X0D\\E\\", "\\X0D\\"),
    ],
)
def test_reading_goes_once_from_left_to_right_and_keeps_what_it_does_not_know(text: str, data: str) -> None:
    assert unescape(text) == data


def test_another_escape_character_is_used_where_the_message_says_so() -> None:
    assert unescape("a@F@b\\F\\@S@", "#*!@$") == "a#b\\F\\*"


def test_components_are_escaped_one_by_one_and_end_with_the_last_valued() -> None:
    assert composite(("a^b", "", "c", "", "")) == "a\\S\\b^^c"


def test_a_segment_ends_with_its_last_valued_field() -> None:
    assert segment("PV1", ("", "N", "", "")) == "PV1||N"


def test_every_segment_of_a_message_ends_with_cr() -> None:
    assert message(["MSH|1", "PID|2"]) == "MSH|1\rPID|2\r"
