"""The agent is killed without warning while analysers send: nothing acknowledged is lost, nothing is doubled."""

import time
from pathlib import Path

import pytest
from end_to_end.lab import Bench, running_broker
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import chance, many, seed
from faults.standby import NONE, StandbyAgent, standing_by
from faults.traffic import Traffic, count

from simulators.central import Central, CentralOptions
from simulators.oracle import Verdict

pytestmark = [pytest.mark.broker, pytest.mark.slow]

KILLED = "agent killed at random moments"
QUICK = "ack_timeout_s = 2\nretry_max_s = 2"


@pytest.fixture
def benches() -> list[Bench]:
    return [Bench("gen1", "lis02_generic"), Bench("xn1", "sysmex_xn"), Bench("yu1", "horiba_yumizen")]


@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_or_doubled_when_the_agent_is_killed(
    tmp_path: Path, benches: list[Bench], outcomes: Outcomes
) -> None:
    kills = many(sample=6, full=200)
    verdict = killed(tmp_path, benches, kills)
    outcomes.verdict(KILLED, RANDOM, kills, verdict)


@pytest.mark.every(2)
def test_the_same_count_finds_what_an_early_acknowledgement_loses(
    tmp_path: Path, benches: list[Bench], outcomes: Outcomes
) -> None:
    verdict = killed(tmp_path, benches, 3, "acknowledge-early")
    lost = len(verdict.of("lost"))
    assert lost > 0, verdict.table()
    outcomes.control(KILLED, "ACK before COMMIT", f"{lost} of {verdict.acknowledged} lost")


def killed(folder: Path, benches: list[Bench], kills: int, defect: str = NONE) -> Verdict:
    moments = chance(KILLED)
    (folder / "agent").mkdir()
    with running_broker(folder / "broker") as broker:
        agent = StandbyAgent(folder / "agent", broker.url, benches, QUICK)
        agent.defect = defect
        central = Central(CentralOptions(broker.url, validate="none"))
        with standing_by(agent), central, Traffic(benches, seed()) as traffic:
            assert central.wait_until(lambda totals: totals["filed_results"] > 0, 60), "the first results are filed"
            for _ in range(kills):
                time.sleep(moments.uniform(0.01, 1.5))
                agent.kill()
                agent.start()
            traffic.stop()
            return count(traffic, agent, central)
