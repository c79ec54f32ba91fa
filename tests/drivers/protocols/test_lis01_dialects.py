"""Every switch a profile may set, each shown on and off."""

import pytest
from vectors.wire import ACK, ENQ, EOT, NAK, frame

from drivers.errors import OptionError
from drivers.protocols import lis01

BARE = b"H|\\^&|||DEV\rP|1\rR|1|^^^A|5\rL|1|N\r"


def dialect(**switches):
    return lis01.Dialect(**switches)


def test_an_unknown_value_of_a_switch_is_an_error_that_says_what_is_allowed():
    with pytest.raises(OptionError, match=r"link\.checksum is \"crc\"; it may be standard"):
        dialect(checksum="crc")
    with pytest.raises(OptionError, match="hope"):
        dialect(resync=frozenset({"hope"}))


# Trailer


@pytest.mark.parametrize("trailer", [b"\r\n", b"\n", b"\r", b""])
def test_trailer_any_takes_cr_lf_both_or_nothing(link, trailer):
    it = link(dialect(trailer="any"))
    it.send(ENQ + frame(1, b"H|\\^&\r", trailer=trailer))
    it.wait(1)
    it.send(frame(2, b"L|1\r", trailer=trailer) + EOT)
    assert it.names == ["Opened", "FrameReceived", "FrameReceived", "Closed(eot)"]
    assert it.frames[0].raw == frame(1, b"H|\\^&\r", trailer=b"")


@pytest.mark.parametrize("trailer", [b"\n", b"\n\r", b"\r\r", b"xy"])
def test_trailer_crlf_refuses_anything_else(link, trailer):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r", trailer=trailer))
    assert it.names[:2] == ["Opened", "Refused(trailer)"]
    assert it.answers == ACK + NAK


def test_trailer_none_takes_the_frame_at_its_check_bytes(link):
    it = link(dialect(trailer="none"))
    it.send(ENQ + frame(1, b"H|\\^&\r", trailer=b""))
    assert it.names == ["Opened", "FrameReceived"]


def test_trailer_any_hands_out_the_last_frame_of_a_lost_link(link):
    it = link(dialect(trailer="any"))
    it.send(ENQ + frame(1, b"H|\\^&\r", trailer=b"\r"))
    it.lose()
    assert it.names == ["Opened", "FrameReceived", "Closed(link)"]


def test_a_text_byte_that_became_etx_before_two_fitting_digits_is_found_out_by_what_follows(link):
    # worked by hand: "1Rm" + ETX sums to 0x31+0x52+0x6D+0x03 = 0xF3, and the text goes on with "F3|..."
    it = link(dialect(trailer="any"))
    it.send(ENQ + b"\x021Rm\x03F3|mmol\r\x03C7\r\n")
    assert it.names[:2] == ["Opened", "Refused(trailer)"]


# Frame numbers


def test_numbers_that_continue_over_sessions(link):
    it = link(dialect(frame_number="continues"))
    it.send(ENQ + frame(4, b"H|\\^&\r") + EOT)
    it.send(ENQ + frame(5, b"H|\\^&\r") + EOT)
    it.send(ENQ + frame(5, b"H|\\^&\r") + EOT)
    it.send(ENQ + frame(1, b"H|\\^&\r") + EOT)
    it.send(ENQ + frame(5, b"H|\\^&\r") + EOT)
    assert [n for n in it.names if "(eot)" not in n and n != "Opened"] == [
        *["FrameReceived"] * 4,
        "Refused(frame-number)",
    ]


def test_any_number_is_taken_and_only_equal_bytes_are_a_repeat(link):
    it = link(dialect(frame_number="any"))
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(1, b"M|1|AA\r") + frame(1, b"M|1|AA\r") + frame(7, b"L|1\r"))
    assert it.names == ["Opened", "FrameReceived", "FrameReceived", "Repeated", "FrameReceived"]


def test_frames_without_numbers(link):
    it = link(dialect(frame_number="none"))
    body = b"H|\\^&\r\x03"
    it.send(ENQ + b"\x02" + body + b"%02X\r\n" % (sum(body) % 256))
    assert it.frames[0].text == b"H|\\^&\r"
    assert it.frames[0].number is None


def test_without_numbers_equal_pieces_of_a_long_record_are_both_data_and_equal_records_are_a_repeat(link):
    it = link(dialect(frame_number="none", checksum="none", trailer="none"))
    piece, record = b"\x02" + b"A" * 50 + b"\x17", b"\x02P|1\r\x03"
    it.send(ENQ + b"\x02M|1|\x17" + piece + piece + b"\x02|x\r\x03" + record + record)
    assert it.text == b"M|1|" + b"A" * 100 + b"|x\rP|1\r"
    assert it.names[-1] == "Repeated"


# Checksums


