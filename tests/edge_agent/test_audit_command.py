"""`audit` as a person types it, beside a running agent and without one."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support_gateway import Gateway, one_queued_one_held, stopped_with_the_same

from edge_agent.cli.main import main
from edge_agent.control import follow
from edge_agent.store.directory import DirectoryLock


def audit(*words: object) -> Result:
    return CliRunner().invoke(main, ["audit", *(str(w) for w in words)], catch_exceptions=False)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateway]:
    """An agent with one message queued and one result held."""
    with one_queued_one_held(tmp_path) as running:
        yield running


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The configuration of an agent that does not run, with the same in its store."""
    return stopped_with_the_same(tmp_path)


def files(config: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (config.parent / "data").glob("agent.*")}


def file_by_hand(config: Path) -> str:
    with sqlite3.connect(config.parent / "data" / "agent.db") as other:
        other.execute("UPDATE outbox SET state = 'filed', filed = 1")
        (id_,) = other.execute("SELECT id FROM outbox").fetchone()
    other.close()
    return str(id_)


def test_a_running_agent_says_that_all_is_as_it_left_it_and_the_head(made: Gateway) -> None:
    result = audit("--config", made.config)
    head = made.answer("status")["store"]["audit"]
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "Intact: everything is as the agent left it.\n"
        "2 entries of the audit chain verified, 1 transmissions, 1 messages and 1 identities compared.\n"
        f"Head: {head['entry']}:{head['hash']}\n"
    )


def test_a_running_agent_names_what_was_changed_and_the_exit_status_is_one(made: Gateway) -> None:
    made.bench.do(lambda s: s.database.execute("UPDATE payload SET payload = x'00'"))
    result = audit("--config", made.config)
    id_ = made.bench.messages()[0].id
    assert result.exit_code == 1
    assert result.stdout.startswith(f"Broken: Message 1 ({id_}) has another content than entry 2 tells.\n")
    assert result.stdout.endswith("Keep the data directory untouched and call support.\n")


def test_a_head_noted_earlier_is_found_in_the_chain(made: Gateway) -> None:
    head = json.loads(audit("--json", "--config", made.config).stdout)["head"]
    made.bench.do(lambda s: s.audit("note", {}))
    assert audit("--config", made.config, "--anchor", f"{head['entry']}:{head['hash']}").exit_code == 0
    other = audit("--config", made.config, "--anchor", f"{head['entry']}:{'0' * 64}")
    assert other.exit_code == 1
    assert "Audit entry 2 is not the one of the anchor: the chain was written anew." in other.stdout


@pytest.mark.parametrize("anchor", ["12", f"12:{'0' * 63}", "nonsense"])
def test_what_is_no_anchor_is_refused_with_what_one_is(stopped: Path, anchor: str) -> None:
    result = audit("--config", stopped, "--anchor", anchor)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "[usage]" in result.stderr
    assert "64 hex digits" in result.stderr


def test_a_long_verification_says_how_far_it_is(made: Gateway) -> None:
    made.bench.do(lambda s: [s.audit("note", {"n": str(n)}) for n in range(12_000)])
    *courses, last = follow(made.data_dir, "audit")
    assert courses
    assert all(part["step"] == "audit chain" and 0 < part["done"] <= part["of"] for part in courses)  # type: ignore[call-overload]  # no bytes
    assert last["verdict"]["intact"] is True  # type: ignore[call-overload]  # no bytes


def test_a_stopped_store_is_verified_and_left_as_it_was(stopped: Path) -> None:
    before = files(stopped)
    result = audit("--json", "--config", stopped)
    verdict = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (verdict["intact"], verdict["finding"], verdict["head"]["entry"]) == (True, None, 2)
    assert verdict["verified"] == {"entries": 2, "transmissions": 1, "messages": 1, "identities": 1}
    assert files(stopped) == before


def test_a_stopped_store_that_was_changed_by_hand_is_named_for_programs_too(stopped: Path) -> None:
    id_ = file_by_hand(stopped)
    result = audit("--json", "--config", stopped)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["finding"] == {
        "table": "outbox",
        "row": f"1 ({id_})",
        "text": f"Message 1 ({id_}) is filed, which is not as entry 2 tells.",
    }


def test_another_directory_is_asked_for_by_name(stopped: Path, tmp_path: Path) -> None:
    (stopped.parent / "data").rename(tmp_path / "evidence")
    assert audit("--data-dir", tmp_path / "evidence").exit_code == 0
    refused = audit("--config", stopped)
    assert (refused.exit_code, "[store-directory]" in refused.stderr) == (1, True)
    assert not (stopped.parent / "data" / "agent.lock").exists()


def test_a_directory_another_program_works_on_is_left_alone(stopped: Path) -> None:
    lock = DirectoryLock(stopped.parent / "data")
    try:
        refused = audit("--data-dir", stopped.parent / "data")
    finally:
        lock.release()
    assert (refused.exit_code, "[store-locked]" in refused.stderr) == (1, True)


def test_a_database_of_an_older_version_is_not_read_by_columns_it_has_not(stopped: Path) -> None:
    with sqlite3.connect(stopped.parent / "data" / "agent.db") as other:
        other.execute("PRAGMA user_version = 1")
    other.close()
    refused = audit("--config", stopped)
    assert refused.exit_code == 1
    assert "an older version of the agent wrote the database" in refused.stderr


def test_a_damaged_database_is_said_in_a_sentence_and_kept(stopped: Path) -> None:
    database = stopped.parent / "data" / "agent.db"
    content = bytearray(database.read_bytes())
    content[4096 * 3 : 4096 * 4] = bytes(4096)
    database.write_bytes(content)
    refused = audit("--config", stopped)
    assert (refused.exit_code, "[store-corrupt]" in refused.stderr) == (1, True)
    assert database.read_bytes() == bytes(content)
