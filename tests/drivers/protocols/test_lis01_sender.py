"""What the sender does, by the book: one frame outstanding, six attempts, who gives way."""

import pytest
from vectors.wire import ACK, ENQ, EOT, GLUCOSE, NAK, frame, frames

from drivers.errors import LinkMisuseError
from drivers.protocols import lis01
from drivers.protocols.lis01_encode import frames as cut
from drivers.protocols.lis01_sender import Aborted, Accepted, Sender, Sent, Waiting, Write

TEXTS = [r + b"\r" for r in GLUCOSE]


def started(texts=(b"H|\\^&\r", b"L|1|N\r"), dialect=None, **kw):
    sender = Sender(dialect or lis01.Dialect(), **kw)
    sender.start(list(texts), 0.0)
    return sender


def events(sender):
    out = []
    while (event := sender.next_event()) is not None:
        out.append(event)
    return out


def said(sender, data, now=0.0):
    sender.receive(data, now)
    return events(sender)


def test_a_transfer_asks_sends_frame_after_frame_and_ends():
    sender = started()
    assert events(sender) == [Write(ENQ)]
    assert said(sender, ACK) == [Write(frame(1, b"H|\\^&\r"))]
    assert said(sender, ACK) == [Accepted(0), Write(frame(2, b"L|1|N\r"))]
    assert said(sender, ACK) == [Accepted(1), Sent(EOT)]
    assert sender.deadline is None


def test_numbers_run_on_over_records_and_begin_at_1_in_the_next_transfer():
    sender = started([b"R|%d\r" % n for n in range(9)])
    numbers = []
    said(sender, b"")
    for _ in range(10):
        numbers += [e.answer[1:2] for e in said(sender, ACK) if isinstance(e, Write)]
    assert b"".join(numbers) == b"123456701"
    sender.start([b"L|1\r"], 0.0)
    assert said(sender, ACK)[-1] == Write(frame(1, b"L|1\r"))


@pytest.mark.parametrize(("max_frame", "room"), [(247, 240), (64_000, 63_993)])
def test_a_long_record_is_cut_at_the_frame_limit(max_frame, room):
    text = b"M|1|" + b"A" * (room * 2) + b"\r"
    pieces = cut(lis01.Dialect(max_frame=max_frame), [text])
    assert [p.raw for p in pieces] == [
        frame(1, text[:room], b"\x17"),
        frame(2, text[room : 2 * room], b"\x17"),
        frame(3, text[2 * room :]),
    ]
    assert len(pieces[0].raw) == max_frame
    assert [(p.text, p.last) for p in pieces] == [(0, False), (0, False), (0, True)]


def test_restricted_characters_are_not_sent_and_the_text_is_not_named_in_the_error():
    for character in b"\x01\x02\x03\x04\x05\x06\x0a\x10\x11\x12\x13\x14\x15\x16\x17":
        with pytest.raises(LinkMisuseError, match="Text 1 ") as error:
            cut(lis01.Dialect(), [b"H|\\^&\r", b"P|1||SECRET" + bytes((character,))])
        assert "SECRET" not in str(error.value)


def test_a_refused_frame_is_sent_again_unchanged_and_six_refusals_end_the_transfer():
    sender = started()
    said(sender, ACK)
    for attempt in range(2, 7):
        assert said(sender, NAK) == [Write(frame(1, b"H|\\^&\r"), attempt)]
    assert said(sender, NAK) == [Aborted("refused", 0, EOT)]


def test_an_accepted_frame_starts_the_count_again():
    sender = started()
    said(sender, ACK)
    for _ in range(5):
        said(sender, NAK)
    said(sender, ACK)
    assert said(sender, NAK) == [Write(frame(2, b"L|1|N\r"), 2)]


@pytest.mark.parametrize("answer", [ENQ, b"x", b"\x00", b"\r"])
def test_any_other_answer_to_a_frame_counts_as_nak(answer):
    sender = started()
    said(sender, ACK)
    assert said(sender, answer) == [Write(frame(1, b"H|\\^&\r"), 2)]


def test_only_the_first_byte_of_a_read_can_be_the_answer():
    sender = started()
    said(sender, ACK)
    assert said(sender, ACK + ACK + NAK) == [Accepted(0), Write(frame(2, b"L|1|N\r"))]


def test_anything_else_than_an_answer_to_enq_is_ignored():
    sender = started()
    assert said(sender, b"zz\x00\x04" + ACK)[-1] == Write(frame(1, b"H|\\^&\r"))


def test_15_seconds_without_an_answer_end_the_transfer():
    for answers in (b"", ACK):
        sender = started()
        said(sender, answers)
        assert sender.deadline == 15.0
        sender.expire(14.9)
        assert events(sender) == []
        sender.expire(15.0)
        assert events(sender) == [Aborted("no-reply", 0, EOT)]


def test_nak_to_enq_means_busy_and_is_tried_again_after_10_seconds():
    sender = started()
    events(sender)
    assert said(sender, NAK, 1.0) == [Waiting("busy", 11.0)]
    sender.expire(11.0)
    assert events(sender) == [Write(ENQ)]


@pytest.mark.parametrize(("role", "seconds"), [("instrument", 1.0), ("host", 20.0)])
def test_both_asking_at_once_is_settled_by_who_waits_longer(role, seconds):
    sender = started(role=role)
    events(sender)
    assert said(sender, ENQ) == [Waiting("contention", seconds)]
    sender.expire(seconds)
    assert events(sender) == [Write(ENQ)]


def test_the_host_that_stepped_back_hands_the_instruments_bytes_on_and_waits_for_a_quiet_line():
    sender = started(role="host")
    said(sender, ENQ)
    sender.receive(ENQ, 1.0)
    sender.receive(frame(1, b"H|\\^&\r"), 1.5)
    assert sender.unclaimed() == ENQ + frame(1, b"H|\\^&\r")
    assert sender.unclaimed() == b""
    assert sender.deadline == 21.5


def test_an_interrupt_is_noted_and_the_transfer_goes_on():
    sender = started()
    said(sender, ACK)
    assert said(sender, EOT) == [Accepted(0), Write(frame(2, b"L|1|N\r"))]
    assert said(sender, ACK) == [Accepted(1), Sent(EOT, asked_to_stop=True)]


def test_an_interrupt_on_the_last_frame_is_an_acceptance():
    sender = started([b"L|1\r"])
    said(sender, ACK)
    assert said(sender, EOT) == [Accepted(0), Sent(EOT, asked_to_stop=True)]


def test_an_interrupt_is_honoured_between_records_only_and_the_frame_counts_as_accepted():
    sender = started([b"M" * 300 + b"\r", b"L|1\r"], lis01.Dialect(max_frame=247), honour_interrupt=True)
    said(sender, ACK)
    assert said(sender, EOT)[0] == Write(frame(2, b"M" * 60 + b"\r"))
    assert said(sender, EOT) == [Accepted(0), Aborted("interrupted", 1, EOT)]


def test_a_lost_link_says_how_far_it_came():
    sender = started(TEXTS)
    for _ in range(4):
        said(sender, ACK)
    sender.link_lost(0.0)
    assert events(sender) == [Aborted("link", 3)]


def test_a_second_start_is_our_own_mistake():
    sender = started()
    with pytest.raises(LinkMisuseError):
        sender.start([b"x"], 0.0)


def test_our_frames_are_the_standards():
    assert [f.raw for f in cut(lis01.Dialect(), TEXTS)] == frames(GLUCOSE)
