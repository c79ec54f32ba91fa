"""What a stopped agent's data directory holds that nobody has confirmed."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import OpenStore
from store_helpers import filed, held, queued, received

from edge_agent.states import ItemState, MessageState, TransmissionEvent
from edge_agent.store.errors import StoreCorruptError, StoreLockedError
from edge_agent.store.rows import NewGroup, Settlement
from edge_agent.store.unfiled import Unfiled, count_unfiled


def left(store, data_dir: Path) -> Unfiled:
    store.close()
    return count_unfiled(data_dir)


def test_where_no_agent_ever_ran_is_nothing_and_nothing_is_made(tmp_path: Path) -> None:
    assert not count_unfiled(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_what_is_filed_is_not_counted(open_store: OpenStore, data_dir: Path) -> None:
    store = open_store()
    filed(store, queued(store))
    assert left(store, data_dir) == Unfiled()


def test_what_waits_or_is_at_the_broker_is_counted(open_store: OpenStore, data_dir: Path) -> None:
    store = open_store()
    queued(store, "S1")
    store.published(queued(store, "S2"), replay="original")
    assert left(store, data_dir).words() == "2 messages not filed"


def test_what_a_person_set_aside_is_done(open_store: OpenStore, data_dir: Path) -> None:
    store = open_store()
    store.set_aside(queued(store), who="anna", note="not wanted")
    assert not left(store, data_dir)


def test_what_is_held_is_counted(open_store: OpenStore, data_dir: Path) -> None:
    store = open_store()
    group = NewGroup("S1", "P", ItemState.HELD, observations=(held("v"),))
    store.settle(Settlement(received(store), (group,)))
    assert left(store, data_dir).words() == "1 result held or failed"


def test_what_was_not_read_and_what_broke_off_is_counted(open_store: OpenStore, data_dir: Path) -> None:
    store = open_store()
    received(store)
    received(store, event=TransmissionEvent.BROKEN, reason="link")
    assert left(store, data_dir).words() == "2 transmissions not read yet, 1 interrupted transmission"


def test_a_running_agent_is_left_alone(open_store: OpenStore, data_dir: Path) -> None:
    open_store()
    with pytest.raises(StoreLockedError):
        count_unfiled(data_dir)


def test_nothing_is_said_of_a_damaged_database(open_store: OpenStore, data_dir: Path) -> None:
    open_store().close()
    (data_dir / "agent.db").write_bytes(b"x" * 4096)
    with pytest.raises(StoreCorruptError):
        count_unfiled(data_dir)


@pytest.mark.parametrize("name", ["agent.db-wal", "agent.db.closing"])
def test_nothing_is_said_of_results_without_their_database(data_dir: Path, name: str) -> None:
    data_dir.mkdir()
    (data_dir / name).write_bytes(b"results")
    with pytest.raises(StoreCorruptError):
        count_unfiled(data_dir)


KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from store_helpers import StillClock, queued
from edge_agent.store.store import Store
store = Store.open(Path(sys.argv[1]), StillClock(), allow_unsafe=True)
queued(store)
os._exit(9)
"""


def test_asking_leaves_the_files_of_a_killed_agent_as_they_are(open_store: OpenStore, data_dir: Path) -> None:
    folders = (str(Path(__file__).parent), str(Path(__file__).parents[3]))
    assert subprocess.run([sys.executable, "-c", KILLED, data_dir, *folders]).returncode == 9
    before = {path.name: path.read_bytes() for path in data_dir.iterdir()}
    assert len(before["agent.db-wal"]) > 0
    assert count_unfiled(data_dir).messages == 1
    assert {path.name: path.read_bytes() for path in data_dir.iterdir()} == before
    again = open_store()
    assert again.former is None
    assert len(again.messages(states=(MessageState.QUEUED,))) == 1
