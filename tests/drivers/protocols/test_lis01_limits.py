"""What the link layer cannot promise, counted; and that links know nothing of each other."""

import random
from itertools import combinations

from vectors.wire import ENQ, GLUCOSE, frame, session

from drivers.protocols import lis01

GOOD = frame(1, b"R|1|^^^GLU|5.1|g\r")


def compensating(good):
    """Two bits changed, in two bytes, so that the sum stays: one up, one down."""
    for a, b in combinations(range(1, good.index(b"\x03")), 2):
        for bit in (1 << n for n in range(8)):
            if (good[a] & bit) != (good[b] & bit):
                bad = bytearray(good)
                bad[a] ^= bit
                bad[b] ^= bit
                yield bytes(bad)


def test_two_errors_that_cancel_in_the_sum_pass_here_and_their_number_is_known(plain):
    tried = accepted = 0
    for bad in compensating(GOOD):
        it = plain()
        it.send(ENQ + bad)
        it.wait(1)
        tried += 1
        accepted += bool(it.frames)
    print(f"{accepted} of {tried} pairs of cancelling errors accepted: the sum modulo 256 cannot see them")
    # a changed frame number or a new control character still gives a pair away
    assert 0 < accepted < tried


def test_sixteen_links_read_in_turn_never_mix(plain):
    rng = random.Random(7)
    streams = [session([*GLUCOSE[:2], b"O|1|S%d||^^^A" % n, b"R|1|^^^A|%d" % n, b"L|1|N"]) * 3 for n in range(16)]
    links, alone = [plain() for _ in streams], [plain() for _ in streams]
    for it, stream in zip(alone, streams, strict=True):
        it.send(stream)
    rest = dict(enumerate(streams))
    while rest:
        n = rng.choice(list(rest))
        cut = rng.randrange(1, 30)
        links[n].send(rest[n][:cut])
        rest[n] = rest[n][cut:]
        if not rest[n]:
            del rest[n]
    assert [it.events for it in links] == [it.events for it in alone]


def test_a_frame_longer_than_the_dialect_says_is_known_by_its_own_reason(plain):
    it = plain(lis01.Dialect(max_frame=247))
    it.send(ENQ + frame(1, b"x" * 300))
    it.wait(1)
    assert it.names == ["Opened", "Refused(too-long)", "Noise"]
