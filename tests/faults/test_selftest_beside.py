"""`edge-agent selftest` beside a running agent, while results flow: both count, and neither notices the other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from end_to_end.lab import GATEWAY, ROOT, SITE, AgentProcess, Bench, running_agent, running_broker
from faults.ability import library, need
from faults.outcomes_file import RANDOM, Outcome, Outcomes
from faults.scale import many, seed
from faults.traffic import Traffic, count

from simulators.central import Central, CentralOptions

pytestmark = [pytest.mark.broker, pytest.mark.slow]

SCENARIO = "`edge-agent selftest` beside the running agent"


@pytest.mark.every(2)
def test_it_runs_on_the_live_disk_while_results_are_filed(tmp_path: Path, outcomes: Outcomes) -> None:
    rounds = many(sample=10, full=200)
    benches = [Bench("gen1", "lis02_generic"), Bench("xn1", "sysmex_xn")]
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, benches) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        before = {path.name for path in agent.data_dir.iterdir()}
        with Traffic(benches, seed()) as traffic:
            assert central.wait_until(lambda totals: totals["filed_results"] > 0, 60), "the first results are filed"
            filed = central.ledger.totals()["filed_results"]
            done = selftest(agent, rounds)
            assert central.ledger.totals()["filed_results"] > filed, "results were filed meanwhile"
        verdict = count(traffic, agent, central)
        assert verdict.acknowledged > 0
        assert verdict.flawless, verdict.table()
        assert not agent.alarms() & {"storage", "disk-low", "interrupted", "link-down"}
        assert {path.name for path in agent.data_dir.iterdir()} == before
        assert agent.stop() == 0
    print(done.stdout)
    facts = json.loads(done.stdout)
    counts = {name: facts[name] for name in ("lost", "doubled", "altered")}
    owed, misplaced = facts["acknowledged_results"], facts["misplaced"]
    outcomes.add(Outcome(SCENARIO, RANDOM, facts["kills"], acknowledged=owed, misattributed=misplaced, **counts))
    for control in facts["controls"]:
        outcomes.control(SCENARIO, control["fault"], control["said"])
    assert done.returncode == 0, done.stderr
    assert facts["kills"] == rounds


@pytest.mark.every(2)
def test_a_disk_that_waits_for_nothing_fails_it(tmp_path: Path, outcomes: Outcomes) -> None:
    need("eatmydata")
    (tmp_path / "data").mkdir()
    config = tmp_path / "edge-agent.toml"
    config.write_text(
        f'[agent]\nsite = "{SITE}"\ngateway = "{GATEWAY}"\ndata_dir = "data"\n[mqtt]\nurls = ["mqtt://127.0.0.1:1"]\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-W", "error", "-m", "edge_agent", "selftest", "--rounds", "1", "--config", str(config)]
    preload = {**os.environ, "LD_PRELOAD": str(library("libeatmydata.so"))}
    done = subprocess.run(command, cwd=ROOT, env=preload, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nothing waits for a medium here" in done.stdout
    outcomes.control(SCENARIO, "eatmydata", "a flush that waits for nothing is named")


def selftest(agent: AgentProcess, rounds: int) -> subprocess.CompletedProcess[str]:
    """As a person types it; five minutes are what it may take."""
    options = ("--rounds", str(rounds), "--seed", str(seed()), "--json", "--config", str(agent.config))
    command = [sys.executable, "-W", "error", "-m", "edge_agent", "selftest", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
