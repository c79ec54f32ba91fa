"""No prefix of a message and no changed byte in it makes a result that its analyser did not send."""

from collections.abc import Iterator

import pytest
from faults.fuzz.changed import LONG, Message, corpus
from faults.outcomes_file import ENUMERATED, RANDOM, Outcome, Outcomes
from faults.scale import FULL, chance, many, share

from drivers.protocols.lis01_dialect import Dialect

STX = 2
RESIDUAL = (
    "not among them: the first byte of a frame where frames are not numbered in turn; to a sender that waits for no"
    " answer nobody can say that a whole frame is missing"
)
PREFIXES, FLIPS = "a message cut off at every byte", "one byte of a message changed on the line"


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return corpus()


def flips(messages: list[Message], number: int) -> Iterator[tuple[Message, bytes]]:
    """The messages in turn; of one, any byte and any other value."""
    dice = chance("changed bytes")
    for trial in range(number):
        message = messages[trial % len(messages)]
        at = dice.randrange(len(message.wire))
        if message.dialect.frame_number == "any" and message.wire[at] == STX:
            continue  # see RESIDUAL
        value = (message.wire[at] + dice.randrange(1, 256)) % 256
        yield message, message.wire[:at] + bytes((value,)) + message.wire[at + 1 :]


def results(messages: list[Message]) -> int:
    return sum(message.good.total() for message in messages)


def test_no_prefix_gives_a_result_that_the_whole_does_not(messages: list[Message], outcomes: Outcomes) -> None:
    assert len(messages) >= 50
    points = [(m, n) for m in messages for n in range(len(m.wire))]
    some = share(points) if FULL else [(m, n) for m, n in share(points) if len(m.wire) < LONG or n % 20 == 0]
    altered = [(str(m), n) for m, n in some if m.altered(m.wire[:n])]
    note = f"{len(messages)} messages with {results(messages)} results"
    outcomes.add(
        Outcome(PREFIXES, ENUMERATED, len(some), len(points), results(messages), altered=len(altered), note=note)
    )
    assert not altered


def test_no_changed_byte_gives_a_result_that_was_not_sent(messages: list[Message], outcomes: Outcomes) -> None:
    number = many(2_000, 20_000)
    altered = [(str(m), wire) for m, wire in flips(messages, number) if m.altered(wire)]
    outcomes.add(Outcome(FLIPS, RANDOM, number, acknowledged=results(messages), altered=len(altered), note=RESIDUAL))
    assert not altered, altered[0]


def test_without_the_check_of_sums_changed_bytes_become_results(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = corpus()
    monkeypatch.setattr(Dialect, "verifies", lambda *_: True)
    altered = sum(bool(m.altered(wire)) for m, wire in flips(fresh, 300))
    outcomes.control(FLIPS, "no check of sums", f"{altered} of 300 altered")
    assert altered > 20


def test_a_cut_message_that_is_ended_for_its_sender_makes_other_results(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a line that closes what was begun, and a reader that asks for no sum."""
    message = next(m for m in corpus() if m.name == "sysmex_xn/cbc_one_frame")
    monkeypatch.setattr(Dialect, "verifies", lambda *_: True)
    end = b"\rL|1|N\r\x0300\r\n\x04"
    altered = sum(bool(message.altered(message.wire[:n] + end)) for n in range(100, len(message.wire)))
    outcomes.control(PREFIXES, "a cut message ended for its sender", f"{altered} of {len(message.wire) - 100} altered")
    assert altered > 20
