"""Bytes wait for their session: none is lost, the end comes last, and who waits with patience is told in time."""

import asyncio

import pytest
from support_loop import in_loop

from edge_agent.transport.inbox import Inbox


@in_loop
async def test_what_came_is_handed_out_once_and_in_order() -> None:
    inbox = Inbox()
    inbox.put(b"\x05")
    inbox.put(b"\x021H")
    assert await inbox.get() == b"\x05\x021H"
    assert inbox.size == 0


@in_loop
async def test_the_end_is_told_after_the_last_byte_and_again_and_again() -> None:
    inbox = Inbox()
    inbox.put(b"\x04")
    inbox.end()
    assert [await inbox.get(), await inbox.get(), await inbox.get()] == [b"\x04", b"", b""]


@in_loop
async def test_who_waits_is_woken_by_the_first_byte() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"\x05")
    assert await waiting == b"\x05"


@in_loop
async def test_a_cancelled_wait_loses_nothing() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(b"\x05")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await inbox.get() == b"\x05"


@in_loop
async def test_without_patience_only_what_is_there_already_is_handed_out() -> None:
    inbox = Inbox()
    assert await inbox.get(0.0) is None
    inbox.put(b"\x05")
    assert await inbox.get(0.0) == b"\x05"


@in_loop
async def test_patience_that_runs_out_is_no_end() -> None:
    inbox = Inbox()
    assert await inbox.get(0.01) is None
    inbox.put(b"\x05")
    assert await inbox.get(10.0) == b"\x05"


@in_loop
async def test_a_timer_of_an_earlier_wait_does_not_cut_a_later_one_short() -> None:
    inbox = Inbox()
    inbox.put(b"\x05")
    first = asyncio.create_task(inbox.get(0.01))
    assert await first == b"\x05"
    waiting = asyncio.create_task(inbox.get(0.02))
    waiting_longer = asyncio.create_task(_after(waiting, inbox))
    assert await waiting is None
    assert await waiting_longer == b"\x06"


async def _after(earlier: "asyncio.Task[bytes | None]", inbox: Inbox) -> bytes | None:
    await asyncio.wait({earlier})
    asyncio.get_running_loop().call_later(0.05, inbox.put, b"\x06")
    return await inbox.get(60.0)


@in_loop
async def test_a_shorter_wait_after_a_longer_one_is_told_in_its_own_time() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.get(3600.0))
    await asyncio.sleep(0)
    inbox.put(b"\x05")
    assert await waiting == b"\x05"
    assert await asyncio.wait_for(inbox.get(0.01), 30) is None


@in_loop
async def test_no_timer_is_left_when_the_port_is_gone() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.get(3600.0))
    await asyncio.sleep(0)
    inbox.end()
    assert await waiting == b""
    assert inbox._timer is None
