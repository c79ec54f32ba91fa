"""Check bytes and frames against the documents' own figures."""

import json
from pathlib import Path

import pytest
from vectors import wire

from drivers.protocols import lis01
from drivers.protocols.lis01_encode import frame as encode

VECTORS = Path(__file__).parents[2] / "vectors"
CHECKSUMS = json.loads((VECTORS / "lis01_checksums.json").read_text("utf-8"))
WORKED_EXAMPLE = (VECTORS / "worked_example.wire").read_bytes()


@pytest.mark.parametrize("vector", CHECKSUMS, ids=[v["checksum"] for v in CHECKSUMS])
def test_the_published_checksums_come_out(vector):
    assert lis01.Dialect().check(bytes.fromhex(vector["bytes"])) == vector["checksum"].encode()


@pytest.mark.parametrize("vector", CHECKSUMS, ids=[v["checksum"] for v in CHECKSUMS])
def test_the_published_frames_are_accepted_and_the_same_with_another_digit_refused(vector, plain):
    body, check = bytes.fromhex(vector["bytes"]), vector["checksum"].encode()
    any_number = lis01.Dialect(frame_number="any")
    good, bad = plain(any_number), plain(any_number)
    good.send(wire.ENQ + b"\x02" + body + check + b"\r\n")
    bad.send(wire.ENQ + b"\x02" + body + check.replace(check[:1], b"G") + b"\r\n")
    assert good.names == ["Opened", "FrameReceived"]
    assert bad.names == ["Opened", "Refused(checksum)"]


@pytest.mark.parametrize(
    ("checksum", "digits"),
    # 4L|1|N<CR><ETX>: with STX 09, without ETX 04, by the book 07 (the sum of the bytes is 0x207)
    [("standard", b"07"), ("incl_stx", b"09"), ("no_etx", b"04")],
)
def test_the_wrong_ways_to_sum_are_each_known_by_name(checksum, digits, plain):
    dialect = lis01.Dialect(checksum=checksum, frame_number="any")
    assert dialect.check(b"4L|1|N\r\x03") == digits
    link = plain(dialect)
    link.send(wire.ENQ + b"\x024L|1|N\r\x03" + digits + b"\r\n")
    assert [f.text for f in link.frames] == [b"L|1|N\r"]


def test_an_exclusive_or_check_byte_may_look_like_any_control_byte():
    # worked by hand: "A" ^ "B" = 03, ^ ETX = 00; so "AB" + x + ETX gives the byte x itself
    for control in b"\x02\x03\x04\x05\x11\x17":
        assert lis01.Dialect(checksum="xor1").check(b"AB" + bytes((control,)) + b"\x03") == bytes((control,))


def test_the_worked_example_is_read_as_its_five_records(link):
    it = link()
    it.send(WORKED_EXAMPLE)
    assert it.names == ["Opened", *["FrameReceived"] * 5, "Closed(eot)"]
    assert it.answers == wire.ACK * 6
    assert [f.number for f in it.frames] == [1, 2, 3, 4, 5]
    assert it.frames[3].text == (b"R|1|^^^GLU|<0.3|mmol/L|3.9 to 5.6|<||F||jd|20240301101000|20240301101200|AN-200\r")
    assert [f.ends_message for f in it.frames] == [False, False, False, False, True]
    assert wire.ENQ + b"".join(f.raw for f in it.frames) + wire.EOT == WORKED_EXAMPLE


def test_the_frames_tests_are_made_with_agree_with_the_worked_example():
    texts = [part.rpartition(b"\x03")[0][1:] for part in WORKED_EXAMPLE[1:-1].split(b"\x02")[1:]]
    assert wire.ENQ + b"".join(wire.frame(n, t) for n, t in enumerate(texts, 1)) + wire.EOT == WORKED_EXAMPLE


def test_our_own_encoder_builds_the_worked_example():
    texts = [part.rpartition(b"\x03")[0][1:] for part in WORKED_EXAMPLE[1:-1].split(b"\x02")[1:]]
    built = b"".join(encode(lis01.Dialect(), n, t, last=True) for n, t in enumerate(texts, 1))
    assert wire.ENQ + built + wire.EOT == WORKED_EXAMPLE
