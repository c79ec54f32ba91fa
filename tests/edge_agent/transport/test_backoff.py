"""Waits between attempts."""

import random

from edge_agent.transport.backoff import Backoff


def test_waits_double_up_to_the_cap_and_lose_at_most_half_to_jitter():
    backoff = Backoff(random.Random(7), first=1, cap=8)
    for step in (1, 2, 4, 8, 8, 8):
        assert step / 2 <= backoff.next() <= step


def test_a_reset_begins_again_at_the_first_step():
    backoff = Backoff(random.Random(7), first=1, cap=8)
    for _ in range(4):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 1


def test_two_gateways_do_not_knock_in_step():
    a, b = Backoff(random.Random(1)), Backoff(random.Random(2))
    assert [a.next() for _ in range(5)] != [b.next() for _ in range(5)]
