"""The gate: closed only when the newest STATE of every known instance is offline."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.publisher.gate import BadStateError, Gate


class Steps:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2024, 3, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def state(online: bool, timestamp: int) -> bytes:
    return json.dumps({"online": online, "timestamp": timestamp}).encode()


@pytest.fixture
def clock() -> Steps:
    return Steps()


@pytest.fixture
def gate(clock: Steps) -> Gate:
    return Gate(("ivd", "qc"), clock)


def test_without_any_state_the_gate_is_open(gate: Gate) -> None:
    assert gate.is_open("ivd")


def test_the_only_instance_going_offline_closes_it(gate: Gate, clock: Steps) -> None:
    gate.heard("ivd", "a", state(True, 100))
    clock.seconds = 5
    gate.heard("ivd", "a", state(False, 100))  # the will carries its birth's timestamp
    assert not gate.is_open("ivd")
    assert gate.closed_since("ivd") == datetime(2024, 3, 1, 0, 0, 5, tzinfo=UTC)


def test_another_consumer_is_not_concerned(gate: Gate) -> None:
    gate.heard("ivd", "a", state(False, 100))
    assert not gate.is_open("ivd")
    assert gate.is_open("qc")


def test_one_instance_online_keeps_it_open(gate: Gate) -> None:
    gate.heard("ivd", "a", state(True, 100))
    gate.heard("ivd", "b", state(True, 100))
    gate.heard("ivd", "a", state(False, 100))
    assert gate.is_open("ivd")
    gate.heard("ivd", "b", state(False, 100))
    assert not gate.is_open("ivd")


def test_a_will_older_than_the_newest_birth_is_ignored(gate: Gate) -> None:
    gate.heard("ivd", "a", state(True, 100))
    gate.heard("ivd", "a", state(True, 200))
    gate.heard("ivd", "a", state(False, 100))
    assert gate.is_open("ivd")
    gate.heard("ivd", "a", state(False, 200))
    assert not gate.is_open("ivd")


def test_an_empty_payload_is_no_state(gate: Gate) -> None:
    gate.heard("ivd", "a", state(False, 100))
    gate.heard("ivd", "a", b"")
    assert gate.is_open("ivd")


def test_any_answer_opens_it_until_an_instance_says_offline_anew(gate: Gate) -> None:
    gate.heard("ivd", "a", state(True, 100))
    gate.heard("ivd", "a", state(False, 100))
    gate.answered("ivd", gate.farewells("ivd"))
    assert gate.is_open("ivd")
    gate.heard("ivd", "a", state(False, 100))  # the same retained state again, at a reconnect
    assert gate.is_open("ivd")
    gate.heard("ivd", "a", state(True, 200))
    gate.heard("ivd", "a", state(False, 200))
    assert not gate.is_open("ivd")


def test_an_answer_that_came_before_the_farewell_does_not_open_it(gate: Gate) -> None:
    """The answer waits for the store meanwhile: what was said last counts."""
    gate.heard("ivd", "a", state(True, 100))
    came = gate.farewells("ivd")
    gate.heard("ivd", "a", state(False, 100))
    gate.answered("ivd", came)
    assert not gate.is_open("ivd")


def test_while_closed_one_probe_a_minute_is_due(gate: Gate, clock: Steps) -> None:
    gate.heard("ivd", "a", state(False, 100))
    assert not gate.probe_due("ivd")
    clock.seconds = 60
    assert gate.probe_due("ivd")
    gate.probed("ivd")
    assert not gate.probe_due("ivd")
    assert gate.next_probe() == 120
    gate.answered("ivd", gate.farewells("ivd"))
    clock.seconds = 120
    assert not gate.probe_due("ivd")
    assert gate.next_probe() is None


@pytest.mark.parametrize(
    "payload",
    [
        b"offline",
        b"[]",
        b'{"online": false}',
        b'{"online": 0, "timestamp": 1}',
        b'{"online": false, "timestamp": true}',
    ],
)
def test_a_state_that_cannot_be_read_changes_nothing(gate: Gate, payload: bytes) -> None:
    with pytest.raises(BadStateError):
        gate.heard("ivd", "a", payload)
    assert gate.is_open("ivd")


def test_a_state_of_a_management_system_that_confirms_nothing_here_is_no_news(gate: Gate) -> None:
    gate.heard("billing", "a", state(False, 100))
    assert gate.is_open("ivd")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 5)), max_size=20))
def test_it_is_closed_exactly_when_every_newest_state_is_offline(said: list[tuple[str, bool, int]]) -> None:
    gate = Gate(("ivd",), Steps())
    newest: dict[str, tuple[bool, int]] = {}
    births: dict[str, int] = {}
    for instance, online, timestamp in said:
        gate.heard("ivd", instance, state(online, timestamp))
        late = instance in newest and timestamp < newest[instance][1]
        old_will = not online and timestamp < births.get(instance, -1)
        if not late and not old_will:
            newest[instance] = (online, timestamp)
            if online:
                births[instance] = timestamp
    silent = bool(newest) and not any(online for online, _ in newest.values())
    assert gate.is_open("ivd") is not silent


@pytest.mark.parametrize("timestamp", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_time_that_is_no_number_is_no_state_and_closes_nothing(gate: Gate, timestamp: str) -> None:
    """An offline at the end of all time would be newer than every birth after it."""
    with pytest.raises(BadStateError):
        gate.heard("ivd", "a", f'{{"online": false, "timestamp": {timestamp}}}'.encode())
    gate.heard("ivd", "a", state(True, 1))
    assert gate.is_open("ivd")
