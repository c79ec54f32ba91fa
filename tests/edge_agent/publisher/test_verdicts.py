"""Every reason code and every acknowledgement code has one meaning."""

import pytest

from edge_agent.publisher.verdicts import Answer, Puback, on_answer, on_puback, reason

# MQTT 5.0 table 3-4 (PUBACK reason codes) and what standards.md H.1 says to do; 0x95 as Mosquitto sends it.
PUBACKS = {
    0x00: Puback.TAKEN,
    0x10: Puback.NO_SUBSCRIBER,
    0x80: Puback.LATER,
    0x83: Puback.LATER,
    0x87: Puback.TOPIC_REFUSED,
    0x90: Puback.NEVER,
    0x91: Puback.RECONNECT,
    0x95: Puback.NEVER,
    0x97: Puback.LATER,
    0x99: Puback.NEVER,
}


@pytest.mark.parametrize(("code", "verdict"), PUBACKS.items())
def test_each_reason_code_of_a_puback(code: int, verdict: Puback) -> None:
    assert on_puback(code) is verdict


def test_no_code_from_0x80_on_is_ever_taken_for_success() -> None:
    assert not {on_puback(code) for code in range(0x80, 0x100)} & {Puback.TAKEN, Puback.NO_SUBSCRIBER}


@pytest.mark.parametrize(
    ("code", "error", "answer"),
    [
        ("AA", "", Answer.FILED),
        ("CA", "", Answer.RECEIVED),
        ("AR", "", Answer.REJECTED_SOON),
        ("CR", "", Answer.REJECTED_SOON),
        ("AE", "", Answer.REJECTED_SLOW),
        ("CE", "", Answer.REJECTED_SLOW),
        ("AE", "204", Answer.REJECTED_SOON),
        ("AE", "206", Answer.REJECTED_SOON),
        ("AR", "207", Answer.REJECTED_SOON),
        ("AR", "101", Answer.REJECTED_SLOW),
        ("AE", "103", Answer.REJECTED_SLOW),
    ],
)
def test_each_acknowledgement(code: str, error: str, answer: Answer) -> None:
    assert on_answer(code, error) is answer


def test_what_is_not_in_table_0008_is_no_answer() -> None:
    with pytest.raises(KeyError):
        on_answer("OK", "")


def test_a_reason_names_the_code_and_the_brokers_own_words() -> None:
    assert reason(0x87) == "the access list does not allow it (0x87)"
    assert reason(0x97, "1000 messages") == 'a quota of the broker is used up (0x97): "1000 messages"'
