"""Rules of the receiver that decide about one frame or one answer."""

import pytest
from vectors.wire import ACK, ENQ, EOT, NAK, frame

from drivers.errors import LinkMisuseError
from drivers.protocols import lis01
from drivers.protocols.lis01_records import RecordEnds

HEADER, PATIENT, END = b"H|\\^&\r", b"P|1\r", b"L|1|N\r"


class Stored:
    chunks = 1


def dialect(**more: object) -> lis01.Dialect:
    return lis01.Dialect(**more)  # type: ignore[arg-type]  # options by name


def test_a_start_asked_for_twice_lets_the_numbers_begin_anew_once(link):
    it = link()
    it.send(ENQ + ENQ + frame(1, HEADER) + frame(2, PATIENT) + frame(1, b"P|9\r"))
    assert it.names[-1] == "Refused(frame-number)"


def test_a_start_in_mid_session_lets_the_numbers_begin_anew_once(link):
    it = link(dialect(resync=frozenset({"enq_again"})))
    it.send(ENQ + frame(1, HEADER) + frame(2, PATIENT))
    it.send(ENQ)
    it.wait(1)
    it.send(frame(1, b"O|1\r") + frame(2, b"R|1\r") + frame(1, b"R|9\r"))
    assert it.names[-3:] == ["FrameReceived", "FrameReceived", "Refused(frame-number)"]


@pytest.mark.parametrize("rule", ["strict", "continues", "any"])
@pytest.mark.parametrize("number", [8, 9])
def test_there_is_no_frame_number_above_7(link, rule, number):
    it = link(dialect(frame_number=rule))
    it.send(ENQ + frame(number, HEADER))
    assert it.names == ["Opened", "Refused(frame-number)"]


def test_any_number_up_to_7_is_one_where_the_dialect_does_not_count(link):
    it = link(dialect(frame_number="any"))
    it.send(ENQ + frame(0, HEADER) + frame(7, PATIENT))
    assert [f.number for f in it.frames] == [0, 7]


def test_a_terminator_that_could_not_be_stored_and_comes_again_ends_its_message(link):
    """Split behind its letter: taken twice it would be no L."""
    it = link()
    it.send(ENQ + frame(1, HEADER))
    assert it.answers == ACK * 2
    it.stores = False
    it.send(frame(2, b"L", b"\x17"))
    assert it.answers == ACK * 2 + NAK
    it.stores = True
    it.send(frame(2, b"L", b"\x17") + frame(3, b"|1|N\r"))
    assert it.frames[-1].ends_message


def test_a_frame_that_could_not_be_stored_is_a_refusal_like_others(link):
    it = link()
    it.send(ENQ + frame(1, HEADER))
    assert it.answers == ACK * 2
    it.stores = False
    it.send(frame(2, PATIENT))
    assert it.answers == ACK * 2 + NAK
    it.send(frame(5, PATIENT))
    assert it.events[-1].in_a_row == 2
    it.send(EOT)
    assert it.events[-1].after_refusal


def test_a_repeat_ends_a_row_of_refusals(link):
    it = link()
    it.send(ENQ + frame(1, HEADER) + frame(5, PATIENT) + frame(1, HEADER) + frame(5, PATIENT))
    assert [e.in_a_row for e in it.events if isinstance(e, lis01.Refused)] == [1, 1]


def test_a_message_of_exactly_the_longest_is_taken(link):
    it = link(dialect(max_message=len(HEADER + PATIENT)))
    it.send(ENQ + frame(1, HEADER) + frame(2, PATIENT) + frame(3, b"\r"))
    assert it.names == ["Opened", "FrameReceived", "FrameReceived", "Refused(message-too-long)"]


def test_an_interrupt_waits_for_an_answer_it_can_be(link):
    """Where one ACK stands for a message, the frames before its last are not answered at all."""
    it = link(dialect(ack_unit="message"))
    it.send(ENQ)
    assert it.answers == ACK
    it.receiver.interrupt()
    it.send(frame(1, HEADER) + frame(2, END))
    assert it.answers == ACK + EOT


