"""The way to the broker, on a clock moved by hand and a connection that only keeps what it is given."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from support_delivery import HighestDraw, Steps
from support_kept_connection import KeptConnection

from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.publisher import link as module
from edge_agent.publisher.events import Cause, Connected, Ended, PubackCame, Received, Subscribed
from edge_agent.publisher.link import Link
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.proof import Proof, Proven
from edge_agent.publisher.properties import packet_size

ROOT = "ivd/v1/seoul-01/gw-01/"
STATE, ECHO = ROOT + "state", ROOT + "down/echo"


class Desk:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.made: list[KeptConnection] = []
        monkeypatch.setattr(module, "Connection", self._make)
        fields = {"urls": ("mqtt://a.example", "mqtt://b.example"), "site": "seoul-01", "gateway": "gw-01", **options}
        self.options = MqttOptions(**fields)
        self.clock = Steps()
        self.alarms = Alarms(self.clock)
        self.presence = Presence("0.1.0", self.alarms, Info(version="0.1.0", site="seoul-01", gateway="gw-01"))
        self.presence.running()
        self.suspicion = Suspicion()
        self.proof = Proof(self.clock, HighestDraw(3))
        self.wakes = 0
        self.link = Link(
            self.options, self.presence, self.alarms, self.suspicion, self.proof,
            self.clock, HighestDraw(5), lambda _e: None, self._wake,
        )  # fmt: skip
        self.presence.on_fact = self.link.fact

    def _make(self, *arguments: Any) -> KeptConnection:
        self.made.append(KeptConnection(*arguments))
        return self.made[-1]

    def _wake(self) -> None:
        self.wakes += 1

    @property
    def now(self) -> KeptConnection:
        return self.made[-1]

    def connect(self, *, session: bool = False, most: int = 100, packet: int | None = None) -> bool:
        """The next connection comes up."""
        self.link.tick()
        return self.link.connected(Connected(self.now.number, 0, session, most, packet))

    def prove(self) -> None:
        """The broker grants everything and brings our nonce back."""
        self.link.subscribed(Subscribed(self.now.number, 77, (1,) * len(self.now.filters)))
        self.link.tick()
        self.link.echoed(next(one.payload for one in reversed(self.now.said) if one.topic == ECHO))

    def answer(self, code: int = 0) -> None:
        """The broker's PUBACK to everything."""
        for mid in list(self.now.flying):
            self.link.note_answered(PubackCame(self.now.number, mid, code, ""))

    def end(self, cause: Cause = Cause.DROPPED, code: int | None = None, reason: str = "it ended") -> bool:
        return self.link.ended(Ended(self.now.number, cause, code, reason))

    def topics(self) -> list[str]:
        return [one.topic.removeprefix(ROOT) for one in self.now.said]

    def codes(self) -> set[str]:
        return {alarm.code for alarm in self.alarms.active()}

    def sentence(self, code: str) -> str:
        return next(alarm.sentence for alarm in self.alarms.active() if alarm.code == code)

    def waits(self, step: float = 0.25, most: float = 10_000) -> float:
        """How long until the next connection is opened."""
        began, count = self.clock.seconds, len(self.made)
        while len(self.made) == count:
            self.link.tick()
            if len(self.made) == count:
                self.clock.seconds += step
                assert self.clock.seconds < began + most
        return self.clock.seconds - began


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Desk]:
    return lambda **options: Desk(monkeypatch, **options)


@pytest.fixture
def desk(make: Callable[..., Desk]) -> Desk:
    return make()


def received(desk: Desk, name: str, payload: bytes, *, retained: bool = True) -> None:
    desk.link.own_topic(Received(desk.now.number, 1, 1, ROOT + name, payload, retained, None, ()))


def other(session: str = "not-ours") -> bytes:
    return json.dumps({"state": "ready", "session": session}).encode()


def test_before_the_first_tick_there_is_nothing(desk: Desk) -> None:
    assert desk.link.closed
    assert (desk.link.up, desk.link.url, desk.link.room, desk.link.since) == (False, "", 0, None)
    assert desk.link.reason == "not connected yet"
    assert desk.link.deadline == desk.clock.seconds
    assert not desk.link.is_current(0)
    assert not desk.link.may_deliver


