"""Analysers that talk nonsense without end, callers without number: the others are served, and nothing grows."""

import os
import socket
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from end_to_end.bad_input_cases import END, ENQ, EOT, Line, frame, order, patient, plain, result, tube
from end_to_end.lab import ROOT, AgentProcess, Bench, running_agent, running_broker, started, until
from faults.defective import DefectiveAgent
from faults.in_process import desk
from faults.outcomes_file import ENUMERATED, RANDOM, Outcome, Outcomes
from faults.scale import FULL, chance, many, seed
from faults.traffic import Traffic

from drivers.protocols.lis01 import Dialect, FrameReceived, Receiver, Refused
from edge_agent.evidence import Evidence
from edge_agent.transport.tcp_server import CAP
from simulators.central import Central, CentralOptions
from simulators.oracle import compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

BABBLE = "endless nonsense on five ports while another analyser sends"
CALLERS = "200 callers that send a byte now and then, callers without number, and strangers"
LARGE = "messages of 64 KB frames, of 5 MB with images, and one without end"
MOST_RSS_MB = 150
MOST_KEPT_MB = 120  # 16 MB of each link, a megabyte more of each open transmission, and the log before its checkpoint
MESSAGE_MB = 0.01  # what one of the other analyser's takes: frames, HL7, entries of the chain
MB = 1024 * 1024

# What is sent again and again, and how many megabytes of it in a sample and in a full run.
NONSENSE = {
    "x": (b"x" * 65_536, 2.0, 1000.0),
    "endless": (b"\x05\x021" + b"y" * 65_536, 12.0, 1000.0),
    "stx": (b"\x02" * 65_536, 0.08, 20.0),
    "enq": (b"\x05" * 65_536, 0.08, 20.0),
    "random": (b"", 0.15, 20.0),
}


@dataclass
class Receipt:
    chunks: int = 1


@dataclass
class Size:
    """What a process takes, from /proc."""

    rss_mb: int
    threads: int
    files: int

    @classmethod
    def of(cls, agent: AgentProcess) -> "Size":
        assert agent.process is not None
        pid = agent.process.pid
        facts = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
            if ":" in line
        )
        files = len(os.listdir(f"/proc/{pid}/fd"))
        return cls(int(facts["VmHWM"].split()[0]) // 1024, int(facts["Threads"]), files)

    def steady(self, before: "Size") -> bool:
        return abs(self.threads - before.threads) <= 2 and abs(self.files - before.files) <= 2


@dataclass
class Babbler:
    """Sends, and reads what comes back, so that neither side's buffers end it."""

    port: int
    piece: bytes
    size: int
    sent: int = 0
    _connection: socket.socket = field(init=False)

    def run(self) -> None:
        draw = chance(f"{BABBLE} {self.port}")
        with socket.create_connection(("127.0.0.1", self.port), 20) as self._connection:
            self._connection.settimeout(600)
            listener = threading.Thread(target=self._listen)
            listener.start()
            while self.sent < self.size:
                piece = (self.piece or draw.randbytes(65_536))[: self.size - self.sent]
                self._connection.sendall(piece)
                self.sent += len(piece)
            self._connection.shutdown(socket.SHUT_WR)
            listener.join()

    def _listen(self) -> None:
        with suppress(OSError):
            while self._connection.recv(65_536):
                pass


def store_mb(agent: AgentProcess) -> float:
    return sum(file.stat().st_size for file in agent.data_dir.glob("*") if file.is_file()) / MB


def test_nonsense_without_end_harms_nobody_else(tmp_path: Path, outcomes: Outcomes) -> None:
    benches = {name: Bench(f"babble-{name}", "lis02_generic") for name in NONSENSE}
    good = Bench("good", "sysmex_xn")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [*benches.values(), good], mqtt="ack_timeout_s = 10") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        with Traffic([good], seed(), rate=5, count=3) as warm:
            warm.join()
        before, stored = Size.of(agent), store_mb(agent)
        babblers = [
            Babbler(benches[name].port, piece, int((full if FULL else sample) * 1e6))
            for name, (piece, sample, full) in NONSENSE.items()
        ]
        threads = [threading.Thread(target=babbler.run) for babbler in babblers]
        with Traffic([good], seed() + 1, rate=10) as traffic:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(7200)
            traffic.stop()
            until(agent.nothing_waits, 120, "everything is filed")
            verdict = compare([*warm.rows, *traffic.rows], list(central.ledger.filings()))
        until(
            lambda: Size.of(agent).steady(before),
            60,
            f"as many files and threads as before: {before}, {Size.of(agent)}",
        )
        after, grown = Size.of(agent), store_mb(agent) - stored
        results_mb = central.ledger.totals()["filed_messages"] * MESSAGE_MB
    sent = sum(babbler.sent for babbler in babblers) / 1e6
    assert after.rss_mb <= MOST_RSS_MB
    assert grown <= MOST_KEPT_MB + results_mb
    note = f"{sent:.0f} MB of nonsense; at most {after.rss_mb} MB of memory; the store grew by {grown:.0f} MB"
    outcomes.verdict(BABBLE, RANDOM, len(babblers), verdict, note=note)


