"""What the receiver does, by the book. Each test runs for every way of cutting the reads."""

import pytest
from vectors.wire import ACK, ENQ, EOT, GLUCOSE, NAK, frame, frames, session

from drivers.errors import LinkMisuseError
from drivers.protocols import lis01


class Stored:
    chunks = 1


class Nothing:
    chunks = 0


def test_a_session_is_opened_each_frame_acknowledged_and_the_end_not_answered(link):
    it = link()
    it.send(session(GLUCOSE))
    assert it.names == ["Opened", *["FrameReceived"] * 5, "Closed(eot)"]
    assert it.answers == ACK * 6
    assert it.text == b"".join(r + b"\r" for r in GLUCOSE)


def test_a_frame_is_acknowledged_only_against_a_receipt():
    receiver = lis01.Receiver(lis01.Dialect())
    receiver.receive(ENQ + frame(1, b"H|\\^&\r"), 0.0)
    assert receiver.next_event(0.0) == lis01.Opened(ACK)
    held = receiver.next_event(0.0)
    assert isinstance(held, lis01.FrameReceived)
    with pytest.raises(LinkMisuseError):
        receiver.acknowledge(held, Nothing())
    assert receiver.acknowledge(held, Stored()) == ACK
    with pytest.raises(LinkMisuseError):
        receiver.acknowledge(held, Stored())


def test_nothing_happens_while_a_frame_waits_for_its_receipt():
    receiver = lis01.Receiver(lis01.Dialect())
    receiver.receive(ENQ + frame(1, b"H|\\^&\r") + frame(2, b"P|1\r"), 0.0)
    receiver.next_event(0.0)
    first = receiver.next_event(0.0)
    assert receiver.next_event(0.0) is None
    assert receiver.deadline is None
    receiver.acknowledge(first, Stored())
    assert receiver.next_event(0.0).text == b"P|1\r"


def test_a_frame_that_could_not_be_stored_is_refused_and_its_resend_is_new(link):
    it = link()
    it.send(ENQ)
    it.stores = bool(it.events is None)
    it.send(frame(1, b"H|\\^&\r"))
    assert it.answers == ACK + NAK
    it.stores = True
    it.send(frame(1, b"H|\\^&\r"))
    assert it.names == ["Opened", "FrameReceived", "FrameReceived"]
    assert it.answers == ACK + NAK + ACK


def test_a_retransmitted_frame_is_acknowledged_and_stored_once(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(1, b"H|\\^&\r") + frame(2, b"L|1|N\r"))
    assert it.names == ["Opened", "FrameReceived", "Repeated", "FrameReceived"]
    assert it.answers == ACK * 4
    assert it.events[2].raw == frame(1, b"H|\\^&\r")


def test_the_same_number_with_other_bytes_is_refused_and_says_so(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(1, b"P|1\r"))
    assert it.names == ["Opened", "FrameReceived", "Refused(frame-number-reused)"]
    assert it.answers == ACK + ACK + NAK


