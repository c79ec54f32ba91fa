"""A store as a process, so that its syncs can be slowed down. Line: "group" or "single", links, frames.

"group": so many links, each with one frame on its way, through the store's thread as in the agent. "single": one frame
after the other, each waiting for the COMMIT of the one before. Answers with frames a second and syncs per frame.
"""

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from benchmarks import wire
from benchmarks.kit import say

from edge_agent.clock import SystemClock
from edge_agent.store.receipt import Stored
from edge_agent.store.rows import Chunk, ChunkKind, Source
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

SOURCE = Source("an1", "", "lis02_generic", 1, "00", "production")
RAW = wire.frames(1)[10]
CHUNK = Chunk(ChunkKind.FRAME, RAW, RAW[2:-5], 3, True)


def _append(transmission: int) -> Callable[[Store], Stored]:
    return lambda store: store.append(transmission, [CHUNK])


class Links:
    """Each has one frame on its way until all are stored."""

    def __init__(self, store: StoreThread, count: int, frames: int) -> None:
        self._store = store
        self._left = frames
        self._waiting = count
        self._lock = threading.Lock()
        self.done = threading.Event()
        opened = [store.urgent(lambda s: s.open_transmission(SOURCE)) for _ in range(count)]
        self._jobs = [_append(o.result()) for o in opened]

    def run(self) -> None:
        for n in range(len(self._jobs)):
            self._next(n)
        assert self.done.wait(120)

    def _next(self, n: int) -> None:
        with self._lock:
            go = self._left > 0
            self._left -= go
            self._waiting -= not go
            if not self._waiting:
                self.done.set()
        if go:
            self._store.urgent(self._jobs[n]).add_done_callback(lambda stored: self._stored(n, stored))

    def _stored(self, n: int, stored: "Future[Stored]") -> None:
        assert stored.result().chunks == 1
        self._next(n)


def single(store: StoreThread, frames: int) -> None:
    """The next frame comes only after the last one was stored: each has a COMMIT of its own."""
    job = _append(store.urgent(lambda s: s.open_transmission(SOURCE)).result())
    for _ in range(frames):
        store.urgent(job).result()


def main() -> None:
    syncs = ctypes.CDLL(None).slow_syncs
    syncs.restype = ctypes.c_long
    store = StoreThread(lambda: Store.open(Path(sys.argv[1]) / "data", SystemClock()))
    store.start()
    say("ready")
    while line := sys.stdin.readline():
        kind, links, frames = line.split()[0], int(line.split()[1]), int(line.split()[2])
        job = Links(store, links, frames).run if kind == "group" else lambda n=frames: single(store, n)
        before, began = syncs(), time.perf_counter()
        job()
        say([frames / (time.perf_counter() - began), (syncs() - before) / frames])
    store.stop()


if __name__ == "__main__":
    main()
