"""A gateway taken out of service: nothing of it is left at the broker, and it does not start again by mistake."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from end_to_end.lab import GATEWAY, PREFIX, ROOT, AgentProcess, Bench, running_agent, running_broker, until
from end_to_end.onlooker import onlooker
from support_broker import HOST, Broker

from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker


@contextmanager
def lab(folder: Path) -> Iterator[tuple[Broker, AgentProcess, Bench]]:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(folder / "broker") as broker,
        running_agent(folder / "agent", broker.url, [bench], "will_delay_s = 0") as agent,
    ):
        yield broker, agent, bench


def sent(bench: Bench) -> None:
    send(Plan("lis02_generic", count=2, seed=1, samples=("worked_example",), analyser="gen1"), bench.url)


def decommission(agent: AgentProcess, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return agent.command("decommission", "--yes", GATEWAY, "--backup", str(folder), *more)


def started_again(agent: AgentProcess) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "edge_agent", "run", "--config", str(agent.config)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def retained(broker: Broker) -> list[str]:
    """What a client that comes now hears under the gateway's name, up to a message of its own."""
    with onlooker(HOST, broker.port, PREFIX) as seen:
        until(lambda: seen.subscribed, 10)
        seen.say("end")
        until(lambda: "end" in seen.topics(), 10)
        return sorted(seen.topics() - {"end"})


def test_everything_filed_and_then_nothing_is_left_and_it_does_not_start_again(tmp_path: Path) -> None:
    with lab(tmp_path) as (broker, agent, bench), Central(CentralOptions(broker.url, validate="none")):
        sent(bench)
        until(agent.nothing_waits, 30, "filed")
        assert {"state", "info", "analyser/gen1/state"} <= set(retained(broker))  # the negative control
        done = decommission(agent, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Not filed or not decided on: nothing." in done.stdout
        assert agent.process is not None
        assert agent.process.wait(30) == 0
        agent.process = None
        assert retained(broker) == []
        assert list(tmp_path.glob(f"edge-agent-{GATEWAY}-*.tar"))
        again = started_again(agent)
        assert again.returncode == 78
        assert "[decommissioned]" in again.stderr
        assert (agent.data_dir / "agent.db").exists()
        # The session has ended: the broker knows of none when the gateway comes back after a person said so.
        (agent.data_dir / "decommissioned").unlink()
        agent.start()
        until(lambda: agent.ask("status")["broker"]["connected"], 20)
        assert f"as {GATEWAY} (p5, c0" in broker.log
        assert "decommissioned" not in agent.tail()


def test_while_a_result_is_not_filed_nothing_is_done(tmp_path: Path) -> None:
    with lab(tmp_path) as (broker, agent, bench):
        sent(bench)
        until(lambda: not agent.ask("status")["converting"], 30)
        done = decommission(agent, tmp_path)
        assert done.returncode == 1
        assert "unfiled" in done.stderr
        assert "[decommission-waiting]" in done.stderr
        assert not (agent.data_dir / "decommissioned").exists()
        assert "state" in retained(broker)
        sent(bench)  # analysers are served as before
        done = decommission(agent, tmp_path, "--abandon", "--note", "the analyser is gone", "--no-backup", "--erase")
        assert done.returncode == 0, done.stderr
        assert agent.process is not None
        assert agent.process.wait(30) == 0
        assert not (agent.data_dir / "agent.db").exists()
        assert started_again(agent).returncode == 78
        agent.process = None


def test_a_broker_that_is_away_forgets_nothing_so_a_person_decides(tmp_path: Path) -> None:
    with lab(tmp_path) as (broker, agent, _bench):
        broker.kill()
        until(lambda: not agent.ask("status")["broker"]["connected"], 30)
        done = decommission(agent, tmp_path, "--no-backup")
        assert (done.returncode, "[decommission-broker]" in done.stderr) == (1, True), done.stderr
        broker.start()
        until(lambda: agent.ask("status")["broker"]["connected"], 60)
        until(lambda: "state" in retained(broker), 20, "it goes on as before")
        assert decommission(agent, tmp_path, "--no-backup").returncode == 0
        assert agent.process is not None
        assert agent.process.wait(30) == 0
        agent.process = None
        assert retained(broker) == []


def test_a_last_backup_that_cannot_be_written_has_analysers_served_again(tmp_path: Path) -> None:
    with lab(tmp_path) as (broker, agent, bench), Central(CentralOptions(broker.url, validate="none")):
        done = decommission(agent, Path("/proc"))  # a folder where no file can be made
        assert (done.returncode, "[no-room]" in done.stderr) == (1, True), done.stderr
        assert "Analysers are served again." in agent.tail()
        sent(bench)
        until(agent.nothing_waits, 30, "filed")
        assert sum(agent.ask("status")["messages"].values()) == 2


def test_another_name_does_nothing(tmp_path: Path) -> None:
    with lab(tmp_path) as (_broker, agent, _bench):
        done = agent.command("decommission", "--yes", "gw-02", "--no-backup")
        assert (done.returncode, "[decommission-name]" in done.stderr) == (1, True)
        assert agent.command("decommission", "--no-backup").returncode == 2  # nobody to ask
        assert agent.command("decommission", "--abandon", "--yes", GATEWAY).returncode == 2  # no note
        assert agent.answers()
