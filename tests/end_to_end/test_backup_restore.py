"""A backup put back after more was filed: no id goes out twice, and what is sent again is not filed twice."""

from collections import defaultdict
from pathlib import Path

import pytest
from end_to_end.lab import AgentProcess, Bench, running_agent, running_broker, until

from edge_agent.control import follow
from edge_agent.store.directory import UNFINISHED
from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions
from simulators.oracle import compare

pytestmark = pytest.mark.broker


def plan(seed: int, count: int = 3) -> Plan:
    return Plan("lis02_generic", count=count, seed=seed, samples=("worked_example",), analyser="gen1")


def backed_up(agent: AgentProcess, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    done = agent.command("backup", str(folder))
    assert done.returncode == 0, done.stderr
    [file] = folder.glob("*.tar")
    return file


def test_after_a_restore_no_id_says_two_things_and_nothing_is_filed_twice(tmp_path: Path) -> None:
    bench, sent = Bench("gen1", "lis02_generic"), []
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        sent += send(plan(1), bench.url).rows
        until(agent.nothing_waits, 30, "filed")
        central.go_offline()
        sent += send(plan(2), bench.url).rows
        until(lambda: agent.ask("status")["messages"]["at-broker"] + agent.ask("status")["messages"]["queued"], 30)
        file = backed_up(agent, tmp_path / "out")
        central.go_online()
        until(agent.nothing_waits, 30, "filed after the backup")
        sent += send(plan(3), bench.url).rows
        until(agent.nothing_waits, 30, "more filed")
        before = list(central.ledger.filings())
        agent.stop()

        assert agent.command("restore", str(file)).returncode == 1
        done = agent.command("restore", str(file), "--replace")
        assert done.returncode == 0, done.stderr
        agent.start()
        assert "store-restored" in agent.alarms()
        until(agent.nothing_waits, 30, "what the backup had not filed yet goes out again")
        sent += send(plan(4), bench.url).rows
        until(agent.nothing_waits, 30, "new results")
        after = list(central.ledger.filings())[len(before) :]

        said: dict[str, set[str]] = defaultdict(set)
        for filing in (*before, *after):
            said[filing.msh10].add(filing.digest)
        assert all(len(digests) == 1 for digests in said.values())
        old = {f.msh10[:8] for f in before}
        again = [f for f in after if f.msh10[:8] in old]
        new = [f for f in after if f.msh10[:8] not in old]
        assert {f.msh10 for f in again} <= {f.msh10 for f in before}
        assert again
        assert sorted(int(s) for s in {f.sequence for f in new}) == list(range(1, len({f.msh10 for f in new}) + 1))
        verdict = compare(sent, central.ledger.filings())
        assert verdict.flawless, verdict.table()  # none is missing and none is filed twice
        assert verdict.retries["gen1"]  # the management system knew what came again


def test_an_agent_killed_during_a_backup_keeps_everything_and_the_next_backup_works(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
    ):
        send(plan(1, count=400), bench.url)
        until(lambda: not agent.ask("status")["converting"], 30)
        waiting = agent.ask("status")["messages"]
        # Not read any further, so the agent stands in the middle of sending.
        parts = follow(agent.data_dir, "backup")
        while "manifest" not in next(parts):
            pass
        assert (agent.data_dir / UNFINISHED / "agent.db").stat().st_size > 800_000
        agent.kill()
        parts.close()
        agent.start()
        assert not (agent.data_dir / UNFINISHED).exists()
        now = agent.ask("status")["messages"]
        assert sum(now.values()) == sum(waiting.values())
        assert "store-restored" not in agent.alarms()
        backed_up(agent, tmp_path / "out")
