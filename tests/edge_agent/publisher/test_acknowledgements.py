"""Only the right acknowledgement closes a message: from its consumer, for its id, for its bytes."""

from collections.abc import Callable

import pytest
from support_broker import Broker
from support_publisher import ROOT, Agent, Central, MakeAgent, MakeCentral, until

from edge_agent.states import MessageState

pytestmark = pytest.mark.broker

Forge = Callable[[Central, str], None]

FORGED: dict[str, tuple[Forge, str]] = {
    "another digest": (lambda c, m: c.ack(m, "AA", digest="0" * 64), "digest-mismatch"),
    "another consumer's topic": (lambda c, m: c.ack(m, "AA", consumer="billing"), "foreign-ack"),
    "another correlation": (lambda c, m: c.ack(m, "AA", correlation="ABCDEFGH-00000000009"), "foreign-ack"),
    "no correlation": (lambda c, m: c.ack(m, "AA", correlation=""), "foreign-ack"),
    "an id never given out": (lambda c, _m: c.ack("ABCDEFGH-00000000009", "AA"), "foreign-ack"),
    "a code of no table": (lambda c, m: c.ack(m, "OK"), "foreign-ack"),
}


def _waiting(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, **options: object
) -> tuple[Agent, Central, str]:
    central = make_central(broker, answer=lambda _m: None)
    agent = make_agent(broker, **options)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
    return agent, central, message


@pytest.mark.parametrize("kind", [*FORGED, "a retained one"])
def test_a_forged_acknowledgement_closes_nothing_and_is_alarmed(
    kind: str, broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    agent, central, message = _waiting(broker, make_agent, make_central)
    if kind == "a retained one":
        central.retain_ack(message, "AA")
        alarm = "retained-command"
    else:
        forge, alarm = FORGED[kind]
        forge(central, message)
    if kind == "another consumer's topic":
        # Nobody subscribed to it: prove that nothing happened by what comes after it.
        other = agent.queue()
        until(lambda: other in central.ids(), "the next message")
    else:
        until(lambda: agent.alarm(alarm), f"alarm {alarm}")
    assert agent.state(message) is MessageState.AT_BROKER
    central.ack(message, "AA")  # negative control: the right one does close it
    until(lambda: agent.filed(message), "filed by the right one")


def test_a_consumer_of_another_route_closes_nothing(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    from edge_agent.store.rows import Route

    consumers = {Route.RESULT: "ivd", Route.QC: "qc-system", Route.VALIDATION: "ivd"}
    agent, central, message = _waiting(broker, make_agent, make_central, consumers=consumers)
    central.ack(message, "AA", consumer="qc-system")
    until(lambda: agent.alarm("foreign-ack"), "an alarm")
    assert agent.state(message) is MessageState.AT_BROKER


def test_a_required_digest_must_be_given(broker: Broker, make_agent: MakeAgent, make_central: MakeCentral) -> None:
    agent, central, message = _waiting(broker, make_agent, make_central, require_digest=True)
    central.ack(message, "AA")
    until(lambda: agent.alarm("digest-mismatch"), "an alarm")
    assert agent.state(message) is MessageState.AT_BROKER
    central.ack(message, "AA", digest=agent.row(message).digest)
    until(lambda: agent.filed(message), "filed with the digest")


def test_a_commit_accept_closes_nothing(broker: Broker, make_agent: MakeAgent, make_central: MakeCentral) -> None:
    agent, central, message = _waiting(broker, make_agent, make_central)
    central.ack(message, "CA")
    after = agent.queue()
    until(lambda: after in central.ids(), "the next message")
    central.ack(after, "AA")
    until(lambda: agent.filed(after), "the next one filed, so that CA was read before")
    assert agent.state(message) is MessageState.AT_BROKER


def test_an_error_answer_is_rejected_with_an_alarm_and_tried_again_until_it_is_filed(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    """AE with ERR-3 207 (application internal error) may pass by itself."""
    central = make_central(broker, answer=lambda _m: "AE", error="207^Application internal error^HL70357")
    agent = make_agent(broker, retry_max_s=0.3)
    message, other = agent.queue(), agent.queue()
    alarm = until(lambda: agent.alarm("rejected"), "an alarm")
    assert "xn1" in alarm.sentence
    until(lambda: central.ids().count(message) >= 2, "tried again")
    assert agent.row(message).state in (MessageState.REJECTED, MessageState.QUEUED)
    central.answer = lambda _m: "AA"
    until(lambda: agent.filed(message, other), "filed in the end", 30)
    until(lambda: agent.alarm("rejected") is None, "the alarm over")
    assert len({m.payload for m in central.arrived if m.correlation == message.encode()}) == 1


def test_an_error_answer_that_will_not_mend_itself_waits_half_an_hour(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    make_central(broker, answer=lambda _m: "AE", error="103^Table value not found^HL70357")
    agent = make_agent(broker, retry_max_s=0.3)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.REJECTED, "rejected")
    row = agent.row(message)
    assert (row.code, row.reason.split()[0]) == ("AE", "103")
    wait = row.retry_at - agent.clock.now()
    assert 1700 < wait.total_seconds() <= 1800


def test_the_answer_may_come_before_the_brokers_puback_is_stored(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    agent = make_agent(broker)
    ids = [agent.queue() for _ in range(60)]
    until(lambda: agent.filed(*ids), "all filed")
    assert sorted(central.ids()) == sorted(ids), "each once"
    assert agent.alarms.active() == []


def test_a_consumers_words_are_kept_for_people_and_never_logged(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, caplog: pytest.LogCaptureFixture
) -> None:
    make_central(broker, answer=lambda _m: "AE", error="103^^HL70357", text="unknown patient KIM PID77")
    agent = make_agent(broker)
    with caplog.at_level("DEBUG"):
        message = agent.queue()
        until(lambda: agent.state(message) is MessageState.REJECTED, "rejected")
        agent.stop()
    assert f"{ROOT}/up/xn1/result" not in caplog.text
    assert "PID77" not in caplog.text
    assert "GLU" not in caplog.text
