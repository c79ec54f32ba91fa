"""What a broker may ask of us, and what it may do to us: on a broker of raw bytes."""

from collections.abc import Iterator

import pytest
from support_publisher import MakeAgent, until
from support_stub_broker import Published, StubBroker, disconnect

from edge_agent.states import MessageState


@pytest.fixture
def stub() -> Iterator[StubBroker]:
    made = StubBroker()
    yield made
    made.stop()


def results(stub: StubBroker) -> list[Published]:
    return [p for p in stub.published if p.topic.endswith("/result")]


def only_results_wait(published: Published) -> int | None:
    return None if published.topic.endswith("/result") else 0


def test_never_more_is_in_flight_than_the_broker_allows(stub: StubBroker, make_agent: MakeAgent) -> None:
    stub.connack = b"\x21\x00\x02"  # Receive Maximum 2
    stub.decide = only_results_wait
    stub.start()
    agent = make_agent(stub)
    for _ in range(6):
        agent.queue()
    until(lambda: len(results(stub)) == 2, "two results")
    assert agent.publisher.status().in_flight == 2
    stub.puback(results(stub)[0])
    until(lambda: len(results(stub)) == 3, "exactly one more for one answer")
    assert agent.publisher.status().in_flight == 2
    stub.hang_up()


def test_without_that_limit_the_window_is_used(stub: StubBroker, make_agent: MakeAgent) -> None:
    """Negative control of the one above: the same broker without Receive Maximum."""
    stub.decide = only_results_wait
    stub.start()
    agent = make_agent(stub, window=5).ready()
    for _ in range(8):
        agent.queue()
    until(lambda: len(results(stub)) == 5, "five results")
    assert agent.publisher.status().in_flight == 5
    stub.hang_up()


def test_messages_about_ourselves_count_too(stub: StubBroker, make_agent: MakeAgent) -> None:
    stub.connack = b"\x21\x00\x01"  # Receive Maximum 1
    stub.decide = lambda _p: None
    stub.start()
    make_agent(stub)
    until(lambda: stub.published, "the birth")
    assert [p.topic.rsplit("/", 1)[1] for p in stub.published] == ["state"]
    stub.puback(stub.published[0])
    until(lambda: len(stub.published) == 2, "the next one")
    stub.hang_up()


def test_connect_asks_for_a_session_of_seven_days_that_is_kept(stub: StubBroker, make_agent: MakeAgent) -> None:
    stub.start()
    make_agent(stub, keepalive_s=30)
    connect = until(lambda: stub.connects, "CONNECT")[0]
    assert connect[:7] == b"\x00\x04MQTT\x05"
    assert connect[7] & 0b0000_0010 == 0, "clean start is off"
    assert connect[7] & 0b0010_1100 == 0b0010_1100, "a will, retained, QoS 1"
    assert int.from_bytes(connect[8:10], "big") == 30
    assert b"\x11" + (7 * 86_400).to_bytes(4, "big") in connect[10:20]
    assert b"\x00\x05gw-01" in connect
    assert b"\x18" + (10).to_bytes(4, "big") in connect, "will delay 10 s"


def test_a_message_the_broker_hangs_up_on_is_found_and_the_rest_goes_on(
    stub: StubBroker, make_agent: MakeAgent
) -> None:
    stub.decide = lambda p: b"" if b"NTE|1||xxxx" in p.body else 0
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    before = [agent.queue() for _ in range(3)]
    bad = agent.queue(filler=40)
    after = [agent.queue() for _ in range(3)]
    until(lambda: agent.state(bad) is MessageState.BLOCKED, "the bad one blocked")
    assert "hangs up" in agent.row(bad).reason
    until(lambda: all(agent.state(m) is MessageState.AT_BROKER for m in before + after), "all others taken")
    assert agent.count(MessageState.BLOCKED) == 1
    assert agent.alarm("blocked").analyser == "xn1"


def test_a_broker_that_hangs_up_on_everything_blames_no_message(stub: StubBroker, make_agent: MakeAgent) -> None:
    """Negative control: five hang-ups, and every message still waits."""
    stub.decide = lambda p: b"" if p.topic.endswith("/result") else 0
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    messages = [agent.queue() for _ in range(3)]
    until(lambda: stub.connections >= 6, "six connections")
    assert all(agent.state(m) is MessageState.QUEUED for m in messages)
    assert "again and again" in until(lambda: agent.alarm("broker-down"), "an alarm").sentence


def test_a_message_named_by_the_brokers_disconnect_is_blocked_once_it_was_alone(
    stub: StubBroker, make_agent: MakeAgent
) -> None:
    stub.decide = lambda p: disconnect(0x95) if b"NTE|1||xxxx" in p.body else 0
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    bad, good = agent.queue(filler=40), agent.queue()
    until(lambda: agent.state(bad) is MessageState.BLOCKED, "blocked")
    until(lambda: agent.state(good) is MessageState.AT_BROKER, "the other one taken")
    assert "larger than the broker allows" in agent.row(bad).reason
    assert len([p for p in results(stub) if b"NTE|1||xxxx" in p.body]) <= 2


@pytest.mark.parametrize("code", [0x90, 0x95, 0x99])
def test_a_message_the_puback_names_is_blocked_at_once(stub: StubBroker, make_agent: MakeAgent, code: int) -> None:
    """0x95 is in no PUBACK table; Mosquitto sends it, and paho by itself would drop the connection for ever."""
    stub.decide = lambda p: code if p.topic.endswith("/result") else 0
    stub.start()
    agent = make_agent(stub)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.BLOCKED, "blocked")
    assert f"0x{code:02X}" in agent.row(message).reason
    assert stub.connections == 1


