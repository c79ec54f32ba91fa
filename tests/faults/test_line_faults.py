"""One thing goes wrong on the line in each transmission, of ten kinds, and the analyser does what its standard says."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from end_to_end.lab import AgentProcess, Bench, running_broker, started, until
from faults.analyser_line import KINDS, SERIAL_KINDS, Fault, FaultyLine, FaultySerial, FaultyTcp
from faults.defective import DefectiveAgent
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import chance, many, seed

from simulators.analyser import Analyser, Plan, SendReport
from simulators.analyser_ledger import AnalyserLedger
from simulators.central import Central, CentralOptions
from simulators.devices import device
from simulators.lines import open_port
from simulators.lis01_sender import Timers
from simulators.oracle import Verdict, compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

FAULTY = "one fault of ten kinds in each transmission, TCP and serial"
QUICK = "ack_timeout_s = 5\nretry_max_s = 2"
PROFILES = ("lis02_generic", "sysmex_xn", "horiba_yumizen", "cepheid_genexpert", "lis02_generic", "sysmex_xn")
TIMERS = Timers(reply_s=3.0, busy_s=0.2)  # an analyser of little patience
LATE_S = (3.1, 3.6)


@dataclass
class FaultySender:
    """An analyser on a faulty line. The next fault is armed when a transmission is over, one way or the other."""

    bench: Bench
    line: FaultyLine
    kinds: Sequence[str]
    count: int
    report: SendReport = field(init=False)

    def run(self) -> None:
        draw = chance(f"{FAULTY} {self.bench.id}")
        first = draw.randrange(len(self.kinds))
        order = [self.kinds[n % len(self.kinds)] for n in range(first, first + self.count)]
        draw.shuffle(order)

        def next_fault(report: SendReport) -> None:
            analyser.hang_up()  # what is still under way must not be taken for an answer to what comes next
            until(lambda: self.line.quiet, 20, "the connection is over")
            if order:
                kind = order.pop()
                at = draw.randrange(6) if kind.startswith("answer") else draw.randrange(400)
                self.line.arm(Fault(kind, at, draw, draw.uniform(*LATE_S)))

        plan = Plan(self.bench.profile, count=self.count + 1, seed=seed(), analyser=self.bench.id)
        analyser = Analyser(
            plan,
            device(plan.device),
            open_port(self.line.url),
            AnalyserLedger(),
            TIMERS,
            threading.Event(),
            lambda _: None,
        )
        next_fault(analyser.report)
        self.report = analyser.run(next_fault)
        analyser.hang_up()


@contextmanager
def faulty_lines(count: int) -> Iterator[list[FaultySender]]:
    """Six over TCP and two on serial lines."""
    with ExitStack() as stack:
        tcp = [Bench(f"tcp{n}", profile) for n, profile in enumerate(PROFILES)]
        senders = [FaultySender(b, stack.enter_context(FaultyTcp(b.port)), KINDS, count) for b in tcp]
        for n, profile in enumerate(PROFILES[:2]):
            line = stack.enter_context(FaultySerial())
            bench = Bench(f"serial{n}", profile, transport=f"serial://{line.agent_end}")
            senders.append(FaultySender(bench, line, SERIAL_KINDS, count))
        yield senders


def sent_over(agent: AgentProcess, broker_url: str, senders: Sequence[FaultySender]) -> Verdict:
    with Central(CentralOptions(broker_url, validate="none")) as central, started(agent):
        until(lambda: len(agent.ports_up()) == len(senders), 20, "the serial ports are open")
        threads = [threading.Thread(target=sender.run, name=sender.bench.id) for sender in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(3600)
        until(agent.nothing_waits, 120, "everything is filed")
        return compare([row for s in senders for row in s.report.rows], list(central.ledger.filings()))


def test_nothing_is_lost_doubled_or_altered_on_a_faulty_line(tmp_path: Path, outcomes: Outcomes) -> None:
    with running_broker(tmp_path / "broker") as broker, faulty_lines(many(sample=7, full=250)) as senders:
        (tmp_path / "agent").mkdir()
        agent = AgentProcess(tmp_path / "agent", broker.url, [s.bench for s in senders], mqtt=QUICK)
        verdict = sent_over(agent, broker.url, senders)
    happened = sum((Counter(sender.line.happened) for sender in senders), Counter[str]())
    assert all(sender.report.all_acknowledged for sender in senders)
    note = ", ".join(f"{kind} {happened[kind]}" for kind in KINDS)
    outcomes.verdict(FAULTY, RANDOM, happened.total(), verdict, note=note)


@pytest.mark.every(2)
def test_control_the_same_faults_are_found_where_no_sum_is_checked(tmp_path: Path, outcomes: Outcomes) -> None:
    with running_broker(tmp_path / "broker") as broker, ExitStack() as stack:
        benches = [Bench(f"tcp{n}", "sysmex_xn") for n in range(3)]
        senders = [FaultySender(b, stack.enter_context(FaultyTcp(b.port)), ["flip"], 6) for b in benches]
        (tmp_path / "agent").mkdir()
        agent = DefectiveAgent(tmp_path / "agent", broker.url, benches, mqtt=QUICK)
        agent.switch_off("believe-every-sum")
        verdict = sent_over(agent, broker.url, senders)
    found = Counter(f.kind for f in verdict.faults)
    assert found
    said = ", ".join(f"{number} {name}" for name, number in sorted(found.items()))
    outcomes.control(FAULTY, "checksum ignored, bits turned", f"{said}, of {verdict.acknowledged}")