def test_a_connection_is_opened_with_a_will_of_its_own_session(desk: Desk) -> None:
    desk.link.tick()
    assert desk.now.opened
    assert str(desk.now.broker) == desk.link.url == "mqtt://a.example:1883"
    assert desk.now.will_topic == STATE
    will = json.loads(desk.now.will)
    assert will["state"] == "lost"
    assert desk.link.deadline is None, "its outcome comes by itself"
    desk.link.tick()
    assert len(desk.made) == 1
    assert desk.link.room == 0
    desk.connect()
    desk.link.tick()
    birth = desk.now.said[0]
    assert (birth.topic, birth.retain) == (STATE, True)
    assert json.loads(birth.payload)["session"] == will["session"]
    assert json.loads(birth.payload)["state"] == "ready"
    desk.end()
    desk.waits()
    assert json.loads(desk.now.will)["session"] != will["session"]
    assert desk.now.number == 2


def test_news_of_an_older_connection_is_told_from_that_of_the_present_one(desk: Desk) -> None:
    desk.connect()
    assert desk.link.is_current(1)
    desk.end()
    assert not desk.link.is_current(1)
    desk.waits()
    assert desk.link.is_current(2)
    assert not desk.link.is_current(1)


def test_a_puback_we_owe_goes_only_to_the_connection_its_message_came_on(desk: Desk) -> None:
    desk.connect()
    message = Received(1, 9, 1, ECHO, b"", False, None, ())
    desk.link.acknowledge(message)
    assert desk.now.acknowledged == [9]
    desk.end()
    desk.link.acknowledge(message)
    desk.waits()
    desk.link.acknowledge(message)
    assert desk.now.acknowledged == []


def test_what_is_subscribed(desk: Desk) -> None:
    desk.connect()
    assert desk.now.filters == [
        (ECHO, False),
        (ROOT + "down/ack/ivd", False),
        (ROOT + "down/reconcile", False),
        ("ivd/v1/_central/ivd/+/state", True),
        *((filter_, True) for filter_ in desk.link.topics.read_back()),
    ]


def test_where_the_broker_has_the_last_word_no_acknowledgements_are_subscribed(make: Callable[..., Desk]) -> None:
    desk = make(confirm="broker")
    desk.connect()
    assert not [name for name, _ in desk.now.filters if "down/ack" in name]


def test_results_flow_when_the_nonce_came_back_and_not_before(desk: Desk) -> None:
    desk.connect()
    assert desk.link.up
    assert not desk.link.may_deliver
    desk.prove()
    assert desk.link.may_deliver
    assert desk.codes() == set()
    desk.end()
    assert not desk.link.may_deliver


def test_a_subscription_that_was_refused_is_alarmed_and_results_flow_all_the_same(desk: Desk) -> None:
    desk.connect()
    desk.link.subscribed(Subscribed(1, 76, (0x87,) * 9))
    assert desk.codes() == set(), "the answer to something else"
    codes = (1, 0x87) + (1,) * (len(desk.now.filters) - 2)
    desk.link.subscribed(Subscribed(1, 77, codes))
    assert desk.proof.proven is Proven.NO
    assert desk.codes() == {"subscription-unproven"}
    assert desk.link.may_deliver


def test_filters_only_for_tidying_up_may_be_refused(desk: Desk) -> None:
    desk.connect()
    tidy = len(desk.link.topics.read_back())
    assert tidy
    codes = (1,) * (len(desk.now.filters) - tidy) + (0x80,) * tidy
    desk.link.subscribed(Subscribed(1, 77, codes))
    assert desk.codes() == set()
    assert desk.proof.proven is Proven.UNKNOWN


