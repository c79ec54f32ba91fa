"""What a line says about itself: every kind of bytes leads to its sentence, and only ENQ gets an answer, a NAK."""

import pytest

from drivers.profile import Profile
from drivers.protocols.lis01_dialect import Dialect
from drivers.sdk import load
from edge_agent.probe.hearing import Hearing, dialect_for, kind_of

STX, ETX, EOT, ENQ, NAK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x15"
XN_HEADER = rb"H|\^&|||XN-350^00-20^11001^^^^AB123456||||||||E1394-97"
GX_HEADER = rb"H|@^\|m1||ICU^GeneXpert^4.8|||||LIS||P|1394-97|20070521100245"


def framed(text: bytes, *, kind: str = "standard", trailer: bytes = b"\r\n", number: bytes = b"1") -> bytes:
    """LIS01-A2 6.3.1 with the check bytes of a dialect, added up here."""
    body = number + text + b"\r" + ETX
    total = {"standard": sum(body), "incl_stx": sum(body) + 2, "no_etx": sum(body) - 3}.get(kind, 0)
    check = b"" if kind == "none" else b"%02X" % (total % 256)
    if kind == "xor1":
        one = 0
        for byte in body:
            one ^= byte
        check = bytes([one])
    return STX + body + check + trailer


def shipped() -> list[tuple[str, Profile]]:
    return [(name, load(name).profile) for name in ("cepheid_genexpert", "lis02_generic", "sysmex_xn")]


def hearing(device: str = "sysmex_xn") -> Hearing:
    return Hearing(device, load(device).profile, shipped)


def heard(data: bytes, device: str = "lis02_generic") -> tuple[list[str], bytes]:
    """The codes of everything that was found, and everything that would be written."""
    ear = hearing(device)
    found, answer = ear.hear(data, 0.0)
    later, answer_later = ear.hear(b"", 10.0)
    return [f.code for f in [*found, *later, *ear.end(20.0)]], answer + answer_later


def test_a_lone_enq_shows_that_the_line_works_and_is_told_to_wait() -> None:
    assert heard(ENQ) == (["enq"], NAK)


def test_an_enq_waits_for_silence_before_it_is_believed() -> None:
    ear = hearing()
    assert ear.hear(ENQ, 0.0) == ([], b"")
    assert ear.deadline == pytest.approx(0.5)
    findings, answer = ear.hear(b"", 0.5)
    assert ([f.code for f in findings], answer) == (["enq"], NAK)
    assert ear.works


def test_an_enq_among_garbage_is_garbage_and_gets_no_answer() -> None:
    assert heard(b"\x9c\xf0\x05") == (["garbage"], b"")
    assert heard(b"\xe0\x05\xf0\x9c\x05") == (["garbage"], b"")


def test_asking_again_after_the_pause_shows_that_our_answer_arrived() -> None:
    ear = hearing()
    ear.hear(ENQ, 0.0)
    ear.hear(b"", 0.5)
    ear.hear(ENQ, 10.6)
    findings, answer = ear.hear(b"", 11.2)
    assert ([f.code for f in findings], answer) == (["heard-us"], NAK)


def test_giving_up_after_fifteen_seconds_shows_that_it_may_be_deaf_to_us() -> None:
    ear = hearing()
    ear.hear(ENQ, 0.0)
    ear.hear(b"", 0.5)
    findings, answer = ear.hear(EOT, 15.5)
    assert ([f.code for f in findings], answer) == (["deaf"], b"")


def test_a_frame_is_read_and_never_answered() -> None:
    assert heard(framed(XN_HEADER), "sysmex_xn") == (["frame", "header"], b"")


def test_a_header_of_another_device_is_named_with_the_profile_that_knows_it() -> None:
    ear = hearing("cepheid_genexpert")
    findings, _ = ear.hear(framed(XN_HEADER), 0.0)
    [other] = [f for f in findings if f.code == "other-device"]
    assert "XN-350" in other.sentence
    assert other.action == 'Set profile = "sysmex_xn".'


def test_records_and_their_content_are_in_no_sentence() -> None:
    ear = hearing()
    record = b"P|1||CANARY-7741||CANARYNAME^^^"
    findings, _ = ear.hear(framed(XN_HEADER) + framed(record, number=b"2") + b"R|1|CANARY\r", 0.0)
    for finding in [*findings, *ear.hear(b"", 5.0)[0], *ear.end(6.0)]:
        assert "CANARY" not in finding.sentence + finding.action


