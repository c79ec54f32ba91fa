"""What an analyser sent last, read from the store in steps that nobody has to wait for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TypeVar

from edge_agent.store.errors import UnknownRowError
from edge_agent.store.rows import Transmission
from edge_agent.store.store import Store
from edge_agent.store.tally import Span
from edge_agent.store.thread import StoreThread

T = TypeVar("T")

SPAN = 2000  # rows looked at in one job: about a millisecond


def spans(newest: int) -> Iterator[Span]:
    """All numbers up to ``newest``, the newest first."""
    for last in range(newest, 0, -SPAN):
        yield max(last - SPAN + 1, 1), last


async def later(store: StoreThread, job: Callable[[Store], T]) -> T:
    return await asyncio.wrap_future(store.later(job))


async def ended(store: StoreThread, analyser: str) -> AsyncGenerator[tuple[int, str], None]:
    """Number and mode of the analyser's ended transmissions, newest first."""
    newest, _ = await later(store, lambda s: s.newest())
    for span in spans(newest):
        for found in await later(store, _ended_of(analyser, span)):
            yield found


def _ended_of(analyser: str, span: Span) -> Callable[[Store], list[tuple[int, str]]]:
    return lambda s: s.ended_of(analyser, span)


async def last_received(store: StoreThread, analyser: str, count: int) -> AsyncGenerator[Transmission, None]:
    """The last ``count`` ended transmissions with their chunks, newest first, one in memory at a time."""
    async with aclosing(ended(store, analyser)) as numbers:
        async for number, _ in numbers:
            if count <= 0:
                return
            count -= 1
            try:
                yield await later(store, _transmission(number))
            except UnknownRowError:
                continue  # retention took it meanwhile


def _transmission(number: int) -> Callable[[Store], Transmission]:
    return lambda s: s.transmission(number)