def test_a_nonce_that_comes_late_ends_the_alarm(desk: Desk) -> None:
    desk.connect()
    desk.link.subscribed(Subscribed(1, 77, (1,) * len(desk.now.filters)))
    desk.link.tick()
    desk.clock.seconds += 10
    desk.link.tick()
    assert desk.codes() == {"subscription-unproven"}
    desk.answer()
    desk.clock.seconds += 60
    desk.link.tick()
    desk.link.echoed(desk.now.said[-1].payload)
    assert desk.codes() == set()


def test_the_nonce_is_plain_text_and_not_retained(desk: Desk) -> None:
    desk.connect()
    desk.prove()
    nonce = desk.now.said[-1]
    assert nonce.topic == ECHO
    assert nonce.retain is False
    assert nonce.properties.ContentType.startswith("text/plain")
    assert desk.now.said[0].properties.ContentType.startswith("application/json")


def test_the_deadline_of_a_connection_that_is_up_is_that_of_its_proof(desk: Desk) -> None:
    desk.connect()
    assert desk.link.deadline == desk.clock.seconds + 10
    desk.prove()
    assert desk.link.deadline == desk.clock.seconds + 900


def test_one_that_follows_short_lived_ones_is_looked_at_when_it_is_steady(desk: Desk) -> None:
    desk.connect()
    desk.end()
    desk.waits()
    desk.connect()
    desk.prove()
    assert desk.link.deadline == desk.clock.seconds + 30
    desk.clock.seconds += 30
    desk.link.tick()
    assert desk.link.deadline == pytest.approx(desk.clock.seconds + 870)


def test_the_broker_still_knows_our_session_only_if_it_says_so_and_is_the_same_one(desk: Desk) -> None:
    assert desk.connect(session=True) is True, "the first broker after a start may know us from before"
    desk.end()
    desk.waits()
    assert desk.connect(session=False) is False
    desk.end()
    desk.waits()
    assert desk.connect(session=True) is True
    desk.end()
    desk.waits()
    desk.end(Cause.NETWORK)
    desk.link.tick()
    assert str(desk.now.broker) == "mqtt://b.example:1883"
    assert desk.connect(session=True) is False, "another broker's session is not this one's"


def test_a_refused_connection_says_why_and_is_not_up(desk: Desk) -> None:
    desk.link.tick()
    assert desk.link.connected(Connected(1, 0x86, False, 1, None, "no")) is False
    assert not desk.link.up
    assert "user name or password is wrong (0x86)" in desk.link.reason
    assert desk.end(Cause.DROPPED, reason="the broker closed the connection without a reason") is False
    assert "user name or password is wrong" in desk.link.reason, "the better of two reasons stays"
    assert "mqtt://a.example:1883: user name or password is wrong" in desk.sentence("broker-down")


def test_code_7f_is_the_last_that_is_no_refusal(desk: Desk) -> None:
    desk.link.tick()
    desk.link.connected(Connected(1, 0x80, False, 1, None))
    assert not desk.link.up


def test_what_ended_the_connection_is_said_over_what_came_before(desk: Desk) -> None:
    desk.link.tick()
    desk.link.connected(Connected(1, 0x86, False, 1, None))
    desk.end(Cause.NETWORK, reason="no answer in time")
    assert desk.link.reason == "no answer in time"
    desk.waits()
    assert desk.link.reason == ""
    desk.connect()
    assert desk.end(reason="it ended") is True
    assert desk.link.reason == "it ended"
    assert (desk.link.up, desk.link.since, desk.link.closed) == (False, None, True)


def test_addresses_are_tried_in_order_and_a_round_that_failed_is_followed_by_a_wait_that_doubles(desk: Desk) -> None:
    hosts, waits = [], []
    for _ in range(20):
        waits.append(desk.waits())
        hosts.append(desk.now.broker.host)
        desk.end(Cause.NETWORK)
    assert hosts == ["a.example", "b.example"] * 10
    assert waits[1::2] == [0] * 10, "the second address at once"
    assert waits[2::2] == pytest.approx([0.5, 1, 2, 4, 8, 16, 32, 60, 60], abs=0.25)


