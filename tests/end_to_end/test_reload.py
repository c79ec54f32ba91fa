"""The configuration is loaded anew while analysers send and results are in flight.

What did not change is not interrupted; a file that is wrong changes nothing; nothing is lost or doubled, counted by the
oracle at the wire.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from end_to_end.bad_input_cases import ENQ, EOT, HEADER, VALUE, Line, frames, order, patient, plain, result, tube
from end_to_end.lab import PREFIX, AgentProcess, Bench, running_agent, running_broker, until
from support_broker import Authority, Broker, running
from support_free_port import free_port
from support_publisher import watching

from simulators.analyser import Plan, SendReport, send
from simulators.central import Central, CentralOptions
from simulators.central_desk import Reply
from simulators.oracle import compare

pytestmark = pytest.mark.broker

QUICK = "ack_timeout_s = 2\nretry_max_s = 2"
RELOADS = int(os.environ.get("RELOADS", "20"))


def save(agent: AgentProcess, text: str) -> None:
    """As an editor does it: whole."""
    new = agent.config.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(agent.config)


def change(agent: AgentProcess, old: str, new: str) -> None:
    text = agent.config.read_text(encoding="utf-8")
    assert old in text
    save(agent, text.replace(old, new))


def since(agent: AgentProcess) -> Any:
    """When the connection to the broker came up."""
    return agent.ask("status")["broker"]["since"]


def connected(agent: AgentProcess) -> bool:
    return bool(agent.ask("status")["broker"]["connected"])


def filed(central: Central) -> list[str]:
    """Specimens, one for each result filed, in order."""
    return [f.observation.specimen for f in central.ledger.filings(filed_only=True)]


def given(bench: Bench, number: int) -> None:
    """The analyser gives one message and is told that we have it."""
    with Line(bench.port, []) as line:
        line.send(plain(tube(number), VALUE))
    assert line.answers == "A" * 6


class Traffic:
    """Analysers that send until told to stop."""

    def __init__(self, benches: list[Bench], rate: float = 15) -> None:
        self._benches = benches
        self._rate = rate
        self._stop = threading.Event()
        self.reports: dict[str, SendReport] = {}

    @contextmanager
    def flowing(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._send, args=(n, b)) for n, b in enumerate(self._benches)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)

    def _send(self, number: int, bench: Bench) -> None:
        plan = Plan(bench.profile, count=1_000_000, rate=self._rate, seed=500 + number, analyser=bench.id)
        self.reports[bench.id] = send(plan, bench.url, stop=self._stop)

    def all_filed_once(self, agent: AgentProcess, central: Central) -> None:
        until(agent.nothing_waits, 60, f"everything is filed; {agent.tail()}")
        rows = [row for report in self.reports.values() for row in report.rows]
        verdict = compare(rows, list(central.ledger.filings()))
        print(f"\n{verdict.table()}\n{verdict.sentence()}")
        assert verdict.acknowledged > 0
        assert verdict.flawless, verdict.table()


def test_an_analyser_in_the_middle_of_a_transmission_does_not_notice(tmp_path: Path) -> None:
    bench, other = Bench("gen1", "lis02_generic"), Bench("gen2", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt="window = 16") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        central.set_script(lambda _: Reply("AA", after_s=1.0))
        given(bench, 1)
        until(lambda: agent.ask("status")["messages"].get("at-broker"), 20, "one is in flight")
        first, *rest = frames(plain(tube(2), VALUE))
        with Line(bench.port, []) as line:
            line.say(ENQ)
            line.say(first)
            change(agent, "window = 16", "window = 9\nunfiled = 7")
            save(agent, agent.config.read_text(encoding="utf-8") + other.toml())
            done = agent.command("reload")
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.splitlines() == [
                "The configuration is loaded: analysers 1 started, 1 kept; connection to the broker new.",
                "  started: gen2",
                "  kept as they are: gen1",
            ]
            for piece in rest:
                line.say(piece)
            line.tell(EOT)
        assert line.answers == "A" * 6
        until(lambda: agent.ports_up() == {"gen1", "gen2"}, 20, "the new one is there")
        given(other, 3)
        until(lambda: len(filed(central)) == 3 and agent.nothing_waits(), 30, "all filed")
        assert sorted(filed(central)) == [tube(1), tube(2), tube(3)]
        assert len({f.msh10 for f in central.ledger.filings()}) == 3
        assert agent.alarms() == set()


def test_an_analyser_whose_own_table_changed_is_interrupted_and_sends_again(tmp_path: Path) -> None:
    """The negative control of the one above: here somebody does notice."""
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        with Line(bench.port, []) as line:
            for piece in (ENQ, *frames(plain(tube(1), VALUE))[:3]):
                line.say(piece)
            change(agent, 'profile = "lis02_generic"\n', 'profile = "lis02_generic"\npeer = ["127.0.0.1"]\n')
            answer = agent.ask("reload")
            assert (answer["restarted"], answer["kept"], answer["broker"]) == (["gen1"], [], "kept")
            assert line.hear() == ""  # hung up
        [broken] = agent.ask("trace", id="t1")["transmissions"]
        assert (broken["state"], broken["reason"]) == ("interrupted", "restart")
        until(lambda: agent.ports_up() == {"gen1"}, 20, "open again")
        given(bench, 1)
        until(lambda: filed(central) == [tube(1)] and agent.nothing_waits(), 30, "filed once")
        [broken] = agent.ask("trace", id="t1")["transmissions"]
        assert broken["state"] == "completed-by"


def test_a_file_that_is_half_saved_changes_nothing(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        good, before = agent.config.read_text(encoding="utf-8"), since(agent)
        cut = good.index("profile =") + 12
        save(agent, good[:cut])
        with Line(bench.port, []) as line:
            line.say(ENQ)
            done = agent.command("reload")
            assert (done.returncode, done.stdout) == (78, "")
            assert done.stderr.splitlines() == [
                f"{agent.config}:{good[:cut].count(chr(10)) + 1}: is not TOML: Unterminated string",
                "The configuration has one mistake. [configuration]",
                "Correct the lines above, then run `check`.",
            ]
            assert agent.alarms() == {"configuration"}
            shown = agent.command("status")
            assert (shown.returncode, "[configuration]" in shown.stdout) == (1, True), shown.stderr
            for piece in frames(plain(tube(1), VALUE)):
                line.say(piece)
            line.tell(EOT)
        assert line.answers == "A" * 6
        until(lambda: filed(central) == [tube(1)], 20, "filed as if nothing had been")
        assert since(agent) == before
        save(agent, good)
        assert agent.command("reload").returncode == 0
        assert agent.alarms() == set()
        assert since(agent) == before


def test_a_signal_does_the_same_and_a_wrong_file_is_said_once(tmp_path: Path) -> None:
    bench, other = Bench("gen1", "lis02_generic"), Bench("gen2", "lis02_generic")
    with (
        running(Broker(tmp_path / "broker")) as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
    ):
        assert agent.process is not None
        good = agent.config.read_text(encoding="utf-8")
        save(agent, good.replace("production", "prodution"))
        agent.process.send_signal(signal.SIGHUP)
        until(lambda: "configuration" in agent.alarms(), 20, "the alarm")
        agent.process.send_signal(signal.SIGHUP)
        save(agent, good + other.toml())
        agent.process.send_signal(signal.SIGHUP)
        until(lambda: agent.ports_up() == {"gen1", "gen2"}, 20, "the new one is there")
        assert agent.alarms() <= {"broker-down"}
        log = agent.log.read_text(encoding="utf-8")
        assert log.count("must be 'production' or 'validation'") == 1
        assert "Reloaded for SIGHUP: analysers 1 started, 1 kept; connection to the broker kept." in log


def test_what_needs_a_restart_loads_nothing_of_the_file(tmp_path: Path) -> None:
    bench, other = Bench("gen1", "lis02_generic"), Bench("gen2", "lis02_generic")
    with (
        running(Broker(tmp_path / "broker")) as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
    ):
        good = agent.config.read_text(encoding="utf-8")
        save(agent, good.replace('gateway = "gw-01"', 'gateway = "gw-02"') + other.toml())
        done = agent.command("reload")
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            "Nothing was loaded: another gateway needs a restart. [restart-needed]",
            "Restart the agent, or put the old value back and reload.",
        ]
        assert [a["id"] for a in agent.ask("status")["analysers"]] == ["gen1"]
        assert "configuration" in agent.alarms()
        save(agent, good + other.toml())  # the negative control: the rest of it can be loaded
        assert agent.ask("reload")["started"] == ["gen2"]
        assert "configuration" not in agent.alarms()


def test_a_certificate_that_cannot_be_used_is_refused_and_a_renewed_one_is_used(tmp_path: Path) -> None:
    bench, authority = Bench("gen1", "lis02_generic"), Authority(tmp_path)
    certificate, key = authority.issue("gw-01")
    broker = Broker(tmp_path / "broker", tls=(authority.file, authority.issue("broker")), client_certificates=True)
    names = f'ca_file = "{authority.file}"\ncert_file = "{certificate}"\nkey_file = "{key}"'
    pair = authority.issue("ivd")
    options = CentralOptions(
        broker.url, validate="none", ca_file=str(authority.file), cert_file=str(pair[0]), key_file=str(pair[1])
    )
    with (
        running(broker),
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt=names) as agent,
        Central(options) as central,
    ):
        until(lambda: connected(agent), 20, "connected")
        until(lambda: agent.alarms() == set(), 20, "well")
        before, kept_key = since(agent), key.read_bytes()
        key.unlink()
        done = agent.command("reload")
        assert done.returncode == 78
        assert f"mqtt.key_file: {key} does not exist" in done.stderr
        key.write_bytes(authority.issue("other")[1].read_bytes())
        done = agent.command("reload")
        assert done.returncode == 78
        assert f"mqtt.cert_file: {certificate} does not belong to its key_file" in done.stderr
        given(bench, 1)
        until(lambda: filed(central) == [tube(1)], 20, "the old connection is in use")
        assert since(agent) == before

        key.write_bytes(kept_key)
        assert agent.ask("reload")["broker"] == "kept"  # the negative control: the content is as it was
        central.set_script(lambda _: Reply("AA", after_s=1.5))
        given(bench, 2)
        until(lambda: agent.ask("status")["messages"].get("at-broker"), 20, "one is in flight")
        authority.issue("gw-01")  # under the same names
        assert agent.ask("reload")["broker"] == "new"
        until(lambda: connected(agent), 20, "connected by the renewed one")
        until(lambda: filed(central) == [tube(1), tube(2)] and agent.nothing_waits(), 30, "filed")
        assert len({f.msh10 for f in central.ledger.filings()}) == len({f.delivery for f in central.ledger.filings()})


def test_what_is_stored_of_an_analyser_that_is_removed_is_delivered(tmp_path: Path) -> None:
    stays, goes = Bench("gen1", "lis02_generic"), Bench("gen2", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", f"mqtt://127.0.0.1:{free_port()}", [stays, goes], mqtt=QUICK) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
        watching(broker, f"{PREFIX}/analyser/+/state") as seen,
    ):
        given(goes, 1)
        with Line(goes.port, []) as line:
            for piece in (ENQ, *frames([HEADER, patient(), order(tube(2)), result(VALUE), order(tube(3), 2)])):
                line.say(piece)
            text = agent.config.read_text(encoding="utf-8").replace(goes.toml(), "")
            save(agent, text)
            assert agent.ask("reload")["stopped"] == ["gen2"]
            assert line.hear() == ""
        assert {a["id"] for a in agent.ask("status")["analysers"]} == {"gen1"}
        until(lambda: agent.alarms() == {"broker-down", "interrupted"}, 20, "what is true of what is stored stays up")
        with pytest.raises(ConnectionRefusedError):
            Line(goes.port, [])
        address = text[text.index("mqtt://") : text.index('"]')]
        save(agent, text.replace(address, broker.url))
        assert agent.ask("reload")["broker"] == "new"
        # It broke off in tube 3; tube 2 was complete before the level fell from R to O (LIS02-A2 4.2).
        until(lambda: set(filed(central)) == {tube(1), tube(2)} and agent.nothing_waits(), 30, "delivered")
        until(lambda: any(m.topic.endswith("/gen1/state") for m in seen), 20, "the other's state is told")
        assert not [m for m in seen if m.topic.endswith("/gen2/state") and m.payload]
        save(agent, agent.config.read_text(encoding="utf-8") + goes.toml())
        assert agent.ask("reload")["started"] == ["gen2"]
        until(lambda: any(m.topic.endswith("/gen2/state") and m.payload for m in seen), 20, "told again")
        save(agent, text.replace(address, broker.url))
        agent.ask("reload")
        until(lambda: [m.payload for m in seen if m.topic.endswith("/gen2/state")][-1] == b"", 20, "cleared")


def test_the_new_hash_is_told_and_who_asked_is_on_record(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running(Broker(tmp_path / "broker")) as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        watching(broker, f"{PREFIX}/info") as seen,
    ):
        until(lambda: seen, 20, "info")
        entries = agent.ask("status")["store"]["audit"]["entry"]
        save(agent, agent.config.read_text(encoding="utf-8") + "# a remark\n")
        answer = agent.ask("reload")
        assert (answer["kept"], answer["broker"]) == (["gen1"], "kept")
        until(lambda: json.loads(seen[-1].payload)["config_hash"] == answer["config_hash"], 20, "told")
        assert agent.ask("status")["store"]["audit"]["entry"] == entries + 1


@pytest.mark.slow
def test_the_broker_s_address_is_changed_and_changed_back_under_load(tmp_path: Path) -> None:
    traffic = Traffic([gen1 := Bench("gen1", "lis02_generic"), xn1 := Bench("xn1", "sysmex_xn")])
    with (
        running_broker(tmp_path / "one") as one,
        running_broker(tmp_path / "two") as two,
        running_agent(tmp_path / "agent", one.url, [gen1, xn1], mqtt=QUICK) as agent,
        Central(CentralOptions(one.url, validate="none")) as central,
    ):
        with traffic.flowing():
            assert central.wait_until(lambda totals: totals["filed_results"] > 0, 60)
            for there in (two.url, f"mqtt://127.0.0.1:{free_port()}"):
                known = central.ledger.totals()["filed_results"]
                change(agent, one.url, there)
                assert agent.ask("reload")["broker"] == "new"
                until(lambda: agent.ask("status")["messages"].get("queued", 0) > 5, 30, "it piles up")
                change(agent, there, one.url)
                assert agent.ask("reload")["broker"] == "new"
                assert central.wait_until(lambda totals, known=known: totals["filed_results"] > known, 60)
        traffic.all_filed_once(agent, central)
        for report in traffic.reports.values():
            assert (report.resends, report.link_losses) == (0, 0)


@pytest.mark.slow
def test_many_reloads_under_load_cost_nothing(tmp_path: Path) -> None:
    gen1, xn1 = Bench("gen1", "lis02_generic"), Bench("xn1", "sysmex_xn")
    extra = Bench("gen9", "lis02_generic")
    traffic = Traffic([gen1, xn1])
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [gen1, xn1], mqtt=f"{QUICK}\nwindow = 16") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        good = agent.config.read_text(encoding="utf-8")
        variants = [
            good + extra.toml(),
            good.replace("window = 16", "window = 4"),
            good.replace('id = "xn1"', 'id = "xn1"\npeer = ["127.0.0.1"]') + extra.toml(),
            good + '[hl7]\nreceiving_application = "LIS"\n',
        ]
        with traffic.flowing():
            assert central.wait_until(lambda totals: totals["filed_results"] > 0, 60)
            for number in range(RELOADS):
                known = central.ledger.totals()["filed_results"]
                save(agent, variants[number % len(variants)])
                answer = agent.ask("reload")
                assert "gen1" in answer["kept"]
                assert central.wait_until(lambda totals, known=known: totals["filed_results"] > known, 60)
        traffic.all_filed_once(agent, central)
        kept, restarted = traffic.reports["gen1"], traffic.reports["xn1"]
        assert (kept.resends, kept.link_losses, kept.reasons) == (0, 0, [])
        assert restarted.link_losses > 0  # the negative control: this one's own table changed
