"""The agent's store thread without its thread, on a real SQLite file, whose disk fails and whose power goes when told.

``StoreThread`` decides everything it decides in the agent: groups, refusals, recovery with back-off. Only where it
would run in a thread of its own, it runs here and now.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from faults.simulation.virtual_loop import VirtualClock

from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.store.waiting import InThread, Waiting


class AtCommit(StrEnum):
    """What becomes of the next COMMIT."""

    FAILS = "fails, and wrote nothing"
    LIES = "reports an error, and wrote everything"
    POWER_BEFORE = "the power goes before it"
    POWER_AFTER = "the power goes after it"


@dataclass
class Disk:
    """Outlives the agent: its file, and what is wrong with it."""

    folder: Path
    clock: VirtualClock
    faults: deque[AtCommit]
    low: bool = False
    commits: int = 0

    def open(self) -> Store:
        return Store.open(self.folder, self.clock, reserve_mb=0, low_water_mb=0, allow_unsafe=True)


class InlineStore(StoreThread):
    def __init__(self, disk: Disk, loop: asyncio.AbstractEventLoop, power_gone: Callable[[], None]) -> None:
        super().__init__(disk.open)
        self._disk = disk
        self._loop = loop
        self._power_gone = power_gone
        self._store = self._open_store()
        self._busy = False
        self.dead = False
        self._commit = self._store.database.commit
        self._store.database.commit = self._faulty_commit  # type: ignore[method-assign]

    def start(self) -> None:
        """It is open since it was made."""

    def stop(self) -> None:
        """As after a clean stop and after a kill alike: the file is there, nothing else."""
        self.dead = True
        self._store.close()

    def _put(self, lane: deque[Waiting], waiting: Waiting) -> None:
        lane.append(waiting)
        if self.dead:
            self._refuse_all("the power is gone")
        elif lane is self._urgent:
            self._loop.call_later(0.001, self._work)  # an analyser's frame may meet its line's end before it is stored
        else:
            self._work()

    def _work(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            while not self.dead and (self._urgent or self._later):
                self._turn(self._store)
        finally:
            self._busy = False
        if self.dead:
            self._refuse_all("the power is gone")
        if self._failed and not self.dead:
            self._loop.call_later(max(self._retry_at - self._loop.time(), 0.0), self._recover_alone)

    def _recover_alone(self) -> None:
        if self._failed and not self.dead:
            self._turn(self._store)

    def _faulty_commit(self) -> Any:
        database = self._store.database
        if not self._disk.faults or database.connection.total_changes == database._changes:
            return self._commit()
        self._disk.commits += 1
        fault = self._disk.faults.popleft()
        if fault in (AtCommit.LIES, AtCommit.POWER_AFTER):
            self._commit()
        if fault in (AtCommit.POWER_BEFORE, AtCommit.POWER_AFTER):
            self.dead = True
            self._power_gone()
        raise database.fail(sqlite3.OperationalError("disk I/O error"))

    def do(self, job: Callable[[Store], Any]) -> Any:
        """For the laboratory's own questions."""
        waiting: InThread[Any] = InThread(job)
        self._later.append(waiting)
        self._work()
        return waiting.future.result(0)
