"""A laboratory whose broker, line to the broker and management system are broken while analysers send.

One laboratory serves the scenarios of a file, one after another; each is judged by what was sent and filed in its time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from end_to_end.lab import GATEWAY, AgentProcess, Bench, started, until
from faults.defective import DefectiveAgent
from faults.faulty_line import FaultyLine
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import chance, many
from faults.traffic import Traffic
from paho.mqtt.enums import CallbackAPIVersion
from support_broker import HOST, Authority, Broker, running

from simulators.central import Central, CentralOptions
from simulators.central_ledger import Filing
from simulators.oracle import Verdict, compare

QUICK = "ack_timeout_s = 1\nretry_max_s = 1\nkeepalive_s = 5"
ALL_ALLOWED = "topic readwrite #\npattern readwrite #\n"
PATIENCE_S = 90.0  # health, by which the gateway sees that it may speak again, goes out every 60
OTHER_STATE = "ivd/v1/_central/ivd/central-2/state"


def two_benches() -> list[Bench]:
    return [Bench("gen1", "lis02_generic"), Bench("xn1", "sysmex_xn")]


@dataclass
class BrokerLab:
    folder: Path
    broker: Broker
    line: FaultyLine
    agent: AgentProcess
    central: Any  # a Central, or a process that is one
    benches: list[Bench]
    rate: float = 15.0

    def tried(self, outcomes: Outcomes, scenario: str, full: int, fault: Callable[[], None], note: str = "") -> None:
        """``fault`` is caused, and over, while analysers send: once in a sample, ``full`` times in a full run."""
        trials = many(sample=1, full=full)
        verdict = self.judged(scenario, lambda: [fault() for _ in range(trials)])
        outcomes.verdict(scenario, RANDOM, trials, verdict, note=note)

    def judged(self, scenario: str, work: Callable[[], object], *, drained: bool = True) -> Verdict:
        """What the oracle says of everything sent while ``work`` ran."""
        before = {filing.msh10 for filing in self.filings()}
        with self.traffic(scenario) as traffic:
            self.something_filed()
            work()
            traffic.stop()
        if drained:
            self.all_filed(scenario)
        return compare(traffic.rows, [f for f in self.filings() if f.msh10 not in before])

    def all_filed(self, after: str) -> None:
        try:
            until(self.agent.nothing_waits, 2 * PATIENCE_S, "everything is filed")
        except AssertionError as error:
            raise AssertionError(f"{error} after: {after}\n{self.waiting()}") from None

    def traffic(self, scenario: str, **more: Any) -> Traffic:
        """``more``: of each analyser's plan."""
        return Traffic(self.benches, chance(scenario).randrange(1, 10**9), rate=self.rate, **more)

    def something_filed(self) -> None:
        """The way through is open: one more result is filed than before."""
        known = self.central.ledger.totals()["filed_results"]
        filed = self.central.wait_until(lambda totals: totals["filed_results"] > known, PATIENCE_S)
        assert filed, f"nothing is filed any more\n{self.waiting()}"

    def filings(self) -> list[Filing]:
        return list(self.central.ledger.filings())

    def waiting(self) -> str:
        """For the words of a failure."""
        status = self.agent.ask("status")
        return f"{status['messages']} {sorted(self.agent.alarms())} {status['broker']}\n{self.agent.tail()}"

    def comes(self, code: str, patience: float = 20.0) -> None:
        until(lambda: code in self.agent.alarms(), patience, f"the alarm {code}")

    def goes(self, code: str, patience: float = PATIENCE_S) -> None:
        until(lambda: code not in self.agent.alarms(), patience, f"the alarm {code} is over")

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """A word of somebody else at the broker."""
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect(HOST, self.broker.port)
        client.loop_start()
        client.publish(topic, payload, 1, retain).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()

    @contextmanager
    def claimed_online(self) -> Iterator[None]:
        """Another instance of the management system says that it is there, so nothing is held back, and is not."""
        self.say(OTHER_STATE, b'{"online": true, "timestamp": 1}', retain=True)
        try:
            yield
        finally:
            self.say(OTHER_STATE, b"", retain=True)


def lost_by_resets(lab: BrokerLab) -> tuple[int, Verdict]:
    """For a control: how much is lost when the connection is reset again and again, until something is."""

    def resets() -> None:
        for _ in range(4):
            lab.line.reset()
            lab.something_filed()

    for _ in range(20):
        verdict = lab.judged("connections reset", resets)
        if lost := len(verdict.of("lost")):
            break
    return lost, verdict


def gateway_files(authority: Authority) -> list[str]:
    cert_file, key_file = authority.issue(GATEWAY)
    return [f'ca_file = "{authority.file}"', f'cert_file = "{cert_file}"', f'key_file = "{key_file}"']


@contextmanager
def broker_lab(
    folder: Path,
    *,
    mqtt: str = QUICK,
    settings: Mapping[str, str] | None = None,
    defect: str = "",
    central: Callable[[str], AbstractContextManager[Any]] | None = None,
    program: type[DefectiveAgent] = DefectiveAgent,
    benches: Sequence[Bench] = (),
    authority: Authority | None = None,
) -> Iterator[BrokerLab]:
    """``settings``: of the broker, beside those every laboratory here has. ``defect``: of the agent, see defective.

    ``authority``: everybody has a certificate of it, and the broker wants to see it.
    """
    lines = {"max_queued_messages": "100000", "persistence": "true", "persistence_location": f"{folder}/broker/"}
    lines |= settings or {}
    extra = [f"{name} {value}" for name, value in lines.items()]
    tls = None if authority is None else (authority.file, authority.issue("broker"))
    broker = Broker(folder / "broker", extra=extra, acl=ALL_ALLOWED, tls=tls, client_certificates=tls is not None)
    options = CentralOptions(broker.url, validate="none")
    if authority is not None:
        files = dict(zip(("cert_file", "key_file"), map(str, authority.issue("central")), strict=True))
        options = replace(options, ca_file=str(authority.file), **files)
        mqtt = "\n".join([mqtt, *gateway_files(authority)])
    at, agent_folder = list(benches) or two_benches(), folder / "agent"
    agent_folder.mkdir()
    with running(broker), FaultyLine(broker.port, tls=tls is not None) as line:
        agent = program(agent_folder, line.url.replace("mqtt:", "mqtts:") if tls else line.url, at, mqtt)
        if defect:
            agent.switch_off(defect)
        with started(agent), Central(options) if central is None else central(broker.url) as system:
            yield BrokerLab(folder, broker, line, agent, system, at)
