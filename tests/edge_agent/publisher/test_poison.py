"""Blaming the one message a broker cannot bear, and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.publisher.poison import STRIKES, Suspicion, is_known_cause


def test_a_message_alone_at_three_disconnects_while_others_pass_is_blamed() -> None:
    suspicion = Suspicion()
    assert suspicion.disconnected(["bad", "good"], None, network=False) is None
    assert suspicion.one_at_a_time
    suspicion.passed("good")
    assert suspicion.suspects == ["bad"]
    assert suspicion.disconnected(["bad"], 0x82, network=False) is None
    suspicion.passed("other")
    assert suspicion.disconnected(["bad"], 0x82, network=False) is None
    assert suspicion.disconnected(["bad"], 0x82, network=False) == "bad"
    assert not suspicion.one_at_a_time


def test_a_broker_that_dies_at_every_message_blames_none() -> None:
    suspicion = Suspicion()
    assert all(suspicion.disconnected(["only"], None, network=False) is None for _ in range(10))


@pytest.mark.parametrize("code", [0x90, 0x95, 0x99])
def test_what_the_broker_names_is_blamed_at_once_when_it_was_alone(code: int) -> None:
    suspicion = Suspicion()
    assert suspicion.disconnected(["big", "small"], code, network=False) is None
    assert suspicion.disconnected(["big"], code, network=False) == "big"


def test_the_least_suspect_goes_first_so_that_it_can_show_that_others_pass() -> None:
    suspicion = Suspicion()
    suspicion.disconnected(["bad", "good"], None, network=False)
    suspicion.disconnected(["bad"], None, network=False)
    assert suspicion.suspects == ["good", "bad"]


@pytest.mark.parametrize("code", [0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x98, 0x9C])
def test_a_broker_that_speaks_of_itself_makes_nobody_suspect(code: int) -> None:
    suspicion = Suspicion()
    assert is_known_cause(code, network=False)
    suspicion.disconnected(["a", "b"], code, network=False)
    assert not suspicion.one_at_a_time


def test_a_timeout_of_the_network_makes_nobody_suspect() -> None:
    suspicion = Suspicion()
    suspicion.disconnected(["a"], None, network=True)
    assert not suspicion.one_at_a_time


def test_full_speed_comes_back_when_every_suspect_has_passed() -> None:
    suspicion = Suspicion()
    suspicion.disconnected(["a", "b"], None, network=False)
    suspicion.passed("a")
    assert suspicion.one_at_a_time
    suspicion.passed("b")
    assert not suspicion.one_at_a_time


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 5))
def test_an_innocent_message_is_never_blamed(turns: list[int], guilty: int) -> None:
    """The broker hangs up exactly when the guilty one is in flight; the guilty one is found, nobody else ever is."""
    suspicion = Suspicion()
    suspicion.disconnected([f"m{n}" for n in range(6)], None, network=False)
    blamed: set[str] = set()
    for turn in [*turns, *range(6), *[guilty] * STRIKES]:
        message = f"m{turn}"
        if turn != guilty:
            suspicion.passed(message)
        elif message not in blamed:
            found = suspicion.disconnected([message], None, network=False)
            blamed |= {found} if found else set()
    assert blamed <= {f"m{guilty}"}
