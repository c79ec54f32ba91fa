"""A result is published, answered and filed: through a real broker, with a management system of the test's own."""

from support_broker import Broker
from support_publisher import ROOT, MakeAgent, MakeCentral, until


def test_a_result_is_filed_when_the_management_system_accepts_it(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker)
    message = agent.queue()
    until(lambda: agent.filed(message), "filed")
    (got,) = central.arrived
    assert got.topic == f"{ROOT}/up/xn1/result"
    assert got.correlation == message.encode()
    assert got.payload == agent.row(message).payload
    assert [a.what for a in agent.attempts(message)] == ["published", "puback", "ack"]
