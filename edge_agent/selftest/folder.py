"""The self-test's own folder beside the live data.

Promised: everything the test writes lies in ``selftest`` in the data directory, for its owner alone, on the disk that
results go to; two tests never share it; what a killed one left is removed by the next. The live database, its log, its
lock and the agent's socket are never opened. Nothing is begun, and what was begun is given up, where the room it takes
would bring the site near the mark below which the agent refuses results.
"""

import fcntl
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_agent.errors import AgentError
from edge_agent.settings import StoreTable
from edge_agent.store.directory import refuse_unsafe
from edge_agent.store.disk import MB
from edge_agent.store.errors import DirectoryError

NAME = "selftest"
_ORPHAN_S = 3.0  # the receiving process of a killed test holds the lock, too, until it notices
NEEDED_MB = 64  # a store of a hundred kills is some 10 MB, its log at most as much again


class Folder:
    """Made when entered, removed when left unless ``keep`` was set."""

    def __init__(self, data_dir: Path, limits: StoreTable) -> None:
        self.path = data_dir / NAME
        self.keep = False
        self._data_dir = data_dir
        self._limits = limits
        self._fd = -1

    def __enter__(self) -> Self:
        """Raises AgentError."""
        try:
            if not self._data_dir.is_dir():
                raise DirectoryError(f"there is no {self._data_dir} yet; it is made by the agent's first start")
            refuse_unsafe(self._data_dir)
            self.refuse_full(NEEDED_MB)
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._lock()
            self._empty()
        except OSError as error:
            raise DirectoryError(os.strerror(error.errno or 0)) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self.keep:
            self._empty()
            self.path.rmdir()
        os.close(self._fd)

    def refuse_full(self, needed_mb: int = NEEDED_MB // 4) -> None:
        """Raises AgentError."""
        found = os.statvfs(self._data_dir)
        free_mb = found.f_bavail * found.f_frsize // MB
        wanted_mb = needed_mb + self._limits.low_water_mb + self._limits.reserve_mb
        if free_mb < wanted_mb:
            raise AgentError(
                f"There is not enough room beside the live data: {free_mb} MB are free, and {wanted_mb} MB are needed "
                "so that the agent never comes near the mark below which it refuses results.",
                code="no-room",
                action="Free space on the disk of data_dir, then start it again.",
            )

    def _lock(self) -> None:
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        end = time.monotonic() + _ORPHAN_S
        while not _locked(self._fd):
            if time.monotonic() > end:
                os.close(self._fd)
                raise AgentError(
                    "A self-test of this gateway is running already.",
                    code="selftest-running",
                    action="Wait until it is done.",
                )
            time.sleep(0.05)

    def _empty(self) -> None:
        for left in self.path.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
