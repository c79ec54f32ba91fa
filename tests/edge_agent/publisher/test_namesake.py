"""Another gateway under our name, by its own words; whatever lies under the topic, an answer comes."""

import pytest

from edge_agent.publisher.namesake import is_namesake
from edge_agent.publisher.options import BrokerUrlError, broker


def test_a_birth_of_another_session_is_a_namesake() -> None:
    assert is_namesake(b'{"state": "ready", "session": "b"}', ["a"])
    assert not is_namesake(b'{"state": "ready", "session": "a"}', ["a"])


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"state": []}'])
def test_anything_else_is_none(payload: bytes) -> None:
    assert not is_namesake(payload, ["a"])


@pytest.mark.parametrize("url", ["mqtt://[", "mqtt://[x]", "mqtt://[::1", "mqtt://b:x"])
def test_an_address_that_cannot_be_split_is_said_as_every_other_mistake_of_one(url: str) -> None:
    with pytest.raises(BrokerUrlError):
        broker(url)