def test_the_same_number_and_text_with_another_end_is_no_retransmission(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r", b"\x17") + frame(1, b"H|\\^&\r"))
    assert it.names[-1] == "Refused(frame-number-reused)"


@pytest.mark.parametrize("number", [0, 2, 3, 4, 5, 6, 7])
def test_the_first_frame_must_be_number_1_and_0_is_no_repeat_of_nothing(link, number):
    it = link()
    it.send(ENQ + frame(number, b"H|\\^&\r"))
    assert it.names == ["Opened", "Refused(frame-number)"]


def test_numbers_run_from_7_to_0_and_a_gap_is_refused(link):
    it = link()
    it.send(ENQ + b"".join(frame(n % 8, b"R|%d\r" % n) for n in range(1, 18)) + frame(3, b"R|18\r"))
    assert [f.number for f in it.frames] == [1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    assert it.names[-1] == "Refused(frame-number)"


def test_refusals_in_a_row_are_counted_and_an_accepted_frame_ends_the_row(link):
    it = link()
    bad = frame(1, b"H|\\^&\r").replace(b"^", b"~")
    it.send(ENQ + bad * 3 + frame(1, b"H|\\^&\r") + frame(5, b"P|1\r"))
    assert [e.in_a_row for e in it.events if isinstance(e, lis01.Refused)] == [1, 2, 3, 1]


def test_a_split_record_comes_in_pieces_that_join_without_anything_between(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\rR|1|^^^GL", b"\x17") + frame(2, b"U|5.1\rL|1", b"\x17") + frame(3, b"|N\r"))
    assert it.text == b"H|\\^&\rR|1|^^^GLU|5.1\rL|1|N\r"
    assert [f.last for f in it.frames] == [False, False, True]
    assert [f.ends_message for f in it.frames] == [False, False, True]


def test_several_messages_in_one_session_each_end_and_numbers_run_on(link):
    it = link()
    it.send(session([b"H|\\^&", b"L|1|N", b"H|\\^&", b"P|1", b"L|1|N"]))
    assert [f.ends_message for f in it.frames] == [False, True, False, False, True]


def test_a_whole_message_in_one_frame_and_64000_characters_are_taken(link):
    text = b"H|\\^&\rM|1|" + b"A" * (64_000 - 7 - 17) + b"\rL|1|N\r"
    assert len(frame(1, text)) == 64_000
    it = link()
    it.send(ENQ + frame(1, text))
    assert it.text == text
    assert it.frames[0].ends_message


def test_a_frame_of_one_character_too_many_is_refused(link):
    it = link(lis01.Dialect(max_frame=247))
    it.send(ENQ + frame(1, b"x" * 240))
    it.send(frame(2, b"x" * 241))
    assert it.names[:3] == ["Opened", "FrameReceived", "Refused(too-long)"]


def test_bytes_that_never_end_a_frame_are_cut_and_given_back_in_bounded_pieces(plain):
    it = plain(lis01.Dialect(max_frame=1000), 100)
    it.send(ENQ + b"\x02")
    for _ in range(200):
        it.send(b"x" * 100)
        assert len(it.receiver._cutter._buffer) <= 2048
    it.lose()
    assert it.names[1] == "Refused(too-long)"
    assert it.answers == ACK + NAK
    assert it.raw == b"\x02" + b"x" * 20_000


def test_a_message_beyond_its_cap_is_refused_and_the_next_session_works(link):
    it = link(lis01.Dialect(max_message=1024))
    it.send(ENQ + frame(1, b"x" * 600, b"\x17") + frame(2, b"y" * 600, b"\x17") + EOT)
    it.send(session(GLUCOSE))
    assert it.names[:4] == ["Opened", "FrameReceived", "Refused(message-too-long)", "Closed(eot)"]
    assert it.text.endswith(b"L|1|N\r")


def test_many_small_messages_in_one_session_do_not_reach_the_cap(link):
    it = link(lis01.Dialect(max_message=1024, max_frame=1100))
    it.send(session([b"H|\\^&" + b"|" * 600, b"L|1|N"] * 5))
    assert "Refused(message-too-long)" not in it.names


def test_noise_before_a_frame_is_handed_out_and_not_answered(link):
    it = link()
    it.send(b"\xfe\xfdhello" + ENQ + b"zz" + frame(1, b"H|\\^&\r"))
    assert it.names == ["Noise", "Opened", "Noise", "FrameReceived"]
    assert it.answers == ACK + ACK
    assert it.events[0].raw == b"\xfe\xfdhello"


def test_padding_between_frames_is_swallowed(link):
    it = link()
    it.send(b"\x00\x00" + ENQ + b"\r\n" + frame(1, b"H|\\^&\r") + b"\r\n\x00" + frame(2, b"L|1|N\r") + b"\n" + EOT)
    assert it.names == ["Opened", "FrameReceived", "FrameReceived", "Closed(eot)"]


def test_a_frame_without_a_session_is_noise_unless_it_is_a_good_header(link):
    it = link()
    it.send(frame(2, b"P|1\r"))
    it.send(frame(1, b"H|\\^&\r").replace(b"^", b"~"))
    it.send(frame(1, b"P|1\r"))
    assert it.names == ["Noise", "Noise", "Noise"]
    assert it.answers == b""


def test_a_good_header_frame_opens_a_session_by_itself(link):
    it = link()
    it.send(frame(1, b"H|\\^&\r") + frame(2, b"L|1|N\r"))
    assert it.names == ["Opened", "FrameReceived", "FrameReceived"]
    assert it.events[0].answer == b""
    assert it.answers == ACK * 2


def test_a_device_that_never_asks_and_never_ends_may_send_message_after_message(link):
    it = link()
    whole = [frame(1, b"H|\\^&\rR|1|^^^A|%d\rL|1|N\r" % n) for n in range(3)]
    it.send(whole[0] + whole[1] + whole[1] + whole[2])
    anew = ["Closed(enq)", "Opened", "FrameReceived"]
    assert it.names == ["Opened", "FrameReceived", *anew, "Repeated", *anew]
    assert it.answers == ACK * 4


def test_enq_again_before_the_first_frame_is_acknowledged_again(link):
    it = link()
    it.send(ENQ)
    it.send(ENQ)
    it.wait(1)
    it.send(frame(1, b"H|\\^&\r"))
    assert it.events[:2] == [lis01.Opened(ACK), lis01.Opened(ACK, again=True)]
    assert it.answers == ACK * 3


def test_enq_after_frames_closes_the_session_and_opens_a_new_one(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r"))
    it.send(ENQ)
    it.wait(1)
    it.send(frame(1, b"H|\\^&\r"))
    assert it.names == ["Opened", "FrameReceived", "Closed(enq)", "Opened", "FrameReceived"]


def test_enq_in_a_session_is_not_answered_before_silence_shows_that_it_was_one(plain):
    # an STX hit by noise reads ENQ; the answer would be taken for the answer to that frame
    it = plain()
    it.send(ENQ)
    it.send(ENQ)
    assert it.answers == ACK
    it.send(b"1H|\\^&\r\x03E5\r\n")
    it.wait(5)
    assert it.names == ["Opened", "Noise"]
    assert it.answers == ACK


def test_an_enq_doubled_by_the_line_is_answered_once_because_the_sender_goes_on(link):
    it = link()
    it.send(ENQ + ENQ + frame(1, b"H|\\^&\r"))
    assert it.events[1] == lis01.Opened(b"", again=True)
    assert it.answers == ACK + ACK


def test_an_empty_session_is_no_error(link):
    it = link()
    it.send(ENQ + EOT)
    assert it.names == ["Opened", "Closed(eot)"]


def test_a_receiver_that_is_not_ready_says_so_and_takes_no_frame(link):
    it = link()
    it.receiver.ready = False
    it.send(ENQ)
    assert it.names == ["Busy"]
    assert it.answers == NAK
    it.receiver.ready = True
    it.send(ENQ + frame(1, b"H|\\^&\r"))
    assert it.names == ["Busy", "Opened", "FrameReceived"]
    it.receiver.ready = False
    it.send(frame(2, b"P|1\r"))
    assert it.names[-1] == "Refused(not-ready)"
    it.receiver.ready = True
    it.send(frame(2, b"P|1\r"))
    assert it.names[-1] == "FrameReceived"


def test_an_interrupt_answers_the_next_new_frame_with_eot_and_only_that(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r"))
    assert it.answers == ACK * 2
    it.receiver.interrupt()
    it.send(frame(1, b"H|\\^&\r") + frame(2, b"P|1\r") + frame(2, b"P|1\r") + frame(3, b"L|1|N\r"))
    assert it.answers == ACK * 2 + ACK + EOT + ACK + ACK


def test_a_session_that_ends_after_a_refused_frame_says_so(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(7, b"P|1\r") + EOT)
    it.send(session(GLUCOSE))
    closed = [e for e in it.events if isinstance(e, lis01.Closed)]
    assert [c.after_refusal for c in closed] == [True, False]


def test_a_lost_link_hands_out_what_is_whole_and_keeps_what_is_not(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(2, b"P|1\r")[:6])
    it.lose()
    assert it.names == ["Opened", "FrameReceived", "Refused(unfinished)", "Closed(link)"]
    assert it.events[2].raw == frame(2, b"P|1\r")[:6]
    assert it.events[2].answer == b""


def test_a_lost_link_without_a_session_tells_nothing_but_noise(link):
    it = link()
    it.send(b"xyz")
    it.lose()
    assert it.names == ["Noise"]


def test_a_frame_cut_by_a_new_session_is_refused_without_an_answer(link):
    it = link()
    it.send(ENQ + frame(1, b"H|\\^&\r") + frame(2, b"P|1|SECRET\r")[:8] + EOT)
    it.send(session(GLUCOSE))
    it.wait(1)
    assert it.names[:5] == ["Opened", "FrameReceived", "Refused(unfinished)", "Closed(eot)", "Opened"]
    assert it.text == b"H|\\^&\r" + b"".join(r + b"\r" for r in GLUCOSE)


def test_a_power_cut_at_any_byte_never_joins_two_messages(plain):
    old = [b"H|\\^&", b"P|1", b"O|1|OLD", b"R|1|^^^A|1", b"L|1|N"]
    new = [b"H|\\^&", b"P|1", b"O|1|NEW", b"R|1|^^^A|2", b"L|1|N"]
    before = b"".join(frames(old))
    for cut in range(len(before)):
        it = plain()
        it.send(ENQ + before[:cut])
        it.wait(5)
        it.send(ENQ)
        it.wait(1)
        if it.answers[-1:] == NAK:  # the sender asks again after 10 s
            it.wait(10)
            it.send(ENQ)
            it.wait(1)
        it.send(b"".join(frames(new)) + EOT)
        texts = [f.text.rstrip() for f in it.frames]
        assert texts[-5:] == new, cut
        assert texts[:-5] == old[: len(texts) - 5], cut
