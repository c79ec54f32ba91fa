"""The store's thread without a thread: each job is done at once, and the test says what becomes of it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from edge_agent.clock import Clock
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.store import Store


class Disk:
    """The store's thread, without one. ``next`` says what becomes of each job to come; then all goes well.

    "fails": nothing is written. "lies": it is written, and an error is reported. "waits": until ``go``.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.store = Store.open(folder, clock, reserve_mb=0, low_water_mb=0, allow_unsafe=True)
        self.next: list[str] = []
        self.failed: str | None = None
        self.jobs = 0
        self.waiting: list[Callable[[], None]] = []

    def later(self, job: Callable[[Store], Any]) -> "Future[Any]":
        self.jobs += 1
        done: Future[Any] = Future()
        fate = self.next.pop(0) if self.next else "well"

        def go() -> None:
            try:
                if self.failed is not None or fate == "fails":
                    raise StorageFailedError("gone")
                found = job(self.store)
                if fate == "lies":
                    raise StorageFailedError("input/output error")
            except Exception as error:  # noqa: BLE001  # whatever it raises is the caller's, as in the thread
                done.set_exception(error)
            else:
                done.set_result(found)

        if fate == "waits":
            self.waiting.append(go)
        else:
            go()
        return done

    def urgent_in_loop(self, job: Callable[[Store], Any]) -> "asyncio.Future[Any]":
        return asyncio.wrap_future(self.later(job))

    def go(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()
