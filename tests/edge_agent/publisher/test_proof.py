"""A nonce that comes back proves that the broker delivers to us; nothing else does."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from edge_agent.publisher.proof import Proof, Proven


class Steps:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2024, 3, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Steps:
    return Steps()


@pytest.fixture
def proof(clock: Steps) -> Proof:
    made = Proof(clock, Random(1))
    made.connected()
    return made


def test_the_nonce_that_comes_back_proves_it(proof: Proof) -> None:
    proof.subscribed(())
    nonce = proof.ask()
    assert nonce is not None
    assert len(nonce) == 32
    proof.heard(nonce)
    assert proof.proven is Proven.YES


def test_another_nonce_proves_nothing(proof: Proof) -> None:
    proof.subscribed(())
    proof.ask()
    proof.heard(b"an older connection's")
    assert proof.proven is Proven.UNKNOWN


def test_a_granted_subscription_alone_proves_nothing(proof: Proof, clock: Steps) -> None:
    proof.subscribed(())
    proof.ask()
    clock.seconds = 10
    assert proof.ask() is None
    assert proof.proven is Proven.NO


def test_a_refused_filter_is_not_healed_by_an_echo(proof: Proof) -> None:
    proof.subscribed(("down/ack/ivd",))
    nonce = proof.ask()
    assert nonce is not None
    proof.heard(nonce)
    assert proof.proven is Proven.NO
    assert proof.refused == ("down/ack/ivd",)


def test_a_suback_that_never_comes_counts_as_unproven(proof: Proof, clock: Steps) -> None:
    assert proof.ask() is None
    clock.seconds = 10
    assert proof.ask() is None
    assert proof.proven is Proven.NO


def test_it_is_asked_again_every_minute_while_unproven_and_heals(proof: Proof, clock: Steps) -> None:
    proof.subscribed(())
    proof.ask()
    clock.seconds = 10
    proof.ask()
    clock.seconds = 70
    nonce = proof.ask()
    assert nonce is not None
    proof.heard(nonce)
    assert proof.proven is Proven.YES
    assert proof.deadline == 70 + 900
