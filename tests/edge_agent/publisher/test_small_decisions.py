"""Decisions of the publisher's small parts, each at its border."""

from random import Random

import pytest
from support_delivery import Steps

from edge_agent.publisher.gate import BadStateError, Gate
from edge_agent.publisher.options import Broker
from edge_agent.publisher.pauses import Pauses
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.verdicts import Answer, Puback, on_answer, on_puback, reason


def test_a_code_of_the_broker_that_is_in_no_table_is_a_refusal_from_0x80_on() -> None:
    assert on_puback(0x7F) is Puback.TAKEN
    assert on_puback(0x80) is Puback.LATER
    assert on_puback(0x81) is Puback.LATER


def test_a_reason_in_words_is_cut_where_the_brokers_own_grow_long() -> None:
    assert reason(0x97) == "a quota of the broker is used up (0x97)"
    assert reason(0xEE, "x" * 300) == f'no known reason (0xEE): "{"x" * 200}"'


@pytest.mark.parametrize(
    ("code", "error", "answer"),
    [
        ("AA", "", Answer.FILED),
        ("AA", "204", Answer.FILED),
        ("CA", "", Answer.RECEIVED),
        ("AE", "", Answer.REJECTED_SLOW),
        ("CE", "", Answer.REJECTED_SLOW),
        ("AR", "", Answer.REJECTED_SOON),
        ("CR", "", Answer.REJECTED_SOON),
        ("AR", "103", Answer.REJECTED_SLOW),
        ("AE", "204", Answer.REJECTED_SOON),
        ("CE", "206", Answer.REJECTED_SOON),
        ("AR", "207", Answer.REJECTED_SOON),
        ("AE", "205", Answer.REJECTED_SLOW),
    ],
)
def test_how_soon_a_rejected_message_is_tried_again(code: str, error: str, answer: Answer) -> None:
    """HL7 table 0008 and 0357; design "Rules of delivery"."""
    assert on_answer(code, error) is answer


def test_a_broker_is_named_as_it_is_written() -> None:
    assert str(Broker("broker.example", 1883, False)) == "mqtt://broker.example:1883"
    assert str(Broker("2001:db8::1", 8883, True)) == "mqtts://[2001:db8::1]:8883"


def test_nobody_is_under_suspicion_when_nothing_was_in_flight() -> None:
    suspicion = Suspicion()
    assert suspicion.disconnected([], None, False) is None
    assert not suspicion.one_at_a_time


def test_a_paused_topic_without_a_message_has_none_on_trial_and_wakes_nobody() -> None:
    clock = Steps()
    pauses = Pauses(300, clock, Random(1))
    pauses.refused("t", "m1")
    pauses.forget("m1")
    clock.seconds += 1000
    assert pauses.next_due() is None
    assert pauses.on_trial() is None
    pauses.keep("t", "m2")
    assert pauses.on_trial() == "m2"
    assert pauses.on_trial() is None, "one at a time"
    pauses.trial_lost("m1")
    assert pauses.on_trial() is None, "another one's trial"
    pauses.trial_lost("m2")
    assert pauses.on_trial() == "m2"


def test_a_refusal_during_anothers_trial_leaves_the_trial_and_its_time_alone() -> None:
    clock = Steps()
    pauses = Pauses(300, clock, Random(1))
    pauses.refused("t", "m1")
    clock.seconds += 1000
    assert pauses.on_trial() == "m1"
    pauses.refused("t", "m2")
    assert list(pauses.ids()) == ["m2", "m1"]
    assert pauses.next_due() is None
    pauses.refused("t", "m1")
    due = pauses.next_due()
    assert due is not None
    assert due > clock.seconds + 10


@pytest.mark.parametrize(
    "payload",
    [b"{}", b"[]", b"1", b'{"online": 1, "timestamp": 1}', b'{"online": true, "timestamp": true}',
     b'{"online": true, "timestamp": "1"}', b'{"online": true}', b"\xff", b"nonsense"],
)  # fmt: skip
def test_what_cannot_be_read_as_a_state_opens_and_closes_nothing(payload: bytes) -> None:
    gate = Gate(["ivd"], Steps())
    gate.heard("ivd", "a", b'{"online": false, "timestamp": 1}')
    with pytest.raises(BadStateError):
        gate.heard("ivd", "a", payload)
    assert not gate.is_open("ivd")


