"""The power goes while the whole agent serves analysers; it comes back on what the disk had, and goes on.

The agent is stopped dead at the instant of the copy, so that nothing is acknowledged which the copy cannot have. Every
other time the broker is away before, so that what is acknowledged then is nowhere but on the disk.
"""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from end_to_end.lab import Bench, running_broker, until
from faults.ability import need
from faults.crash_disk import CrashDisk, crash_disk
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import chance, many, seed
from faults.standby import NONE, StandbyAgent, standing_by
from faults.switch import TcpSwitch
from faults.traffic import Traffic, count

from simulators.central import Central, CentralOptions
from simulators.oracle import Verdict

pytestmark = [pytest.mark.broker, pytest.mark.slow]

CUT = "power cut of the agent's disk"
QUICK = "ack_timeout_s = 2\nretry_max_s = 2"
ROOM = "[store]\nreserve_mb = 2\nlow_water_mb = 4"


@pytest.mark.timeout(2400)
def test_nothing_acknowledged_is_lost_or_doubled_when_the_power_goes(tmp_path: Path, outcomes: Outcomes) -> None:
    need("reflink")
    cuts = many(sample=5, full=200)
    outcomes.verdict(CUT, RANDOM, cuts, cut(tmp_path, cuts))


@pytest.mark.every(2)
def test_the_same_count_finds_what_a_less_synchronous_agent_loses(tmp_path: Path, outcomes: Outcomes) -> None:
    need("reflink")
    verdict = cut(tmp_path, 3, "synchronise-less", always_away=True)
    lost = len(verdict.of("lost"))
    assert lost > 0, verdict.table()
    outcomes.control(CUT, "synchronous=NORMAL", f"{lost} of {verdict.acknowledged} lost")


def cut(folder: Path, cuts: int, defect: str = NONE, *, always_away: bool = False) -> Verdict:
    """``always_away``: the broker before each cut, and long enough for many results to lie on the disk alone."""
    moments = chance(CUT)
    benches = [Bench("gen1", "lis02_generic"), Bench("xn1", "sysmex_xn"), Bench("yu1", "horiba_yumizen")]
    broker_ = running_broker(folder / "broker")
    with crash_disk(folder) as disk, broker_ as broker, TcpSwitch(broker.port) as switch:
        (disk.point / "agent").mkdir()
        agent = StandbyAgent(disk.point / "agent", f"mqtt://127.0.0.1:{switch.port}", benches, QUICK, ROOM)
        agent.log = folder / "agent.log"
        agent.defect = defect
        subprocess.run(["sync", "-f", agent.config], check=True)
        central = Central(CentralOptions(broker.url, validate="none"))
        with standing_by(agent), central, Traffic(benches, seed()) as traffic:
            assert central.wait_until(lambda totals: totals["filed_results"] > 0, 60), "the first results are filed"
            for number in range(cuts):
                if always_away or number % 2 == 0:
                    switch.off()
                    waiting = 10 if always_away else 1
                    until(lambda w=waiting: agent.ask("status")["messages"].get("queued", 0) > w, what="results wait")
                time.sleep(moments.uniform(0.1, 1.0))
                _power_cut(disk, agent)
                switch.on()
                agent.start()
            traffic.stop()
            return count(traffic, agent, central)


def _power_cut(disk: CrashDisk, agent: StandbyAgent) -> None:
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    image = disk.cut()
    agent.kill()
    disk.becomes(image)
