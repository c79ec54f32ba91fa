"""Any bytes at all: no exception, nothing lost, bounded memory, the same however they are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors.wire import ENQ, EOT, GLUCOSE, frame, frames, session

from drivers.protocols import lis01

DIALECTS = {
    "standard": lis01.Dialect(max_frame=300, max_message=2000),
    "auto": lis01.Dialect(framing="auto", trailer="any", frame_number="any", max_frame=300, max_message=2000),
    "bare": lis01.Dialect(framing="bare", ack_unit="record", max_message=2000),
    "no checksum": lis01.Dialect(checksum="none", frame_number="none", trailer="none", max_frame=300),
    "xor1": lis01.Dialect(checksum="xor1", trailer="none", frame_number="continues", max_frame=300),
    "gs_hex": lis01.Dialect(checksum="gs_hex", trailer="any", frame_number="none", max_frame=300),
    "lenient": lis01.Dialect(
        end_of_message="idle",
        ack_unit="message",
        etb="record",
        resync=frozenset({"enq_again", "eot_first", "nul"}),
        max_frame=300,
    ),
}

# Bytes as a line may carry them: control characters far oftener than chance, frames, pieces of frames.
PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([ENQ, EOT, b"\x02", b"\x03", b"\x17", b"\x06", b"\x15", b"\r", b"\n", b"\r\n", b"\x00", b"\x1d"]),
    st.sampled_from([b"H|\\^&\r", b"P|1\r", b"L|1|N\r", b"L", b"H", b"H|", b" H|\\^&"]),
    st.builds(frame, st.integers(0, 7), st.sampled_from([b"H|\\^&\r", b"P|1\r", b"", b"L|1\r", b"x" * 290])),
    st.builds(lambda f, n: f[:n], st.sampled_from(frames(GLUCOSE)), st.integers(0, 30)),
    st.just(session(GLUCOSE)),
)
STREAMS = st.lists(st.tuples(PIECES, st.sampled_from([0.0, 0.0, 0.0, 0.6, 4.0, 31.0])), max_size=25)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=150, deadline=None)
@given(stream=STREAMS, size=st.sampled_from([0, 1, 5]), stores=st.booleans())
def test_any_stream_is_taken_without_an_exception_and_without_losing_a_byte(plain, name, stream, size, stores):
    it = plain(DIALECTS[name], size)
    it.stores = stores
    for piece, pause in stream:
        it.send(piece)
        it.wait(pause)
        assert len(it.receiver._cutter._buffer) <= 2048
    it.lose()
    assert it.lost_bytes(b"".join(piece for piece, _ in stream)) == b""
    assert it.receiver.state is lis01.State.IDLE
    assert not it.receiver._cutter._buffer


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(data=st.lists(PIECES, max_size=20).map(b"".join), size=st.integers(1, 40))
def test_how_a_stream_is_cut_into_reads_changes_no_event(plain, name, data, size):
    whole, cut = plain(DIALECTS[name]), plain(DIALECTS[name], size)
    for it in (whole, cut):
        it.send(data)
        it.lose()
    assert cut.events == whole.events
    assert cut.answers == whole.answers


@settings(max_examples=150, deadline=None)
@given(stream=STREAMS)
def test_by_the_book_whatever_is_handed_out_has_a_right_sum_and_a_right_number(plain, stream):
    it = plain(DIALECTS["standard"])
    for piece, pause in stream:
        it.send(piece)
        it.wait(pause)
    expected = 1
    for event in it.events:
        if isinstance(event, lis01.Opened) and not event.again:
            expected = 1
        if isinstance(event, lis01.FrameReceived):
            assert event.raw == frame(expected, event.text, b"\x03" if event.last else b"\x17")
            expected = (expected + 1) % 8


def test_a_babbling_line_stays_small_and_the_next_session_is_taken(plain):
    it = plain(lis01.Dialect(), 4096)
    it.send(ENQ + b"\x02")
    for _ in range(100):
        it.send(b"x" * 10_000)
        assert len(it.receiver._cutter._buffer) <= 64_000 + 4096
    it.send(EOT + session(GLUCOSE))
    assert len(it.frames) == 5
