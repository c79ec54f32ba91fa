"""What is filed and old goes by itself; what is not filed stays; a broken audit chain is said."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support_conversion import Bench, bench
from support_pipeline import records

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


def keep_house(made: Bench, days: int) -> Alarms:
    clock = Later(days)
    alarms = Alarms(clock)
    house = Housekeeping(made.store, clock, alarms, timedelta(days=90))
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


def test_an_audit_chain_that_was_tampered_with_is_said(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.receive(sent("S24-0001"))
        made.convert()
        assert not keep_house(made, 0).active()
        made.do(lambda s: s.database.execute("UPDATE audit SET facts = '{}' WHERE entry = 1"))
        [alarm] = keep_house(made, 0).active()
        assert (alarm.code, alarm.params) == ("audit-broken", {"finding": "Audit entry 1 was changed."})
