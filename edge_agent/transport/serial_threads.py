"""An open serial port: one thread reads it, one writes it, and the event loop sees neither.

Promised: bytes arrive in order; a port that is unplugged ends the connection; a session that does not read stops the
reading thread instead of filling memory (the driver's buffer then overflows, the frame's checksum fails and the
analyser sends it again). A byte damaged on the line (parity, framing) arrives as NUL, so that it cannot pass for data;
what the driver counts of them is looked at after each read, and a first rise is a line in the log.

The threads call the loop by ``call_soon_threadsafe`` only, and bear a loop that has closed meanwhile.
"""

import asyncio
import logging
import queue
import threading
from typing import Protocol

from edge_agent.transport.inbox import LIMIT, Inbox
from edge_agent.transport.line_errors import Counters, LineErrors
from edge_agent.transport.threads import fail, finish, in_thread, post

log = logging.getLogger(__name__)

AT_ONCE = 65_536  # bytes taken from the driver in one call
JOIN_S = 5.0


class Port(Protocol):
    """What is used of a pyserial port."""

    @property
    def in_waiting(self) -> int: ...

    def read(self, size: int = 1, /) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...

    def close(self) -> None: ...


class SerialConnection:
    """A ``Connection`` on an open port. Owns the port: ``join`` closes it."""

    def __init__(
        self, port: Port, name: str, loop: asyncio.AbstractEventLoop, counters: Counters | None = None
    ) -> None:
        self.peer = name
        self.line_errors = counters.look() if counters else None  # None: nothing counts them
        self._counters = counters
        self.lost_by: OSError | None = None
        self._port = port
        self._loop = loop
        self._inbox = Inbox()
        self._room = threading.Condition()
        self._handed_over = 0  # bytes read and not yet taken by the session
        self._outbox: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._unwritten: set[asyncio.Future[None]] = set()
        self._gone = False
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"{what} {name}", daemon=True)
            for what, target in (("read", self._reading), ("write", self._writing))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    # what a session calls, on the loop

    async def read(self, patience_s: float | None = None) -> bytes | None:
        data = await self._inbox.get(patience_s)
        if data:
            with self._room:
                self._handed_over -= len(data)
                self._room.notify()
        return data

    async def write(self, data: bytes) -> None:
        if self._gone:
            raise ConnectionResetError("the port is gone")
        done: asyncio.Future[None] = self._loop.create_future()
        self._unwritten.add(done)
        done.add_done_callback(self._unwritten.discard)
        self._outbox.put((data, done))
        await done

    async def close(self) -> None:
        self._end(None)

    async def join(self) -> None:
        """Wait for both threads, then close the port; only then may it be opened again."""
        self._end(None)
        await in_thread(self._join)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(JOIN_S)
        self._port.close()

    def _end(self, error: OSError | None) -> None:
        """The connection is over; on the loop."""
        self._gone = True
        self.lost_by = self.lost_by or error
        self._inbox.end()
        for done in list(self._unwritten):
            fail(done, ConnectionResetError("the port is gone"))
        self._wake()

    def _wake(self) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._outbox.put(None)
        with self._room:
            self._room.notify()
        for name in ("cancel_read", "cancel_write"):  # not every kind of port has them; those are read with a timeout
            cancel = getattr(self._port, name, None)
            if cancel is not None:
                cancel()

    # the two threads

    def _reading(self) -> None:
        error: OSError | None = None
        try:
            while not self._stopping.is_set():
                # read(n) waits for n bytes: ask only for what is there. Unplugged ports raise here too, a plain OSError
                data = self._port.read(min(self._port.in_waiting, AT_ONCE) or 1)
                self._look()
                if data:
                    self._hand_over(data)
        except OSError as lost:
            error = lost
        finally:
            post(self._loop, self._end, error)

    def _look(self) -> None:
        found = self._counters.look() if self._counters else None
        if found is None:
            return
        if found.total and self.line_errors == LineErrors():
            log.warning("%s is a bad line: %s. Check cable, ground and baud rate.", self.peer, found)
        self.line_errors = found

    def _hand_over(self, data: bytes) -> None:
        with self._room:
            self._room.wait_for(lambda: self._handed_over < LIMIT or self._stopping.is_set())
            self._handed_over += len(data)
        if not post(self._loop, self._inbox.put, data):
            self._stopping.set()

    def _writing(self) -> None:
        error: OSError | None = None
        try:
            while (item := self._outbox.get()) is not None:
                data, done = item
                self._port.write(data)
                post(self._loop, finish, done, None)
        except OSError as lost:
            error = lost
        finally:
            post(self._loop, self._end, error)
