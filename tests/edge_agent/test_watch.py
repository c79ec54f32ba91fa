"""What nobody reports is looked after: holds that went away, interruptions of an earlier run, storage, disk, links."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support_conversion import Bench, bench, reader
from support_pipeline import device, records

from edge_agent.clock import SystemClock
from edge_agent.link import LinkStatus
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.states import TransmissionEvent
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.times import shown
from edge_agent.watch import Watch

START = datetime(2024, 6, 12, 3, 0, tzinfo=UTC)
HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
PART = (HEADER, "P|1||P-1017", "O|1|S24-0028||^^^GLU|R", "R|1|^^^GLU|5.1|mmol/L||N||F||||20240612102000")
GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}


@dataclass
class Clock:
    time: datetime = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()


@dataclass
class Line:
    """A link that is as the test says."""

    analyser_id: str = "an1"
    state: LinkStatus = field(default_factory=lambda: LinkStatus("an1", True, START, "", False, (), None, None))

    def status(self) -> LinkStatus:
        return self.state

    def becomes(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


class Scene:
    """A watch on a real store, with what it tells."""

    def __init__(self, store: Any, *lines: Line) -> None:
        self.clock = Clock()
        self.alarms = Alarms(self.clock)
        self.presence = Presence("0.1.0", self.alarms, Info(version="0.1.0", site="s", gateway="g"))
        self.lines = lines or (Line(),)
        self.watch = Watch(store, self.lines, {"an1": 600}, self.alarms, self.presence, self.clock)  # type: ignore[arg-type]  # stand-ins

    def look(self) -> None:
        asyncio.run(self.watch.look())

    def up(self) -> list[str]:
        return sorted(alarm.code for alarm in self.alarms.active())

    def said(self, code: str) -> str:
        return next(alarm.sentence for alarm in self.alarms.active() if alarm.code == code)

    def told(self, analyser: str = "an1") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.presence.facts()[f"analyser/{analyser}/state"])
        return found

    def pass_on(self, made: Bench) -> None:
        """What the converter told goes to the watch, as the agent does it."""
        for code, analyser, params in made.alarms:
            self.watch.converted(code, analyser, params)
        made.alarms.clear()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, {"an1": reader(device(test=[GLUCOSE]))}) as found:
        yield found


def test_held_results_raise_an_alarm_that_goes_when_they_go(made: Bench) -> None:
    scene = Scene(made.store)
    made.receive(records(*PART, "L|1|N"))
    made.convert()
    scene.pass_on(made)
    scene.look()
    assert scene.up() == ["held", "unit-contradicts"]
    assert scene.said("held") == "Results or messages of an1 are held (1)."
    assert (scene.told()["held"], scene.told()["failed"]) == (1, 0)
    made.readers["an1"] = reader(device(test=[]))
    made.release()
    made.convert()
    scene.look()
    assert scene.up() == []
    assert scene.told()["held"] == 0


def test_what_is_held_of_an_analyser_no_longer_configured_is_said_after_a_restart(made: Bench) -> None:
    made.receive(records(*PART, "L|1|N"))
    made.receive(records(*PART), event=TransmissionEvent.BROKEN)
    made.convert()
    scene = Scene(made.store, Line("an2", LinkStatus("an2", True, START, "", False, (), None, None)))
    scene.look()
    assert scene.up() == ["held", "interrupted"]
    assert scene.said("held") == "Results or messages of an1 are held (1)."
    made.readers["an1"] = reader(device(test=[]))
    made.release()
    made.convert()
    scene.look()
    assert scene.up() == ["interrupted"]


def test_what_was_held_before_a_restart_is_raised_again(made: Bench) -> None:
    made.receive(records(*PART, "L|1|N"))
    made.convert()
    scene = Scene(made.store)  # knows nothing of the earlier run
    scene.look()
    assert scene.up() == ["held"]


def test_an_alarm_that_holds_nothing_stands(made: Bench) -> None:
    scene = Scene(made.store)
    scene.watch.converted("unknown-test", "an1", {"test": "GLU"})
    scene.look()
    assert scene.up() == ["unknown-test"]


def test_a_hold_that_is_over_is_cleared(made: Bench) -> None:
    scene = Scene(made.store)
    scene.watch.converted("unit-contradicts", "an1", {"test": "GLU"})
    scene.look()
    assert scene.up() == []


class SlowStore:
    """Answers when the test lets it."""

    failed: str | None = None
    recoveries = 0

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.meanwhile: Callable[[], None] = lambda: None

    def later(self, job: Any) -> Future[Any]:
        answer = self._inner.later(job).result(10)
        self.meanwhile()
        late: Future[Any] = Future()
        late.set_result(answer)
        return late


def test_a_hold_raised_while_the_store_counts_is_not_taken_for_over(made: Bench) -> None:
    store = SlowStore(made.store)
    scene = Scene(store)
    store.meanwhile = lambda: scene.watch.converted("unit-contradicts", "an1", {"test": "GLU"})
    scene.look()
    assert scene.up() == ["unit-contradicts"]


# Interruptions


def test_an_interruption_of_an_earlier_run_is_raised_with_its_time(made: Bench) -> None:
    number = made.receive(records(*PART), event=TransmissionEvent.BROKEN)
    made.convert()
    scene = Scene(made.store)
    scene.look()
    ended = made.transmission(number).ended
    assert ended is not None
    assert scene.said("interrupted") == f"an1 broke off in the middle of a transmission at {shown(ended)}."


def test_the_alarm_goes_when_the_resend_has_completed_it(made: Bench) -> None:
    scene = Scene(made.store)
    made.receive(records(*PART), event=TransmissionEvent.BROKEN)
    made.convert()
    scene.look()
    assert "interrupted" in scene.up()
    made.receive(records(*PART, "L|1|N"))
    made.convert()
    scene.look()
    assert "interrupted" not in scene.up()


def test_an_aborted_transmission_stays_up_until_the_analyser_sends_well_again(made: Bench) -> None:
    """L.3 = T: the store has a complete transmission and counts no interrupted one."""
    scene = Scene(made.store)
    scene.lines[0].becomes(last_result=START - timedelta(seconds=1))
    scene.watch.converted("interrupted", "an1", {"at": "2024-06-12T03:00:00+00:00"})
    scene.look()
    assert scene.up() == ["interrupted"]
    scene.clock.time += timedelta(minutes=5)
    scene.look()
    assert scene.up() == ["interrupted"]
    scene.lines[0].becomes(last_result=START + timedelta(minutes=4))
    scene.look()
    assert scene.up() == []


# The store and the disk


class Broken:
    failed: str | None = "Results cannot be stored: the disk is full."
    recoveries = 0

    def later(self, job: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_exception(StorageFailedError("the disk is full"))
        return answer


def test_a_store_that_fails_is_said_once_and_in_one_sentence() -> None:
    scene = Scene(Broken())
    scene.look()
    scene.look()
    assert scene.up() == ["storage"]
    assert scene.said("storage") == "Results cannot be stored: the disk is full."
    assert scene.told()["held"] == 0


def test_the_alarm_goes_when_storage_works_again(made: Bench) -> None:
    scene = Scene(made.store)
    scene.alarms.raise_("storage", reason="the disk is full")
    scene.look()
    assert scene.up() == []


def test_a_disk_that_is_nearly_full_is_said_and_sessions_are_told(made: Bench, monkeypatch: Any) -> None:
    scene = Scene(made.store)
    scene.look()
    assert not scene.watch.disk_low()
    monkeypatch.setattr("edge_agent.store.store.Store.disk_low", lambda self: True)
    scene.look()
    assert scene.watch.disk_low()
    assert scene.up() == ["disk-low"]
    monkeypatch.undo()
    scene.look()
    assert scene.up() == []


def test_the_reserve_given_up_on_a_full_disk_is_taken_again(tmp_path: Path) -> None:
    """Until then the disk counts as low, and every analyser is refused."""
    thread = StoreThread(lambda: Store.open(tmp_path, SystemClock(), reserve_mb=1, low_water_mb=0, allow_unsafe=True))
    thread.start()
    try:
        scene = Scene(thread)
        assert thread.later(lambda s: s.release_reserve()).result(20)
        assert thread.later(lambda s: s.disk_low()).result(20)
        scene.look()
        assert not scene.watch.disk_low()
        assert scene.up() == []
    finally:
        thread.stop()


def test_after_a_storage_error_nothing_new_is_taken_before_the_disk_was_looked_at(made: Bench) -> None:
    """The reserve was perhaps given up just now, and the last look says that there is room."""
    scene = Scene(made.store)
    scene.look()
    made.store.recoveries += 1
    assert scene.watch.disk_low()
    scene.look()
    assert not scene.watch.disk_low()


# Links


def test_the_retained_state_says_what_the_link_says(made: Bench) -> None:
    line = Line()
    line.becomes(receiving=True, last_byte=START + timedelta(seconds=9))
    scene = Scene(made.store, line)
    scene.look()
    assert scene.told() == {
        "link": "up",
        "protocol": "receiving",
        "since": "2024-06-12T03:00:00.000Z",
        "last_byte": "2024-06-12T03:00:09.000Z",
        "last_result": None,
        "usual_gap_s": 600,
        "held": 0,
        "failed": 0,
        "clock_ahead_s": None,
    }


def test_an_analyser_with_two_links_has_one_state_as_bad_as_the_worse(made: Bench) -> None:
    results, orders = Line(), Line()
    results.becomes(last_byte=START + timedelta(seconds=9))
    orders.becomes(up=False, since=START + timedelta(seconds=30))
    scene = Scene(made.store, results, orders)
    told: list[str] = []
    scene.presence.on_fact = lambda name, payload: told.append(name)
    scene.look()
    scene.look()
    assert told == ["analyser/an1/state"]
    assert (scene.told()["link"], scene.told()["since"]) == ("down", "2024-06-12T03:00:30.000Z")
    assert scene.told()["last_byte"] == "2024-06-12T03:00:09.000Z"


def test_each_analyser_has_its_own_state(made: Bench) -> None:
    other = Line("an2", LinkStatus("an2", False, None, "The port was not tried yet.", False, (), None, None))
    scene = Scene(made.store, Line(), other)
    scene.look()
    assert (scene.told("an1")["link"], scene.told("an2")["link"]) == ("up", "down")


def test_it_looks_again_and_again(made: Bench) -> None:
    scene = Scene(made.store)
    watch = Watch(made.store, scene.lines, {}, scene.alarms, scene.presence, scene.clock, every_s=0.001)  # type: ignore[arg-type]  # stand-ins

    async def main() -> None:
        task = asyncio.create_task(watch.run())
        for reason in ("first", "second"):
            scene.alarms.raise_("storage", reason=reason)
            async with asyncio.timeout(10):
                while scene.up():  # noqa: ASYNC110 - the condition lies in the code under test
                    await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(main())


def an2() -> Line:
    return Line("an2", LinkStatus("an2", True, START, "", False, (), None, None))


def test_an_analyser_that_is_removed_leaves_nothing_but_what_its_stored_results_need(made: Bench) -> None:
    scene = Scene(made.store, Line(), an2())
    made.receive(records(*PART, "L|1|N"))
    made.convert()
    scene.pass_on(made)
    for code, params in (("link-down", {"reason": "gone"}), ("unknown-test", {"test": "GLU"}), ("rejected", {})):
        scene.alarms.raise_(code, "an1", **({"count": "1"} if code == "rejected" else params))
    scene.alarms.raise_("link-down", "an2", reason="unplugged")
    scene.look()
    before = scene.up()
    assert before == ["held", "link-down", "link-down", "rejected", "unit-contradicts", "unknown-test"]
    asyncio.run(scene.watch.change([an2()], {}, {}))  # type: ignore[list-item]  # stand-ins
    scene.look()
    assert scene.up() == ["held", "link-down", "rejected", "unit-contradicts"]
    assert "analyser/an1/state" not in scene.presence.facts()
    assert "analyser/an2/state" in scene.presence.facts()
    made.readers["an1"] = reader(device(test=[]))
    made.release()
    made.convert()
    scene.look()
    assert scene.up() == ["link-down", "rejected"]  # the delivery's own alarm is over when the delivery says so


class Hesitant:
    """A store that keeps its second answer back."""

    failed = None
    recoveries = 0

    def __init__(self, inner: StoreThread) -> None:
        self._inner = inner
        self._asked = 0
        self._held: tuple[Future[Any], Any] | None = None
        self.second = asyncio.Event()

    def later(self, job: Any) -> "Future[Any]":
        self._asked += 1
        if self._asked != 2:
            return self._inner.later(job)
        self._held = (Future(), job)
        self.second.set()
        return self._held[0]

    def go_on(self) -> None:
        assert self._held is not None
        future, job = self._held
        future.set_result(self._inner.later(job).result(10))


def test_a_look_that_began_before_a_removal_tells_nothing_of_the_analyser_after_it(made: Bench) -> None:
    made.receive(records(*PART), event=TransmissionEvent.BROKEN)
    store = Hesitant(made.store)
    scene = Scene(store, Line(), an2())

    async def main() -> None:
        looking = asyncio.create_task(scene.watch.look())
        await store.second.wait()  # it has counted, and asks which transmission of an1 was interrupted
        changing = asyncio.create_task(scene.watch.change([an2()], {}, {}))  # type: ignore[list-item]  # stand-ins
        await asyncio.sleep(0)
        store.go_on()
        await asyncio.gather(looking, changing)

    asyncio.run(main())
    assert "analyser/an1/state" not in scene.presence.facts()


def test_an_analyser_that_is_added_is_told_with_its_usual_gap(made: Bench) -> None:
    scene = Scene(made.store)
    asyncio.run(scene.watch.change([Line(), an2()], {"an1": 600, "an2": 900}, {}))  # type: ignore[list-item]  # stand-ins
    scene.look()
    assert scene.told("an2")["usual_gap_s"] == 900
    assert scene.told("an1")["usual_gap_s"] == 600


def test_a_link_that_is_begun_anew_does_not_make_its_analyser_silent(made: Bench) -> None:
    """It has seen nothing yet, and what the old one saw came after the start."""
    scene = Scene(made.store)
    scene.look()
    made.receive(records(*PART, "L|1|N"))
    scene.clock.time = datetime.now(UTC) + timedelta(seconds=60)
    scene.lines[0].becomes(last_result=datetime.now(UTC))
    scene.look()
    assert "silent" not in scene.up()
    asyncio.run(scene.watch.change([Line()], {"an1": 600}, {}))  # type: ignore[list-item]  # a stand-in
    scene.look()
    assert "silent" not in scene.up()
    assert scene.told()["last_result"].startswith(f"{datetime.now(UTC):%Y}")
    scene.clock.time += timedelta(seconds=601)
    scene.look()
    assert "silent" in scene.up()  # the negative control