def test_one_that_was_up_is_tried_again_from_the_first_address(desk: Desk) -> None:
    desk.link.tick()
    desk.end(Cause.NETWORK)
    desk.connect()
    assert desk.now.broker.host == "b.example"
    desk.end()
    assert desk.waits() == pytest.approx(0.5, abs=0.25)
    assert desk.now.broker.host == "a.example"


def test_the_wait_is_no_longer_than_the_site_says(make: Callable[..., Desk]) -> None:
    desk = make(urls=("mqtt://a.example",), retry_max_s=0.25)
    desk.link.tick()
    for _ in range(5):
        desk.end(Cause.NETWORK)
        assert desk.waits(step=0.05) <= 0.3


def test_a_steady_connection_begins_the_count_of_failures_anew(make: Callable[..., Desk]) -> None:
    desk = make(urls=("mqtt://a.example",))
    desk.link.tick()
    for _ in range(4):
        desk.end(Cause.NETWORK)
        desk.waits()
    desk.connect()
    desk.clock.seconds += 29.9
    desk.link.tick()
    desk.clock.seconds += 0.1
    desk.link.tick()
    desk.end()
    assert desk.waits() == pytest.approx(0.5, abs=0.25)


def test_one_that_was_not_steady_does_not(make: Callable[..., Desk]) -> None:
    desk = make(urls=("mqtt://a.example",))
    desk.link.tick()
    for _ in range(4):
        desk.end(Cause.NETWORK)
        desk.waits()
    desk.connect()
    desk.clock.seconds += 29.9
    desk.link.tick()
    desk.end()
    assert desk.waits() == pytest.approx(8, abs=0.25)


def test_a_broker_that_hangs_up_again_and_again_is_alarmed_and_that_is_over_when_it_is_steady(desk: Desk) -> None:
    for number in range(3):
        assert desk.codes() == set(), number
        desk.waits() if number else desk.link.tick()
        desk.connect()
        desk.end()
    assert "again and again; it ended" in desk.sentence("broker-down")
    desk.waits()
    desk.connect()
    desk.prove()
    assert desk.codes() == {"broker-down"}, "up, and not yet believed"
    desk.clock.seconds += 30
    desk.link.tick()
    assert desk.codes() == set()


def test_an_ordinary_connection_ends_the_alarm_at_once(desk: Desk) -> None:
    desk.link.tick()
    desk.end(Cause.NETWORK)
    assert desk.codes() == {"broker-down"}
    desk.connect()
    assert desk.codes() == set()


def test_connections_that_lived_long_are_no_trouble_of_their_own(desk: Desk) -> None:
    for _ in range(5):
        desk.connect()
        desk.clock.seconds += 30
        desk.end()
        desk.clock.seconds += 10_000
    assert desk.codes() == set()


