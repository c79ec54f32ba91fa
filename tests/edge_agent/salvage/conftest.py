"""A store to be damaged, made once."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # salvage_helpers lies beside its tests, the store's beside theirs
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from salvage_helpers import FRAME, opened, rows  # after the path above
from store_helpers import at_broker, filed, queued, source


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[tuple[object, ...]]]]:
    """A store with messages in every state, results that are held, and transmissions that still came in."""
    data_dir = tmp_path_factory.mktemp("made") / "data"
    store = opened(data_dir)
    for number in range(90):
        holds = [f"h{number}"] if number % 9 == 0 else []
        values = [f"{number}/{n}" for n in range(6)]
        payload = b"MSH|" + bytes([65 + number]) * 600
        sent = queued(store, f"S{number % 30}", values=values, holds=holds, payload=payload)
        if number % 3 == 0:
            filed(store, sent)
        elif number % 3 == 1:
            at_broker(store, sent)
    for _ in range(40):
        store.append(store.open_transmission(source()), [FRAME] * 5)
    content = rows(store)
    store.close()
    return data_dir, content


@pytest.fixture
def data_dir(tmp_path: Path, made: tuple[Path, object]) -> Path:
    shutil.copytree(made[0], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def content(made: tuple[Path, dict[str, list[tuple[object, ...]]]]) -> dict[str, list[tuple[object, ...]]]:
    return made[1]
