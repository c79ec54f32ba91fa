"""A line between one analyser and the agent, and what may happen on it, byte by byte."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random

from faults.simulation.virtual_loop import VirtualClock

from edge_agent.transport.base import LinkState, OnConnection, OnState
from edge_agent.transport.inbox import Inbox


class Line:
    """One connection. ``to_agent`` and ``to_analyser`` are what has arrived at each end."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.to_agent, self.to_analyser = Inbox(), Inbox()
        self.up = True
        self.deaf = 0  # answers of the agent that get lost

    # the agent's end: the interface of edge_agent.transport.base.Connection

    async def read(self, patience_s: float | None = None) -> bytes | None:
        return await self.to_agent.get(patience_s)

    async def write(self, data: bytes) -> None:
        if not self.up:
            raise ConnectionError
        if self.deaf:
            self.deaf -= 1
        else:
            self.to_analyser.put(data)

    async def close(self) -> None:
        self.cut()

    def cut(self) -> None:
        """Both ends notice; bytes on their way to the agent still arrive."""
        self.up = False
        self.to_agent.end()
        self.to_analyser.end()


class Port:
    """The agent's listening port: the interface of edge_agent.transport.base.Transport."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._serve: OnConnection | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def run(self, on_connection: OnConnection, on_state: OnState) -> None:
        self._serve = on_connection
        on_state(LinkState(True, self._clock.now()))
        try:
            await asyncio.Event().wait()
        finally:
            self._serve = None
            for session in self._sessions:
                session.cancel()

    def connect(self) -> Line | None:
        """None while nobody listens."""
        if self._serve is None:
            return None
        line = Line("sim")
        session = asyncio.ensure_future(self._kept(self._serve, line))
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)
        return line

    async def _kept(self, serve: Callable[[Line], Awaitable[None]], line: Line) -> None:
        await serve(line)


class Noise:
    """Spoils the next bytes the analyser sends."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.faults: deque[str] = deque()

    def on(self, wire: bytes) -> bytes:
        """What arrives of one frame; "flip" changes a bit, "drop" loses a byte, "twice" brings the frame twice."""
        if not self.faults:
            return wire
        fault, at = self.faults.popleft(), self._rng.randrange(len(wire))
        if fault == "flip":
            return wire[:at] + bytes([wire[at] ^ (1 << self._rng.randrange(7))]) + wire[at + 1 :]
        return wire[:at] + wire[at + 1 :] if fault == "drop" else wire + wire
