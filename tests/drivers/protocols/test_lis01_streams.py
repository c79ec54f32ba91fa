"""A sender that does not wait for answers, and a damaged frame of it: what follows never stands in its place."""

import pytest
from vectors.wire import ACK, ENQ, EOT, NAK, frame

from drivers.protocols import lis01

RECORDS = [
    b"H|\\^&\r",
    b"P|1\r",
    b"O|1|S1\r",
    *(b"R|%d|^^^A|1\r" % n for n in range(1, 8)),
    b"O|2|S2\r",
    b"R|1|^^^B|2\r",
]
FRAMES = [frame(n % 8, record) for n, record in enumerate(RECORDS, 1)]


def spoilt(good: bytes) -> bytes:
    return good.replace(b"|", b"}", 1)


@pytest.mark.parametrize("rule", ["strict", "continues", "any"])
@pytest.mark.parametrize("at", range(1, 11))
def test_nothing_is_taken_behind_a_damaged_frame_even_where_numbers_come_round(plain, rule, at):
    link = plain(lis01.Dialect(frame_number=rule))
    link.send(ENQ + b"".join((*FRAMES[:at], spoilt(FRAMES[at]), *FRAMES[at + 1 :])) + EOT)
    assert [f.text for f in link.frames] == RECORDS[:at]


@pytest.mark.parametrize("rule", ["strict", "continues", "any"])
def test_the_next_session_is_taken_whole(plain, rule):
    link = plain(lis01.Dialect(frame_number=rule))
    link.send(ENQ + b"".join((*FRAMES[:2], spoilt(FRAMES[2]), *FRAMES[3:])) + EOT)
    link.send(ENQ + b"".join(FRAMES) + EOT)
    assert [f.text for f in link.frames] == [*RECORDS[:2], *RECORDS]


@pytest.mark.parametrize("damaged", [spoilt(FRAMES[1]), FRAMES[1].replace(b"2", b"6", 1)], ids=["text", "number"])
def test_a_sender_that_waits_and_sends_the_frame_again_goes_on_in_the_session(plain, damaged):
    link = plain(lis01.Dialect(frame_number="any"))
    link.send(ENQ + FRAMES[0])
    before = len(link.answers)
    link.send(damaged)
    while not link.answers.endswith(ACK) or len(link.answers) == before:
        assert len(link.answers) < before + 6, "LIS01-A2 6.5.1.2: it gives up after six"
        link.send(FRAMES[1])
    link.send(FRAMES[2])
    assert [f.text for f in link.frames] == RECORDS[:3]


def test_a_frame_that_could_not_be_stored_is_what_must_come_again(plain):
    link = plain(lis01.Dialect(frame_number="any"))
    link.send(ENQ + FRAMES[0])
    assert link.answers == ACK + ACK
    link.stores = False
    link.send(FRAMES[1])
    assert link.answers.endswith(NAK)
    link.stores = True
    link.send(FRAMES[2])
    assert link.answers.endswith(NAK + NAK)
    link.send(FRAMES[1] + FRAMES[2])
    assert link.answers.endswith(ACK + ACK)
