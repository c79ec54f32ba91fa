"""A frame with one changed byte never becomes data, and never draws an ACK that its sender would believe."""

from collections.abc import Iterator

import pytest
from vectors.wire import ACK, ENQ, EOT, NAK, frame

from drivers.protocols import lis01

FIRST = frame(1, b"H|\\^&\r")
SMALL = frame(2, b"R|1|^^^GLU|5.1|g\r")
CUT = frame(2, b"R|1|^^^GLU|5.1", b"\x17")
LAST = frame(2, b"L|1|N\r")
RESULTS = b"".join(b"R|%d|^^^T%d|%d.25|g/L||N||F\r" % (n, n, n) for n in range(12))
WHOLE_MESSAGE = frame(2, b"P|1\rO|1|S1||^^^GLU\r" + RESULTS + b"L|1|N\r")


def every_value(good: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(len(good)):
        for value in range(256):
            if value != good[at]:
                yield at, good[:at] + bytes((value,)) + good[at + 1 :]


def every_bit(good: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(len(good)):
        for bit in range(8):
            yield at, good[:at] + bytes((good[at] ^ 1 << bit,)) + good[at + 1 :]


def after(sent, make, dialect=None, size=0, before=FIRST):
    """The link after ENQ, good frames and ``sent``, when its sender is about to give up; and what was answered."""
    link = make(dialect or lis01.Dialect(), size)
    link.send(ENQ + before)
    answered = len(link.answers)
    link.send(sent)
    link.wait(14.9)
    return link, link.answers[answered:]


@pytest.mark.parametrize("size", [0, 1], ids=["one read", "byte by byte"])
@pytest.mark.parametrize(
    ("good", "flips"),
    [(SMALL, every_value), (CUT, every_value), (LAST, every_value), (WHOLE_MESSAGE, every_bit)],
    ids=["small", "ETB", "L", "whole message"],
)
def test_every_changed_byte_of_a_checksummed_frame_is_refused_and_answered_at_most_once(plain, good, flips, size):
    if size and flips is every_bit:
        flips = lambda good: list(every_bit(good))[::7]  # noqa: E731 (the budget; the small frames are done whole)
    for at, bad in flips(good):
        link, answers = after(bad, plain, size=size)
        assert len(link.frames) == 1, (at, bad)
        assert answers in (b"", NAK), (at, bad, answers)


def test_every_changed_byte_of_the_first_frame_is_refused(plain):
    # An STX that became ENQ stands right after ENQ: its ACK would be taken for the frame's, and the message be lost.
    for at, bad in every_value(FIRST):
        link, answers = after(bad, plain, before=b"")
        assert not link.frames, (at, bad)
        assert answers in (b"", NAK), (at, bad, answers)


def test_a_sender_that_resends_after_a_changed_byte_is_taken_exactly_once(plain):
    for at, bad in every_value(SMALL):
        link, answers = after(bad, plain)
        if answers == NAK:
            link.send(SMALL)
        if ACK not in link.answers[2:]:  # no answer: the sender ends its session and sends everything again
            link.send(EOT + ENQ + FIRST + SMALL)
        assert [f.text for f in link.frames if f.number == 2] == [b"R|1|^^^GLU|5.1|g\r"], (at, bad)


def test_every_byte_of_a_changed_frame_is_kept_as_evidence_or_was_a_control_byte(plain):
    for at, bad in every_bit(SMALL):
        link, _ = after(bad, plain)
        link.lose()
        kept = link.raw.removeprefix(FIRST)
        missing = [b for b in bad if b not in kept]
        assert all(b in b"\x00\r\n\x04\x05" for b in missing), (at, bad, kept)


def test_a_changed_byte_in_a_stream_that_does_not_wait_alters_nothing_either(plain):
    records = [b"H|\\^&\r", b"P|1\r", b"O|1|S1\r", b"R|1|^^^A|5.1\r", b"L|1|N\r"]
    stream = [frame(n, r) for n, r in enumerate(records, 1)]
    for _, bad in every_value(stream[2]):
        link = plain()
        link.send(ENQ + b"".join((*stream[:2], bad, *stream[3:])) + EOT)
        link.wait(40)
        assert [f.text for f in link.frames] == records[: len(link.frames)]


def test_negative_control_a_receiver_that_checks_no_sum_takes_changed_frames_as_data(plain):
    blind = lis01.Dialect(checksum="none", trailer="any")
    taken = sum(len(after(bad[:-4] + b"\r\n", plain, blind, before=b"")[0].frames) for _, bad in every_bit(FIRST))
    assert taken > len(FIRST)


def xor(body: bytes) -> bytes:
    value = 0
    for byte in body:
        value ^= byte
    return bytes((value,))


TEXT = b"R|1|^^^GLU|5.1|g\r"
ETX_SUM = b"%02X" % ((sum(b"1" + TEXT) + 3) % 256)
DIALECTS = {
    "standard": (lis01.Dialect(), frame(1, TEXT)),
    "standard, trailer any": (lis01.Dialect(trailer="any"), frame(1, TEXT)),
    "standard, trailer none": (lis01.Dialect(trailer="none"), frame(1, TEXT, trailer=b"")),
    "incl_stx": (
        lis01.Dialect(checksum="incl_stx"),
        b"\x021" + TEXT + b"\x03%02X\r\n" % ((sum(b"\x021" + TEXT) + 3) % 256),
    ),
    "no_etx": (lis01.Dialect(checksum="no_etx"), b"\x021" + TEXT + b"\x03%02X\r\n" % (sum(b"1" + TEXT) % 256)),
    "xor1": (
        lis01.Dialect(checksum="xor1", trailer="none", frame_number="none"),
        b"\x02" + TEXT + b"\x03" + xor(TEXT + b"\x03"),
    ),
    "gs_hex": (
        lis01.Dialect(checksum="gs_hex", trailer="any", frame_number="none"),
        b"\x02" + TEXT + b"\x1d%02x\r\n" % ((sum(TEXT) + 0x1D) % 256),
    ),
    "none": (lis01.Dialect(checksum="none"), b"\x021" + TEXT + b"\x03\r\n"),
    "none, no number, no trailer": (
        lis01.Dialect(checksum="none", frame_number="none", trailer="none"),
        b"\x02" + TEXT + b"\x03",
    ),
}
SUMMED = ("standard", "standard, trailer any", "incl_stx", "no_etx", "gs_hex")


@pytest.mark.parametrize("name", DIALECTS)
def test_how_many_changed_bytes_each_dialect_lets_through_is_counted(plain, name):
    dialect, good = DIALECTS[name]
    assert [f.text for f in after(good, plain, dialect, before=b"")[0].frames] == [TEXT]
    tried = undetected = false_acks = 0
    for _, bad in every_value(good):
        link, answers = after(bad, plain, dialect, before=b"")
        altered = [f.text for f in link.frames if f.text != TEXT]
        tried += 1
        undetected += bool(altered)
        false_acks += ACK in answers and not link.frames
    print(f"{name}: {undetected} of {tried} changed bytes undetected, {false_acks} answered ACK without being data")
    assert false_acks == 0
    if name in SUMMED:
        assert undetected == 0
