"""What connections post from their threads is taken whole, in order, and for one wake-up of the loop."""

import asyncio
import threading

import pytest
from support_loop import in_loop

from edge_agent.publisher.events import PubackCame
from edge_agent.publisher.inbox import Inbox

FIRST, SECOND, THIRD = (PubackCame(1, mid, 0, "") for mid in (1, 2, 3))


def opened() -> Inbox:
    inbox = Inbox()
    inbox.open()
    return inbox


@in_loop
async def test_what_was_posted_is_taken_once_and_in_its_order() -> None:
    inbox = opened()
    for event in (FIRST, SECOND, THIRD):
        inbox.post(event)
    assert await inbox.wait(10) == [FIRST, SECOND, THIRD]
    assert await inbox.wait(0) == []


@in_loop
async def test_many_events_are_one_wake_up_and_the_next_one_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, loop = opened(), asyncio.get_running_loop()
    real, calls = loop.call_soon_threadsafe, 0

    def counted(*job: object) -> object:
        nonlocal calls
        calls += 1
        return real(*job)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    inbox.post(FIRST)
    inbox.post(SECOND)
    assert await inbox.wait(10) == [FIRST, SECOND]
    assert calls == 1
    inbox.post(THIRD)
    assert await inbox.wait(10) == [THIRD]
    assert calls == 2


@in_loop
async def test_a_post_of_another_thread_wakes_whoever_waits() -> None:
    inbox = opened()
    waits = asyncio.create_task(inbox.wait(60))
    await asyncio.sleep(0)
    posts = threading.Thread(target=inbox.post, args=(FIRST,))
    posts.start()
    assert await waits == [FIRST]
    posts.join()


@in_loop
async def test_who_is_woken_has_nothing_and_a_wake_up_before_the_wait_counts() -> None:
    inbox = opened()
    waits = asyncio.create_task(inbox.wait(60))
    await asyncio.sleep(0)
    inbox.wake()
    assert await waits == []
    inbox.wake()
    assert await inbox.wait(60) == []


@in_loop
async def test_a_wait_that_is_over_takes_nothing_and_loses_nothing() -> None:
    inbox = opened()
    assert await inbox.wait(-1) == []
    inbox.post(FIRST)
    taken = [*(await inbox.wait(0)), *(await inbox.wait(10))]
    assert taken == [FIRST]


def test_who_posts_when_the_loop_is_gone_has_nobody_to_tell() -> None:
    inbox = Inbox()

    async def opens() -> None:
        inbox.open()

    asyncio.run(opens())
    inbox.post(FIRST)
