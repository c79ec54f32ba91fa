"""Taking a gateway out of service: what is refused, what is taken back, and what goes on by itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support_conversion import Bench, bench
from support_gateway import CONFIG, ONE_GOOD, STARTED
from support_pipeline import source

from edge_agent import retirement
from edge_agent.cli.main import main
from edge_agent.errors import AgentError, OutOfServiceError
from edge_agent.retirement import REFUSES_S, Retirement
from edge_agent.store.decommission import MARK, erase, refuse_decommissioned
from edge_agent.store.errors import NoteRequiredError


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> Any:
        return STARTED

    def monotonic(self) -> float:
        return self.at


class Broker:
    """The publisher as a retirement sees it."""

    def __init__(self) -> None:
        self.away = False
        self.retired = False

    async def retire(self) -> bool:
        self.retired = True
        return not self.away

    def unretire(self) -> None:
        self.retired = False

    def retained(self) -> list[str]:
        return ["ivd/v1/seoul-01/gw-01/state"]


class Case:
    def __init__(self, folder: Path, made: Bench) -> None:
        self.data_dir = folder / "data"
        self.bench = made
        self.clock, self.broker, self.ended = Clock(), Broker(), asyncio.Event()
        self.retirement = Retirement(
            self.data_dir,
            "gw-01",
            made.store,
            self.broker,  # type: ignore[arg-type]  # a stand-in
            self.clock,
            self.ended.set,
        )

    def decommission(self, **arguments: object) -> Any:
        """As the command does it: a stop, and then the end."""
        return self.ask("decommission", **arguments, **self.ask("decommission-stop", **arguments))

    def ask(self, name: str, **arguments: object) -> Any:
        return asyncio.run(self.retirement.answers()[name]({"uid": 0, **arguments}))  # type: ignore[arg-type]  # a coroutine


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setattr(retirement, "QUIET_S", 0.2)
    with bench(tmp_path / "data") as made:
        yield Case(tmp_path, made)


def test_analysers_are_refused_from_the_stop_on_and_served_again_when_it_is_taken_back(case: Case) -> None:
    assert not case.retirement.refusing
    stop = case.ask("decommission-stop")
    assert case.retirement.refusing
    case.ask("decommission-stop", undo=True, **stop)
    assert not case.retirement.refusing


def test_a_command_that_died_in_between_does_not_refuse_them_for_ever(case: Case) -> None:
    case.ask("decommission-stop")
    case.clock.at = REFUSES_S
    assert not case.retirement.refusing


def test_what_waits_refuses_it_and_analysers_are_served_on(case: Case) -> None:
    case.bench.receive(ONE_GOOD)
    case.bench.convert()
    with pytest.raises(AgentError, match="1 unfiled"):
        case.ask("decommission-stop")
    assert not case.retirement.refusing


def test_a_transmission_that_still_comes_in_refuses_it(case: Case) -> None:
    case.bench.do(lambda s: s.open_transmission(source()))
    with pytest.raises(AgentError, match="1 unread"):
        case.ask("decommission-stop")


def test_what_would_be_missing_in_the_last_backup_is_not_given_up_with_it(case: Case) -> None:
    """It is acknowledged behind the copy, or converted once here and once, under another id, on the next PC."""
    case.bench.do(lambda s: s.open_transmission(source()))
    with pytest.raises(AgentError, match="a backup made now would not have all of them"):
        case.ask("decommission-stop", abandon=True, note="n", copy=True)
    assert not case.retirement.refusing
    case.ask("decommission-stop", abandon=True, note="n", copy=False)
    assert case.retirement.refusing


def test_analysers_that_were_served_again_during_the_backup_are_not_cut_off_from_what_came(case: Case) -> None:
    stop = case.ask("decommission-stop")
    case.clock.at = REFUSES_S
    with pytest.raises(AgentError, match="served again"):
        case.ask("decommission", **stop)
    assert not (case.data_dir / MARK).exists()
    assert not case.broker.retired
    assert not case.ended.is_set()


def test_a_command_that_another_one_overtook_changes_nothing_for_that_one(case: Case) -> None:
    first, second = case.ask("decommission-stop"), case.ask("decommission-stop")
    case.ask("decommission-stop", undo=True, **first)
    assert case.retirement.refusing
    with pytest.raises(AgentError, match="another command"):
        case.ask("decommission", **first)
    case.ask("decommission", **second)
    assert (case.data_dir / MARK).exists()


def test_erasing_leaves_no_copy_of_the_database_behind(tmp_path: Path) -> None:
    # What is there of a salvage that was interrupted: the damaged store, and the one that was being made of it.
    salvage = ("evidence-20261124T000000Z/agent.db", "salvage.partial/found.db", "salvage.partial/agent.db-wal")
    names = ("agent.db", "agent.db-wal", "agent.db-shm", "agent.db.closing", "agent-schema-1.db")
    for name in (*names, "agent-schema-2.partial", "backup.partial/agent.db", "backup.partial/agent.db-wal", *salvage):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"CANARY")
    (tmp_path / MARK).touch()
    erase(tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == [MARK]


def test_to_give_something_up_needs_a_note(case: Case) -> None:
    case.bench.receive(ONE_GOOD)
    case.bench.convert()
    with pytest.raises(NoteRequiredError):
        case.decommission(abandon=True)
    assert not (case.data_dir / MARK).exists()
    case.decommission(abandon=True, note="the analyser is gone")
    [entry] = [e for e in case.bench.do(lambda s: s.audit_entries(limit=100)) if e.kind == "decommissioned"]
    assert (entry.facts["note"], entry.facts["unfiled"]) == ("the analyser is gone", "1")


def test_a_marked_directory_is_refused_with_the_way_back(case: Case) -> None:
    refuse_decommissioned(case.data_dir)
    case.decommission()
    with pytest.raises(OutOfServiceError) as caught:
        refuse_decommissioned(case.data_dir)
    assert "delete that file" in caught.value.action
    (case.data_dir / MARK).unlink()
    refuse_decommissioned(case.data_dir)


def test_a_broker_that_is_away_changes_nothing(case: Case) -> None:
    case.broker.away = True
    with pytest.raises(AgentError, match="broker"):
        case.decommission()
    assert not case.broker.retired
    assert not (case.data_dir / MARK).exists()
    answer = case.decommission(abandon=True, note="the broker is gone, too")
    assert answer == {"cleared": False, "topics": ["ivd/v1/seoul-01/gw-01/state"]}


def test_a_mark_that_cannot_be_written_leaves_everything_in_service(case: Case) -> None:
    (case.data_dir / MARK).mkdir()
    with pytest.raises(AgentError, match="mark"):
        case.decommission()
    assert not case.broker.retired
    assert not case.retirement.refusing


def test_a_command_that_was_killed_behind_the_mark_is_brought_to_its_end(tmp_path: Path) -> None:
    """No agent runs any more, and none would start."""
    config, data = tmp_path / "edge-agent.toml", tmp_path / "data"
    config.write_text(CONFIG, encoding="utf-8")
    with bench(data):
        pass
    (tmp_path / "data.before-20240612T120000000000Z").mkdir()
    words = ["decommission", "--erase", "--config", str(config)]
    running = CliRunner().invoke(main, [*words, "--yes", "gw-01"])
    assert (running.exit_code, "[not-running]" in running.stderr) == (1, True)  # the control: no mark, no end
    (data / MARK).touch()
    assert CliRunner().invoke(main, [*words, "--yes", "gw-02"]).exit_code == 1
    assert (data / "agent.db").exists()
    done = CliRunner().invoke(main, [*words, "--yes", "gw-01"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert not (data / "agent.db").exists()
    assert "Done: this gateway is out of service." in done.stdout
    assert "data.before-20240612T120000000000Z, a former store with patient data" in done.stdout
