"""A person says production: what was received in validation stays there, what comes after are patients' results."""

from pathlib import Path

import pytest
from end_to_end.lab import Bench, running_agent, running_broker, until

from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions
from simulators.central_desk import Reply

pytestmark = pytest.mark.broker


def one_result(bench: Bench, seed: int) -> None:
    plan = Plan("lis02_generic", count=1, seed=seed, samples=("worked_example",), analyser=bench.id)
    assert send(plan, bench.url).all_acknowledged


def processing_ids(central: Central) -> list[str]:
    """MSH-11 of every message in the order of arrival."""
    seen = dict.fromkeys(f.msh10 for f in central.ledger.filings(filed_only=True))
    return [(central.ledger.payload(id_) or b"").decode().split("|")[10] for id_ in seen]


def test_what_was_queued_in_validation_stays_there_when_production_begins(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic", mode="validation")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt="ack_timeout_s = 1\nretry_max_s = 1") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        one_result(bench, seed=1)
        until(lambda: len(processing_ids(central)) == 1, 30, "filed")
        central.set_script(lambda _: Reply("AE", error="207"))  # not now: what comes next waits
        one_result(bench, seed=2)
        until(lambda: agent.ask("queue", state="rejected")["messages"], 30, "refused for the moment")

        looked = agent.command("production", "gen1")
        assert (looked.returncode, looked.stderr) == (0, "")
        assert "1 filed, 1 rejected" in looked.stdout
        before = agent.config.read_text(encoding="utf-8")
        done = agent.command("production", "gen1", "--yes", "--note", "40 results compared")
        assert (done.returncode, done.stderr) == (0, "")
        after = agent.config.read_text(encoding="utf-8")
        assert after == before.replace('mode = "validation"', 'mode = "production"')

        one_result(bench, seed=3)
        central.set_script(None)
        until(lambda: len(processing_ids(central)) == 3, 60, "all filed")
        assert sorted(processing_ids(central)) == ["P", "T", "T"]
        until(agent.nothing_waits, 30, "nothing waits")
        one_result(bench, seed=1)  # a sample of the validation sent again: now a patient's result of its own
        until(lambda: len(processing_ids(central)) == 4, 30, "filed")
        assert sorted(processing_ids(central)) == ["P", "P", "T", "T"]
