"""A broker that accepts everything and delivers nothing: no PUBACK of its files a result, and people hear of it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support_broker import Broker, running
from support_free_port import free_port
from support_publisher import MakeAgent, MakeCentral, until
from support_stub_broker import StubBroker

from edge_agent.states import MessageState

pytestmark = pytest.mark.broker


@pytest.fixture
def black_hole() -> Iterator[StubBroker]:
    """PUBACK with success for every message, a granted SUBACK, and never a message to anybody: no nonce comes back."""
    stub = StubBroker(echo=False, listen=free_port()).start()
    yield stub
    stub.stop()


def test_nothing_is_filed_and_age_is_alarmed_until_a_good_broker_is_back(
    tmp_path: Path,
    black_hole: StubBroker,
    make_agent: MakeAgent,
    make_central: MakeCentral,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_agent.publisher.outbox.PATIENCE", timedelta(seconds=1))
    monkeypatch.setattr("edge_agent.publisher.publisher.REVIEW_S", 0.1)
    good = Broker(tmp_path / "broker", port=black_hole.port)
    agent = make_agent(good, proof_timeout_s=0.3, ack_timeout_s=0.3, retry_max_s=0.3)
    messages = [agent.queue() for _ in range(3)]

    def sent() -> list[bytes]:
        return [p.body for p in black_hole.published if p.topic.endswith("/up/xn1/result")]

    until(lambda: agent.alarm("subscription-unproven"), "the broker does not deliver to us, and that is said")
    assert agent.publisher.status().proven == "no"
    until(lambda: len(sent()) >= 9, "every message is sent again")
    until(lambda: agent.alarm("unconfirmed"), "they have waited too long, however often they were sent")
    assert agent.publisher.status().connected
    assert all(agent.state(message) is not MessageState.FILED for message in messages)

    black_hole.stop()
    with running(good):
        central = make_central(good)
        until(lambda: agent.filed(*messages), "filed")
        until(lambda: agent.alarms.active() == [], "every alarm is over")
        assert set(central.ids()) == set(messages)
        first = {m.payload for m in central.arrived}
        assert len(first) == 3, "the same bytes under the same id"
