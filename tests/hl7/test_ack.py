"""Acknowledgements: only one that says clearly what it answers, and how, is one (HL7 2.5.1 §2.9, table 0008)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7.ack import Ack, read_ack
from hl7.errors import NotAnAckError

MSH = "MSH|^~\\&|AM||AN-200||20240301101503+0100||ACK^R22^ACK|AM-778|P|2.5.1||||||UNICODE UTF-8|||LAB-29^IHE"


def answer(*segments: str) -> bytes:
    return "".join(f"{segment}\r" for segment in (MSH, *segments)).encode()


def test_the_answer_of_the_worked_example_says_yes() -> None:
    assert read_ack(answer("MSA|AA|GW1-000123")) == Ack("AA", "GW1-000123")


@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA", "CE", "CR"])
def test_every_code_of_table_0008_is_read(code: str) -> None:
    assert read_ack(answer(f"MSA|{code}|1")).code == code


def test_an_error_says_its_code_severity_and_text() -> None:
    ack = read_ack(answer("MSA|AE|1", "ERR||OBX^1^5|102^Data type error^HL70357|E||||값이 숫자가 아님"))
    assert ack == Ack("AE", "1", "값이 숫자가 아님", "102", "E")


def test_the_text_of_msa_comes_before_that_of_err() -> None:
    assert read_ack(answer("MSA|AR|1|no such site", "ERR|||207|E|||diagnostic|user")).text == "no such site"
    assert read_ack(answer("MSA|AR|1", "ERR|||207|E|||diagnostic")).text == "diagnostic"


def test_of_several_err_the_first_error_counts() -> None:
    assert read_ack(answer("MSA|AE|1", "ERR|||0|W", "ERR|||204|E", "ERR|||101|E")).error_code == "204"


def test_an_error_in_the_old_form_is_read() -> None:
    assert read_ack(answer("MSA|AE|1", "ERR|PID^1^3^101&Required field missing&HL70357")).error_code == "101"


def test_escapes_and_the_null_are_read() -> None:
    assert read_ack(answer("MSA|AE|a\\F\\b|x\\T\\y")) == Ack("AE", "a|b", "x&y")
    assert read_ack(answer('MSA|AA|1|""', 'ERR|||""|""')) == Ack("AA", "1")


def test_other_delimiters_are_read_from_msh() -> None:
    assert read_ack(b"MSH#*!?$#AM\rMSA#AE#7\rERR###204*x#E\r") == Ack("AE", "7", "", "204", "E")


@pytest.mark.parametrize("wrap", [b"\xef\xbb\xbf%b", b"\x0b%b\x1c\r", b"\r\n%b"])
def test_a_mark_or_a_frame_around_the_answer_does_no_harm(wrap: bytes) -> None:
    assert read_ack(wrap % answer("MSA|AA|1")) == Ack("AA", "1")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"OK",
        b'{"MSA": "AA"}',
        answer(),
        answer("MSA"),
        answer("MSA|AA"),
        answer("MSA|AA|"),
        answer('MSA|AA|""'),
        answer("MSA||1"),
        answer("MSA|aa|1"),
        answer("MSA|OK|1"),
        answer("MSA|AA|1", "MSA|AE|1"),
        answer("MSA^AA^1"),
        b"MSA|AA|1\r",
        answer("MSA|AA|1|\uac12").decode().encode("euc-kr"),
        answer("MSA|AA|1").decode().encode("utf-16"),
        answer("MSA|AA|1") + b"\xff",
    ],
)
def test_anything_doubtful_is_no_acknowledgement(payload: bytes) -> None:
    with pytest.raises(NotAnAckError):
        read_ack(payload)


def test_a_refusal_never_repeats_what_it_refused() -> None:
    with pytest.raises(NotAnAckError) as caught:
        read_ack(answer("MSA|AA|1|홍길동").decode().encode("euc-kr"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert str(caught.value) == "The answer is not UTF-8."


@given(st.binary() | st.text().map(str.encode), st.binary(max_size=20))
def test_no_bytes_raise_anything_else(noise: bytes, more: bytes) -> None:
    for payload in (noise, b"MSH" + noise, answer("MSA|AA|1") + noise, MSH.encode() + b"\rMSA|" + noise + b"|" + more):
        try:
            ack = read_ack(payload)
        except NotAnAckError:
            continue
        assert ack.code in {"AA", "AE", "AR", "CA", "CE", "CR"}
        assert ack.control_id


def test_every_cut_of_an_answer_is_refused_or_says_the_same_code() -> None:
    """A truncated MSA-2 is another id: the caller compares it with the message it belongs to."""
    whole = answer("MSA|AE|GW1-000123")
    for length in range(len(whole)):
        try:
            ack = read_ack(whole[:length])
        except NotAnAckError:
            continue
        assert ack.code == "AE"
        assert "GW1-000123".startswith(ack.control_id)
