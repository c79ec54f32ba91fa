"""However a stream is cut, the same bytes are stored; and of every beginning, exactly the frames completed in it."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from vectors.wire import ENQ, EOT, frame, session

from drivers.protocols import lis01

MESSAGES = b"".join(
    session([b"H|\\^&|||X", b"P|1", b"O|1|S%d||^^^A" % n, b"R|1|^^^A|%d.5|g/L" % n, b"L|1|N"]) for n in range(5)
)


def stored(it):
    return [(f.number, f.text, f.raw, f.last, f.ends_message) for f in it.frames]


def test_every_split_of_five_messages_into_two_reads_stores_the_same_bytes_as_one_read(plain):
    whole = plain()
    whole.send(MESSAGES)
    assert len(whole.frames) == 25
    for cut in range(len(MESSAGES) + 1):
        it = plain()
        it.send(MESSAGES[:cut])
        it.send(MESSAGES[cut:])
        assert it.events == whole.events, cut
        assert it.answers == whole.answers, cut


def test_every_prefix_stores_exactly_the_frames_completed_in_it(plain):
    whole = plain()
    whole.send(MESSAGES)
    for cut in range(len(MESSAGES) + 1):
        it = plain()
        it.send(MESSAGES[:cut])
        assert len(it.frames) == MESSAGES[:cut].count(b"\r\n"), cut
        assert stored(it) == stored(whole)[: len(it.frames)], cut


def test_negative_control_a_receiver_that_loses_one_byte_stores_something_else(plain):
    whole, short = plain(), plain()
    whole.send(MESSAGES)
    short.send(MESSAGES[:100] + MESSAGES[101:])
    assert stored(whole) != stored(short)


UGLY = (
    b"\x00\x00noise" + ENQ + b"\r\n" + frame(1, b"H|\\^&\r") + frame(1, b"H|\\^&\r") + b"??" + frame(2, b"P|1\r")[:-3]
    + b"zz" + frame(2, b"P|1\r") + frame(3, b"R|1|\xff\xfe|\x1b\r", b"\x17") + frame(4, b"x\ry\r") + ENQ + ENQ
    + b"\x02\x02" + frame(1, b"L|1\r", trailer=b"\n\n") + EOT + EOT + b"1234" * 700 + frame(1, b"H|1\r") + EOT
)  # fmt: skip


def test_every_split_of_an_ugly_stream_gives_the_same_events(plain):
    for dialect in (lis01.Dialect(), lis01.Dialect(framing="auto", trailer="any", frame_number="any")):
        whole = plain(dialect)
        whole.send(UGLY)
        whole.lose()
        for cut in range(0, len(UGLY) + 1, 3):
            it = plain(dialect)
            it.send(UGLY[:cut])
            it.send(UGLY[cut:])
            it.lose()
            assert it.events == whole.events, cut


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, len(UGLY)), max_size=30))
def test_any_cuts_of_an_ugly_stream_give_the_same_events(plain, cuts):
    whole, it = plain(), plain()
    whole.send(UGLY)
    edges = [0, *sorted(cuts), len(UGLY)]
    for start, end in pairwise(edges):
        it.send(UGLY[start:end])
    for one in (whole, it):
        one.lose()
    assert it.events == whole.events


def test_no_byte_of_an_ugly_stream_is_lost(plain):
    it = plain()
    it.send(UGLY)
    it.lose()
    assert it.lost_bytes(UGLY) == b""
