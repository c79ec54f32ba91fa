"""Whether the files an agent left behind are whole, looked at in a copy so that they stay as they were left."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.store.directory import LOCK, RESERVE
from edge_agent.store.store import Store

_MEMORY = Path("/dev/shm")


@contextmanager
def opened(data_dir: Path) -> Iterator[Store]:
    """A copy of a data directory, opened as by the agent: quick check, log, identity; and its audit chain holds."""
    store = Store.open(data_dir, SystemClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True)
    try:
        assert (found := store.verification().run()) is None, found
        yield store
    finally:
        store.close()


def verify(data_dir: Path) -> None:
    """Of an agent that does not run. The copy lies in memory where it can: it need not survive anything."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as scratch:
        copy = Path(scratch) / "data"
        shutil.copytree(data_dir, copy, ignore=shutil.ignore_patterns(RESERVE, LOCK, "*.sock"))
        with opened(copy) as store:
            assert store.former is None, "the store took itself for another one"
