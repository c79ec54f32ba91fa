"""Alarms are raised once and cleared once, and everybody is told."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.code import Severity
from edge_agent.monitor.alarms import Alarm, Alarms


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


def test_one_line_up_and_one_line_down(clock: Steps, caplog: pytest.LogCaptureFixture) -> None:
    alarms = Alarms(clock)
    with caplog.at_level(logging.INFO):
        for reason in ("no route", "no route", "timed out"):
            alarms.raise_("broker-down", reason=reason)
        alarms.clear("broker-down")
        alarms.clear("broker-down")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        (
            "ERROR",
            "The broker cannot be reached: no route (broker-down) Put right what it says, or check network and broker. "
            "Results are safe here.",
        ),
        ("INFO", "Over since now: The broker cannot be reached: timed out (broker-down)"),
    ]


def test_the_time_it_began_stays_while_its_facts_change(clock: Steps) -> None:
    alarms = Alarms(clock)
    alarms.raise_("rejected", "xn1", count="1")
    clock.seconds = 60
    alarms.raise_("rejected", "xn1", count="2")
    (alarm,) = alarms.active()
    assert alarm.since == datetime(2024, 3, 1, tzinfo=UTC)
    assert alarm.sentence == "The management system rejected messages of xn1 (2)."
    assert alarm.action.startswith("Read the reason")


@pytest.fixture
def in_seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_person_reads_the_time_of_this_place_and_a_program_the_time_as_it_is(clock: Steps, in_seoul: None) -> None:
    alarms = Alarms(clock)
    alarms.raise_("interrupted", "xn1", at="2024-02-29T18:00:00+00:00")
    alarms.raise_("unconfirmed", since="2024-02-29T18:00:00.000Z")
    interrupted, unconfirmed = alarms.active()
    assert interrupted.sentence == "xn1 broke off in the middle of a transmission at 2024-03-01 03:00:00+09:00."
    assert unconfirmed.sentence.endswith("answer since 2024-03-01 03:00:00+09:00.")
    assert interrupted.params["at"] == "2024-02-29T18:00:00+00:00"


def test_what_is_no_time_is_said_as_it_is(clock: Steps) -> None:
    alarms = Alarms(clock)
    alarms.raise_("unconfirmed", since="yesterday")
    assert alarms.active()[0].sentence.endswith("since yesterday.")


def test_each_analyser_has_its_own(clock: Steps) -> None:
    alarms = Alarms(clock)
    alarms.raise_("link-down", "xn1", reason="no carrier")
    alarms.raise_("link-down", "gx1", reason="no carrier")
    alarms.clear("link-down", "xn1")
    assert [a.id for a in alarms.active()] == ["link-down.gx1"]
    assert not alarms.is_up("link-down", "xn1")


def test_errors_come_before_warnings_and_old_before_new(clock: Steps) -> None:
    alarms = Alarms(clock)
    alarms.raise_("clock", what="was set back by 1 h")
    clock.seconds = 1
    alarms.raise_("storage", reason="full")
    clock.seconds = 2
    alarms.raise_("broker-down", reason="away")
    assert [a.code for a in alarms.active()] == ["storage", "broker-down", "clock"]
    assert alarms.active()[2].severity is Severity.WARNING


def test_every_change_is_told_and_nothing_else(clock: Steps) -> None:
    told: list[tuple[str, bool]] = []

    def tell(alarm: Alarm, up: bool) -> None:
        told.append((alarm.id, up))

    alarms = Alarms(clock, tell)
    alarms.raise_("storage", reason="full")
    alarms.raise_("storage", reason="full")
    alarms.raise_("storage", reason="read-only")
    alarms.clear("storage")
    alarms.clear("storage")
    assert told == [("storage", True), ("storage", True), ("storage", False)]


def test_an_alarm_without_a_code_is_a_mistake(clock: Steps) -> None:
    with pytest.raises(KeyError):
        Alarms(clock).raise_("no-such-code")


def test_the_most_urgent_comes_first_however_new(clock: Steps) -> None:
    """What may lose results, then what keeps them from being delivered, then what holds some, then remarks."""
    alarms = Alarms(clock)
    for code in ("silent", "held", "broker-down", "storage"):
        alarms.raise_(code)
        clock.seconds += 60
    assert [a.code for a in alarms.active()] == ["storage", "broker-down", "held", "silent"]


def test_links_of_one_analyser_have_alarms_of_their_own(clock: Steps) -> None:
    alarms = Alarms(clock)
    alarms.raise_("link-down", "xn1", "results", reason="no carrier")
    alarms.raise_("link-down", "xn1", "orders", reason="no carrier")
    assert sorted(a.id for a in alarms.active()) == ["link-down.xn1.orders", "link-down.xn1.results"]
    alarms.clear("link-down", "xn1", "results")
    assert [a.sentence for a in alarms.active()] == ["xn1 (orders link) is not connected: no carrier"]