def test_the_order_of_what_one_instance_said_is_by_its_own_time() -> None:
    gate = Gate(["ivd"], Steps())
    gate.heard("ivd", "a", b'{"online": true, "timestamp": 10}')
    gate.heard("ivd", "a", b'{"online": false, "timestamp": 9}')
    assert gate.is_open("ivd"), "a will from before its birth"
    gate.heard("ivd", "a", b'{"online": false, "timestamp": 10}')
    assert not gate.is_open("ivd"), "its own will carries its birth's time"
    gate.heard("ivd", "a", b'{"online": true, "timestamp": 9}')
    assert not gate.is_open("ivd")
    gate.heard("ivd", "a", b'{"online": true, "timestamp": 10}')
    assert gate.is_open("ivd")


def test_an_answer_outweighs_what_was_said_until_somebody_says_offline_anew() -> None:
    gate = Gate(["ivd"], Steps())
    gate.heard("ivd", "a", b'{"online": false, "timestamp": 1}')
    gate.answered("ivd", gate.farewells("ivd"))
    assert gate.is_open("ivd")
    gate.heard("ivd", "a", b'{"online": false, "timestamp": 2}')
    assert gate.is_open("ivd"), "it said so before"
    gate.heard("ivd", "b", b'{"online": true, "timestamp": 3}')
    gate.heard("ivd", "b", b'{"online": false, "timestamp": 4}')
    assert not gate.is_open("ivd")


def test_an_instance_that_is_forgotten_says_nothing() -> None:
    gate = Gate(["ivd"], Steps())
    gate.heard("ivd", "a", b'{"online": false, "timestamp": 1}')
    gate.heard("ivd", "a", b"")
    assert gate.is_open("ivd")
    gate.heard("nobody", "a", b'{"online": false, "timestamp": 1}')
    assert gate.next_probe() is None


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (0x80, "no reason"), (0x81, "read"), (0x82, "protocol"), (0x83, "of its own"), (0x84, "version"),
        (0x85, "client id"), (0x86, "password"), (0x87, "access list"), (0x88, "not available"), (0x89, "busy"),
        (0x8A, "banned"), (0x8B, "shutting down"), (0x8C, "authentication"), (0x8D, "in time"), (0x8E, "took over"),
        (0x90, "topic name"), (0x91, "packet id"), (0x93, "in flight"), (0x95, "larger"), (0x97, "quota"),
        (0x98, "administrator"), (0x99, "payload"), (0x9A, "retained"), (0x9B, "QoS"), (0x9C, "another server"),
        (0x9D, "moved"), (0x9F, "rate"),
    ],
)  # fmt: skip
def test_a_reason_code_is_said_in_the_words_of_the_standard(code: int, word: str) -> None:
    """MQTT 5.0 table 2-6."""
    assert word in reason(code)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (0x00, Puback.TAKEN), (0x10, Puback.NO_SUBSCRIBER), (0x80, Puback.LATER), (0x83, Puback.LATER),
        (0x87, Puback.TOPIC_REFUSED), (0x90, Puback.NEVER), (0x91, Puback.RECONNECT), (0x95, Puback.NEVER),
        (0x97, Puback.LATER), (0x99, Puback.NEVER),
    ],
)  # fmt: skip
def test_what_the_brokers_answer_means(code: int, meaning: Puback) -> None:
    """MQTT 5.0 §3.4.2.1, and 0x95 as Mosquitto says it."""
    assert on_puback(code) is meaning


@pytest.mark.parametrize("code", [0x00, 0x04, 0x87, 0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x98, 0x9C, 0x9D, 0x9F])
def test_a_disconnect_that_speaks_of_the_broker_blames_no_message(code: int) -> None:
    suspicion = Suspicion()
    assert suspicion.disconnected(["m"], code, False) is None
    assert not suspicion.one_at_a_time
