"""What a stopped agent's data directory holds that nobody has confirmed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import OpenStore
from store_helpers import at_broker, filed, held, queued, received

from edge_agent.states import ItemState, MessageState, TransmissionEvent
from edge_agent.store.directory import DirectoryLock
from edge_agent.store.errors import DirectoryError, StorageFailedError, StoreCorruptError, StoreLockedError
from edge_agent.store.rows import NewGroup, Settlement
from edge_agent.store.store import Store
from edge_agent.store.unfiled import Unfiled, count_unfiled


def left(store, data_dir: Path) -> Unfiled:
    store.close()
    return count_unfiled(data_dir)


def test_where_no_agent_ever_ran_is_nothing_and_nothing_is_made(tmp_path: Path) -> None:
    assert count_unfiled(tmp_path / "data") == Unfiled()
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


STEPS: dict[str, Callable[[Store, str], object]] = {
    "queued": lambda store, sent: None,
    "at the broker": at_broker,
    "rejected": lambda store, sent: store.acknowledged(sent, code="AE", detail="", consumer="ivd", digest_ok=True),
    "blocked": lambda store, sent: store.block(sent, "0x95", "too large"),
    "filed, asked for again": lambda store, sent: (
        filed(store, sent),
        store.send_again(sent, who="anna", note="lost there"),
    ),
}


@pytest.mark.parametrize("state", STEPS)
def test_a_message_is_not_filed_in_each_state_it_can_still_go_out_from(
    open_store: OpenStore, data_dir: Path, state: str
) -> None:
    store = open_store()
    STEPS[state](store, queued(store))
    assert left(store, data_dir) == Unfiled(messages=1)


def test_what_a_person_set_aside_or_another_replaced_is_done(open_store: OpenStore, data_dir: Path) -> None:
    store = open_store()
    store.set_aside(queued(store), who="anna", note="not wanted")
    filed(store, queued(store, "S2", replaces=queued(store, "S2")))
    assert not left(store, data_dir)


def test_what_is_held_and_what_failed_is_counted_together(open_store: OpenStore, data_dir: Path) -> None:
    store = open_store()
    store.settle(Settlement(received(store), (NewGroup("S1", "P", ItemState.HELD, observations=(held("v"),)),)))
    store.settle(Settlement(received(store), holds=(("driver", "KeyError"),)))
    assert left(store, data_dir) == Unfiled(results=2)


def test_each_number_has_its_noun_and_nothing_is_a_word_too() -> None:
    assert Unfiled().words() == "nothing"
    assert Unfiled(1, 1, 1, 1).words() == (
        "1 message not filed, 1 result held or failed, 1 transmission not read yet, 1 interrupted transmission"
    )
    assert Unfiled(2, 3, 4, 5).words() == (
        "2 messages not filed, 3 results held or failed, 4 transmissions not read yet, 5 interrupted transmissions"
    )


@pytest.mark.parametrize("field", ["messages", "results", "unread", "interrupted"])
def test_any_one_of_them_is_something(field: str) -> None:
    assert Unfiled(**{field: 1})


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


def test_nothing_is_said_of_a_database_that_is_damaged_where_the_answer_is(
    open_store: OpenStore, data_dir: Path
) -> None:
    store = open_store()
    page = store.database.value("SELECT rootpage FROM sqlite_schema WHERE name = 'outbox'")
    store.close()
    with (data_dir / "agent.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    before = {path.name: path.read_bytes() for path in data_dir.iterdir()}
    with pytest.raises(StorageFailedError, match="malformed"):
        count_unfiled(data_dir)
    assert {path.name: path.read_bytes() for path in data_dir.iterdir()} == before
    DirectoryLock(data_dir).release()


def test_nothing_is_said_where_the_log_is_damaged_or_a_salvage_was_interrupted(
    open_store: OpenStore, data_dir: Path
) -> None:
    open_store().close()
    log = data_dir / "agent.db-wal"
    log.write_bytes(b"\xff" * 1000)
    with pytest.raises(StoreCorruptError, match="bad frames"):
        count_unfiled(data_dir)
    DirectoryLock(data_dir).release()
    log.unlink()
    (data_dir / "salvaging").touch()
    with pytest.raises(StoreCorruptError, match="salvage was interrupted"):
        count_unfiled(data_dir)
    (data_dir / "agent.db").unlink()  # moved aside, to be salvaged from there
    with pytest.raises(StoreCorruptError, match="salvage was interrupted"):
        count_unfiled(data_dir)


def test_a_start_that_did_not_get_as_far_as_its_tables_left_nothing(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "agent.db").touch()
    assert count_unfiled(data_dir) == Unfiled()


def test_a_lock_that_cannot_be_had_for_another_reason_is_said_in_a_sentence(
    open_store: OpenStore, data_dir: Path
) -> None:
    open_store().close()
    (data_dir / "agent.lock").unlink()
    (data_dir / "agent.lock").mkdir()
    with pytest.raises(DirectoryError) as refused:
        count_unfiled(data_dir)
    assert refused.value.sentence == "The data directory cannot be used: Is a directory."


@pytest.mark.parametrize("name", ["agent.db-wal", "agent.db.closing"])
def test_nothing_is_said_of_results_without_their_database(data_dir: Path, name: str) -> None:
    data_dir.mkdir()
    (data_dir / name).touch()
    assert count_unfiled(data_dir) == Unfiled()
    (data_dir / name).write_bytes(b"results")
    with pytest.raises(StoreCorruptError, match=f"{name} is there without agent.db"):
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
