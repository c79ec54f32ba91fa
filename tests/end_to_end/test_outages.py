"""The broker is away for a third of a run, the management system for another: all filed, once, in order."""

import math
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from end_to_end.lab import Bench, running_agent, running_broker, until

from simulators.analyser import Plan, SendReport, send
from simulators.central import Central, CentralOptions
from simulators.central_ledger import Filing
from simulators.oracle import compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

MESSAGES = int(os.environ.get("MESSAGES", "240"))
STRICT = "gen1"
PATIENCE = 60 + MESSAGES / 10


class Run:
    """Analysers that send a third, wait to be told, send another, and so on."""

    def __init__(self, benches: list[Bench], *, seed: int) -> None:
        self.benches = benches
        self.seed = seed
        self.reports: list[SendReport] = []
        self.sent = 0

    def third(self) -> None:
        each = math.ceil(MESSAGES / 3 / len(self.benches))
        threads = [threading.Thread(target=self._send, args=(n, b, each)) for n, b in enumerate(self.benches)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.seed += len(self.benches)
        self.sent += each * len(self.benches)

    def _send(self, number: int, bench: Bench, each: int) -> None:
        plan = Plan(bench.profile, count=each, seed=self.seed + number, analyser=bench.id, per_specimen=3)
        if bench.id == STRICT:  # patients only: a control's id comes again and again, and waits for itself
            plan = replace(plan, per_specimen=1, samples=("worked_example", "korean_utf8", "value_forms"))
        self.reports.append(send(plan, bench.url))

    @property
    def rows(self):
        return [row for report in self.reports for row in report.rows]


@pytest.fixture
def benches() -> list[Bench]:
    return [Bench("gen1", "lis02_generic"), Bench("yu1", "horiba_yumizen")]


def test_a_broker_that_is_away_for_the_middle_third_costs_nothing(tmp_path: Path, benches: list[Bench]) -> None:
    run = Run(benches, seed=100)
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, benches, mqtt="retry_max_s = 5") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        run.third()
        broker.stop()
        run.third()
        assert "broker-down" in agent.alarms()
        broker.start()
        run.third()
        until(lambda: agent.nothing_waits(), PATIENCE, "everything is filed")
        check(run, central, agent)
        assert "broker-down" not in agent.alarms()


def test_a_management_system_that_is_away_costs_nothing(tmp_path: Path, benches: list[Bench]) -> None:
    run = Run(benches, seed=200)
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, benches, mqtt="ack_timeout_s = 5\nretry_max_s = 5") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        run.third()
        until(lambda: agent.nothing_waits(), PATIENCE, "the first third is filed")
        central.go_offline()
        until(lambda: "consumer-offline" in agent.alarms(), 30, "the agent notices")
        run.third()
        central.go_online()
        run.third()
        until(lambda: agent.nothing_waits(), PATIENCE, "everything is filed")
        check(run, central, agent)
        assert "consumer-offline" not in agent.alarms()


def check(run: Run, central: Central, agent) -> None:
    filings = list(central.ledger.filings())
    verdict = compare(run.rows, filings)
    print(f"\n{verdict.table()}\n{run.sent} messages: {verdict.sentence()}")
    assert verdict.flawless, verdict.table()
    values = [f for f in filings if f.observation.type != "ED"]  # images never hold values up, so they come after
    assert not out_of_order_per_specimen(values)
    # With one message per specimen nothing waits for a specimen's earlier message, so the analyser's own order holds.
    strict = first_publications([f for f in values if f.analyser == STRICT])
    assert strict
    assert in_two_lanes(strict), strict


def first_publications(filings: list[Filing]) -> list[int]:
    """The sequence of each message as it came for the first time."""
    seen = {f.msh10: int(f.sequence) for f in reversed(filings)}
    return [seen.pop(f.msh10) for f in filings if f.msh10 in seen]


def in_two_lanes(sequence: list[int]) -> bool:
    """Ascending; after an outage the backlog ascending, and beside it what came since (half the slots each)."""
    return any(
        ascending([n for n in sequence if n <= newest]) and ascending([n for n in sequence if n > newest])
        for newest in sequence
    )


def ascending(numbers: list[int]) -> bool:
    return numbers == sorted(numbers)


def out_of_order_per_specimen(filings: list[Filing]) -> list[str]:
    """Messages filed although a later one of the same specimen had been filed before."""
    newest: dict[tuple[str, str], int] = {}
    wrong = []
    for filing in filings:
        if not filing.filed:
            continue
        key = (filing.analyser, filing.observation.specimen)
        if int(filing.sequence) < newest.get(key, 0):
            wrong.append(filing.msh10)
        newest[key] = max(int(filing.sequence), newest.get(key, 0))
    return wrong