@pytest.mark.parametrize(
    ("data", "switches"),
    [
        (framed(GX_HEADER, kind="incl_stx"), {"checksum": "incl_stx"}),
        (framed(GX_HEADER, kind="no_etx"), {"checksum": "no_etx"}),
        (framed(GX_HEADER, kind="xor1"), {"checksum": "xor1"}),
        (framed(GX_HEADER, kind="none"), {"checksum": "none"}),
        (framed(GX_HEADER, trailer=b"\r"), {"trailer": "any"}),
        (framed(GX_HEADER, number=b""), {"frame_number": "none"}),
        (framed(GX_HEADER, kind="incl_stx", trailer=b""), {"checksum": "incl_stx", "trailer": "any"}),
        (framed(GX_HEADER).replace(b"GeneXpert", b"GenfXpert"), {}),
        (b"", {}),
    ],
    ids=["incl_stx", "no_etx", "xor1", "none", "trailer", "number", "two", "damaged", "nothing"],
)
def test_the_switch_that_makes_frames_good_is_found(data: bytes, switches: dict[str, str]) -> None:
    assert dialect_for(data, Dialect()) == switches


def test_a_wrong_checksum_names_the_switch_and_a_damaged_frame_names_the_cable() -> None:
    ear = hearing("lis02_generic")
    [finding] = [f for f in ear.hear(framed(GX_HEADER, kind="incl_stx"), 0.0)[0] if f.code == "dialect"]
    assert 'link.checksum = "incl_stx"' in finding.sentence
    assert "devices.d/lis02_generic.toml" in finding.action
    assert heard(framed(GX_HEADER).replace(b"GeneXpert", b"GenfXpert")) == (["refused"], b"")


def test_the_tail_of_a_message_before_the_first_whole_frame_does_not_hide_the_dialect() -> None:
    ear = hearing("lis02_generic")
    ear.hear(b"3.4|mmol/L\r\x03", 0.0)
    assert "dialect" in [f.code for f in ear.hear(framed(GX_HEADER, kind="incl_stx"), 3.0)[0]]


def test_a_line_that_babbles_is_judged_without_a_silence_and_in_bounded_time_and_space() -> None:
    ear = hearing()
    found = [f.code for n in range(200) for f in ear.hear(b"\xe0\xfc\xfe\x80\x86\xf8" * 500, n / 1000)[0]]
    assert found == ["garbage"]
    assert len(ear._noise) < 4096
    damaged = framed(GX_HEADER).replace(b"GeneXpert", b"GenfXpert")
    assert [f.code for n in range(200) for f in ear.hear(damaged * 10, 1 + n / 1000)[0]] == ["refused"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x0bMSH|^~\\&|XN|LAB|||20240301||ORU^R01|1|P|2.3.1\r\x1c\r", "hl7"),
        (b"MSH|^~\\&|XN|LAB|||20240301||ORU^R01|1|P|2.3.1\r", "hl7"),
        (b"H|\\^&|||XN\rP|1\rL|1|N\r", "bare"),
        (b"\x00\x00\x41\x00\x00\x00", "damaged"),
        (bytes.fromhex("e0fcfe8086f8"), "garbage"),
    ],
)
def test_bytes_that_are_no_frames_are_told_apart(data: bytes, code: str) -> None:
    assert kind_of(data).code == code
    assert heard(data)[1] == b""


@pytest.mark.parametrize(("odd", "written"), [(0, "bytesize=7&parity=E"), (1, "bytesize=7&parity=O")])
def test_seven_bits_with_parity_are_recognised_by_their_eighth(odd: int, written: str) -> None:
    data = bytes(b | (0x80 if b.bit_count() % 2 != odd else 0) for b in framed(GX_HEADER))
    finding = kind_of(data)
    assert finding.code == "parity"
    assert written in finding.action


@pytest.mark.parametrize("device", ["lis02_generic", "sysmex_xn"])  # one reads such records, one does not
def test_a_sender_that_waits_for_no_answer_is_not_said_to_keep_what_it_sent(device: str) -> None:
    ear = hearing(device)
    found = [*ear.hear(b"H|\\^&|||XN\rP|1\rL|1|N\r", 0.0)[0], *ear.hear(b"", 10.0)[0], *ear.end(20.0)]
    assert any("stored nowhere" in f.sentence and "send that again" in f.action for f in found)
    assert not any("it keeps them" in f.sentence for f in found)
    assert any("it keeps them" in f.sentence for f in hearing(device).hear(framed(XN_HEADER), 0.0)[0])  # the control


def test_what_is_said_once_is_not_said_again() -> None:
    ear = hearing()
    assert len(ear.hear(framed(XN_HEADER), 0.0)[0]) == 2
    assert ear.hear(framed(XN_HEADER, number=b"2"), 1.0)[0] == []


@pytest.mark.parametrize("seed", range(50))
def test_no_bytes_whatever_are_answered_with_anything_but_nak(seed: int) -> None:
    import random

    rng = random.Random(seed)
    parts = [ENQ, EOT, framed(XN_HEADER), framed(XN_HEADER, kind="no_etx"), b"\x06", b"\x0bMSH|", b"\x00", NAK]
    ear = hearing()
    written = b""
    for now in range(40):
        part = rng.choice([*parts, rng.randbytes(3)])
        written += ear.hear(part, float(now))[1] + ear.hear(b"", now + 0.6)[1]
    assert set(written) <= set(NAK)
