"""A wait that takes too long is told once, however many short ones there were before it."""

import asyncio

from support_loop import in_loop

from edge_agent.patience import Patience


class Told:
    def __init__(self) -> None:
        self.times = 0
        self.event = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self.event.set()


@in_loop
async def test_a_wait_that_is_too_long_is_told_once() -> None:
    told = Told()
    patience = Patience(0.01, told)
    patience.begin()
    await asyncio.wait_for(told.event.wait(), 30)
    await asyncio.sleep(0.03)
    patience.end()
    assert told.times == 1


@in_loop
async def test_many_short_waits_are_not_told_however_long_they_are_together() -> None:
    told = Told()
    patience = Patience(30.0, told)
    for _ in range(100):
        patience.begin()
        patience.end()
    patience._look()  # the timer of the first one
    assert told.times == 0
    assert patience._timer is None


@in_loop
async def test_the_timer_of_an_earlier_wait_gives_a_later_one_its_whole_time() -> None:
    told = Told()
    patience = Patience(0.05, told)
    patience.begin()
    patience.end()
    await asyncio.sleep(0.03)
    patience.begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.wait_for(told.event.wait(), 30)
    assert loop.time() - began >= 0.05


@in_loop
async def test_nothing_is_told_after_it_was_stopped() -> None:
    told = Told()
    patience = Patience(0.01, told)
    patience.begin()
    patience.stop()
    await asyncio.sleep(0.03)
    assert told.times == 0
