"""The agent is killed without warning while analysers send: nothing acknowledged is lost, nothing is doubled.

The oracle counts at the wire, before any de-duplication: one observation under two MSH-10s is a double; one MSH-10 seen
twice is a counted retry.
"""

import os
import random
import threading
from pathlib import Path

import pytest
from end_to_end.lab import Bench, running_agent, running_broker, until

from simulators.analyser import Plan, SendReport, send
from simulators.central import Central, CentralOptions
from simulators.oracle import compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

KILLS = int(os.environ.get("KILLS", "6"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)


def test_nothing_acknowledged_is_lost_or_doubled_when_the_agent_is_killed(tmp_path: Path) -> None:
    print(f"\n{KILLS} kills, seed {SEED}")
    chance = random.Random(SEED)
    benches = [Bench("gen1", "lis02_generic"), Bench("xn1", "sysmex_xn"), Bench("yu1", "horiba_yumizen")]
    stop = threading.Event()
    reports: list[SendReport] = []
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, benches, mqtt="ack_timeout_s = 2\nretry_max_s = 2") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        senders = [threading.Thread(target=traffic, args=(b, n, stop, reports)) for n, b in enumerate(benches)]
        for sender in senders:
            sender.start()
        assert central.wait_until(lambda totals: totals["filed_results"] > 0, 60), "the first results are filed"
        for _ in range(KILLS):
            stop.wait(chance.uniform(0.01, 1.5))
            agent.kill()
            agent.start()
        stop.set()
        for sender in senders:
            sender.join(120)
        until(lambda: agent.nothing_waits(), 120, "everything is filed")
        verdict = compare([row for r in reports for row in r.rows], list(central.ledger.filings()))
        print(f"{verdict.table()}\n{KILLS} kills: {verdict.sentence()}")
        assert verdict.acknowledged > 0
        assert verdict.flawless, verdict.table()


def traffic(bench: Bench, number: int, stop: threading.Event, reports: list[SendReport]) -> None:
    plan = Plan(bench.profile, count=1_000_000, rate=10, seed=SEED + number, analyser=bench.id)
    reports.append(send(plan, bench.url, stop=stop))
