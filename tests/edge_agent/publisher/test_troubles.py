"""The alarms of delivery: counted, joined, and over when they are over."""

from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.monitor.alarms import Alarms
from edge_agent.publisher.answers import Wrong
from edge_agent.publisher.outbox import Unfinished
from edge_agent.publisher.troubles import Troubles
from edge_agent.store.rows import Route


class Steps:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2024, 3, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Steps:
    return Steps()


@pytest.fixture
def alarms(clock: Steps) -> Alarms:
    return Alarms(clock)


@pytest.fixture
def troubles(alarms: Alarms, clock: Steps) -> Troubles:
    return Troubles(alarms, clock)


def said(alarms: Alarms) -> list[str]:
    return [alarm.sentence for alarm in alarms.active()]


def facts(alarms: Alarms) -> list[tuple[str, str]]:
    """Times as programs get them; a person reads the time of the place."""
    return [(alarm.code, alarm.params["since"]) for alarm in alarms.active()]


def test_rejections_are_counted_per_analyser_and_fall(troubles: Troubles, alarms: Alarms) -> None:
    troubles.rejected("xn1", "m1")
    troubles.rejected("xn1", "m1")
    troubles.rejected("xn1", "m2")
    assert said(alarms) == ["The management system rejected messages of xn1 (2)."]
    troubles.filed("xn1", "m1")
    assert said(alarms) == ["The management system rejected messages of xn1 (1)."]
    troubles.filed("xn1", "m2")
    assert said(alarms) == []


def test_a_review_follows_what_people_decided(troubles: Troubles, alarms: Alarms) -> None:
    troubles.rejected("xn1", "m1")
    troubles.blocked("gx1", "m2", "blocked", "too large")
    troubles.review([], [])
    assert said(alarms) == []
    troubles.review([Unfinished("m3", "xn1", Route.RESULT)], [])
    assert said(alarms) == ["The management system rejected messages of xn1 (1)."]


def test_one_alarm_stands_for_all_refused_topics_of_an_analyser(troubles: Troubles, alarms: Alarms) -> None:
    troubles.refused("xn1", "up/xn1/result", "not allowed")
    troubles.refused("xn1", "up/xn1/qc", "not allowed")
    troubles.taken("xn1", "up/xn1/result", nobody=False)
    assert alarms.is_up("broker-refused", "xn1")
    troubles.taken("xn1", "up/xn1/qc", nobody=False)
    assert not alarms.is_up("broker-refused", "xn1")


def test_several_management_systems_offline_are_one_alarm_with_the_earliest_time(
    troubles: Troubles, alarms: Alarms, clock: Steps
) -> None:
    troubles.gate("qc", clock.now())
    clock.seconds = 60
    troubles.gate("ivd", clock.now())
    assert facts(alarms) == [("consumer-offline", "2024-03-01T00:00:00.000Z")]
    assert said(alarms)[0].startswith("The management system ivd, qc is offline since 2024-0")
    troubles.gate("qc", None)
    assert facts(alarms) == [("consumer-offline", "2024-03-01T00:01:00.000Z")]
    assert said(alarms)[0].startswith("The management system ivd is offline since 2024-0")
    troubles.gate("ivd", None)
    assert said(alarms) == []


def test_an_alarm_of_one_event_is_over_an_hour_later(troubles: Troubles, alarms: Alarms, clock: Steps) -> None:
    troubles.wrong_ack(Wrong.FOREIGN, "")
    clock.seconds = 1800
    troubles.wrong_ack(Wrong.FOREIGN, "")
    clock.seconds = 3700
    troubles.review([], [])
    assert alarms.is_up("foreign-ack"), "an hour after the last one"
    clock.seconds = 5400
    troubles.review([], [])
    assert not alarms.is_up("foreign-ack")


def test_waiting_too_long_is_said_once_with_its_beginning(troubles: Troubles, alarms: Alarms, clock: Steps) -> None:
    troubles.unconfirmed(clock.now())
    troubles.unconfirmed(clock.now() + timedelta(minutes=1))
    assert facts(alarms) == [("unconfirmed", "2024-03-01T00:00:00.000Z")]
    assert said(alarms)[0].startswith("Messages have waited for the management system's answer since 2024-0")
    troubles.unconfirmed(None)
    assert said(alarms) == []
