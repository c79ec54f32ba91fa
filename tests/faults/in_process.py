"""Session, store and converter of the agent in this process, on a line that says what it is told and takes no time.

The clock moves only where the line is silent. Nothing is sent to a broker: what would be published is read out of the
outbox, by the management system's own reader of HL7, and judged by the oracle like a delivery.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support_pipeline import POLICY

from drivers.sdk import load
from edge_agent.converter import Converter, Reader
from edge_agent.monitor.alarms import Alarms
from edge_agent.session import Session
from edge_agent.states import MessageState
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.rows import OutboxRow, Source
from edge_agent.store.store import Store
from simulators.central_ledger import Filing
from simulators.er7 import read

SILENT_S = 40.0  # longer than a receiver waits (LIS01-A2 §6.5.2.3: 30 s)
ANALYSER = POLICY.analyser
START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


class Time:
    """A clock that is moved."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


class ScriptedLine:
    """A ``Connection``. ``answers``: what came back."""

    peer = "127.0.0.1:40001"

    def __init__(self, time: Time, script: Sequence[bytes | float]) -> None:
        """A number in the script is so many seconds of silence; after the last piece the other side is gone."""
        self._time = time
        self._script = list(script)
        self.answers = bytearray()
        self.ended = asyncio.Event()
        self.stuck: asyncio.Event | None = None  # set: it does not go away, and says nothing more

    async def read(self, patience_s: float | None = None) -> bytes | None:
        while self._script:
            item = self._script.pop(0)
            if isinstance(item, bytes):
                return item
            if patience_s is None:  # nothing is waited for, so nothing comes of it
                self._time.passed += item
                continue
            step = min(item, patience_s)
            self._time.passed += step
            if item > step:
                self._script.insert(0, item - step)
            return None
        self.ended.set()
        if self.stuck is not None:
            await self.stuck.wait()
        return b""

    async def write(self, data: bytes) -> None:
        self.answers += data

    async def close(self) -> None:
        pass


class Inline:
    """A store's thread without the thread. ``dead``: as if the process were gone."""

    failed: str | None = None

    def __init__(self, store: Store) -> None:
        self._store = store
        self.dead = False

    def do(self, job: Callable[[Store], Any]) -> Any:
        (outcome,) = self._store.group([job])
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def later(self, job: Callable[[Store], Any]) -> "concurrent.futures.Future[Any]":
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        if self.dead:
            done.set_exception(StorageFailedError("killed"))
        else:
            (outcome,) = self._store.group([job])
            if outcome.error is not None:
                done.set_exception(outcome.error)
            else:
                done.set_result(outcome.value)
        return done

    def urgent_in_loop(self, job: Callable[[Store], Any]) -> "asyncio.Future[Any]":
        return asyncio.wrap_future(self.later(job))


class Desk:
    """One analyser's way from the wire to the outbox."""

    def __init__(self, store: Store, time: Time, runner: asyncio.Runner, device: str) -> None:
        self.store: Any = Inline(store)
        self.time = time
        self.alarms = Alarms(time)
        self.told: list[str] = []  # the conversion's alarms
        self._runner = runner
        self._device = load(device)
        readers = {ANALYSER: Reader(self._device, POLICY)}
        self._converter = Converter(self.store, readers, lambda code, *_: self.told.append(code), lambda: None)
        self._last: str | None = None  # message

    def hear(self, *script: bytes | float, killed: bool = False) -> bytes:
        """A connection from its beginning to its end; what was answered. ``killed``: with the agent, at the end."""
        line = ScriptedLine(self.time, script)
        self._runner.run(self._serve(line, killed=killed))
        return bytes(line.answers)

    async def _serve(self, line: ScriptedLine, *, killed: bool) -> None:
        source = Source(ANALYSER, line.peer, self._device.name, 1, "00", POLICY.mode)
        dialect = self._device.dialect()
        session = Session(line, source, dialect, self.store, self.time, self.alarms, lambda: None)
        if not killed:
            await session.run()
            return
        line.stuck = asyncio.Event()
        task = asyncio.create_task(session.run())
        await line.ended.wait()
        self.store.dead = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.store.dead = False
        self.store.do(lambda s: s.close_orphans())

    def convert(self) -> None:
        """Everything that ended."""
        assert self._converter._drain() is None

    def filings(self) -> list[Filing]:
        """What would have gone out since the last time, as the management system would note it."""
        after, every = self._last, tuple(MessageState)
        fresh: list[OutboxRow] = self.store.do(lambda s: s.messages(states=every, limit=100_000, after=after))
        if fresh:
            self._last = fresh[-1].id
        return [filing for row in fresh for filing in _filings(row)]

    def broken(self) -> list[str]:
        """How transmissions that nothing completed were broken off."""
        return [t.reason for t in self.store.do(lambda s: s.interrupted(ANALYSER, 1000))]


def _filings(row: OutboxRow) -> Iterator[Filing]:
    for observation in read(row.payload).observations:
        yield Filing(
            delivery=row.sequence,
            at="",
            topic="",
            analyser=row.analyser,
            route=str(row.route),
            msh10=row.id,
            digest=row.digest,
            sequence=str(row.sequence),
            dup=False,
            filed=True,
            observation=observation,
        )


@contextmanager
def desk(device: str = "lis02_generic") -> Iterator[Desk]:
    """On a store in memory where the machine has such a folder: what a power cut takes is not looked at here."""
    time, memory = Time(), Path("/dev/shm")
    with TemporaryDirectory(prefix="edge-agent-", dir=memory if memory.is_dir() else None) as folder:
        store = Store.open(Path(folder), time, reserve_mb=0, low_water_mb=0, allow_unsafe=True)
        try:
            with asyncio.Runner() as runner:
                yield Desk(store, time, runner, device)
        finally:
            store.close()
