"""Taking a gateway out of service: what is refused, what is taken back, and what goes on by itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_conversion import Bench, bench
from support_gateway import STARTED
from support_pipeline import records, source

from edge_agent import retirement
from edge_agent.errors import AgentError, OutOfServiceError
from edge_agent.retirement import REFUSES_S, Retirement
from edge_agent.store.decommission import MARK, refuse_decommissioned
from edge_agent.store.errors import NoteRequiredError

TEXT = records(
    r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000",
    "P|1||P-1017",
    "O|1|S24-0028||^^^NA|R",
    "R|1|^^^NA|140|mmol/L||N||F||||20240612102000",
    "L|1|N",
)


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

    def ask(self, name: str, **arguments: object) -> Any:
        return asyncio.run(self.retirement.answers()[name]({"uid": 0, **arguments}))  # type: ignore[arg-type]  # a coroutine


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setattr(retirement, "QUIET_S", 0.2)
    with bench(tmp_path / "data") as made:
        yield Case(tmp_path, made)


def test_analysers_are_refused_from_the_stop_on_and_served_again_when_it_is_taken_back(case: Case) -> None:
    assert not case.retirement.refusing
    case.ask("decommission-stop")
    assert case.retirement.refusing
    case.ask("decommission-stop", undo=True)
    assert not case.retirement.refusing


def test_a_command_that_died_in_between_does_not_refuse_them_for_ever(case: Case) -> None:
    case.ask("decommission-stop")
    case.clock.at = REFUSES_S
    assert not case.retirement.refusing


def test_what_waits_refuses_it_and_analysers_are_served_on(case: Case) -> None:
    case.bench.receive(TEXT)
    case.bench.convert()
    with pytest.raises(AgentError, match="1 unfiled"):
        case.ask("decommission-stop")
    assert not case.retirement.refusing


def test_a_transmission_that_still_comes_in_refuses_it(case: Case) -> None:
    case.bench.do(lambda s: s.open_transmission(source()))
    with pytest.raises(AgentError, match="1 unread"):
        case.ask("decommission-stop")


def test_to_give_something_up_needs_a_note(case: Case) -> None:
    case.bench.receive(TEXT)
    case.bench.convert()
    with pytest.raises(NoteRequiredError):
        case.ask("decommission", abandon=True)
    assert not (case.data_dir / MARK).exists()
    case.ask("decommission", abandon=True, note="the analyser is gone")
    [entry] = [e for e in case.bench.do(lambda s: s.audit_entries(limit=100)) if e.kind == "decommissioned"]
    assert (entry.facts["note"], entry.facts["unfiled"]) == ("the analyser is gone", "1")


def test_a_marked_directory_is_refused_with_the_way_back(case: Case) -> None:
    refuse_decommissioned(case.data_dir)
    case.ask("decommission")
    with pytest.raises(OutOfServiceError) as caught:
        refuse_decommissioned(case.data_dir)
    assert "delete that file" in caught.value.action
    (case.data_dir / MARK).unlink()
    refuse_decommissioned(case.data_dir)


def test_a_broker_that_is_away_changes_nothing(case: Case) -> None:
    case.broker.away = True
    with pytest.raises(AgentError, match="broker"):
        case.ask("decommission")
    assert not case.broker.retired
    assert not (case.data_dir / MARK).exists()
    answer = case.ask("decommission", abandon=True, note="the broker is gone, too")
    assert answer == {"cleared": False, "topics": ["ivd/v1/seoul-01/gw-01/state"]}


def test_a_mark_that_cannot_be_written_leaves_everything_in_service(case: Case) -> None:
    (case.data_dir / MARK).mkdir()
    with pytest.raises(AgentError, match="mark"):
        case.ask("decommission")
    assert not case.broker.retired
    assert not case.retirement.refusing
