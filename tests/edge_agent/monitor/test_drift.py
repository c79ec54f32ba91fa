"""An analyser's clock is held against this machine's; one odd message says nothing."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from support_pipeline import GENERIC, policy, records, transmission

from edge_agent.clock import SystemClock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.drift import Drift, in_words
from edge_agent.pipeline import plan
from edge_agent.sender_clock import ahead_s

SEOUL, BERLIN = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin")
CAME = datetime(2024, 6, 12, 3, 0, tzinfo=UTC)  # noon in Seoul


@pytest.fixture
def alarms() -> Alarms:
    return Alarms(SystemClock())


@pytest.fixture
def drift(alarms: Alarms) -> Drift:
    return Drift(alarms)


def hear(drift: Drift, *ahead: float) -> None:
    for seconds in ahead:
        drift.heard("an1", seconds)


def said(alarms: Alarms) -> list[str]:
    return [alarm.sentence for alarm in alarms.active()]


def test_three_messages_are_needed_and_the_middle_one_counts(drift: Drift, alarms: Alarms) -> None:
    hear(drift, 300, 310)
    assert (drift.ahead_s("an1"), said(alarms)) == (None, [])
    hear(drift, 290)
    assert drift.ahead_s("an1") == 300
    assert said(alarms) == ["an1's clock differs from this machine's: 5 min ahead."]


def test_one_message_that_waited_is_no_drift(drift: Drift, alarms: Alarms) -> None:
    hear(drift, -1, -2, -4000, -1, -3)
    assert (drift.ahead_s("an1"), said(alarms)) == (-2, [])


@pytest.mark.parametrize(("ahead", "up"), [(120, False), (-120, False), (121, True), (-121, True)])
def test_two_minutes_are_the_limit(drift: Drift, alarms: Alarms, ahead: float, up: bool) -> None:
    hear(drift, ahead, ahead, ahead)
    assert bool(said(alarms)) is up


def test_a_clock_set_right_is_believed_after_three_messages(drift: Drift, alarms: Alarms) -> None:
    hear(drift, *[-600.0] * 5)
    assert said(alarms) == ["an1's clock differs from this machine's: 10 min behind."]
    hear(drift, 0, 0)
    assert said(alarms)
    hear(drift, 0)
    assert said(alarms) == []


def test_each_analyser_has_its_own_and_it_can_be_forgotten(drift: Drift, alarms: Alarms) -> None:
    hear(drift, 600, 600, 600)
    for _ in range(3):
        drift.heard("an2", 1)
    assert (drift.ahead_s("an1"), drift.ahead_s("an2")) == (600, 1)
    drift.forget("an1")
    assert (drift.ahead_s("an1"), said(alarms)) == (None, [])


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (200, "3 min 20 s ahead"),
        (32_400, "9 h ahead, as with a wrong time zone or summer time"),
        (-3540, "1 h behind, as with a wrong time zone or summer time"),
        (20_730, "5 h 45 min ahead"),
        (19_800, "5 h 30 min ahead, as with a wrong time zone or summer time"),
        (-2000, "33 min 20 s behind"),
    ],
)
def test_whole_half_hours_are_said_to_be_a_time_zone(ahead: int, words: str) -> None:
    assert in_words(ahead) == words


# What a message says of its sender's clock


def message(header: str, *results: str, zone: ZoneInfo = SEOUL) -> float | None:
    lines = [rf"H|\^&|||BENCH-7|||||||P|LIS02-A2|{header}", "P|1", "O|1|S24-0028||^^^GLU|R"]
    lines += [f"R|{n}|^^^GLU|5.{n}|mmol/L||N||F||||{time}" for n, time in enumerate(results, 1)]
    read, _ = GENERIC.read(records(*lines, "L|1|N"), saved_only=False)
    return ahead_s([report for _, report in read], CAME, zone)


def test_the_headers_time_is_that_of_sending() -> None:
    assert message("20240612120330") == 210
    assert message("202406121158") == -120
    assert message("20240612120330", "20240101000000") == 210
    assert message("20240612050000", zone=BERLIN) == 0
    assert message("20240612120330.250+0900") == 210.25


@pytest.mark.parametrize("header", ["", "20240612", "garbage", "19700101000000"])
def test_a_header_without_a_usable_time_says_nothing(header: str) -> None:
    assert message(header) is None


def test_without_it_only_a_result_of_the_future_says_something() -> None:
    """A result may have waited for days; it cannot come from tomorrow."""
    assert message("", "20240612110000") is None
    assert message("", "20240612110000", "20240612121000") == 600


def test_the_hour_that_happens_twice_says_nothing() -> None:
    assert message("20241027023000", zone=BERLIN) is None


def test_the_plan_of_a_transmission_says_it() -> None:
    sent = transmission(records(r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000", "L|1|N"))
    zone = ZoneInfo("Asia/Seoul")
    at = datetime(2024, 6, 12, 12, 0, tzinfo=zone)
    assert plan(sent, GENERIC, policy()).ahead_s == (at - sent.opened).total_seconds()