def test_the_end_of_a_connection_is_logged_once_for_many(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(6):
        desk.connect()
        desk.end()
        desk.clock.seconds += 10_000
    ends = [r for r in caplog.records if "The connection to the broker" in r.getMessage()]
    begins = [r for r in caplog.records if "Connected to the broker" in r.getMessage()]
    assert (len(ends), len(begins)) == (1, 3)


def test_a_takeover_is_waited_out_longer_every_time_until_a_person_says_so(desk: Desk) -> None:
    desk.link.tick()
    for wait in (300, 600, 1200, 2400, 3600, 3600):
        desk.connect()
        desk.clock.seconds += 100
        desk.end(Cause.BROKER, 0x8E)
        assert "session-taken" in desk.codes()
        assert desk.waits() == pytest.approx(wait, abs=0.25)
    desk.end(Cause.BROKER, 0x8E)
    desk.link.resume()
    assert "session-taken" not in desk.codes()
    assert desk.waits() == 0
    desk.connect()
    desk.end(Cause.BROKER, 0x8E)
    assert desk.waits() == pytest.approx(300, abs=0.25), "from the beginning"


def test_the_first_wait_after_a_takeover_is_no_shorter_than_the_sites_longest(make: Callable[..., Desk]) -> None:
    desk = make(retry_max_s=500)
    desk.connect()
    desk.end(Cause.BROKER, 0x8E)
    assert desk.waits() == pytest.approx(500, abs=0.25)


def test_an_hour_without_a_takeover_ends_its_alarm(desk: Desk) -> None:
    desk.connect()
    desk.end(Cause.BROKER, 0x8E)
    desk.waits()
    desk.connect()
    desk.clock.seconds += 3599
    desk.link.tick()
    assert "session-taken" in desk.codes()
    desk.clock.seconds += 1
    desk.link.tick()
    assert "session-taken" not in desk.codes()
    desk.end(Cause.BROKER, 0x8E)
    assert desk.waits() == pytest.approx(300, abs=0.25)


def test_a_namesake_is_seen_by_its_birth_where_ours_stood(desk: Desk) -> None:
    desk.connect()
    received(desk, "state", other())
    assert desk.codes() == set(), "ours is not there yet: it may be a former life's"
    desk.link.tick()
    desk.answer()
    received(desk, "state", other(), retained=False)
    received(desk, "state", desk.now.said[0].payload)
    assert desk.codes() == set()
    received(desk, "state", other())
    assert desk.codes() == {"session-taken"}
    desk.end(Cause.DROPPED)
    assert desk.waits() == pytest.approx(300, abs=0.25), "it is not fought"


def test_a_birth_the_broker_refused_is_none(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.answer(0x87)
    received(desk, "state", other())
    assert "session-taken" not in desk.codes()


def test_with_a_namesake_a_connection_that_ends_for_another_reason_is_tried_again_as_usual(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.answer()
    received(desk, "state", other())
    desk.end(Cause.NETWORK)
    assert desk.waits() == pytest.approx(0.5, abs=0.25)
    desk.end(Cause.DROPPED)
    assert desk.waits() < 2, "it had not even been up"


def test_what_we_hold_at_the_broker_that_is_not_true_any_more_is_cleared(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.answer()
    count = len(desk.now.said)
    received(desk, "info", b"{}")
    received(desk, "alarm/old", b"")
    received(desk, "alarm/old", b"{}", retained=False)
    desk.link.tick()
    assert len(desk.now.said) == count
    received(desk, "alarm/old", b"{}")
    desk.link.tick()
    assert (desk.now.said[-1].topic, desk.now.said[-1].payload, desk.now.said[-1].retain) == (
        ROOT + "alarm/old",
        b"",
        True,
    )


def test_facts_go_out_as_they_change_and_an_alarm_brings_the_state_anew(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    assert desk.topics() == ["state", "info"]
    desk.alarms.raise_("storage", reason="gone")
    assert desk.wakes
    desk.link.tick()
    assert sorted(desk.topics()[2:]) == ["alarm/storage", "state"]
    state = next(one for one in reversed(desk.now.said) if one.topic == STATE)
    assert json.loads(state.payload)["state"] == "degraded"
    assert all(one.retain for one in desk.now.said)


def test_only_health_expires(desk: Desk) -> None:
    desk.connect()
    desk.link.fact("health", b"{}")
    desk.link.fact("info", b"{}")
    desk.link.tick()
    expiry = {
        one.topic.removeprefix(ROOT): getattr(one.properties, "MessageExpiryInterval", 0) for one in desk.now.said
    }
    assert expiry == {"state": 0, "health": 180, "info": 0}


def test_facts_without_a_connection_wait_for_the_next_birth(desk: Desk) -> None:
    desk.alarms.raise_("storage", reason="gone")
    assert desk.wakes == 0
    desk.link.say_state()
    desk.connect()
    desk.link.tick()
    assert sorted(desk.topics()) == ["alarm/storage", "info", "state"]


def test_a_changed_state_is_said_at_once(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.presence.stopping()
    desk.link.say_state()
    assert json.loads(desk.now.said[-1].payload)["state"] == "stopping"


def test_messages_about_ourselves_keep_within_the_room_there_is(desk: Desk) -> None:
    desk.connect(most=1)
    desk.link.tick()
    assert desk.topics() == ["state"]
    assert desk.link.room == 0
    desk.link.tick()
    assert desk.topics() == ["state"]
    desk.answer()
    desk.link.tick()
    assert desk.topics() == ["state", "info"]


def test_under_suspicion_there_is_room_for_one_message_in_all(desk: Desk) -> None:
    desk.connect()
    assert desk.link.room == 16
    desk.suspicion.disconnected(["m1"], None, False)
    assert desk.link.room == 1
    desk.link.publish(ECHO, b"x", None)
    assert desk.link.room == 0


def test_a_message_about_ourselves_that_is_too_large_for_the_broker_is_left_out(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.connect(packet=400)
    desk.link.fact("analyser/xn1/state", b"x" * 500)
    desk.link.tick()
    assert desk.topics() == ["state", "info"]
    assert "exceeds the broker's packet size" in caplog.text
    state = desk.now.said[0]
    size = packet_size(state.topic, state.payload, state.properties)
    desk.answer()
    desk.link.maximum_packet = size
    desk.link.say_state()
    assert desk.topics()[-1] == "state", "just fits"


def test_on_a_dead_connection_nothing_more_is_said(desk: Desk) -> None:
    desk.connect()
    desk.now.gone = True
    desk.link.tick()
    assert desk.topics() == []
    desk.now.gone = False
    desk.link.tick()
    assert desk.topics() == ["info"], "what could not be said is not kept: the next connection begins with a birth"


def test_a_puback_is_ours_or_a_results(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    mine = desk.now.said[0].mid
    result = desk.link.publish(ROOT + "up/xn1/result", b"x", None)
    assert result is not None
    assert desk.link.note_answered(PubackCame(1, mine, 0, "")) is True
    assert desk.link.note_answered(PubackCame(1, result, 0, "")) is False
    assert result not in desk.now.flying


def test_a_topic_of_ours_the_broker_refuses_is_alarmed_until_it_takes_it(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    state, info = desk.now.said
    desk.link.note_answered(PubackCame(1, state.mid, 0x87, ""))
    desk.link.note_answered(PubackCame(1, info.mid, 0x87, ""))
    assert "state" in desk.sentence("broker-refused")
    assert "0x87" in desk.sentence("broker-refused")
    for _ in range(3):
        desk.link.tick()
        desk.answer(0x87)
    count = len(desk.now.said)
    desk.link.fact("health", b"{}")
    desk.link.tick()
    desk.answer()
    assert desk.topics()[count:] == ["health"], "every minute; its PUBACK shows that the others may be allowed by now"
    assert "broker-refused" in desk.codes()
    desk.link.tick()
    assert set(desk.topics()[count + 1 :]) == {"state", "info", "alarm/broker-refused"}
    said = next(m for m in reversed(desk.now.said) if m.topic == STATE)
    assert json.loads(said.payload)["state"] == "degraded", "as it is by now"
    desk.answer()
    assert desk.codes() == set()
    desk.link.tick()
    desk.answer()
    assert desk.topics()[count:].count("info") == 1


def test_an_alarm_that_was_over_while_its_topic_was_forbidden_is_cleared_at_the_broker(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.answer()
    desk.alarms.raise_("storage", reason="disk I/O error")
    desk.link.tick()
    desk.answer(0x87)
    desk.alarms.clear("storage")
    desk.link.tick()
    desk.answer(0x87)
    count = len(desk.now.said)
    desk.link.fact("health", b"{}")
    for _ in range(3):
        desk.link.tick()
        desk.answer()
    last = {one.topic: one.payload for one in desk.now.said[count:]}
    assert last[ROOT + "alarm/storage"] == b""
    assert last[ROOT + "alarm/broker-refused"] == b""
    assert desk.codes() == set()


def test_a_busy_broker_has_refused_no_topic(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.answer(0x97)
    assert desk.codes() == set()


def test_offline_is_the_last_word_where_there_is_somebody_and_room_to_say_it(desk: Desk) -> None:
    assert desk.link.say_offline() is None
    desk.link.tick()
    assert desk.link.say_offline() is None, "not up yet"
    desk.connect(most=1)
    mid = desk.link.say_offline()
    assert mid == desk.now.said[-1].mid
    last = desk.now.said[-1]
    assert (last.topic, last.retain, json.loads(last.payload)["state"]) == (STATE, True, "offline")
    assert json.loads(last.payload)["session"] == json.loads(desk.now.will)["session"]
    assert desk.link.say_offline() is None, "no room"


def test_a_retirement_says_offline_then_clears_all_that_the_broker_holds(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.answer()
    before = len(desk.now.said)
    desk.link.retire()
    assert not desk.link.retired
    desk.link.tick()
    said = desk.now.said[before:]
    assert [(one.topic.removeprefix(ROOT), bool(one.payload)) for one in said] == [
        ("state", True),
        ("state", False),
        ("info", False),
    ]
    assert json.loads(said[0].payload)["state"] == "offline"
    assert not desk.link.retired, "it has not answered"
    desk.answer()
    assert desk.link.retired
    desk.alarms.raise_("storage", reason="gone")
    desk.link.say_state()
    desk.link.tick()
    assert len(desk.now.said) == before + 3, "nothing is held again"
    desk.link.close()
    assert desk.now.closed == [True], "its session ends, too"


def test_a_retirement_goes_on_at_the_next_connection(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.end()
    desk.link.retire()
    assert not desk.link.retired
    desk.waits()
    desk.connect()
    desk.link.tick()
    assert {one.payload for one in desk.now.said} == {b""}
    assert sorted(desk.topics()) == ["info", "state"]


def test_a_retirement_that_is_taken_back_brings_everything_back(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.link.unretire()
    desk.link.tick()
    assert len(desk.now.said) == 2, "there was none: nothing is said again"
    desk.link.retire()
    desk.link.tick()
    desk.answer()
    count = len(desk.now.said)
    desk.link.unretire()
    desk.link.tick()
    assert [bool(one.payload) for one in desk.now.said[count:]] == [True, True]
    assert not desk.link.retiring


def test_closing_gives_up_the_connection_and_keeps_the_session(desk: Desk) -> None:
    desk.link.close()
    desk.connect()
    desk.link.close()
    assert desk.now.closed == [False]


def test_other_options_are_used_from_the_next_connection_on_which_is_tried_at_once(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.answer(0x87)
    assert desk.codes() == {"broker-refused"}
    desk.link.use(MqttOptions(urls=("mqtt://c.example",), site="seoul-01", gateway="gw-01", prefix="lab"))
    assert desk.codes() == set()
    assert desk.link.closed
    assert desk.link.up is False
    assert desk.link.since is None
    assert desk.proof.deadline is None
    assert desk.waits() == 0
    assert desk.now.broker.host == "c.example"
    assert desk.now.number == 2
    desk.connect()
    desk.link.tick()
    assert {one.topic for one in desk.now.said} == {"lab/seoul-01/gw-01/state", "lab/seoul-01/gw-01/info"}


def test_what_was_to_be_said_on_one_connection_is_not_said_on_the_next(desk: Desk) -> None:
    desk.connect()
    desk.link.fact("analyser/xn1/state", b"{}")
    desk.end()
    desk.waits()
    desk.connect()
    desk.link.tick()
    assert desk.topics() == ["state", "info"]


def test_a_late_puback_of_the_connection_before_is_not_taken_for_one_of_ours(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.end()
    desk.waits()
    desk.connect()
    result = desk.link.publish(ROOT + "up/xn1/result", b"x", None)
    assert result == 1
    assert desk.link.note_answered(PubackCame(2, 1, 0, "")) is False


def test_the_topics_we_hold_are_named(desk: Desk) -> None:
    assert desk.link.retained() == [STATE, ROOT + "info"]


def test_a_person_who_says_try_again_ends_the_suspicion_of_a_namesake(desk: Desk) -> None:
    desk.connect()
    desk.link.tick()
    desk.answer()
    received(desk, "state", other())
    desk.link.resume()
    assert desk.codes() == set()
    desk.end(Cause.DROPPED)
    assert desk.waits() == pytest.approx(0.5, abs=0.25)
