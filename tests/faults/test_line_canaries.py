"""Sixteen analysers send at once, as fast as they are answered; no value of one ever turns up under another."""

from pathlib import Path

import pytest
from end_to_end.lab import AgentProcess, Bench, running_broker, started
from faults.defective import DefectiveAgent
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import many, seed
from faults.traffic import Traffic, count

from simulators.central import Central, CentralOptions
from simulators.oracle import Verdict

pytestmark = [pytest.mark.broker, pytest.mark.slow]

SIXTEEN = "messages of sixteen analysers at once, each with specimens of its own"
PROFILES = ("lis02_generic", "sysmex_xn", "horiba_yumizen", "cepheid_genexpert")
QUICK = "ack_timeout_s = 20\nunfiled = 64\nwindow = 64"


def sent_at_once(agent: AgentProcess, broker_url: str, benches: list[Bench], each: int) -> Verdict:
    with (
        started(agent),
        Central(CentralOptions(broker_url, validate="none")) as central,
        Traffic(benches, seed(), rate=0, count=each) as traffic,
    ):
        traffic.join(3600)
        return count(traffic, agent, central, 600)


def test_no_value_of_one_analyser_turns_up_under_another(tmp_path: Path, outcomes: Outcomes) -> None:
    each = many(sample=25, full=1250)
    benches = [Bench(f"an{n:02}", PROFILES[n % len(PROFILES)]) for n in range(16)]
    (tmp_path / "agent").mkdir()
    with running_broker(tmp_path / "broker") as broker:
        agent = AgentProcess(tmp_path / "agent", broker.url, benches, mqtt=QUICK)
        verdict = sent_at_once(agent, broker.url, benches, each)
    outcomes.verdict(SIXTEEN, RANDOM, 16 * each, verdict)


def test_control_what_connections_share_is_found(tmp_path: Path, outcomes: Outcomes) -> None:
    benches = [Bench(f"an{n:02}", "lis02_generic") for n in range(4)]
    (tmp_path / "agent").mkdir()
    with running_broker(tmp_path / "broker") as broker:
        agent = DefectiveAgent(tmp_path / "agent", broker.url, benches, mqtt=QUICK)
        agent.switch_off("share-connection")
        verdict = sent_at_once(agent, broker.url, benches, 3)
    elsewhere = len(verdict.of("stray")) + len(verdict.of("misattributed"))
    assert elsewhere > 0
    found = f"{elsewhere} of {verdict.acknowledged} under another analyser"
    outcomes.control(SIXTEEN, "what belongs to a connection shared by all", found)
