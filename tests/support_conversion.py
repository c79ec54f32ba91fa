"""The real converter on a real store, fed with transmissions made by hand."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support_pipeline import GENERIC, POLICY, source

from drivers.sdk import Device
from edge_agent.clock import SystemClock
from edge_agent.converter import Converter, Reader
from edge_agent.policy import Policy
from edge_agent.states import MessageState, TransmissionEvent
from edge_agent.store.rows import Chunk, ChunkKind, OutboxRow, Source, Transmission
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

PATIENCE_S = 15.0
EVERY = tuple(MessageState)


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition of another thread."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what or "the condition never came about"
        time.sleep(0.002)


def open_store(folder: Path, clock: Any = None) -> Store:
    return Store.open(folder, clock or SystemClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True)


class Bench:
    """A store thread and a converter on it; ``alarms`` and ``settled`` say what the converter told."""

    def __init__(self, store: Any, readers: Mapping[str, Reader]) -> None:
        self.store = store
        self.readers = dict(readers)
        self.alarms: list[tuple[str, str, Mapping[str, str]]] = []
        self.settled = 0
        self.converter = self.make()

    def make(self) -> Converter:
        return Converter(self.store, self.readers, lambda *alarm: self.alarms.append(alarm), self._count)

    def _count(self) -> None:
        self.settled += 1

    def do(self, job: Callable[[Store], Any]) -> Any:
        return self.store.later(job).result(PATIENCE_S)

    def receive(self, text: bytes, *, of: Source | None = None, event: TransmissionEvent | None = None) -> int:
        """A transmission of one frame; complete, or ended by ``event``."""
        chunk = Chunk(ChunkKind.FRAME, b"\x021" + text + b"\x03", text, 1, True)

        def store(s: Store) -> int:
            number = s.open_transmission(of or source())
            s.append(number, [chunk])
            s.end(number, event or TransmissionEvent.ENDED, "L" if event is None else "link")
            return number

        number: int = self.do(store)
        return number

    def start(self) -> None:
        self.converter.start()

    def convert(self) -> None:
        """Until nothing is left to convert and everything about it was told; another converter then stands ready."""
        self.converter.kick()
        until(lambda: not self.do(lambda s: s.next_unconverted(1)), "something is never converted")
        self.converter.stop()
        self.converter = self.make()
        self.converter.start()

    def messages(self) -> list[OutboxRow]:
        rows: list[OutboxRow] = self.do(lambda s: s.messages(states=EVERY, limit=1000))
        return sorted(rows, key=lambda row: row.sequence)

    def groups(self, number: int) -> list[Any]:
        found: list[Any] = self.do(lambda s: s.groups(number))
        return found

    def transmission(self, number: int) -> Transmission:
        found: Transmission = self.do(lambda s: s.transmission(number))
        return found

    def release(self) -> int:
        count: int = self.do(lambda s: s.release(who="kim", note="corrected"))
        return count

    def file(self, message: str) -> None:
        self.do(lambda s: s.acknowledged(message, code="AA", detail="", consumer="ivd", digest_ok=True))

    def codes(self) -> list[str]:
        return [code for code, _, _ in self.alarms]


def reader(by: Device = GENERIC, under: Policy = POLICY) -> Reader:
    return Reader(by, under)


@contextmanager
def bench(
    folder: Path, readers: Mapping[str, Reader] | None = None, *, start: bool = True, clock: Any = None
) -> Iterator[Bench]:
    thread = StoreThread(lambda: open_store(folder, clock))
    thread.start()
    made = Bench(thread, {"an1": reader()} if readers is None else readers)
    if start:
        made.start()
    try:
        yield made
    finally:
        if made.converter._thread.ident is not None:
            made.converter.stop()
        thread.stop()


class Gate:
    """Lets a thread wait at a place until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self._open.wait(PATIENCE_S)

    def open(self) -> None:
        self._open.set()
