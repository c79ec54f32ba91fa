"""Who waits for the store is told its outcome: each once, those of one event loop together."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support_loop import in_loop

from edge_agent.store.errors import StorageFailedError
from edge_agent.store.group import Outcome
from edge_agent.store.thread import StoreThread
from edge_agent.store.waiting import InLoop, InThread, resolve


def job(store: Any) -> int:
    return 1


@in_loop
async def test_all_of_one_commit_are_told_in_one_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    wakes = []
    wake: Callable[..., Any] = loop.call_soon_threadsafe

    def counted(*words: Any) -> Any:
        wakes.append(words)
        return wake(*words)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    waiting = [InLoop(job, loop) for _ in range(64)]
    resolve((w, Outcome(n)) for n, w in enumerate(waiting))
    assert await asyncio.gather(*(w.future for w in waiting)) == list(range(64))
    assert len(wakes) == 1


@in_loop
async def test_an_error_reaches_the_one_it_belongs_to() -> None:
    loop = asyncio.get_running_loop()
    good, bad = InLoop(job, loop), InLoop(job, loop)
    resolve([(bad, Outcome(error=StorageFailedError("disk full"))), (good, Outcome(7))])
    assert await good.future == 7
    with pytest.raises(StorageFailedError):
        await bad.future


@in_loop
async def test_who_was_cancelled_meanwhile_is_passed_over() -> None:
    loop = asyncio.get_running_loop()
    gone, there = InLoop(job, loop), InLoop(job, loop)
    gone.future.cancel()
    resolve([(gone, Outcome(1)), (there, Outcome(2))])
    assert await there.future == 2


def test_a_loop_that_was_closed_disturbs_nobody() -> None:
    loop = asyncio.new_event_loop()
    gone, there = InLoop(job, loop), InThread(job)
    loop.close()
    resolve([(gone, Outcome(1)), (there, Outcome(2))])
    assert there.future.result(0) == 2


def test_a_job_of_an_event_loop_is_done_and_told_in_that_loop(open_store) -> None:
    thread = StoreThread(open_store)
    thread.start()

    async def main() -> list[int]:
        return await asyncio.gather(*(thread.urgent_in_loop(lambda store, n=n: n) for n in range(3)))  # type: ignore[misc]

    assert asyncio.run(main()) == [0, 1, 2]
    thread.stop()
