"""Reading HL7 text: delimiters from MSH, positions as in the standard, nothing validated beyond that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7.er7 import read
from hl7.errors import NotHl7Error


def test_positions_count_as_in_the_standard() -> None:
    reading = read("MSH|^~\\&|AN|SITE\rPID|||a^b&c~d^e\r")
    (msh,), (pid,) = reading.all("MSH"), reading.all("PID")
    assert [msh.get(n) for n in (1, 3, 4, 5)] == ["|", "AN", "SITE", ""]
    assert msh.field(2) == "^~\\&"
    assert [pid.get(3), pid.get(3, 2), pid.get(3, 2, 2), pid.get(3, repeat=2), pid.get(3, 2, repeat=2)] == list("abcde")
    assert [pid.get(3, 9), pid.get(3, repeat=9), pid.get(9), pid.get(0)] == [""] * 4


def test_the_delimiters_are_those_the_message_declares() -> None:
    (obx,) = read("MSH#*!?$#AN\rOBX#1##a*b!c*d?F?e").all("OBX")
    assert (obx.get(3), obx.get(3, 2), obx.get(3, 2, repeat=2)) == ("a", "b", "d#e")


def test_a_delimiter_that_is_not_declared_is_text() -> None:
    (obx,) = read("MSH|^|AN\rOBX|a~b\\F\\&c^d").all("OBX")
    assert (obx.get(1), obx.get(1, 2), obx.get(1, repeat=2)) == ("a~b\\F\\&c", "d", "")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\n\r"])
def test_segments_end_with_cr_and_other_line_ends_are_taken(end: str) -> None:
    assert [s.name for s in read(f"MSH|^~\\&|A{end}MSA|AA|1{end}").segments] == ["MSH", "MSA"]


def test_an_mllp_block_left_around_the_message_does_no_harm() -> None:
    assert [s.name for s in read("\x0bMSH|^~\\&|A\rMSA|AA|1\r\x1c\r").segments] == ["MSH", "MSA"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MSH",
        "MSH|",
        "MSH|^~",
        "PID|||1",
        "MSHA^~\\&|A",
        "MSH ^~\\&|A",
        "MSH||||||||",
        "MSH|^^\\&|A",
        "MSH|^~\\||A|B",
    ],
)
def test_text_without_a_usable_msh_is_refused(text: str) -> None:
    if text == "MSH|^~\\||A|B":  # a subcomponent separator left out is allowed
        assert read(text).separators.subcomponent == ""
        return
    with pytest.raises(NotHl7Error):
        read(text)


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    for candidate in (text, f"MSH|^~\\&|{text}", f"MSH{text}"):
        try:
            reading = read(candidate)
        except NotHl7Error:
            continue
        assert reading.segments[0].name == "MSH"
        assert all(isinstance(s.get(1), str) for s in reading.segments)