def test_control_without_a_bound_on_evidence_the_store_takes_all_of_it(
    monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes
) -> None:
    def kept() -> int:
        with desk() as lab:
            lab.hear(*[b"x" * 65_536] * 40)
            (found,) = lab.store.do(lambda s: s.next_unconverted(10))
        return sum(len(c.chunk.raw) for c in found.chunks)

    assert kept() <= MB
    monkeypatch.setattr(Evidence, "_has_room", lambda self, chunk: True)
    assert kept() == 40 * 65_536
    outcomes.control(BABBLE, "no bound on evidence", "2.6 of 2.6 MB kept; 1 MB with it")


def crowd(port: int, number: int, source: str = "") -> list[socket.socket]:
    """So many callers, as far as they get through; those turned away find out when they write."""
    found = []
    for _ in range(number):
        with suppress(OSError):
            found.append(socket.create_connection(("127.0.0.1", port), 5, (source, 0) if source else None))
    return found


def say_something(callers: list[socket.socket]) -> None:
    for caller in callers:
        with suppress(OSError):
            caller.send(b"x")


def connections(agent: AgentProcess, name: str) -> int:
    (found,) = [a for a in agent.ask("status")["analysers"] if a["id"] == name]
    return len(found["connections"])


@pytest.mark.every(2)
def test_callers_without_number_and_strangers_harm_nobody_else(tmp_path: Path, outcomes: Outcomes) -> None:
    rounds, calls = many(sample=3, full=60), many(sample=300, full=60_000)
    crowded, strict = Bench("crowded", "lis02_generic"), Bench("strict", "lis02_generic", more='peer = ["127.0.0.2"]')
    good = Bench("good", "sysmex_xn")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [crowded, strict, good], mqtt="ack_timeout_s = 10") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
        ExitStack() as stack,
    ):
        before = Size.of(agent)
        with Traffic([good], seed(), rate=10) as traffic:
            callers = [stack.enter_context(caller) for caller in crowd(crowded.port, 200)]
            for _ in range(rounds):
                say_something(callers)
                assert connections(agent, "crowded") <= CAP
            for port in (crowded.port, strict.port):
                for _ in range(calls // 100):
                    for caller in crowd(port, 100):
                        caller.close()
            assert connections(agent, "strict") == 0
            assert {"connections-full", "peer-refused"} <= agent.alarms()
            for caller in callers:
                caller.close()
            until(lambda: connections(agent, "crowded") == 0, 20, "there is room again")
            with Line(crowded.port, []) as line:
                line.send(plain(tube(1), "5.2"))
                assert line.answers == "A" * 6
            traffic.stop()
            verdict_rows = traffic.rows
            until(agent.nothing_waits, 60, "everything is filed")
        until(lambda: Size.of(agent).steady(before), 60, "as many files and threads as before")
        after = Size.of(agent)
        filings = [f for f in central.ledger.filings() if f.analyser == "good"]
    assert after.rss_mb <= MOST_RSS_MB
    note = f"never more than {CAP} connections of one port; at most {after.rss_mb} MB of memory"
    outcomes.verdict(CALLERS, RANDOM, 200 + 2 * calls, compare(verdict_rows, filings), note=note)


@pytest.mark.every(2)
def test_control_without_a_bound_everybody_is_let_in(tmp_path: Path, outcomes: Outcomes) -> None:
    strict = Bench("strict", "lis02_generic", more='peer = ["127.0.0.2"]')
    (tmp_path / "agent").mkdir()
    agent = DefectiveAgent(tmp_path / "agent", "mqtt://127.0.0.1:1", [strict])
    agent.switch_off("serve-everybody")
    with started(agent), ExitStack() as stack:
        for caller in crowd(strict.port, 40):
            stack.enter_context(caller)
        until(lambda: connections(agent, "strict") == 40, 20, "strangers are served")
    outcomes.control(CALLERS, "no list of peers, no bound", "40 of 40 strangers served")


def test_large_frames_and_messages(tmp_path: Path, outcomes: Outcomes) -> None:
    """A frame holds 64,000 characters (LIS01-A2 6.3.1.2), a message 16 MB; in a sample that is 2 MB, to be quick."""
    limit = 16 * MB if FULL else 2 * MB
    folder = tmp_path / "agent/devices.d/large"
    folder.mkdir(parents=True)
    text = (ROOT / "drivers/devices/horiba_yumizen/profile.toml").read_text(encoding="utf-8")
    text = text.replace("[link]\n", f"[link]\nmax_message = {limit}\n", 1)
    (folder / "profile.toml").write_text(text, encoding="utf-8")
    bench = Bench("large", "large")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt="ack_timeout_s = 10") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
        Line(bench.port, []) as line,
    ):
        line.send(with_images("L1", 5 * MB if FULL else MB))
        assert set(line.answers) == {"A"}
        line.answers = ""
        line.say(ENQ)
        number = 0
        while not line.answers.endswith("NNNNNN") and number < limit // 60_000 + 100:
            number += 1
            line.say(frame(number, image(number) if number > 1 else H500))
            if line.answers.endswith("N"):
                number -= 1  # a refused frame is sent again
        line.tell(EOT)
        assert line.answers.endswith("N" * 6)
        until(lambda: {"nak-limit", "interrupted"} <= agent.alarms(), 20, "it is said")
        line.answers = ""
        line.send(with_images("L2", 0))
        assert set(line.answers) == {"A"}
        until(agent.nothing_waits, 60, "everything is filed")
        found = [f.observation for f in central.ledger.filings(filed_only=True)]
        memory = Size.of(agent).rss_mb
    assert sorted((o.specimen, o.value) for o in found if o.type != "ED") == [("L1", "6.1"), ("L2", "6.1")]
    outcomes.add(Outcome(LARGE, ENUMERATED, 3, 3, 2, note=f"at most {memory} MB of memory"))