def test_frames_without_number_and_checksum_are_refused_and_named_by_the_book(link):
    it = link()
    bare_frame = b"\x02H|\\^&||PSWD\rL|1|N\r\x03"
    it.send(ENQ + bare_frame + EOT)
    assert it.names == ["Opened", "Refused(no-checksum)", "Closed(eot)"]
    assert it.events[1].raw == bare_frame


def test_frames_without_number_and_checksum_are_refused_after_silence_too(link):
    it = link()
    it.send(ENQ + b"\x02H|\\^&||PSWD\rL|1|N\r\x03")
    it.wait(1)
    assert it.names == ["Opened", "Refused(no-checksum)"]
    assert it.answers == ACK + NAK


@pytest.mark.parametrize("trailer", ["any", "none"])
def test_frames_without_number_and_checksum_are_taken_where_the_dialect_says_so(link, trailer):
    it = link(dialect(checksum="none", frame_number="none", trailer=trailer))
    it.send(ENQ + b"\x02H|\\^&||PSWD\rL|1|N\r\x03" + EOT)
    assert it.names == ["Opened", "FrameReceived", "Closed(eot)"]
    assert it.frames[0].ends_message


def test_a_check_byte_that_looks_like_a_control_byte_does_not_cost_synchrony(link):
    # "AB" ^ ETX = 00, so a third letter sets the check byte: 02, 03, 04, 05, 11, 17 would need control letters;
    # two letters do: 0x41 ^ 0x40 ^ 0x03 = 02, 0x40 ^ 0x40 ^ 03 = 03, 0x47 ^ 0x40 ^ 03 = 04 and so on
    it = link(dialect(checksum="xor1", frame_number="none", trailer="none", resync=frozenset({"eot_first"})))
    sent = []
    for letter, check in ((0x41, 2), (0x40, 3), (0x47, 4), (0x46, 5), (0x52, 0x11), (0x54, 0x17)):
        text = bytes((letter, 0x40))
        sent.append(text)
        it.send(ENQ + b"\x02" + text + b"\x03" + bytes((check,)) + EOT)
    assert [f.text for f in it.frames] == sent
    assert it.names == ["Opened", "FrameReceived", "Closed(eot)"] * 6


def test_chunks_that_end_in_gs_and_two_digits(link):
    # the first chunk of a published mini VIDAS record has its sum from RS to GS, in lower case
    text = b"\x1emtrsl|\x1epi|"
    digits = b"%02x" % ((sum(text) + 0x1D) % 256)
    it = link(dialect(checksum="gs_hex", frame_number="none", trailer="any"))
    it.send(ENQ + b"\x02" + text + b"\x1d" + digits + b"\x03\n" + b"\x02" + text + b"\x1d" + digits.upper() + b"\r\n")
    assert it.names == ["Opened", "FrameReceived", "FrameReceived"]


# Bare records


def test_bare_records_without_enq_are_taken_up_to_the_l_and_not_answered(link):
    it = link(dialect(framing="auto"))
    it.send(BARE)
    assert it.names == ["Opened", "FrameReceived"]
    assert it.answers == b""
    assert it.frames[0] == lis01.FrameReceived(None, BARE, BARE, True, True)


def test_bare_records_after_enq_are_acknowledged_once_per_message(link):
    it = link(dialect(framing="auto"))
    it.send(ENQ + BARE + BARE + EOT)
    assert it.names == ["Opened", "FrameReceived", "FrameReceived", "Closed(eot)"]
    assert it.answers == ACK * 3


@pytest.mark.parametrize("separator", [b"\r\n", b"\n", b"\r\r\n"])
def test_bare_records_may_end_in_line_feeds(link, separator):
    it = link(dialect(framing="bare"))
    it.send(BARE.replace(b"\r", separator))
    assert it.frames[0].ends_message
    assert it.text == BARE.replace(b"\r", separator)[: 1 - len(separator) or None]


def test_bare_records_without_a_last_cr_end_with_eot_or_silence(link):
    for end in (EOT, b""):
        it = link(dialect(framing="auto"))
        it.send(BARE[:-1] + end)
        it.wait(4)
        assert it.frames[0].text == BARE[:-1]
        assert it.frames[0].ends_message


def test_bare_records_without_an_l_do_not_end_a_message(link):
    it = link(dialect(framing="auto"))
    it.send(BARE[:16])
    it.wait(4)
    assert [f.ends_message for f in it.frames] == [False]


def test_bare_records_end_by_silence_where_the_dialect_says_so(link):
    it = link(dialect(framing="bare", end_of_message="idle"))
    it.send(BARE[:16])
    it.wait(4)
    assert [f.ends_message for f in it.frames] == [True]


def test_bare_records_are_acknowledged_one_by_one_where_the_device_waits_for_it(link):
    it = link(dialect(framing="bare", ack_unit="record"))
    it.send(ENQ + BARE + EOT)
    assert [f.text for f in it.frames] == [b"H|\\^&|||DEV\r", b"P|1\r", b"R|1|^^^A|5\r", b"L|1|N\r"]
    assert it.answers == ACK * 5
    assert [f.ends_message for f in it.frames] == [False, False, False, True]
    assert it.names[-1] == "Closed(eot)"


