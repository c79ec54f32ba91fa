"""Timers, with a clock that moves only when told. Seconds are LIS01-A2's."""

from vectors.wire import ACK, ENQ, EOT, NAK, frame

from drivers.protocols import lis01

HEADER = frame(1, b"H|\\^&\r")


def test_30_seconds_without_a_frame_end_a_session(link):
    it = link()
    it.send(ENQ)
    it.wait(29.9)
    assert it.names == ["Opened"]
    it.wait(0.2)
    assert it.names == ["Opened", "Closed(timeout)"]
    it.send(ENQ + HEADER)
    assert it.names[2:] == ["Opened", "FrameReceived"]


def test_the_30_seconds_start_again_with_every_answer(link):
    it = link()
    it.send(ENQ)
    it.wait(29)
    it.send(HEADER)
    it.wait(29)
    it.send(frame(1, b"P|1\r"))  # refused: an answer all the same
    it.wait(29)
    it.send(frame(2, b"P|1\r"))
    assert it.names == ["Opened", "FrameReceived", "Refused(frame-number-reused)", "FrameReceived"]
    it.wait(31)
    assert it.names[-1] == "Closed(timeout)"


def test_noise_does_not_keep_a_session_open(link):
    it = link()
    it.send(ENQ)
    for _ in range(7):
        it.wait(5)
        it.send(b"zz")
    it.wait(1)
    assert "Closed(timeout)" in it.names


def test_a_long_frame_on_a_slow_line_is_no_silence(plain):
    # 28 KB in one frame take 29 s at 9600 baud and 117 s at 2400
    it = plain()
    whole = frame(1, b"M|1|" + b"A" * 28_000 + b"\r")
    it.send(ENQ)
    for start in range(0, len(whole), 240):
        it.send(whole[start : start + 240])
        it.wait(1)
    assert it.names == ["Opened", "FrameReceived"]


def test_half_a_frame_is_kept_as_evidence_when_time_is_up(link):
    it = link()
    it.send(ENQ + HEADER + HEADER[:5])
    it.wait(31)
    assert it.names == ["Opened", "FrameReceived", "Refused(unfinished)", "Closed(timeout)"]
    assert it.events[2].raw == HEADER[:5]
    assert it.answers == ACK * 2
    assert it.events[3].after_refusal


def test_an_enq_in_place_of_the_rest_of_a_frame_is_answered_nak_after_silence(link):
    it = link()
    it.send(ENQ + HEADER[:6] + ENQ)
    it.wait(0.6)
    assert it.names == ["Opened", "Refused(unfinished)"]
    assert it.answers == ACK + NAK


def test_an_eot_in_place_of_the_rest_of_a_frame_ends_the_session_after_silence(link):
    it = link()
    it.send(ENQ + HEADER[:6] + EOT)
    it.wait(0.6)
    assert it.names == ["Opened", "Refused(unfinished)", "Closed(eot)"]
    assert it.answers == ACK


def test_silence_ends_a_session_where_the_dialect_says_so(link):
    it = link(lis01.Dialect(end_of_message="idle", idle_s=3.0))
    it.send(ENQ + HEADER)
    it.wait(2.9)
    assert it.names == ["Opened", "FrameReceived"]
    it.wait(0.2)
    assert it.names == ["Opened", "FrameReceived", "Closed(idle)"]
    assert not it.frames[0].ends_message


def test_an_idle_line_has_no_deadline(plain):
    it = plain()
    assert it.receiver.deadline is None
    it.send(ENQ)
    assert it.receiver.deadline == it.now + 30
    it.send(EOT)
    assert it.receiver.deadline is None


def test_an_early_wake_up_changes_nothing(plain):
    it = plain()
    it.send(ENQ)
    it.receiver.expire(it.now + 1)
    assert it.receiver.next_event(it.now + 1) is None
