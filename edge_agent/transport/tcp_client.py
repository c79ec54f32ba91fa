"""A TCP port that we call: an analyser or a terminal server that listens.

Promised: connects again for ever, with capped back-off. A connection that lived too short keeps the back-off growing,
so that a port which accepts and hangs up at once is not hammered.
"""

import asyncio

from edge_agent.clock import Clock
from edge_agent.transport.backoff import Backoff
from edge_agent.transport.base import OnConnection, OnState
from edge_agent.transport.calls import serve
from edge_agent.transport.errors import sentence
from edge_agent.transport.report import StateReport
from edge_agent.transport.tcp_connection import TcpConnection

CONNECT_S = 10.0
STEADY_S = 10.0  # a connection that lived this long was a good one


class TcpClient:
    def __init__(self, host: str, port: int, *, clock: Clock, backoff: Backoff) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._backoff = backoff

    async def run(self, on_connection: OnConnection, on_state: OnState) -> None:
        report = StateReport(self._clock, on_state)
        while True:
            report.down(await self._once(on_connection, report))
            await asyncio.sleep(self._backoff.next())

    async def _once(self, on_connection: OnConnection, report: StateReport) -> str:
        """Connect and serve until the connection is over; returns why."""
        name = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await self._connect()
        except OSError as error:
            return sentence(name, error)
        report.up()
        began = self._clock.monotonic()
        await serve(connection, on_connection)
        if self._clock.monotonic() - began >= STEADY_S:
            self._backoff.reset()
        return sentence(name, connection.lost_by)

    async def _connect(self) -> TcpConnection:
        _, connection = await asyncio.get_running_loop().create_connection(TcpConnection, self._host, self._port)
        return connection
