"""The parts of a fleet's trial: simulated gateways as processes, real agents with names of their own, presence."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from end_to_end.lab import ROOT, AgentProcess, Bench, until
from paho.mqtt.enums import CallbackAPIVersion

QUEUE_SHARE = 0.8
UNFILED = 8  # the agent's default
CONFIG = """
listener {{port}} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages {queue}
persistence false
log_dest stderr
log_type error
log_type warning
user root
"""


def broker_config(gateways: int) -> str:
    """As docs/mqtt-contract.md has it: unfiled x gateways x 2 is at most 0.8 of the queue."""
    return CONFIG.format(queue=int(UNFILED * gateways * 2 / QUEUE_SHARE) + 1).replace("{{port}}", "{port}")


class Gateways:
    """`analyser-sim fleet` as a process."""

    def __init__(self, url: str, log: Path, **options: object) -> None:
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "simulators.cli", "fleet", "--url", url, "--stay", *words],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=file,
            )

    def has_said(self, word: str) -> bool:
        said = self._log.read_text(encoding="utf-8")
        assert self.process.poll() is None, f"the fleet ended: {said}"
        return word in said.splitlines()

    def report(self) -> dict[str, Any]:
        """Ends it in good order."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=60)
        report: dict[str, Any] = json.loads(out)
        return report

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()  # also ends one that is stopped
        self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def gateways(url: str, folder: Path, **options: object) -> Iterator[Gateways]:
    made = Gateways(url, folder / f"fleet-{options.get('first', 0)}.log", **options)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def agents(url: str, folder: Path, count: int, mqtt: str) -> Iterator[list[tuple[AgentProcess, Bench]]]:
    """Real agents, called agent-0, agent-1 ...; started at once, ready when this returns."""
    with ExitStack() as stack:
        made = []
        for number in range(count):
            bench, place = Bench("gen1", "lis02_generic"), folder / f"agent-{number}"
            place.mkdir()
            agent = AgentProcess(place, url, [bench], mqtt)
            text = re.sub(r'gateway = "[^"]+"', f'gateway = "agent-{number}"', agent.config.read_text(encoding="utf-8"))
            agent.config.write_text(text, encoding="utf-8")
            agent.launch()
            stack.callback(_end, agent)
            made.append((agent, bench))
        for agent, bench in made:
            until(agent.answers, 60, "an agent answers")
            until(lambda a=agent, b=bench: b.id in a.ports_up(), 60, "its port is open")
        yield made


def _end(agent: AgentProcess) -> None:
    if agent.process is not None:
        agent.process.kill()
        agent.process.wait(20)


class Presence:
    """What the state topics say, and when it was heard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: dict[str, list[tuple[float, str]]] = {}
        self.ready = threading.Event()

    def take(self, topic: str, payload: bytes) -> None:
        with self._lock:
            said = (time.monotonic(), json.loads(payload)["state"])
            self._heard.setdefault(topic.split("/")[-2], []).append(said)

    def now(self, word: str) -> set[str]:
        """The gateways whose newest state this is."""
        with self._lock:
            return {name for name, said in self._heard.items() if said[-1][1] == word}

    def when_lost(self, gateway: str) -> float | None:
        with self._lock:
            return next((at for at, word in self._heard.get(gateway, ()) if word == "lost"), None)


@contextmanager
def presence(host: str, port: int) -> Iterator[Presence]:
    seen = Presence()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("ivd/v1/+/+/state", 1)
    client.on_subscribe = lambda *_: seen.ready.set()
    client.on_message = lambda _c, _u, m: seen.take(m.topic, m.payload)
    client.connect(host, port)
    client.loop_start()
    try:
        assert seen.ready.wait(10)
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()
