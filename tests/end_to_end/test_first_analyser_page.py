"""docs/first-analyser.md, word for word: what a person types there is typed, and answers what stands there.

Only what a test machine cannot have is put in its place: systemd, the folder of the configuration, the serial adapter.
A block of ``text`` is what the commands before it answer; ``...`` in it stands for lines that are left out.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import serial
from end_to_end.lab import ROOT, AgentProcess, running_broker, until
from support_broker import Broker

from simulators.central import Central, CentralOptions
from simulators.serial_line import SerialLine

pytestmark = pytest.mark.broker

PAGE = ROOT / "docs" / "first-analyser.md"
SAMPLES = ROOT / "drivers" / "devices" / "lis02_generic" / "samples"
ADAPTER = "/dev/serial/by-id/usb-FTDI_USB-RS232_Cable_FT1A2B3C-if00-port0"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
# What differs from one time to the next
VARYING = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", "TIME"),
    (r"(?m)^\d\d:\d\d:\d\d", "TIME"),
    (r"\b[A-Z0-9]{8}-\d{11}\b", "MESSAGE"),
    (r"\b[0-9a-f]{12}\b", "HASH"),
    (r" {2,}", "  "),
)


@dataclass
class Bench:
    """The PC with its agent, a line to an analyser, and what was answered last."""

    agent: AgentProcess
    line: SerialLine
    answer: str = ""

    def part(self, head: str) -> None:
        """Everything under a heading, in its order."""
        for kind, text in blocks(head):
            getattr(self, kind)(text)

    def toml(self, text: str) -> None:
        config = self.agent.config.read_text(encoding="utf-8")
        if text.startswith("[site]"):  # one table, wherever it stands
            config = re.sub(r"\[site\]\nspecimen_id = .*\n", "", config)
        self.agent.config.write_text(f"{config}\n{self.here(text)}", encoding="utf-8")

    def sh(self, text: str) -> None:
        if text == "systemctl stop edge-agent\n":
            assert self.agent.stop() == 0
        elif text == "systemctl start edge-agent\n":
            self.agent.start()
            until(lambda: self.agent.ask("status")["ok"], what="agent, broker and management system know each other")
        elif text.startswith("edge-agent test "):
            self.answer = self.listened(text)
        else:
            self.answer = "".join(self.typed(line) for line in text.splitlines())

    def text(self, expected: str) -> None:
        assert shown(expected, self.there(self.answer)), f"the page says:\n{expected}\nit is:\n{self.answer}"

    def typed(self, line: str) -> str:
        [program, *words] = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
        assert program == "edge-agent"
        done = self.agent.command(*words)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def listened(self, line: str) -> str:
        """`test`, ended by Ctrl-C once the analyser was heard."""
        words = [*line.split()[1:], "--config", str(self.agent.config)]
        command = [sys.executable, "-W", "error", "-m", "edge_agent", *words]
        listening = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert listening.stdout is not None
            said = [listening.stdout.readline()]
            self.asks_to_send()
            said.append(listening.stdout.readline())
            listening.send_signal(signal.SIGINT)
            said.append(listening.communicate(timeout=30)[0])
            assert listening.returncode == 0
        finally:
            listening.kill()
        return "".join(said)

    def asks_to_send(self) -> None:
        """As an analyser does that takes "busy" for an answer."""
        with serial.Serial(self.line.analyser_end, 9600, timeout=30) as analyser:
            analyser.write(b"\x05")  # ENQ
            assert analyser.read(1) == b"\x15"  # NAK

    def sends(self, sample: str) -> None:
        to = f"serial://{self.line.analyser_end}?baudrate=9600"
        command = [sys.executable, "-m", "simulators.cli", "replay", str(SAMPLES / sample / "wire.bin"), "--to", to]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)

    def here(self, text: str) -> str:
        return text.replace(ADAPTER, self.line.agent_end)

    def there(self, text: str) -> str:
        folder = str(self.agent.config.parent)
        return text.replace(self.line.agent_end, ADAPTER).replace(folder, "/etc/edge-agent")

    def filed(self, number: int) -> None:
        until(lambda: self.agent.ask("status")["messages"].get("filed") == number, what=f"{number} filed")
        until(self.agent.nothing_waits, what="nothing waits")


def blocks(head: str) -> list[tuple[str, str]]:
    text = PAGE.read_text(encoding="utf-8")
    part = text.partition(f"\n## {head}\n")[2].partition("\n## ")[0]
    found = BLOCK.findall(part)
    assert found, head
    return found


def shown(expected: str, answer: str) -> bool:
    """Every line in its order, with nothing between but where ``...`` stands."""
    wanted, lines = plain(expected), plain(answer)
    gap, at = False, 0
    for line in wanted:
        if line == "...":
            gap = True
            continue
        if gap:
            at = next((n for n in range(at, len(lines)) if lines[n] == line), len(lines))
        if at >= len(lines) or lines[at] != line:
            return False
        gap, at = False, at + 1
    return gap or at == len(lines)


def plain(text: str) -> list[str]:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize(
    ("expected", "answer", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\n...\nc", "a\nb\nc", True),
        ("...\nb", "a\nb", True),
        ("a\n...", "a\nb", True),
        ("a", "a\nb", False),
        ("a\nc", "a\nb\nc", False),
        ("...\nd", "a\nb", False),
        ("c\n...\na", "a\nb\nc", False),
        ("since 2026-11-24 10:05:10+00:00", "since 2027-01-01 00:00:00+00:00", True),
    ],
)
def test_a_page_that_says_something_else_is_seen(expected: str, answer: str, same: bool) -> None:
    assert shown(expected, answer) is same


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    (tmp_path / "broker").mkdir()
    with running_broker(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def bench(tmp_path: Path, broker: Broker) -> Iterator[Bench]:
    (tmp_path / "pc").mkdir()
    line = SerialLine()
    line.start()
    agent = AgentProcess(tmp_path / "pc", broker.url, [])
    agent.start()
    with Central(CentralOptions(broker.url, validate="none")):
        try:
            yield Bench(agent, line)
        finally:
            if agent.process is not None:
                agent.kill()
            line.stop()


def test_the_page_leads_from_a_list_of_devices_to_an_analyser_in_production(bench: Bench) -> None:
    bench.part("2. Choose the profile")
    bench.part("3. Connect it and configure it")
    bench.part("4. Listen before anything is acknowledged")
    bench.agent.listening = {"an1"}
    bench.part("5. Start it, in validation")
    bench.sends("worked_example")
    bench.filed(1)
    bench.part("6. Send a known sample, and compare field by field")
    bench.sends("control_by_action_code")
    bench.filed(2)
    assert bench.agent.ask("status")["analysers"][0]["held"] == 1
    what_does_not_fit, *rest = _halves("7. What does not fit")
    for kind, text in what_does_not_fit:
        getattr(bench, kind)(text)
    bench.filed(3)
    for kind, text in rest[0]:
        getattr(bench, kind)(text)
    bench.part("9. Let it count")
    assert 'mode = "production"' in bench.agent.config.read_text(encoding="utf-8")


def _halves(head: str) -> list[list[tuple[str, str]]]:
    """Up to what is read again, and what is asked once it is filed."""
    found = blocks(head)
    after = next(n for n, (_, text) in enumerate(found) if "read again" in text) + 1
    return [found[:after], found[after:]]
