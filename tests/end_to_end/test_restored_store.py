"""A store put back by copying files is recognised, said, and gives out no message id twice."""

import shutil
from pathlib import Path

import pytest
from end_to_end.lab import Bench, running_agent, running_broker, until

from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker


def test_a_restored_copy_goes_on_under_a_new_identity_and_says_so(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        send(Plan("lis02_generic", count=2, seed=1, samples=("worked_example",), analyser="gen1"), bench.url)
        until(agent.nothing_waits, 30, "filed")
        agent.stop()
        shutil.copytree(agent.data_dir, tmp_path / "copy")
        agent.start()
        send(Plan("lis02_generic", count=2, seed=2, samples=("worked_example",), analyser="gen1"), bench.url)
        until(agent.nothing_waits, 30, "filed")
        before = {f.msh10 for f in central.ledger.filings()}
        agent.stop()
        for name in ("agent.db", "agent.db-wal"):
            (agent.data_dir / name).unlink(missing_ok=True)
            if (tmp_path / "copy" / name).exists():
                shutil.copy(tmp_path / "copy" / name, agent.data_dir / name)
        agent.start()
        assert "store-restored" in agent.alarms()
        send(Plan("lis02_generic", count=2, seed=3, samples=("worked_example",), analyser="gen1"), bench.url)
        until(agent.nothing_waits, 30, "filed")
        after = {f.msh10 for f in central.ledger.filings()} - before
        assert after
        assert {m[:8] for m in after}.isdisjoint({m[:8] for m in before})
