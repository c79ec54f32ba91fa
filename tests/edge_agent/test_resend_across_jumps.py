"""A clock that is set between a result and the next equal one: a resend stays a resend, a new result stays new."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support_conversion import bench
from support_pipeline import records

from edge_agent.states import ItemState

UNTIMED = records(
    r"H|\^&|||BENCH-7|||||||P|LIS02-A2", "P|1", "O|1|S24-0001||^^^NA|R", "R|1|^^^NA|140|mmol/L||N||F", "L|1|N"
)
JUMPS = [timedelta(hours=-1), timedelta(hours=24), timedelta(days=3650), timedelta(days=-20_000)]


class SetClock:
    def __init__(self) -> None:
        self.time, self.seconds = datetime(2026, 3, 1, 12, tzinfo=UTC), 1000.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def passes(self, **by: int) -> None:
        self.time += timedelta(**by)
        self.seconds += timedelta(**by).total_seconds()


def second_time(folder: Path, jump: timedelta, *, minutes: int) -> ItemState:
    """What becomes of the same result, without a time of its own, that comes once more so much later."""
    clock = SetClock()
    with bench(folder, clock=clock) as made:
        made.receive(UNTIMED)
        made.convert()
        clock.time += jump
        clock.passes(minutes=minutes)
        again = made.receive(UNTIMED)
        made.convert()
        [group] = made.groups(again)
        state: ItemState = group.state
        return state


@pytest.mark.parametrize("jump", JUMPS)
def test_a_resend_is_recognised_however_the_clock_was_set_in_between(tmp_path: Path, jump: timedelta) -> None:
    assert second_time(tmp_path, jump, minutes=2) is ItemState.DUPLICATE


@pytest.mark.parametrize("jump", [timedelta(), *JUMPS])
def test_an_equal_result_of_later_is_new_however_the_clock_was_set_in_between(tmp_path: Path, jump: timedelta) -> None:
    assert second_time(tmp_path, jump, minutes=60) is ItemState.CONVERTED
