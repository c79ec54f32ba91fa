"""Slots, retries, paused topics and back-off: pure parts on a clock moved by hand."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.publisher import backoff
from edge_agent.publisher.pauses import Pauses
from edge_agent.publisher.retries import Retries, Waiting, Why
from edge_agent.publisher.window import Lane, Window


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


def test_half_of_the_slots_are_kept_for_fresh_results(clock: Steps) -> None:
    window = Window(8, 60, clock)
    for number in range(4):
        window.take(f"old{number}", Lane.BACKLOG)
    assert window.room(Lane.BACKLOG) == 0
    assert window.room(Lane.RETRY) == 0
    assert window.room(Lane.FRESH) == 4


def test_retries_take_at_most_a_quarter(clock: Steps) -> None:
    window = Window(8, 60, clock)
    assert window.room(Lane.RETRY) == 2
    window.take("again1", Lane.RETRY)
    window.take("again2", Lane.RETRY)
    assert window.room(Lane.RETRY) == 0
    assert window.room(Lane.BACKLOG) == 2
    assert window.room(Lane.FRESH) == 6


def test_fresh_results_may_use_what_no_backlog_needs(clock: Steps) -> None:
    window = Window(8, 60, clock)
    for number in range(8):
        assert window.room(Lane.FRESH) == 8 - number
        window.take(f"new{number}", Lane.FRESH)
    assert window.room(Lane.BACKLOG) == 0


@pytest.mark.parametrize(("unfiled", "backlog", "retry"), [(1, 1, 1), (2, 1, 1), (3, 2, 1), (8, 4, 2), (16, 8, 4)])
def test_the_smallest_windows_still_move(clock: Steps, unfiled: int, backlog: int, retry: int) -> None:
    window = Window(unfiled, 60, clock)
    assert (window.room(Lane.BACKLOG), window.room(Lane.RETRY)) == (backlog, retry)


def test_a_slot_without_an_answer_is_overdue_after_the_time_limit(clock: Steps) -> None:
    window = Window(8, 60, clock)
    window.take("first", Lane.FRESH)
    clock.seconds = 30
    window.take("second", Lane.FRESH)
    clock.seconds = 60
    assert window.overdue() == ["first"]
    assert window.deadline() == 60
    assert window.give_back("first")
    assert not window.give_back("first")
    assert window.deadline() == 90


@given(st.lists(st.tuples(st.sampled_from(list(Lane)[:3]), st.booleans()), max_size=60), st.integers(1, 20))
def test_no_lane_ever_exceeds_its_share(moves: list[tuple[Lane, bool]], unfiled: int) -> None:
    window = Window(unfiled, 60, Steps())
    held: list[tuple[str, Lane]] = []
    for number, (lane, back) in enumerate(moves):
        if back and held:
            window.give_back(held.pop(0)[0])
        if window.room(lane):
            window.take(str(number), lane)
            held.append((str(number), lane))
        old = sum(lane is not Lane.FRESH for _, lane in held)
        assert len(held) <= unfiled
        assert old <= max(1, unfiled - unfiled // 2)
        assert sum(lane is Lane.RETRY for _, lane in held) <= max(1, unfiled // 4)


def test_waits_grow_to_the_cap_and_stay_within_half_of_it() -> None:
    rng = Random(1)
    waits = [backoff.delay(attempt, base_s=5, cap_s=300, rng=rng) for attempt in range(1000)]
    assert all(2.5 <= wait <= 300 for wait in waits)
    assert all(wait >= 150 for wait in waits[6:])
    assert waits[0] <= 5


def _retries(clock: Steps) -> Retries:
    return Retries(300, clock, Random(1))


def test_a_retry_is_due_after_a_wait_that_grows(clock: Steps) -> None:
    retries = _retries(clock)
    entry = Waiting("m", Why.UNANSWERED, 0, 0)
    due = []
    for _ in range(4):
        retries.again(entry, Why.UNANSWERED)
        due.append(entry.due - clock.seconds)
    assert retries.pop_due(lambda _e: True) is None
    assert 2.5 <= due[0] <= 5
    assert 20 <= due[3] <= 40
    clock.seconds = entry.due
    assert retries.pop_due(lambda _e: True) is entry
    assert len(retries) == 0


def test_a_message_that_may_not_go_yet_keeps_no_other_waiting(clock: Steps) -> None:
    retries = _retries(clock)
    retries.add(Waiting("held", Why.UNANSWERED, 0, 0))
    retries.add(Waiting("free", Why.UNANSWERED, 1, 0))
    clock.seconds = 1
    found = retries.pop_due(lambda entry: entry.id != "held")
    assert found is not None
    assert found.id == "free"
    assert "held" in retries
    assert retries.next_due() == 6


def test_a_broker_that_forgot_makes_everything_it_had_due_now(clock: Steps) -> None:
    retries = _retries(clock)
    retries.add(Waiting("taken", Why.UNANSWERED, 500, 3))
    retries.add(Waiting("refused", Why.REFUSED, 400, 3))
    retries.all_lost()
    assert retries.next_due() == 0
    found = retries.pop_due(lambda _e: True)
    assert found is not None
    assert (found.id, found.why) == ("taken", Why.LOST)
    assert retries.next_due() == 400


def test_a_refused_topic_sends_one_message_on_trial(clock: Steps) -> None:
    pauses = Pauses(300, clock, Random(1))
    pauses.refused("up/a/result", "m1")
    pauses.keep("up/a/result", "m2")
    assert "up/a/result" in pauses
    assert "up/b/result" not in pauses
    assert pauses.on_trial() is None
    clock.seconds = 30
    assert pauses.on_trial() == "m1"
    assert pauses.on_trial() is None, "one at a time"
    pauses.refused("up/a/result", "m1")
    clock.seconds = 45
    assert pauses.on_trial() is None, "the second wait is longer"
    clock.seconds = 90
    assert pauses.on_trial() == "m1"
    assert pauses.passed("up/a/result")
    assert list(pauses.ids()) == []
    assert not pauses.passed("up/a/result")


def test_a_trial_whose_connection_ended_is_tried_again(clock: Steps) -> None:
    pauses = Pauses(300, clock, Random(1))
    pauses.refused("t", "m1")
    clock.seconds = 30
    assert pauses.on_trial() == "m1"
    pauses.trial_lost("m1")
    assert pauses.on_trial() == "m1"


def test_a_message_set_aside_leaves_the_trial_to_the_next(clock: Steps) -> None:
    pauses = Pauses(300, clock, Random(1))
    pauses.refused("t", "m1")
    pauses.keep("t", "m2")
    pauses.forget("m1")
    clock.seconds = 30
    assert pauses.on_trial() == "m2"