def test_frames_are_still_frames_in_auto_and_no_bare_record_is_seen_inside_them(link):
    it = link(dialect(framing="auto"))
    it.send(ENQ + frame(1, b"H|\\^&\r") + b"H|not a header now\r" + frame(2, b"L|1\r") + EOT)
    assert it.names == ["Opened", "FrameReceived", "Noise", "FrameReceived", "Closed(eot)"]


def test_by_the_book_bare_records_are_noise(link):
    it = link()
    it.send(ENQ + BARE + EOT)
    assert it.names == ["Opened", "Noise", "Closed(eot)"]


def test_bare_records_that_run_into_a_frame_are_refused(link):
    it = link(dialect(framing="auto"))
    it.send(ENQ + b"H|\\^&\rP|1\r" + frame(1, b"H|\\^&\r") + EOT)
    assert it.names == ["Opened", "Refused(restricted)", "FrameReceived", "Closed(eot)"]


def test_a_word_that_begins_with_h_is_no_header(link):
    it = link(dialect(framing="auto"))
    it.send(b"HGB 12.5\r")
    it.wait(1)
    assert it.names == ["Noise"]


def test_bare_babble_is_capped(plain):
    it = plain(dialect(framing="bare", max_message=2048), 64)
    it.send(b"H|\\^&" + b"x" * 10_000)
    it.lose()
    assert it.names[0] == "Noise"
    assert len(it.events[0].raw) == 2048
    assert len(it.raw) == 10_005


# Acknowledgement units, ends, resynchronisation


def test_etb_on_complete_records_ends_each_record(link):
    # by the book the L below is still open: ETB says that its text goes on
    it = link(dialect(etb="record"))
    it.send(ENQ + frame(1, b"H|\\^&", b"\x17") + frame(2, b"L|1|N", b"\x17"))
    assert [f.ends_message for f in it.frames] == [False, True]
    book = link()
    book.send(ENQ + frame(1, b"H|\\^&\r", b"\x17") + frame(2, b"L|1|N", b"\x17"))
    assert [f.ends_message for f in book.frames] == [False, False]


@pytest.mark.parametrize(
    ("unit", "answers"),
    [("frame", ACK * 5), ("record", ACK * 3), ("message", ACK * 2), ("session", ACK * 2)],
)
def test_what_one_ack_stands_for(link, unit, answers):
    it = link(dialect(ack_unit=unit))
    it.send(ENQ + frame(1, b"H|\\", b"\x17") + frame(2, b"^&\rP|", b"\x17") + frame(3, b"1\r", b"\x17"))
    it.send(frame(4, b"L|1|N\r") + EOT)
    assert it.answers == answers


def test_no_ack_for_a_session_whose_last_frame_was_refused(link):
    it = link(dialect(ack_unit="session"))
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(7, b"L|1\r") + EOT)
    assert it.answers == ACK + NAK


def test_a_repeat_gets_the_answer_its_original_got(link):
    it = link(dialect(ack_unit="message"))
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(1, b"H|\\^&\r") + frame(2, b"L|1\r") + frame(2, b"L|1\r"))
    assert it.answers == ACK * 3


def test_eot_ends_a_message_where_the_dialect_says_so_and_l_does_not(link):
    it = link(dialect(end_of_message="EOT"))
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(2, b"L|1\r") + EOT)
    assert [f.ends_message for f in it.frames] == [False, False]


def test_enq_in_mid_session_may_mean_nothing(link):
    it = link(dialect(resync=frozenset({"enq_again"})))
    it.send(ENQ + frame(1, b"H|\\^&\r"))
    it.send(ENQ)
    it.wait(1)
    it.send(frame(2, b"P|1\r"))
    it.send(ENQ)
    it.wait(1)
    it.send(frame(1, b"L|1\r"))
    assert it.names == ["Opened", "FrameReceived", "Opened", "FrameReceived", "Opened", "FrameReceived"]
    assert [e.again for e in it.events if isinstance(e, lis01.Opened)] == [False, True, True]


def test_eot_before_the_first_frame_may_mean_nothing(link):
    for resync, names in (({"eot_first"}, ["Opened", "FrameReceived"]), (set(), ["Opened", "Closed(eot)", "Noise"])):
        it = link(dialect(resync=frozenset(resync), frame_number="any"))
        it.send(ENQ + EOT + frame(1, b"P|1\r"))
        assert it.names == names


def test_a_run_of_stx_before_a_frame(link):
    it = link(dialect(resync=frozenset({"vt_padding"})))
    it.send(ENQ + b"\x02" * 15 + frame(1, b"H|\\^&\r"))
    assert it.names == ["Opened", "FrameReceived"]
    book = link()
    book.send(ENQ + b"\x02" * 3 + frame(1, b"H|\\^&\r"))
    assert book.names == ["Opened", "Noise", "Noise", "Noise", "FrameReceived"]