def test_an_interrupt_that_is_taken_back_is_none(link):
    it = link()
    it.send(ENQ)
    assert it.answers == ACK
    it.receiver.interrupt()
    it.receiver.interrupt(False)
    it.send(frame(1, HEADER))
    assert it.answers == ACK * 2


def test_an_empty_session_is_not_acknowledged_at_its_end(link):
    it = link(dialect(ack_unit="session"))
    it.send(ENQ + EOT)
    assert it.answers == ACK


def test_bare_records_in_a_session_are_refused_while_nothing_can_be_stored(link):
    it = link(dialect(framing="auto"))
    it.send(ENQ)
    assert it.answers == ACK
    it.receiver.ready = False
    it.send(HEADER + END)
    assert it.names == ["Opened", "Refused(not-ready)"]
    assert it.answers == ACK + NAK


def test_bare_records_nobody_announced_are_handed_out_even_then(link):
    """There is no answer by which their sender could be told: then the caller may try to store them."""
    it = link(dialect(framing="auto"))
    it.receiver.ready = False
    it.send(HEADER + END)
    assert it.names == ["Opened", "FrameReceived"]
    assert it.answers == b""


def test_bare_records_nobody_announced_are_not_refused_aloud_either(link):
    it = link(dialect(framing="auto"))
    it.stores = False
    it.send(HEADER + END)
    assert it.names == ["Opened", "FrameReceived"]
    assert it.answers == b""
    it.send(HEADER + PATIENT + frame(1, HEADER)[:3])
    it.wait(1)
    assert "Refused(restricted)" in it.names
    assert it.answers == b""


def test_a_start_that_cannot_be_served_ends_the_session_before_it(link):
    it = link()
    it.send(ENQ + frame(1, HEADER))
    assert it.answers == ACK * 2
    it.receiver.ready = False
    it.send(ENQ)
    it.wait(1)
    assert it.names[2:] == ["Closed(enq)", "Busy"]
    assert it.answers == ACK * 2 + NAK
    it.receiver.ready = True
    it.send(frame(2, PATIENT))
    assert it.names[-1] == "Noise"


def test_an_unasked_header_may_be_in_lower_case_and_must_have_check_bytes(link):
    it = link()
    it.send(frame(1, b"h|\\^&\r"))
    assert it.names == ["Opened", "FrameReceived"]
    unchecked = link(dialect(checksum="none"))
    body = b"1" + HEADER + b"\x03"
    unchecked.send(b"\x02" + body + b"\r\n")
    assert unchecked.names == ["Noise"]


def test_a_frame_nobody_asked_for_waits_for_a_store_that_is_ready(link):
    it = link()
    it.receiver.ready = False
    it.send(frame(1, HEADER))
    assert it.names == ["Noise"]
    assert it.answers == b""


def test_in_a_session_that_was_asked_for_a_next_header_does_not_begin_another_one(link):
    it = link()
    it.send(ENQ + frame(1, HEADER) + frame(2, END) + frame(1, HEADER))
    assert it.names == ["Opened", "FrameReceived", "FrameReceived", "Refused(frame-number)"]


def test_in_one_nobody_asked_for_only_a_header_after_the_end_begins_another_one(link):
    it = link()
    it.send(frame(1, HEADER) + frame(2, END) + frame(3, b"C|1\r") + frame(1, PATIENT))
    assert it.names == ["Opened", "FrameReceived", "FrameReceived", "FrameReceived", "Refused(frame-number)"]
    early = link()
    early.send(frame(1, HEADER) + frame(2, PATIENT) + frame(1, b"H|again\r"))
    assert early.names == ["Opened", "FrameReceived", "FrameReceived", "Refused(frame-number)"]


def test_frames_without_numbers_are_acknowledged(link):
    it = link(dialect(frame_number="none"))
    body = HEADER + b"\x03"
    it.send(ENQ + b"\x02" + body + b"%02X" % (sum(body) % 256) + b"\r\n")
    assert it.names == ["Opened", "FrameReceived"]
    assert it.answers == ACK * 2


