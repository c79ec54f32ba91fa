"""A listening TCP port: analysers, or terminal servers in front of them, call us.

Promised: only allowed addresses are served; never more than ``cap`` connections, the newest is turned away; a port that
cannot be bound is tried again until it can; one connection's end ends no other. Not promised: that a caller is the
analyser it claims to be; an address is all that is checked here.

The port is down while it cannot be bound, and after a peer vanished without a word (time-out, unreachable) until
somebody connects again. A peer that hangs up is no reason: many analysers connect for each message.
"""

import asyncio
import errno
import logging
from collections.abc import Sequence

from edge_agent.clock import Clock
from edge_agent.transport.backoff import Backoff
from edge_agent.transport.base import OnConnection, OnRefused, OnState, Refusal
from edge_agent.transport.calls import serve
from edge_agent.transport.errors import sentence
from edge_agent.transport.peers import AllowList
from edge_agent.transport.report import StateReport
from edge_agent.transport.tcp_connection import TcpConnection

log = logging.getLogger(__name__)

CAP = 16
_UNREACHABLE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)


class TcpServer:
    def __init__(
        self, host: str, port: int, peers: Sequence[str], *, clock: Clock, backoff: Backoff, cap: int = CAP
    ) -> None:
        self.on_refused: OnRefused = _ignore
        self.refused = 0
        self.port = port  # the bound one, when 0 was asked for
        self._host = host
        self._allowed = AllowList(peers)
        self._clock = clock
        self._backoff = backoff
        self._cap = cap
        self._open: dict[TcpConnection, asyncio.Task[None]] = {}

    def admit(self, peers: Sequence[str]) -> None:
        self._allowed = AllowList(peers)

    async def run(self, on_connection: OnConnection, on_state: OnState) -> None:
        report = StateReport(self._clock, on_state)
        server = await self._listen(on_connection, report)
        try:
            await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            server.close()
            await self._hang_up()

    async def _listen(self, on_connection: OnConnection, report: StateReport) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def accepted(connection: TcpConnection) -> None:
            self._accept(connection, on_connection, report)

        while True:
            try:
                server = await loop.create_server(lambda: TcpConnection(accepted), self._host, self.port)
            except OSError as error:
                report.down(sentence(f"{self._host}:{self.port}", error))
                await asyncio.sleep(self._backoff.next())
                continue
            self._backoff.reset()
            self.port = server.sockets[0].getsockname()[1]
            report.up()
            return server

    def _accept(self, connection: TcpConnection, on_connection: OnConnection, report: StateReport) -> None:
        if not self._allowed.allows(connection.host):
            self._refuse(connection, Refusal.NOT_ALLOWED)
        elif len(self._open) >= self._cap:
            self._refuse(connection, Refusal.FULL)
        else:
            task = asyncio.get_running_loop().create_task(serve(connection, on_connection))
            self._open[connection] = task
            task.add_done_callback(lambda _: self._closed(connection, report))
            report.up()

    def _refuse(self, connection: TcpConnection, why: Refusal) -> None:
        self.refused += 1
        connection.abort()
        self.on_refused(why, connection.host)

    def _closed(self, connection: TcpConnection, report: StateReport) -> None:
        del self._open[connection]
        if vanished(connection.lost_by) and not self._open:
            report.down(sentence(connection.peer, connection.lost_by))

    async def _hang_up(self) -> None:
        tasks = list(self._open.values())
        for task in tasks:
            if not task.cancelling():  # asked twice, its session would not wait for its last commit
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def vanished(error: Exception | None) -> bool:
    """The peer did not close: it stopped answering."""
    if isinstance(error, TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno in _UNREACHABLE


def _ignore(why: Refusal, address: str) -> None:
    log.debug("Turned %s away: %s.", address, why)
