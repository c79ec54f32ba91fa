"""An analyser that is quiet for longer than usual is said, and only while it is at work."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.silence import Silence
from edge_agent.opening_hours import OpeningHours

SEOUL, BERLIN = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin")
GAP_S = 2 * 3600
FRIDAY = datetime(2024, 6, 14, 18, 0, tzinfo=SEOUL)


class Clock:
    def __init__(self, time: datetime) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time.astimezone(UTC)

    def monotonic(self) -> float:
        return 0.0


class Scene:
    def __init__(self, started: datetime, hours: str = "", gap_s: int = GAP_S) -> None:
        self.clock = Clock(started)
        self.alarms = Alarms(self.clock)
        self.silence = Silence(self.alarms, self.clock)
        self.gap_s = gap_s
        assert isinstance(started.tzinfo, ZoneInfo)
        self.hours = OpeningHours.parse(hours, started.tzinfo)
        self.last: datetime | None = None

    def at(self, time: datetime) -> bool:
        """Whether the alarm is up after a look at this time."""
        self.clock.time = time
        self.silence.look("an1", self.last, self.gap_s, self.hours)
        return self.alarms.is_up("silent", "an1")


def test_it_is_up_after_the_gap_and_over_with_the_next_result() -> None:
    scene = Scene(FRIDAY)
    scene.last = FRIDAY
    assert not scene.at(FRIDAY + timedelta(hours=2))
    assert scene.at(FRIDAY + timedelta(hours=2, seconds=1))
    (alarm,) = scene.alarms.active()
    assert alarm.params == {"since": "2024-06-14T09:00:00.000Z", "gap": "2 h"}
    scene.last = FRIDAY + timedelta(hours=3)
    assert not scene.at(FRIDAY + timedelta(hours=3))


def test_without_a_usual_gap_nothing_is_said() -> None:
    scene = Scene(FRIDAY, gap_s=0)
    assert not scene.at(FRIDAY + timedelta(days=100))


def test_one_that_never_sent_is_counted_from_the_start() -> None:
    scene = Scene(FRIDAY)
    assert not scene.at(FRIDAY + timedelta(hours=1))
    assert scene.at(FRIDAY + timedelta(hours=3))


def test_a_weekend_says_nothing_and_monday_morning_does() -> None:
    scene = Scene(FRIDAY, "mon-fri 07:00-19:00")
    scene.last = FRIDAY  # one of the two hours is used up when the laboratory closes
    monday = datetime(2024, 6, 17, tzinfo=SEOUL)
    step = timedelta(minutes=30)
    moments = [FRIDAY + n * step for n in range(200) if FRIDAY + n * step <= monday + timedelta(hours=8)]
    assert not any(scene.at(moment) for moment in moments)
    assert scene.at(monday + timedelta(hours=8, minutes=1))


@pytest.mark.parametrize(
    ("zone", "evening", "up_at"),
    [
        # The laboratory is open from 22:00 to 06:00, the last result came at 22:00, six hours are usual.
        (SEOUL, datetime(2024, 3, 30, 22, tzinfo=SEOUL), datetime(2024, 3, 30, 19, tzinfo=UTC)),
        (BERLIN, datetime(2024, 3, 30, 22, tzinfo=BERLIN), datetime(2024, 3, 31, 3, tzinfo=UTC)),  # 05:00, not 04:00
        (BERLIN, datetime(2024, 10, 26, 22, tzinfo=BERLIN), datetime(2024, 10, 27, 2, tzinfo=UTC)),  # 03:00, not 04:00
    ],
    ids=["Seoul", "an hour lost", "an hour gained"],
)
def test_the_night_in_which_clocks_change(zone: ZoneInfo, evening: datetime, up_at: datetime) -> None:
    scene = Scene(evening, "22:00-06:00", gap_s=6 * 3600)
    scene.last = evening
    assert not scene.at(up_at)
    assert scene.at(up_at + timedelta(seconds=1))


def test_hours_that_are_changed_count_at_the_next_look() -> None:
    scene = Scene(FRIDAY)
    scene.last = FRIDAY
    assert scene.at(FRIDAY + timedelta(hours=3))
    scene.hours = OpeningHours.parse("mon-fri 07:00-19:00", SEOUL)
    assert not scene.at(FRIDAY + timedelta(hours=3))
    scene.gap_s = 60
    assert scene.at(FRIDAY + timedelta(hours=3))


def test_a_clock_that_was_set_forward_makes_nobody_silent() -> None:
    scene = Scene(FRIDAY)
    scene.last = FRIDAY
    assert not scene.at(FRIDAY + timedelta(hours=1))
    scene.clock.time += timedelta(days=1)
    scene.silence.clock_moved()
    assert not scene.at(FRIDAY + timedelta(days=1, hours=2))
    assert scene.at(FRIDAY + timedelta(days=1, hours=4))


def test_a_clock_that_was_set_back_hides_nobody() -> None:
    scene = Scene(FRIDAY)
    scene.last = FRIDAY
    assert not scene.at(FRIDAY + timedelta(minutes=1))
    scene.clock.time -= timedelta(days=1)
    scene.silence.clock_moved()
    assert scene.at(FRIDAY - timedelta(days=1) + timedelta(hours=3))