def test_a_growing_frame_is_not_the_silence_that_ends_a_message(link):
    it = link(dialect(end_of_message="idle", idle_s=3.0))
    whole = frame(2, PATIENT)
    it.send(ENQ + frame(1, HEADER))
    it.wait(2)
    it.send(whole[:4])
    it.wait(5)
    assert "Closed(idle)" not in it.names
    it.send(whole[4:])
    assert it.names == ["Opened", "FrameReceived", "FrameReceived"]
    it.wait(3)
    assert it.names[-1] == "Closed(idle)"


def test_a_session_without_a_frame_is_not_ended_by_the_silence_that_ends_messages(link):
    it = link(dialect(end_of_message="idle", idle_s=3.0))
    it.send(ENQ)
    it.wait(29)
    assert it.names == ["Opened"]
    it.wait(1)
    assert it.names == ["Opened", "Closed(timeout)"]


def test_a_line_that_was_lost_in_noise_and_comes_back_gives_the_noise_and_a_new_session(link):
    it = link()
    it.send(b"???")
    it.lose()
    it.send(ENQ + frame(1, HEADER))
    it.wait(1)
    assert it.names == ["Noise", "Opened", "FrameReceived"]


def test_what_is_left_of_noise_when_a_session_times_out_is_noise(link):
    it = link()
    it.send(ENQ)
    it.wait(29.8)
    it.send(b"xyz")
    it.wait(5)
    assert it.names[:2] == ["Opened", "Noise"]
    assert it.names[-1] == "Closed(timeout)"
    assert it.answers == ACK


def test_a_frame_is_answered_only_after_what_came_before_it_was_taken():
    """Its caller would else write the answer to the frame before that to the start of the session."""
    receiver = lis01.Receiver(lis01.Dialect())
    receiver.receive(frame(1, HEADER), 0.0)
    opened = receiver.next_event(0.0)
    held = receiver.next_event(0.0)
    assert isinstance(opened, lis01.Opened)
    assert receiver.acknowledge(held, Stored()) == ACK
    receiver.receive(frame(1, b"H|again\r"), 0.0)
    with pytest.raises(LinkMisuseError):
        receiver.acknowledge(held, Stored())


def test_blank_lines_after_the_end_leave_it_the_end():
    ends = RecordEnds()
    assert ends.add(END, whole=True) is True
    assert ends.add(b"\r", whole=True) is True
    assert ends.add(PATIENT, whole=True) is False
    assert ends.add(b"\r", whole=True) is False


def test_what_never_ends_a_frame_is_given_back_before_the_longest_and_one_read_are_exceeded(plain):
    """Memory stays bounded: nothing is kept of a line that babbles beyond the longest frame."""
    it = plain(dialect(max_frame=100))
    it.send(ENQ + b"\x02" + b"x" * 500)
    it.wait(1)
    assert it.raw.count(b"x") >= 400
    assert it.names[1] == "Refused(too-long)"
    assert len(it.events[1].raw) <= 101


def test_padding_does_not_make_a_control_byte_stand_alone(link):
    """An ENQ, padding and text: the ENQ was a damaged byte of the text, and nobody waits for an answer to it."""
    it = link()
    it.send(ENQ + frame(1, HEADER))
    it.send(ENQ + b"\r\nP|1\r")
    it.wait(1)
    assert "Closed(enq)" not in it.names
    assert it.answers == ACK * 2


def test_a_control_byte_inside_a_frame_spoils_it_although_its_sum_is_right(link):
    """A sum of one byte is right by chance once in 256 times; an ENQ in the text is damage for certain."""
    it = link()
    it.send(ENQ + frame(1, b"P|\x051\r"))
    assert it.names == ["Opened", "Refused(restricted)"]
    assert it.answers == ACK + NAK


def test_a_header_behind_an_enq_shows_that_its_sender_asks_anew_where_records_come_bare(link):
    it = link(dialect(framing="bare"))
    it.send(ENQ)
    it.send(ENQ + HEADER + END)
    assert it.events[1] == lis01.Opened(b"", again=True)
    assert it.frames[0].raw == HEADER + END
