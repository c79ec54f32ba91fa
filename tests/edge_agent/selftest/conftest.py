"""Fixtures of the self-test's tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # selftest_helpers lies beside its tests

from edge_agent.clock import SystemClock
from edge_agent.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store", SystemClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True)
    yield opened
    opened.close()
