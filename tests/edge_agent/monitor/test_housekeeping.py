"""What is filed and old goes by itself; what is not filed stays; a broken audit chain is said."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from support_conversion import Bench, bench
from support_pipeline import records

from edge_agent.agent import Agent
from edge_agent.generation import Configuration
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.housekeeping import Housekeeping
from edge_agent.states import MessageState


class Later:
    """A clock some days ahead of the machine's."""

    def __init__(self, days: int) -> None:
        self._days = days

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=self._days)

    def monotonic(self) -> float:
        return self._days * 86_400.0


def sent(specimen: str) -> bytes:
    result = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
    return records(r"H|\^&|||BENCH-7|||||||P|LIS02-A2", "P|1", f"O|1|{specimen}||^^^NA|R", result, "L|1|N")


def file_the_first(made: Bench) -> None:
    first = made.messages()[0]
    made.do(lambda s: s.acknowledged(first.id, code="AA", detail="", consumer="ivd", digest_ok=True))


def keep_house(made: Bench, days: int, *, in_doubt: bool = False) -> Alarms:
    clock = Later(days)
    alarms = Alarms(clock)
    house = Housekeeping(made.store, clock, alarms, timedelta(days=90), may_purge=lambda: not in_doubt)

    asyncio.run(house.keep())
    return alarms


@pytest.mark.parametrize(("days", "left"), [(89, 2), (91, 1)])
def test_a_filed_message_goes_after_its_days_and_an_unfiled_one_never(tmp_path: Path, days: int, left: int) -> None:
    with bench(tmp_path) as made:
        made.receive(sent("S24-0001"))
        made.receive(sent("S24-0002"))
        made.convert()
        file_the_first(made)
        keep_house(made, days)
        assert len(made.messages()) == left
        assert made.messages()[-1].state is MessageState.QUEUED


def test_a_clock_in_doubt_makes_nothing_old(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.receive(sent("S24-0001"))
        made.convert()
        file_the_first(made)
        keep_house(made, 20_000, in_doubt=True)
        assert len(made.messages()) == 1
        keep_house(made, 20_000)
        assert made.messages() == []


def test_the_agent_asks_the_watch_whether_its_clock_is_in_doubt(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(
        '[agent]\nsite = "seoul-01"\ngateway = "gw-01"\n[mqtt]\nurls = ["mqtt://127.0.0.1:1"]\n', encoding="utf-8"
    )
    agent: Any = Agent(Configuration.read(path), Later(20_000), Random(1))
    with bench(tmp_path) as made:
        made.receive(sent("S24-0001"))
        made.convert()
        file_the_first(made)
        for doubt, left in ((True, 1), (False, 0)):
            watch = SimpleNamespace(host_clock=SimpleNamespace(in_doubt=lambda doubt=doubt: doubt))
            asyncio.run(agent._housekeeping(made.store, Alarms(Later(0)), watch).keep())
            assert len(made.messages()) == left


def test_an_audit_chain_that_was_tampered_with_is_said(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.receive(sent("S24-0001"))
        made.convert()
        assert not keep_house(made, 0).active()
        made.do(lambda s: s.database.execute("UPDATE audit SET facts = '{}' WHERE entry = 1"))
        [alarm] = keep_house(made, 0).active()
        assert (alarm.code, alarm.params) == ("audit-broken", {"entry": "1"})
