"""Faults made on purpose: if the comparison does not find them, it proves nothing when it finds none.

Each is made on a store of its own, through the same lives, the same analyser and the same comparison as the rounds.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from edge_agent.clock import SystemClock
from edge_agent.selftest.analyser import ACK, Moment
from edge_agent.selftest.checking import Findings
from edge_agent.selftest.receiving import Receiving, reader
from edge_agent.selftest.rounds import MakeReceiving, StoreLife
from edge_agent.settings import Settings
from edge_agent.states import ItemState, MessageState
from edge_agent.store.directory import database_files
from edge_agent.store.rows import Chunk, ChunkKind, NewGroup, NewMessage, Settlement
from edge_agent.store.store import Store
from edge_agent.transport.tcp_connection import TcpConnection


@dataclass(frozen=True, slots=True)
class Control:
    fault: str
    found: bool
    said: str  # what the comparison says of it


class HastyConnection(TcpConnection):
    """Acknowledges a frame when it has come, and hands it on to be stored when the next one comes."""

    def __init__(self) -> None:
        super().__init__()
        self._late = b""  # acknowledged, and not handed on
        self._next = b""  # what came behind it
        self._owed = 0  # answers of the session to what was acknowledged already

    async def read(self, patience_s: float | None = None) -> bytes | None:
        while not self._next:
            data = await super().read(patience_s)
            if not data:
                return data
            before, self._late = self._late, b""
            if data.endswith(b"\n"):
                self._late = data
                await super().write(ACK)
                self._owed += 1
            else:
                self._next = data
            if before:
                return before
        data, self._next = self._next, b""
        return data

    async def write(self, data: bytes) -> None:
        if data == ACK and self._owed:
            self._owed -= 1
        else:
            await super().write(data)


def controls(folder: Path, settings: Settings, rng: Random) -> list[Control]:
    """All of them, each in a new folder in ``folder``."""
    made = reader(settings)

    def usual(place: Path) -> Receiving:
        return Receiving(place, made)

    def hasty(place: Path) -> Receiving:
        return Receiving(place, made, HastyConnection)

    return [
        _control("acknowledged before it was stored", "lost", _early(folder / "control-1", usual, hasty, rng)),
        _control("one bit of a stored frame changed", "altered", _after(flip, folder / "control-2", usual, rng)),
        _control("a transmission stored twice", "doubled", _after(repeat, folder / "control-3", usual, rng)),
        _control("a result under two message ids", "doubled", _after(send_twice, folder / "control-4", usual, rng)),
    ]


def _control(fault: str, kind: str, findings: Findings) -> Control:
    found = getattr(findings, kind)
    said = f"{found} {kind}" if found else "not found"
    return Control(fault, bool(found), said)


def _early(folder: Path, usual: MakeReceiving, hasty: MakeReceiving, rng: Random) -> Findings:
    """What is acknowledged too early is with nobody when the kill comes."""
    life = StoreLife(hasty, folder, rng)
    life.kill_at(Moment(frame=4, heard=True))
    life.make = usual
    return life.look()


def _after(fault: Callable[[Path, StoreLife], None], folder: Path, make: MakeReceiving, rng: Random) -> Findings:
    life = StoreLife(make, folder, rng)
    life.live_on()
    if life.findings.flawless:
        fault(folder, life)
    return life.look()


def flip(folder: Path, life: StoreLife) -> None:
    """In a frame with a result, as a disk does it that gives back something else than it got."""
    database = database_files(folder)[0]
    frame = next(f for f in life.ledger.attempts[0].frames if f[2:3] == b"R")
    content = database.read_bytes()
    at = content.index(frame) + frame.index(b".5|")
    with database.open("r+b") as file:
        file.seek(at)
        file.write(bytes((content[at] ^ 0x01,)))


def repeat(folder: Path, life: StoreLife) -> None:
    with _opened(folder) as store:
        first = store.transmission(1)
        number = store.open_transmission(first.source)
        store.append(number, [stored.chunk for stored in first.chunks], end="L")


def send_twice(folder: Path, life: StoreLife) -> None:
    with _opened(folder) as store:
        row, source = store.messages(states=(MessageState.QUEUED,), limit=1)[0], store.transmission(1).source
        number = store.open_transmission(source)
        store.append(number, [Chunk(ChunkKind.NOISE, b"\x00")], end="idle")
        [reserved] = store.reserve(1)
        again = NewMessage(reserved.id, reserved.at, row.analyser, row.route, row.specimen_key, row.payload)
        store.settle(Settlement(number, (NewGroup("", "", ItemState.CONVERTED, messages=(again,)),)))


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Store]:
    store = Store.open(folder, SystemClock(), reserve_mb=0, low_water_mb=0)
    try:
        yield store
    finally:
        store.close()
