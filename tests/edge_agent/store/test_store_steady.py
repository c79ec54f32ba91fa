"""The wall clock is set, comes up wrong, or stands in another year: nothing is old, due or a repeat because of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_helpers import START, filed, key, queued
from test_store_retention import kept, purged

from edge_agent.states import MessageState
from edge_agent.store import steady

TEN_YEARS = timedelta(days=3650)
BACK_TO_1970 = datetime(1970, 1, 1, 0, 5, tzinfo=UTC) - START  # so far back is a machine without a battery


class SetClock:
    """A wall clock that people set, beside one that goes on."""

    def __init__(self) -> None:
        self.time, self.seconds = START, 1000.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, **by: int) -> None:
        self.time += timedelta(**by)
        self.seconds += timedelta(**by).total_seconds()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SetClock) -> "Machine":
    monkeypatch.setattr(steady, "BOOT", tmp_path / "boot_id")
    return Machine(tmp_path / "boot_id", clock)


class Machine:
    def __init__(self, file: Path, clock: SetClock) -> None:
        self._file, self._clock, self._boots = file, clock, 0
        self.boot()

    def boot(self) -> None:
        self._boots += 1
        self._file.write_text(f"boot-{self._boots}\n", encoding="ascii")
        self._clock.seconds = 5.0


@pytest.fixture(params=["goes on", "starts again", "the machine starts again"])
def restart(request: pytest.FixtureRequest, open_store, machine: Machine):
    """The three ways in which an agent meets a clock that was set."""

    def again(store):
        if request.param == "goes on":
            return store
        store.close()
        if request.param == "the machine starts again":
            machine.boot()
        return open_store()

    return again


@pytest.mark.parametrize("jump", [TEN_YEARS, BACK_TO_1970, timedelta(days=91), timedelta(hours=-1)])
def test_a_clock_that_is_set_makes_nothing_old(open_store, clock: SetClock, restart, jump: timedelta) -> None:
    store = open_store()
    sent = queued(store)
    filed(store, sent)
    clock.advance(days=1)
    clock.time += jump
    store = restart(store)
    purged(store, clock)
    assert kept(store, 1)
    assert store.lookup("xn1", [key(f"S1/{sent}")]) != {}
    clock.advance(days=85)
    purged(store, clock)
    assert kept(store, 1)
    clock.advance(days=7)  # the first day may not count: a clock that went back cannot tell it
    purged(store, clock)
    assert not kept(store, 1)


def test_what_came_while_the_clock_stood_in_1970_is_not_old_when_it_is_set_right(open_store, clock, restart) -> None:
    clock.time += BACK_TO_1970
    store = open_store()
    sent = queued(store)
    filed(store, sent)
    clock.advance(minutes=2)
    clock.time -= BACK_TO_1970
    store = restart(store)
    clock.advance(days=80)
    purged(store, clock)
    assert kept(store, 1)
    assert store.lookup("xn1", [key(f"S1/{sent}")]) != {}


def test_a_machine_that_is_off_every_weekend_counts_its_weekends(open_store, clock, machine) -> None:
    store = open_store()
    filed(store, queued(store))
    for _ in range(13):
        store.prove()
        store.close()
        clock.time += timedelta(days=2)
        machine.boot()
        store = open_store()
        clock.advance(days=5)
    purged(store, clock)
    assert not kept(store, 1)


def test_negative_control_by_the_wall_clock_alone_all_would_be_gone(open_store, clock, machine, monkeypatch) -> None:
    monkeypatch.setattr(steady, "OFF_COUNTS", timedelta(days=10_000))
    store = open_store()
    filed(store, queued(store))
    store.close()
    clock.time += TEN_YEARS
    machine.boot()
    store = open_store()
    purged(store, clock)
    assert not kept(store, 1)


@pytest.mark.parametrize("jump", [TEN_YEARS, BACK_TO_1970, timedelta(hours=-1)])
def test_what_was_refused_is_due_when_its_time_has_passed_and_not_when_a_clock_says_so(
    open_store, clock, restart, jump
):
    store = open_store()
    sent = queued(store)
    soon = clock.now() + timedelta(seconds=30)
    store.acknowledged(sent, code="AR", detail="", consumer="ivd", digest_ok=True, retry_at=soon)
    clock.time += jump
    store = restart(store)
    assert store.ready(5) == [] or jump == TEN_YEARS  # the machine may have been off for years
    clock.advance(seconds=31)
    assert [row.id for row in store.ready(5)] == [sent]
    assert store.message(sent).state is MessageState.REJECTED


def test_how_long_one_waits_for_an_answer_is_not_changed_by_a_clock_that_is_set_back(open_store, clock) -> None:
    """Message n+1 of a specimen goes after ten unanswered minutes of message n."""
    store = open_store()
    first, second = queued(store), queued(store)
    store.puback(first, 0)
    clock.time += BACK_TO_1970
    clock.advance(minutes=11)
    before = clock.now() - timedelta(minutes=10)
    assert [row.id for row in store.ready(5, unanswered_before=before)] == [second]
    assert store.message(first).at_broker == clock.now() - timedelta(minutes=11)


def test_a_store_from_before_goes_on_where_the_wall_clock_left_it(open_store, clock) -> None:
    store = open_store()
    store.prove()
    number, at, *_ = store.database.fact("commits").split()
    with store.database.writing():
        pass
    store.database.execute("UPDATE fact SET value = ? WHERE name = 'commits'", (f"{number} {at}",))
    store.close()
    clock.advance(days=2)
    store = open_store()
    assert store.database.steady.shown(store.database.steady.now_us()) == clock.now()


# The arithmetic itself, in microseconds. The note behind a commit: the store's time, the monotonic clock, the boot.

SECOND = 1_000_000
DAY = 86_400 * SECOND
AT = 1_709_287_200 * SECOND  # START, 2024-03-01 10:00 UTC


@pytest.mark.parametrize(
    ("wall", "monotonic", "last", "begins"),
    [
        (0, 5, "", AT),  # a new store: what the wall clock shows
        (60, 5, f"7 {AT}", AT + 60 * SECOND),  # from before there was a note: the wall clock
        (-60, 5, f"7 {AT}", AT),
        (60, 40, f"7 {AT} 1000 {10 * SECOND} this", 1000 + 30 * SECOND),  # the same start of the machine
        (9_999, 10, f"7 {AT} 1000 {10 * SECOND} this", 1000),
        (60, 9, f"7 {AT} 1000 {10 * SECOND} this", 1000 + 60 * SECOND),  # a monotonic clock that went back is another
        (60, 40, f"7 {AT} 1000 {10 * SECOND} other", 1000 + 60 * SECOND),
        (-60, 40, f"7 {AT} 1000 {10 * SECOND} other", 1000),
        (259_199, 40, f"7 {AT} 1000 0 other", 1000 + 3 * DAY - SECOND),
        (999_999, 40, f"7 {AT} 1000 0 other", 1000 + 3 * DAY),
    ],
)
def test_the_store_s_time_begins_where_it_was_left(tmp_path, monkeypatch, clock, wall, monotonic, last, begins) -> None:
    monkeypatch.setattr(steady, "BOOT", tmp_path / "boot_id")
    (tmp_path / "boot_id").write_text("this\n", encoding="ascii")
    clock.time += timedelta(seconds=wall)
    clock.seconds = float(monotonic)
    ours = steady.Steady(clock)
    assert not ours.begun
    ours.begin(last)
    assert ours.begun
    assert ours.now_us() == begins
    clock.seconds += 2.5
    clock.time += TEN_YEARS
    assert ours.now_us() == begins + 2_500_000
    assert ours.note() == f"{begins + 2_500_000} {monotonic * SECOND + 2_500_000} this"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_where_the_machine_does_not_tell_its_starts_the_wall_clock_counts(
    tmp_path, monkeypatch, clock, content
) -> None:
    """Two starts that are not told are not taken for one."""
    monkeypatch.setattr(steady, "BOOT", tmp_path / "boot_id")
    if content is not None:
        (tmp_path / "boot_id").write_text(content, encoding="ascii")
    clock.time += timedelta(seconds=60)
    ours = steady.Steady(clock)
    ours.begin(f"7 {AT} 1000 {10 * SECOND} -")
    assert ours.now_us() == 1000 + 60 * SECOND
    assert ours.note().endswith(" -")


def test_a_moment_is_as_far_away_by_the_store_s_time_as_by_the_wall_clock(tmp_path, monkeypatch, clock) -> None:
    ours = steady.Steady(clock)
    ours.begin(f"7 {AT} 5000 0 other")
    clock.time += timedelta(minutes=10)
    soon = clock.time + timedelta(seconds=3)
    assert ours.of(soon) == ours.now_us() + 3 * SECOND
    assert ours.shown(ours.now_us() - 2 * SECOND) == clock.time - timedelta(seconds=2)
    assert ours.shown(ours.of(soon)) == soon
    assert ours.shown(None) is None
