"""A transport that runs while a test looks at it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

from edge_agent.clock import SystemClock
from edge_agent.transport.backoff import Backoff
from edge_agent.transport.base import Connection, LinkState, Transport
from edge_agent.transport.open import transport_for


class Watch:
    """What a transport told and brought."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.states: list[LinkState] = []
        self.connections: list[Connection] = []
        self.received: list[bytearray] = []
        self.ended = 0

    async def collect(self, connection: Connection) -> None:
        """A session that keeps every byte."""
        got = bytearray()
        self.connections.append(connection)
        self.received.append(got)
        while data := await connection.read():
            got += data
        self.ended += 1

    @property
    def up(self) -> bool:
        return bool(self.states) and self.states[-1].up

    @property
    def reason(self) -> str:
        return self.states[-1].reason if self.states else ""


def quick(first: float = 0.01) -> Backoff:
    return Backoff(random.Random(1), first=first, cap=0.05)


def build(url: str, peer: Sequence[str] = (), **more: Any) -> Transport:
    return transport_for(url, peer=peer, clock=SystemClock(), rng=random.Random(1), backoff=quick(), **more)


@contextlib.asynccontextmanager
async def running(transport: Transport, serve: Any = None) -> AsyncIterator[Watch]:
    watch = Watch(transport)
    task = asyncio.create_task(transport.run(serve or watch.collect, watch.states.append))
    try:
        yield watch
    finally:
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():  # a transport never ends by itself
            raise AssertionError("the transport ended") from outcome
