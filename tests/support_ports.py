"""Ports for tests: free TCP ports, pty pairs that can be unplugged, analysers made of plain sockets and descriptors.

Nothing here knows a protocol, and nothing here is the agent's code.
"""

import asyncio
import contextlib
import os
import socket
import threading
import time
import tty
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE_S = 20.0


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine on a new loop, with an end to its patience."""
    return asyncio.run(asyncio.wait_for(main, PATIENCE_S))


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until ``condition`` holds. The limit is patience, not a speed; the time of the loop is not used."""
    end = time.monotonic() + PATIENCE_S / 2
    while not condition():
        assert time.monotonic() < end, f"it never came: {what}"
        await breath()


async def breath() -> None:
    """Let other threads and the loop act for a moment of real time, whatever clock the loop has."""
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001)


async def until_stepped(condition: Callable[[], object], clock: "StepClock", step: float = 0.25) -> None:
    """Move the clock step by step until ``condition`` holds, with time to act between the steps."""
    for _ in range(10_000):
        if condition():
            return
        clock.advance(step)
        await breath()
    raise AssertionError("it never came")


class Wire:
    """The analyser's end of a TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def call(cls, port: int, host: str = "127.0.0.1", local: str = "") -> "Wire":
        return cls(*await asyncio.open_connection(host, port, local_addr=(local, 0) if local else None))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, count: int = 1) -> bytes:
        """Exactly ``count`` bytes; fewer if the other side hung up before."""
        try:
            return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as short:
            return short.partial
        except ConnectionError:
            return b""

    async def nothing(self, seconds: float = 0.05) -> bool:
        """True when no byte came for ``seconds``. Only for what must never come; never proof that it came late."""
        try:
            async with asyncio.timeout(seconds):
                return not await self._reader.read(1)
        except TimeoutError:
            return True

    async def unread(self) -> bytes:
        """What has come and was not taken yet."""
        for _ in range(10):
            await breath()
        return bytes(self._reader._buffer)  # type: ignore[attr-defined] # StreamReader has no way to look

    async def ask(self, data: bytes, count: int = 1) -> bytes:
        await self.send(data)
        return await self.answer(count)

    async def hung_up(self) -> bool:
        return await self.answer(1) == b""

    def end(self) -> None:
        """Say that nothing more will come, and go on listening."""
        self._writer.write_eof()

    async def close(self) -> None:
        """Hang up; safe to call twice."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Break off as a crashed peer's system does."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self._writer.transport.abort()


class Pty:
    """A serial line: ``path`` is what the agent opens, the rest is the analyser's end."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = Path(os.ttyname(self._slave))
        os.set_blocking(self.master, False)

    async def send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            try:
                data = data[os.write(self.master, data) :]
            except BlockingIOError:
                ready = loop.create_future()
                loop.add_writer(self.master, ready.set_result, None)
                await ready
                loop.remove_writer(self.master)

    async def answer(self, count: int = 1) -> bytes:
        got = b""
        loop = asyncio.get_running_loop()
        while len(got) < count:
            ready = loop.create_future()
            loop.add_reader(self.master, lambda ready=ready: ready.done() or ready.set_result(None))
            await ready
            loop.remove_reader(self.master)
            got += os.read(self.master, count - len(got))
        return got

    async def ask(self, data: bytes, count: int = 1) -> bytes:
        await self.send(data)
        return await self.answer(count)

    def unplug(self) -> None:
        """The adapter is pulled out: both ends are gone."""
        for end in (self.master, self._slave):
            os.close(end)
        self.master = self._slave = -1

    def __enter__(self) -> "Pty":
        return self

    def __exit__(self, *_: object) -> None:
        if self.master >= 0:
            self.unplug()


class StepClock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passed = 0.0

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._passed += seconds

    def monotonic(self) -> float:
        return self._passed

    def now(self) -> datetime:
        return datetime(2024, 3, 1, 10, 0, tzinfo=UTC) + timedelta(seconds=self._passed)


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers run on a StepClock: real sockets and threads, time only when the test says so."""

    def __init__(self, clock: StepClock) -> None:
        super().__init__()
        self._steps = clock

    def time(self) -> float:
        return self._steps.monotonic()


def run_stepped(clock: StepClock, main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=lambda: SteppedLoop(clock)) as runner:
        return runner.run(main)