@pytest.mark.parametrize("code", [0x80, 0x83, 0x97, 0xA5])
def test_a_busy_broker_gets_the_same_message_again_later(stub: StubBroker, make_agent: MakeAgent, code: int) -> None:
    stub.decide = lambda p: code if p.topic.endswith("/result") and len(results(stub)) <= 2 else 0
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "taken in the end")
    codes = [a.code for a in agent.attempts(message) if a.what in ("refused", "puback")]
    assert codes == [f"0x{code:02X}"] * 2 + ["0x00"]
    assert stub.connections == 1


def test_a_takeover_is_alarmed_and_not_fought(stub: StubBroker, make_agent: MakeAgent) -> None:
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    until(lambda: agent.publisher.status().proven == "yes", "connected and proven")
    stub.send(disconnect(0x8E))
    until(lambda: agent.alarm("session-taken"), "an alarm")
    message = agent.queue()
    assert not agent.publisher.status().connected
    assert "took over" in agent.publisher.status().reason
    assert stub.connections == 1
    agent.call(agent.publisher.resume)  # a person says: try again
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "taken after that")
    assert agent.alarm("session-taken") is None


def test_negative_control_an_ordinary_disconnect_is_followed_by_a_new_connection(
    stub: StubBroker, make_agent: MakeAgent
) -> None:
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    until(lambda: agent.publisher.status().proven == "yes", "connected and proven")
    stub.send(disconnect(0x8B))
    until(lambda: stub.connections == 2, "a second connection")
    assert agent.alarm("session-taken") is None


def test_the_birth_of_a_former_life_is_no_namesake(stub: StubBroker, make_agent: MakeAgent) -> None:
    """After a kill it still stands there, and is read with the PUBACK of our own birth close behind."""

    def decide(published: Published) -> int | None:
        if not published.topic.endswith("/state") or len(born) > 0:
            return 0
        born.append(published)
        former = b'{"state": "ready", "session": "0123456789abcdef"}'
        topic = published.topic.encode()
        body = len(topic).to_bytes(2, "big") + topic + b"\x00\x07\x00" + former
        puback = b"\x40\x04" + published.mid.to_bytes(2, "big") + b"\x00\x00"
        stub.send(b"\x33" + bytes([len(body)]) + body + puback)  # QoS 1, retained
        return None

    born: list[Published] = []
    stub.decide = decide
    stub.start()
    agent = make_agent(stub)
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "taken")
    assert agent.alarm("session-taken") is None


def test_a_refused_connection_says_why(stub: StubBroker, make_agent: MakeAgent) -> None:
    stub.refuse = 0x86
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    alarm = until(lambda: agent.alarm("broker-down"), "an alarm")
    assert "user name or password is wrong (0x86)" in alarm.sentence


def publish(topic: bytes, payload: bytes, properties: bytes = b"") -> bytes:
    """A PUBLISH to the gateway, QoS 1, packet id 7."""
    body = len(topic).to_bytes(2, "big") + topic + b"\x00\x07" + bytes([len(properties)]) + properties + payload
    return bytes([0x32, len(body)]) + body


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param(b"\xf0\x00", id="AUTH nobody asked for"),
        pytest.param(b"\x00\x00", id="no packet at all"),
        pytest.param(b"\x40\x01\x00", id="half a PUBACK"),
        pytest.param(b"\x90\x02\x00\x01", id="SUBACK without codes"),
        pytest.param(b"\x32\xff\xff\xff\xff\x01", id="impossible length"),
        pytest.param(publish(b"\xff\xfe", b"x"), id="topic that is not UTF-8"),
        pytest.param(publish(b"a", b"x", b"\x7f\x01"), id="property that does not exist"),
    ],
)
def test_whatever_the_broker_sends_the_publisher_comes_back(
    stub: StubBroker, make_agent: MakeAgent, rubbish: bytes
) -> None:
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    until(lambda: agent.publisher.status().proven == "yes", "connected and proven")
    stub.send(rubbish)
    stub.hang_up()
    until(lambda: stub.connections >= 2 and agent.publisher.status().proven == "yes", "connected again")
    message = agent.queue()
    until(lambda: agent.state(message) is MessageState.AT_BROKER, "still working")


def test_what_comes_for_nobody_is_acknowledged_and_forgotten(stub: StubBroker, make_agent: MakeAgent) -> None:
    stub.start()
    agent = make_agent(stub, retry_max_s=0.1)
    until(lambda: agent.publisher.status().proven == "yes", "connected and proven")
    stub.send(publish(b"ivd/v1/seoul-01/gw-01/down/ack/ivd", b"no acknowledgement"))
    until(lambda: agent.alarm("foreign-ack"), "an alarm")
    until(lambda: 7 in stub.acknowledged, "its PUBACK, so that it does not come again for ever")


def test_pubacks_that_never_come_take_no_place_for_ever(stub: StubBroker, make_agent: MakeAgent) -> None:
    """The connection lives, and every place in flight is taken: only another connection can send them again."""
    stub.decide = lambda p: None if p.topic.endswith("/result") and p.connection == 1 else 0
    stub.start()
    agent = make_agent(stub, window=2, ack_timeout_s=0.5, keepalive_s=1, retry_max_s=0.1)
    first, second, third = agent.queue(), agent.queue(), agent.queue()
    for message in (first, second, third):
        until(lambda m=message: agent.state(m) is MessageState.AT_BROKER, "taken by the next connection")  # type: ignore[misc]
    assert stub.connections == 2
    assert agent.alarm("blocked") is None
