"""What the store's tests share: a clock that stands still until told, sources, chunks, messages."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.store.store import Store

START = datetime(2024, 3, 1, 10, 0, tzinfo=UTC)


class StillClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    def advance(self, **by: int) -> None:
        self.time += timedelta(**by)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


OpenStore = Callable[[], Store]


@pytest.fixture
def open_store(data_dir: Path, clock: StillClock) -> Iterator[OpenStore]:
    """Opens the store in ``data_dir``; what is still open at the end is closed."""
    opened: list[Store] = []

    def make() -> Store:
        store = Store.open(data_dir, clock, reserve_mb=0, low_water_mb=0, allow_unsafe=True)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()
