"""What a person decides on the command line ends where it should: with the result filed, once."""

from pathlib import Path

import pytest
from end_to_end.lab import Bench, running_agent, running_broker, until

from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions
from simulators.central_desk import Reply

pytestmark = pytest.mark.broker

WRONG = '[site]\nspecimen_id = "[0-9]{3}"\n'


def one_result(bench: Bench) -> None:
    plan = Plan("lis02_generic", count=1, seed=1, samples=("worked_example",), analyser=bench.id)
    assert send(plan, bench.url).all_acknowledged


def test_what_was_held_for_a_wrong_setting_is_filed_once_after_it_was_corrected(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], tail=WRONG) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        one_result(bench)
        until(lambda: agent.ask("queue")["held"], 20, "held")
        [held] = agent.ask("queue")["held"]
        assert held["code"] == "specimen-id-shape"
        assert "`edge-agent retry --held --code specimen-id-shape`" in held["action"]

        # the negative control: while the setting is wrong it is held again, and nothing is sent
        assert agent.command("retry", f"t{held['transmission']}").returncode == 0
        until(lambda: not agent.ask("status")["converting"] and agent.ask("queue")["held"], 20, "held again")
        assert list(central.ledger.filings()) == []

        assert agent.stop() == 0
        text = agent.config.read_text(encoding="utf-8")
        agent.config.write_text(text.replace(WRONG, ""), encoding="utf-8")
        agent.start()
        assert agent.ask("queue")["held"]  # a restart alone releases nothing
        done = agent.command("retry", "--held", "--code", "specimen-id-shape", "--note", "three digits was wrong")
        assert (done.returncode, done.stderr) == (0, "")
        assert "read again" in done.stdout
        until(lambda: list(central.ledger.filings(filed_only=True)), 30, "filed")
        until(agent.nothing_waits, 30, "nothing waits")
        assert agent.ask("queue")["held"] == []
        filings = list(central.ledger.filings())
        assert len({f.msh10 for f in filings}) == 1
        assert all(f.filed for f in filings)
        until(lambda: "specimen-id-shape" not in agent.alarms(), 30, "the alarm is over")


def test_a_rejected_message_a_person_tries_again_is_filed_under_the_same_id(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        central.set_script(lambda _: Reply("AE", error="103"))  # table value not found: by itself in half an hour
        one_result(bench)
        until(lambda: agent.ask("queue", state="rejected")["messages"], 30, "rejected")
        [row] = agent.ask("queue", state="rejected")["messages"]
        central.set_script(None)
        done = agent.command("retry", row["id"], "--note", "the code is mapped there now")
        assert (done.returncode, done.stdout) == (0, f"{row['id']} goes out again, with the same id and content.\n")
        until(agent.nothing_waits, 30, "filed")
        filings = list(central.ledger.filings())
        assert {f.msh10 for f in filings} == {row["id"]}
        assert len({f.digest for f in filings}) == 1
        assert len({f.delivery for f in filings if f.filed}) == 1
        until(lambda: "rejected" not in agent.alarms(), 20, "the alarm is over")
        refused = agent.command("retry", row["id"])
        assert refused.returncode == 1
        assert "[already-filed]" in refused.stderr


def test_a_message_that_was_set_aside_is_never_filed_by_this_agent(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt="ack_timeout_s = 1\nretry_max_s = 1") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        central.set_script(lambda _: Reply("AE", error="103"))
        one_result(bench)
        until(lambda: agent.ask("queue", state="rejected")["messages"], 30, "rejected")
        [row] = agent.ask("queue", state="rejected")["messages"]
        assert agent.command("set-aside", row["id"], "--note", "entered by hand").returncode == 0
        central.set_script(None)
        until(lambda: "rejected" not in agent.alarms(), 20, "the alarm is over")
        assert agent.stop() == 0
        agent.start()
        one_result(bench)  # the same again: no way round the decision
        until(lambda: not agent.ask("status")["converting"], 20, "converted")
        assert list(central.ledger.filings(filed_only=True)) == []
        assert agent.ask("status")["messages"]["set-aside"] == 1
