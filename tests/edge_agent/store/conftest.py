"""Fixtures of the store's tests."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # store_helpers and store_model lie beside their tests

from store_helpers import IDENTITY, StillClock  # after the path above
from store_model import MemoryStore

from edge_agent.store.store import Store

OpenStore = Callable[..., Store]


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def open_store(data_dir: Path, clock: StillClock) -> Iterator[OpenStore]:
    """Opens the store in ``data_dir``; what is still open at the end is closed."""
    opened: list[Store] = []

    def make(**options: object) -> Store:
        defaults: dict[str, object] = {"reserve_mb": 0, "low_water_mb": 0, "allow_unsafe": True}
        store = Store.open(data_dir, clock, **(defaults | options))  # type: ignore[arg-type]  # options by name
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store(new_identity=lambda: IDENTITY)


@pytest.fixture(params=["sqlite", "model"])
def any_store(request: pytest.FixtureRequest, clock: StillClock) -> Store | MemoryStore:
    """The same promises, kept by the real store and by the model it is compared with."""
    if request.param == "model":
        return MemoryStore(clock, IDENTITY)
    real: Store = request.getfixturevalue("store")
    return real