def test_control_without_a_limit_a_message_without_end_is_taken_for_ever(
    monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes
) -> None:
    def refused() -> bool:
        receiver = Receiver(Dialect(max_message=100_000))
        receiver.receive(ENQ + b"".join(frame(number, image(number)) for number in range(1, 9)), 0.0)
        while (event := receiver.next_event(0.0)) is not None:
            if isinstance(event, Refused):
                return event.reason == "message-too-long"
            if isinstance(event, FrameReceived):
                receiver.acknowledge(event, Receipt())
        return False

    assert refused()
    monkeypatch.setattr(Receiver, "_fits", lambda self, piece: True)
    assert not refused()
    outcomes.control(LARGE, "no limit of a message", "8 of 8 frames of 60 kB taken where 100 kB were allowed")


H500 = r"H|\^&|||H500^1^2|||||||P|LIS2-A2|20260301120000"


def image(number: int) -> str:
    return f"M|{number}|HISTOGRAM|RBC/PLT|RbcAlongRes|FLOATLE-stream/deflate:base64^{'QUJD' * 15_000}"


def with_images(specimen: str, size: int) -> list[str]:
    """One result behind so many bytes of curves, 60 kB a frame."""
    images = [image(number) for number in range(1, size // 60_000 + 2)]
    white = result("6.1", "WBC^6690-2", 1, "10E3/uL")
    return [H500, patient(), order(specimen), *images, white, END]
