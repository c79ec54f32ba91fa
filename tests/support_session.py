"""A link with real ports and a real store, and frames written by hand.

The four frames of ``MESSAGE`` and their check digits stand in the public LIS01 checksum vectors (LIS2-A "Mini LIS");
``frame`` makes others with a sum of its own.
"""

import asyncio
import concurrent.futures
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from support_ports import Wire, until
from support_transport import quick

from drivers.protocols.lis01 import Dialect
from edge_agent.clock import SystemClock
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarms
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.rows import ChunkKind, Source, Transmission
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.transport.open import transport_for

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
RECORDS = (
    b"H|\\^&|||Mini LIS||||||||LIS2-A|20210309142633\r",
    b"P|1|PID123456||NID123456|Brown^Bobby^B|White|196501020304|M\r",
    b"O|1|SID305||ABO|N|20210309142633|||||N||||CENTBLOOD\r",
    b"L|1|N\r",
)
MESSAGE = tuple(
    b"\x02%d%s\x03%s\r\n" % (number, record, check)
    for number, record, check in zip((1, 2, 3, 4), RECORDS, (b"96", b"66", b"4B", b"07"), strict=True)
)
TEXT = b"".join(RECORDS)
SOURCE = Source("xn1", "", "lis02_generic", 1, "00", "validation")


def frame(number: int, text: bytes, end: bytes = b"\x03") -> bytes:
    body = b"%d%s%s" % (number % 8, text, end)
    return b"\x02%s%02X\r\n" % (body, sum(body) % 256)


def bad(number: int, text: bytes) -> bytes:
    """A frame whose check digits are wrong."""
    good = frame(number, text)
    return good[:-4] + (b"00" if good[-4:-2] != b"00" else b"11") + b"\r\n"


class FaultyStore:
    """A StoreThread that can be told to fail, to stand still, and that keeps a log of its commits."""

    def __init__(self, inner: StoreThread) -> None:
        self.inner = inner
        self.broken: str | None = None
        self.log: list[tuple[str, int]] = []
        self.hold: list[Callable[[], None]] | None = None

    @property
    def failed(self) -> str | None:
        return self.broken or self.inner.failed

    def urgent(self, job: Any) -> "concurrent.futures.Future[Any]":
        if self.broken:
            return self._failure()
        if self.hold is None:
            return self._logged(self.inner.urgent(job))
        held: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.hold.append(lambda: self._logged(self.inner.urgent(job)).add_done_callback(lambda f: _copy(f, held)))
        return held

    def urgent_in_loop(self, job: Any) -> "asyncio.Future[Any]":
        return asyncio.wrap_future(self.urgent(job))

    def later(self, job: Any) -> "concurrent.futures.Future[Any]":
        return self._failure() if self.broken else self.inner.later(job)

    def release(self) -> None:
        held, self.hold = self.hold or [], None
        for go in held:
            go()

    def _failure(self) -> "concurrent.futures.Future[Any]":
        failure: concurrent.futures.Future[Any] = concurrent.futures.Future()
        failure.set_exception(StorageFailedError(self.broken or ""))
        return failure

    def _logged(self, future: "concurrent.futures.Future[Any]") -> "concurrent.futures.Future[Any]":
        future.add_done_callback(lambda f: self.log.append(("commit", f.result().chunks)))
        return future


def _copy(done: "concurrent.futures.Future[Any]", to: "concurrent.futures.Future[Any]") -> None:
    if done.exception() is not None:
        to.set_exception(done.exception())
    else:
        to.set_result(done.result())


class Rig:
    """One analyser's link on a loopback port."""

    def __init__(self, store: FaultyStore, dialect: Dialect, clock: Any, **more: Any) -> None:
        self.store = store
        self.clock = clock
        self.alarms = Alarms(clock)
        self.transport: Any = transport_for(
            more.pop("url", "tcp-server://127.0.0.1:0"),
            peer=more.pop("peer", ()),
            clock=clock,
            rng=random.Random(1),
            backoff=quick(),
            **more,
        )
        self.wires: list[Wire] = []
        self.stored = 0
        self.disk_low = False
        self.link = Link(
            "xn1", self.transport, SOURCE, dialect, store, clock, self.alarms, self._on_stored, lambda: self.disk_low
        )

    def _on_stored(self) -> None:
        self.stored += 1

    async def call(self) -> Wire:
        self.wires.append(await Wire.call(self.transport.port))
        return self.wires[-1]

    async def transmissions(self) -> list[Transmission]:
        """Those that ended."""
        return await asyncio.wrap_future(self.store.inner.later(lambda s: s.next_unconverted(1000)))

    async def ended(self, count: int = 1) -> list[Transmission]:
        """Wait until so many have ended."""
        await until(lambda: self.stored >= count)
        return await self.transmissions()

    def codes(self) -> set[str]:
        return {alarm.code for alarm in self.alarms.active()}


@contextlib.contextmanager
def store_in(folder: Path, clock: Any = None) -> Iterator[FaultyStore]:
    thread = StoreThread(lambda: Store.open(folder, clock or SystemClock()))
    thread.start()
    try:
        yield FaultyStore(thread)
    finally:
        thread.stop()


@contextlib.asynccontextmanager
async def rig(
    store: FaultyStore, dialect: Dialect | None = None, *, clock: Any = None, **more: Any
) -> AsyncIterator[Rig]:
    made = Rig(store, dialect or Dialect(), clock or SystemClock(), **more)
    task = asyncio.create_task(made.link.run())
    try:
        await until(lambda: made.link.status().up)
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for wire in made.wires:
            await wire.close()


async def talk(wire: Any, *parts: bytes) -> list[bytes]:
    """Send part after part, each after the answer to the one before; the answers."""
    return [await wire.ask(part) for part in parts]


def kinds(transmission: Transmission) -> list[ChunkKind]:
    return [c.chunk.kind for c in transmission.chunks]
