"""The processes of the demonstration: a broker, the agent, and the folder they live in."""

import json
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.errors import DemoError

SITE, GATEWAY = "demo-lab", "gw-demo"
PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"
START_S = 20.0
_ports = random.SystemRandom()
_given: set[int] = set()

MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
log_type error
"""

AGENT = """\
[agent]
site = "{site}"
gateway = "{gateway}"
data_dir = "{data}"

[mqtt]
urls = ["mqtt://127.0.0.1:{broker}"]
"""

ANALYSER = """
[[analyser]]
id = "{id}"
profile = "{profile}"
mode = "production"
transport = "{transport}"
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """One analyser of the demonstration. ``agent_side`` and ``analyser_side`` are the two ends of its line."""

    id: str
    device: str
    line: str  # as a person would say it
    agent_side: str
    analyser_side: str
    samples: tuple[str, ...]
    results: int


class Lab:
    """Starts what it is asked for, and ends exactly that."""

    def __init__(self, folder: Path, broker: str = "auto") -> None:
        """``broker``: "auto" takes Mosquitto where it is; "embedded" the demonstration broker in any case."""
        self.folder = folder
        self._embedded = broker == "embedded"
        self.configuration = folder / "edge-agent.toml"
        self.agent_log = folder / "agent.log"
        self.broker_port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._agent: subprocess.Popen[bytes] | None = None

    def start_broker(self) -> str:
        """Mosquitto where the machine has it, else the demonstration broker; its name."""
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path=PLACES)
        if program and not self._embedded:
            settings = self.folder / "mosquitto.conf"
            settings.write_text(MOSQUITTO.format(port=self.broker_port), "utf-8")
            command, name = [program, "-c", str(settings)], "Mosquitto"
        else:
            command = [sys.executable, "-m", "simulators.broker", "--port", str(self.broker_port)]
            name = "the demonstration broker"
        process = self._start(command, self.folder / "broker.log")
        _wait(lambda: _listening(self.broker_port), process, "The broker", self.folder / "broker.log")
        return name

    def start_agent(self, benches: list[Bench]) -> None:
        """Returns when the agent answers `status`."""
        text = AGENT.format(site=SITE, gateway=GATEWAY, data=self.folder / "data", broker=self.broker_port)
        for bench in benches:
            text += ANALYSER.format(id=bench.id, profile=bench.device, transport=bench.agent_side)
        self.configuration.write_text(text, "utf-8")
        process = self._start(self.command("run"), self.agent_log)
        self._agent = process
        _wait(lambda: self.status() is not None, process, "The agent", self.agent_log)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "edge_agent", *words, "--config", str(self.configuration)]

    def status(self) -> dict[str, Any] | None:
        """What `edge-agent status --json` says; None while it does not answer."""
        asked = subprocess.run(self.command("status", "--json"), capture_output=True, timeout=START_S, check=False)
        try:
            answer = json.loads(asked.stdout)
        except json.JSONDecodeError:
            return None
        return answer if isinstance(answer, dict) and "sentence" in answer else None

    def stop_agent(self) -> None:
        if self._agent is not None:
            _end(self._agent)

    def stop(self) -> None:
        for process in reversed(self._processes):
            _end(process)
        self._processes.clear()

    def _start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self._processes.append(process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def free_port() -> int:
    """A loopback port nobody listens on, given out once, and none that an outgoing connection may take meanwhile."""
    while True:
        number = _ports.randrange(15_000, 32_000)
        with socket.socket() as probe:
            taken = number in _given or probe.connect_ex(("127.0.0.1", number)) == 0
        if not taken:
            _given.add(number)
            return number


def tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text("utf-8", "backslashreplace").splitlines()[-lines:]) if log.is_file() else ""


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None:
            raise DemoError(f"{what} ended at once. Its last lines:\n{tail(log)}", "Repair what they name.")
        if time.monotonic() > deadline:
            raise DemoError(f"{what} did not get ready in {START_S:g} s. Its last lines:\n{tail(log)}", "Try again.")
        time.sleep(0.1)
