"""Opening hours are those of the wall clock where the analyser stands. Changes of clocks: IANA tz database, 2024."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from edge_agent.opening_hours import HoursError, OpeningHours

SEOUL, BERLIN = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin")
HOUR = 3600


def at(text: str, zone: ZoneInfo = SEOUL) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def open_h(hours: str, since: str, until: str, zone: ZoneInfo = SEOUL) -> float:
    return OpeningHours.parse(hours, zone).open_s(at(since, zone), at(until, zone)) / HOUR


def test_without_hours_it_is_always_open() -> None:
    assert open_h("", "2024-06-14 18:00", "2024-06-17 08:00") == 62


def test_a_weekend_counts_only_its_saturday_morning() -> None:
    week = "mon-fri 07:00-19:00, sat 08:00-13:00"
    friday, monday = "2024-06-14 18:30", "2024-06-17 07:45"
    assert open_h(week, friday, monday) == 0.5 + 5 + 0.75
    assert open_h("mon-fri 07:00-19:00", friday, monday) == 0.5 + 0.75


@pytest.mark.parametrize("until", ["2024-06-15 13:00", "2024-06-16 12:00", "2024-06-17 07:00"])
def test_nothing_is_added_while_it_is_closed(until: str) -> None:
    assert open_h("mon-fri 07:00-19:00, sat 08:00-13:00", "2024-06-15 12:00", until) == 1


def test_hours_over_midnight_belong_to_the_day_they_begin() -> None:
    friday_night = "fri 22:00-06:00"
    assert open_h(friday_night, "2024-06-14 21:00", "2024-06-15 12:00") == 8
    assert open_h(friday_night, "2024-06-13 21:00", "2024-06-14 12:00") == 0
    assert open_h(friday_night, "2024-06-15 02:00", "2024-06-15 03:00") == 1


def test_hours_that_overlap_count_once() -> None:
    assert open_h("07:00-19:00, mon-fri 08:00-20:00", "2024-06-12 00:00", "2024-06-13 00:00") == 13


def test_a_day_may_end_at_24_00_and_a_week_may_go_over_its_end() -> None:
    assert open_h("sat-mon 00:00-24:00", "2024-06-10 12:00", "2024-06-17 12:00") == 12 + 48 + 12
    assert open_h("08:00-08:00", "2024-06-10 12:00", "2024-06-11 12:00") == 24


def test_the_night_that_loses_an_hour() -> None:
    """Berlin, 31 March: 01:59 is followed by 03:00."""
    assert open_h("22:00-06:00", "2024-03-30 21:00", "2024-03-31 07:00", BERLIN) == 7
    assert open_h("01:00-02:30", "2024-03-31 00:00", "2024-03-31 12:00", BERLIN) == 1.5
    assert open_h("02:30-04:00", "2024-03-31 00:00", "2024-03-31 12:00", BERLIN) == 0.5


def test_the_night_that_gains_an_hour() -> None:
    """Berlin, 27 October: 02:59 is followed by 02:00."""
    assert open_h("22:00-06:00", "2024-10-26 21:00", "2024-10-27 07:00", BERLIN) == 9
    assert open_h("02:00-02:30", "2024-10-27 00:00", "2024-10-27 12:00", BERLIN) == 1.5


@pytest.mark.parametrize("day", ["2024-03-30", "2024-10-26"])
def test_seoul_has_no_such_nights(day: str) -> None:
    begin = at(f"{day} 21:00")
    assert OpeningHours.parse("22:00-06:00", SEOUL).open_s(begin, at(f"{day[:8]}{int(day[8:]) + 1} 07:00")) == 8 * HOUR


def test_time_does_not_run_backwards() -> None:
    assert open_h("", "2024-06-14 18:00", "2024-06-14 17:00") == 0
    assert open_h("07:00-19:00", "2024-06-14 18:00", "2024-06-14 17:00") == 0


@pytest.mark.parametrize(
    "text",
    ["mon-fri", "7:00-19:00", "mon-fri 07:00-24:01", "mon-fri 07:60-19:00", "mo-fr 07:00-19:00", "xyz 07:00-08:00",
     "24:00-06:00", "07:00-19:00,", "07:00-19:00 mon"],
)  # fmt: skip
def test_what_is_no_hours_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(HoursError, match=r"^'"):
        OpeningHours.parse(text, SEOUL)
