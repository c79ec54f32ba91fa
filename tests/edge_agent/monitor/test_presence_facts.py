"""What the broker should hold about us: payloads as the contract has them."""

import asyncio
import contextlib
import json
import os
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_agent.clock import SystemClock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.health import HealthReporter
from edge_agent.monitor.host_clock import HostClock
from edge_agent.monitor.payloads import AnalyserState, Info, ProfileInfo
from edge_agent.monitor.presence import Presence
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

NOW = datetime(2024, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def alarms() -> Alarms:
    return Alarms(SystemClock())


@pytest.fixture
def presence(alarms: Alarms) -> Presence:
    profile = ProfileInfo(analyser="xn1", profile="sysmex_xn", revision=3, hash="ab", mode="production")
    return Presence("0.1.0", alarms, Info(version="0.1.0", site="s", gateway="g", profiles=(profile,)))


def test_the_state_goes_from_starting_over_ready_to_stopping(presence: Presence) -> None:
    assert json.loads(presence.state("S1", NOW).encode()) == {
        "state": "starting",
        "session": "S1",
        "ts": "2024-03-01T10:00:00.250Z",
        "version": "0.1.0",
        "reason": "",
    }
    presence.running()
    assert presence.state("S1", NOW).state == "ready"
    presence.stopping()
    assert presence.state("S1", NOW).state == "stopping"


def test_a_delivery_alarm_degrades_and_names_itself(presence: Presence, alarms: Alarms) -> None:
    presence.running()
    alarms.raise_("link-down", "xn1", reason="no carrier")
    assert presence.state("S1", NOW).state == "ready", "an analyser that is off is not our fault"
    alarms.raise_("subscription-unproven")
    assert (presence.state("S1", NOW).state, presence.state("S1", NOW).reason) == ("degraded", "subscription-unproven")
    alarms.clear("subscription-unproven")
    assert presence.state("S1", NOW).state == "ready"


def test_facts_follow_what_is_put_in_and_taken_out(presence: Presence, alarms: Alarms) -> None:
    told: list[tuple[str, bytes]] = []
    presence.on_fact = lambda name, payload: told.append((name, payload))
    state = AnalyserState(link="up", protocol="idle", since=NOW, last_byte=NOW, held=2)
    presence.set_analyser("xn1", state)
    presence.set_analyser("xn1", state)
    presence.set_analyser("xn1", state.model_copy(update={"link": "down"}))
    alarms.raise_("storage", reason="full")
    alarms.clear("storage")
    assert [name for name, _ in told] == [
        "analyser/xn1/state",
        "analyser/xn1/state",
        "alarm/storage",
        "alarm/storage",
    ], "an unchanged fact is not told again"
    assert told[3][1] == b"", "empty = cleared"
    assert json.loads(told[1][1])["link"] == "down"
    assert json.loads(told[0][1]) == {
        "link": "up",
        "protocol": "idle",
        "since": "2024-03-01T10:00:00.250Z",
        "last_byte": "2024-03-01T10:00:00.250Z",
        "last_result": None,
        "usual_gap_s": None,
        "held": 2,
        "failed": 0,
        "clock_ahead_s": None,
    }
    assert set(presence.facts()) == {"info", "analyser/xn1/state"}


def test_alarms_that_were_up_before_are_facts(alarms: Alarms) -> None:
    alarms.raise_("storage", reason="full")
    presence = Presence("0.1.0", alarms, Info(version="0.1.0", site="s", gateway="g"))
    assert presence.is_true("alarm/storage")


def test_a_payload_has_no_room_for_a_field_of_its_own() -> None:
    with pytest.raises(ValidationError):
        AnalyserState(link="up", protocol="idle", since=NOW, specimen="498151")  # type: ignore[call-arg]  # the mistake


class JumpingClock(SystemClock):
    offset = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.monotonic() + self.offset + 1.75e9, UTC)


async def _reports(tmp_path: Path, alarms: Alarms, presence: Presence) -> list[object]:
    clock = JumpingClock()
    thread = StoreThread(lambda: Store.open(tmp_path, clock, reserve_mb=0, low_water_mb=0, allow_unsafe=True))
    thread.start()
    try:
        host = HostClock(alarms, clock, lambda: None)
        reporter = HealthReporter(thread, clock, alarms, presence, host)
        first = await reporter.report()
        assert (first.backlog, first.oldest_unfiled_s, first.held, first.alarms) == (0, None, 0, 0)
        assert len(first.store) == 8
        assert first.audit.hash
        stat = os.statvfs(tmp_path)  # megabytes as in `status` and store.low_water_mb: 1024 * 1024 bytes
        assert abs(first.disk_free_mb - stat.f_bavail * stat.f_frsize // 1024**2) < 512
        clock.offset += 3600
        host.look()
        second = await reporter.report()
        clock.offset -= 20 * 365 * 86_400
        host.look()
        third = await reporter.report()
        return [
            (first.clock.jumped_s, first.clock.trusted, first.clock.synchronised),
            (second.clock.jumped_s, second.clock.trusted, second.alarms),
            third.clock.trusted,
        ]
    finally:
        thread.stop()


def test_health_tells_what_waits_and_how_the_clock_is(tmp_path: Path, alarms: Alarms, presence: Presence) -> None:
    told = asyncio.run(_reports(tmp_path / "data", alarms, presence))
    assert told == [(0, True, None), (3600, True, 1), False]


class NoStore:
    """A store that failed since it was last looked at."""

    failed = None

    def __init__(self) -> None:
        self.asked = 0

    def later(self, _job: object) -> "Future[object]":
        self.asked += 1
        failed: Future[object] = Future()
        failed.set_exception(StorageFailedError("input/output error"))
        return failed


async def _reports_while_storage_fails(alarms: Alarms, presence: Presence) -> int:
    store = NoStore()
    host = HostClock(alarms, SystemClock(), lambda: None)
    reporter = HealthReporter(store, SystemClock(), alarms, presence, host, every_s=0)  # type: ignore[arg-type]  # a stub
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await reporter.run()
    return store.asked


def test_a_storage_error_is_no_end_of_the_heartbeat(alarms: Alarms, presence: Presence) -> None:
    assert asyncio.run(_reports_while_storage_fails(alarms, presence)) > 1
    assert "health" not in presence.facts()
