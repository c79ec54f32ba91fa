"""A clock that was moved, that cannot be right, or that nobody keeps right, is said."""

from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.monitor import host_clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.host_clock import HostClock, synchronised

NOON = datetime(2025, 6, 12, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.steady = 0.0
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.steady

    def passes(self, seconds: float) -> None:
        self.steady += seconds
        self.time += timedelta(seconds=seconds)


class Scene:
    def __init__(self, synchronised: bool | None = None, time: datetime = NOON) -> None:
        self.clock = Clock()
        self.clock.time = time
        self.alarms = Alarms(self.clock)
        self.synchronised = synchronised
        self.host = HostClock(self.alarms, self.clock, lambda: self.synchronised)

    def said(self) -> list[str]:
        return [alarm.sentence for alarm in self.alarms.active()]


def test_a_clock_that_runs_is_not_spoken_of() -> None:
    scene = Scene()
    for _ in range(1000):
        scene.clock.passes(5)
        scene.clock.time += timedelta(milliseconds=2.5)  # slewed as fast as the kernel does
        assert not scene.host.look()
    assert scene.said() == []


@pytest.mark.parametrize(
    ("jump", "sentence"),
    [
        (timedelta(hours=9), "This machine's clock was set forward by 9 h."),
        (timedelta(seconds=-200), "This machine's clock was set back by 3 min 20 s."),
    ],
)
def test_a_clock_that_was_set_is_said_for_a_day(jump: timedelta, sentence: str) -> None:
    scene = Scene()
    scene.clock.passes(5)
    scene.clock.time += jump
    assert scene.host.look()
    assert scene.said() == [sentence]
    scene.clock.passes(86_000)
    assert not scene.host.look()
    assert scene.said() == [sentence]
    scene.clock.passes(401)
    scene.host.look()
    assert scene.said() == []


def test_a_clock_without_a_battery_is_not_trusted_until_it_is_set() -> None:
    scene = Scene(time=datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    scene.host.look()
    assert not scene.host.trusted
    assert scene.said() == ["This machine's clock says 1970, which cannot be; times of results received now are wrong."]
    scene.clock.time = NOON
    scene.host.look()
    assert scene.host.trusted
    assert [alarm.code for alarm in scene.alarms.active()] == ["clock"]


def test_a_time_server_that_is_not_heard_is_said_after_ten_minutes_and_over_when_it_is() -> None:
    scene = Scene(synchronised=False)
    scene.host.look()
    scene.clock.passes(599)
    scene.host.look()
    assert scene.said() == []
    scene.clock.passes(1)
    scene.host.look()
    assert scene.said() == ["This machine's clock is not kept right by its time server."]
    scene.synchronised = True
    scene.host.look()
    assert scene.said() == []


def test_that_nobody_can_tell_is_no_alarm() -> None:
    scene = Scene(synchronised=None)
    for _ in range(3):
        scene.host.look()
        scene.clock.passes(1000)
    assert scene.said() == []
    assert scene.host.synchronised is None


def test_what_timesyncd_leaves_is_read(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "timesync"
    monkeypatch.setattr(host_clock, "TIMESYNC", folder)
    assert synchronised() is None
    folder.mkdir()
    assert synchronised() is False
    (folder / "synchronized").touch()
    assert synchronised() is True
