"""One TCP connection: bytes in order, the other side's end, and a dead peer noticed.

Promised: a peer that vanishes without a word (cable, power) is noticed in about 11 s, with or without bytes of ours
under way; bytes that came before the end are read before the end. Not promised: that ``write`` means received; only
the protocol above knows that.
"""

import asyncio
import socket
from collections.abc import Callable

from edge_agent.transport.inbox import Inbox

# keepalive 5/2/3 and a user timeout of 10 s: a pulled cable showed after 11.2 s, and never without them
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 5, 2, 3
USER_TIMEOUT_MS = 10_000
WRITE_S = 15.0  # a peer whose window stays shut this long is taken for gone

_OPTIONS = (
    ("TCP_NODELAY", 1),  # an answer is one byte and the analyser waits for it
    ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
    ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
    ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
)


def watch_peer(sock: socket.socket) -> None:
    """Set keepalive, user timeout and no delay, as far as this system knows them."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def address(peername: tuple[object, ...] | None) -> str:
    """``host:port`` for people; IPv6 in brackets."""
    if not peername:
        return "unknown"
    host, port = str(peername[0]), peername[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class TcpConnection(asyncio.Protocol):
    """A ``Connection`` on an asyncio socket."""

    def __init__(self, on_made: Callable[["TcpConnection"], None] | None = None) -> None:
        self.peer = ""
        self.host = ""
        self.lost_by: Exception | None = None  # why it broke; None for an orderly end
        self._on_made = on_made
        self._inbox = Inbox()
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._gone = False

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peername = transport.get_extra_info("peername")
        self.peer = address(peername)
        self.host = str(peername[0]) if peername else ""
        try:
            watch_peer(transport.get_extra_info("socket"))
        except OSError as error:  # it hung up while being accepted: connection_lost follows
            self.lost_by = error
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        self._inbox.put(data)
        if self._inbox.full and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer sends no more but may still read: its last frames are owed their answers."""
        self._inbox.end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self.lost_by = self.lost_by or exc
        self._inbox.end()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # what a session calls

    async def read(self, patience_s: float | None = None) -> bytes | None:
        data = await self._inbox.get(patience_s)
        if self._paused and self._transport is not None and not self._gone:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self._gone or self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the other side is gone")
        self._transport.write(data)
        if not self._writable.is_set():
            await self._until_writable(self._transport)
        if self._gone:
            raise ConnectionResetError("the other side is gone")

    async def _until_writable(self, transport: asyncio.Transport) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await self._writable.wait()
        except TimeoutError:
            transport.abort()
            raise ConnectionAbortedError("the other side does not read") from None

    async def close(self) -> None:
        """Close. An answer written and not yet sent goes out first; a peer that does not read is cut off."""
        if not self._writable.is_set():
            self.abort()
        elif self._transport is not None:
            self._transport.close()
        self._inbox.end()

    def abort(self) -> None:
        """Cut the connection off at once."""
        if self._transport is not None:
            self._transport.abort()
