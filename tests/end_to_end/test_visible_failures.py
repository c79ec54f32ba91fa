"""What goes wrong in delivery shows as what it is, in `status`, in the log and on an alarm topic, and goes away."""

from pathlib import Path

import pytest
from end_to_end.lab import GATEWAY, PREFIX, SITE, AgentProcess, Bench, running_agent, running_broker, until
from end_to_end.onlooker import Onlooker, onlooker
from support_broker import Broker, running

from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions
from simulators.central_desk import Reply

pytestmark = pytest.mark.broker

QUICK = "ack_timeout_s = 2\nretry_max_s = 2"


def some_results(bench: Bench, count: int = 1, seed: int = 1) -> None:
    assert send(Plan(bench.profile, count=count, seed=seed, analyser=bench.id), bench.url).all_acknowledged


def shows(agent: AgentProcess, seen: Onlooker, code: str) -> None:
    """The alarm is up in status (which then says that a person is needed), on its topic, and once in the log."""
    until(lambda: code in agent.alarms(), 40, f"{code} in status; {agent.alarms()}")
    status = agent.command("status")
    assert status.returncode == 1
    assert status.stdout.startswith("A person is needed")
    assert f"[{code}]" in status.stdout
    until(lambda: any(a["text_key"] == code for a in seen.alarms().values()), 20, f"alarm/{code}")
    log = agent.log.read_text(encoding="utf-8")
    lines = [line for line in log.splitlines() if f"({code}" in line and "Over since now" not in line]
    assert len(lines) == 1, lines


def goes_away(agent: AgentProcess, seen: Onlooker, code: str) -> None:
    until(lambda: code not in agent.alarms(), 60, f"{code} is over")
    until(lambda: not any(a["text_key"] == code for a in seen.alarms().values()), 20, f"alarm/{code} is cleared")
    until(lambda: agent.nothing_waits(), 60, "everything is filed")


def test_a_topic_the_broker_forbids(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    everything = "topic readwrite #\n"
    own = ("state", "info", "health", "alarm/#", "analyser/#", "down/#", "up/manifest")
    nothing_up = "".join(f"topic readwrite {PREFIX}/{name}\n" for name in own)
    central_rights = "topic readwrite ivd/v1/_central/#\n"
    with (
        running(Broker(tmp_path / "broker", acl=nothing_up + central_rights)) as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt=QUICK) as agent,
        onlooker("127.0.0.1", broker.port, PREFIX) as seen,
        Central(CentralOptions(broker.url, validate="none")),
    ):
        some_results(bench)
        shows(agent, seen, "broker-refused")
        [waiting] = agent.ask("queue")["messages"]
        assert waiting["state"] == "queued"
        broker.set_acl(everything)
        broker.reload()
        goes_away(agent, seen, "broker-refused")


def test_nobody_who_takes_results(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt=QUICK) as agent,
        onlooker("127.0.0.1", broker.port, PREFIX, "alarm/#") as seen,
    ):
        some_results(bench)
        shows(agent, seen, "no-subscriber")
        with Central(CentralOptions(broker.url, validate="none")):
            goes_away(agent, seen, "no-subscriber")


def test_a_management_system_that_rejects(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt=QUICK) as agent,
        onlooker("127.0.0.1", broker.port, PREFIX) as seen,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        central.set_script(lambda _: Reply("AE", error="207"))
        some_results(bench)
        shows(agent, seen, "rejected")
        [waiting] = agent.ask("queue")["messages"]
        assert waiting["state"] == "rejected"
        central.set_script(None)
        goes_away(agent, seen, "rejected")


def test_a_message_that_is_too_large_for_the_broker(tmp_path: Path) -> None:
    benches = [Bench("xn1", "sysmex_xn"), Bench("gen1", "lis02_generic")]
    with (
        running_broker(tmp_path / "broker", extra=("max_packet_size 2500",)) as broker,
        running_agent(tmp_path / "agent", broker.url, benches, mqtt=QUICK) as agent,
        onlooker("127.0.0.1", broker.port, PREFIX) as seen,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        assert send(
            Plan("sysmex_xn", count=1, seed=5, samples=("cbc_one_frame",), analyser="xn1"), benches[0].url
        ).all_acknowledged
        shows(agent, seen, "blocked")
        [waiting] = agent.ask("queue")["messages"]
        assert waiting["state"] == "blocked"
        assert send(
            Plan("lis02_generic", count=1, seed=6, samples=("worked_example",), analyser="gen1"),
            benches[1].url,
        ).all_acknowledged
        until(lambda: {f.analyser for f in central.ledger.filings(filed_only=True)} == {"gen1"}, 30, "others pass")


def test_presence_is_told_from_birth_to_a_clean_end_and_a_kill(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt="will_delay_s = 0") as agent,
        onlooker("127.0.0.1", broker.port, PREFIX) as seen,
    ):
        until(lambda: (seen.json("state") or {}).get("state") in ("ready", "degraded"), 20, "birth")
        born = seen.json("state")["session"]
        assert seen.json("info")["site"] == SITE
        assert seen.json("info")["gateway"] == GATEWAY
        until(lambda: seen.json("health"), 20, "health")
        until(lambda: (seen.json("analyser/gen1/state") or {}).get("link") == "up", 20, "the link is up")
        agent.kill()
        until(lambda: seen.json("state")["state"] == "lost", 20, "the will")
        assert seen.json("state")["session"] == born
        agent.start()
        until(lambda: seen.json("state")["state"] in ("ready", "degraded"), 20, "born again")
        assert seen.json("state")["session"] != born
        assert agent.stop() == 0
        until(lambda: seen.json("state")["state"] == "offline", 20, "a clean end")
