"""A whole laboratory on loopback: a real Mosquitto, the agent as a process of its own, a management system, analysers.

Nothing in it is a stand-in for the agent: it runs as ``python -m edge_agent run`` with a configuration file, on real
sockets and a store on the disk.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support_broker import Broker, running
from support_free_port import free_port

from edge_agent.control import ask
from edge_agent.errors import AgentError

ROOT = Path(__file__).parents[2]
SITE, GATEWAY = "seoul-01", "gw-01"
PREFIX = f"ivd/v1/{SITE}/{GATEWAY}"


def until(condition: Callable[[], object], patience: float = 30.0, what: str = "") -> None:
    """Wait for a condition; an assertion names what did not come about."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"did not come about in {patience:g} s: {what or condition}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Bench:
    """One analyser in the configuration."""

    id: str
    profile: str
    port: int = field(default_factory=free_port)
    mode: str = "production"
    transport: str = ""
    more: str = ""

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def toml(self) -> str:
        transport = self.transport or f"tcp-server://127.0.0.1:{self.port}"
        return (
            f'[[analyser]]\nid = "{self.id}"\nprofile = "{self.profile}"\nmode = "{self.mode}"\n'
            f'transport = "{transport}"\n{self.more}\n'
        )


class AgentProcess:
    """The agent under test, started, killed and started again on the same data."""

    before: Sequence[str] = ()  # words before the command: a tracer, another clock
    program: Sequence[str] = ("-m", "edge_agent")
    more: Mapping[str, str] = {}  # of its environment

    def __init__(self, folder: Path, broker_url: str, benches: Sequence[Bench], mqtt: str = "", tail: str = "") -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.config = folder / "edge-agent.toml"
        self.log = folder / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.listening = {b.id for b in benches if not b.transport}  # a bench with its own line may be down on purpose
        self.config.write_text(
            f'[agent]\nsite = "{SITE}"\ngateway = "{GATEWAY}"\ndata_dir = "data"\n\n'
            f'[mqtt]\nurls = ["{broker_url}"]\n{mqtt}\n\n{tail}\n' + "\n".join(b.toml() for b in benches),
            encoding="utf-8",
        )

    def start(self) -> None:
        """Returns when every port that can be opened is open."""
        self.launch()
        until(self.answers, what=f"the agent answers; its log:\n{self.tail()}")
        until(lambda: self.listening <= self.ports_up(), what=f"the ports open; its log:\n{self.tail()}")

    def launch(self) -> None:
        """Without waiting for it."""
        command = [*self.before, sys.executable, "-W", "error", *self.program, "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **self.more})

    def ports_up(self) -> set[str]:
        return {a["id"] for a in self.ask("status")["analysers"] if a["up"]}

    def answers(self) -> bool:
        try:
            ask(self.data_dir, "status")
        except AgentError:
            assert self.process is None or self.process.poll() is None, f"the agent ended:\n{self.tail()}"
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)
        self.process = None

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(30)
        self.process = None
        return status

    def ask(self, name: str, **arguments: object) -> Any:
        return ask(self.data_dir, name, **arguments)

    def alarms(self) -> set[str]:
        return {a["code"] for a in self.ask("status")["alarms"]}

    def nothing_waits(self) -> bool:
        """Every message is filed and everything stored is converted."""
        status = self.ask("status")
        open_ones = {state: count for state, count in status["messages"].items() if count and state != "filed"}
        return not status["converting"] and not open_ones

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of edge-agent, as a person types it."""
        return subprocess.run(
            [sys.executable, "-m", "edge_agent", *words, "--config", str(self.config)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-30:]) if self.log.exists() else ""


@contextmanager
def running_broker(folder: Path, extra: Sequence[str] = ()) -> Iterator[Broker]:
    """A Mosquitto that keeps its sessions over a restart and queues enough for an offline management system."""
    lines = ("max_queued_messages 100000", "persistence true", f"persistence_location {folder}/", *extra)
    with running(Broker(folder, extra=lines)) as broker:
        yield broker


@contextmanager
def running_agent(
    folder: Path, broker_url: str, benches: Sequence[Bench], mqtt: str = "", tail: str = ""
) -> Iterator[AgentProcess]:
    folder.mkdir(parents=True, exist_ok=True)
    with started(AgentProcess(folder, broker_url, benches, mqtt, tail)) as agent:
        yield agent


@contextmanager
def started(agent: AgentProcess) -> Iterator[AgentProcess]:
    try:
        agent.start()
        yield agent
    finally:
        if agent.process is not None:
            agent.process.kill()
            agent.process.wait(20)
