"""One broker, many gateways, some of them real, and a management system of two processes that share a subscription.

One of the two is killed (-9) after it filed a result and before it answered, and is started again. Then gateways go
without a word: a simulated and a real one killed, so that the connection breaks at once, and one each stopped
(SIGSTOP), so that the line just goes silent, as a cut cable does. What comes of it is measured, not judged.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kit import cpu_s, memory_mib
from end_to_end.example_consumer import Consumer, consumer
from end_to_end.lab import AgentProcess, until
from fleet.parts import Gateways, Presence, agents, broker_config, gateways, presence
from support_broker import HOST, Broker, running

from simulators.analyser import Plan, send
from simulators.fleet import allow_files

GRACE_S = 10.0  # of a busy machine; waited for, not promised


@dataclass(frozen=True)
class Size:
    """``gateways`` simulated ones, of which two are processes of their own, and ``agents`` real ones."""

    gateways: int
    agents: int
    keepalive_s: int = 30
    will_delay_s: int = 10
    ack_timeout_s: int = 60

    @property
    def agent_keepalive_s(self) -> int:
        """An agent takes no less than 5."""
        return max(5, self.keepalive_s)

    @property
    def results(self) -> int:
        return self.gateways + self.agents

    def silent_limit_s(self, keepalive_s: int) -> float:
        """MQTT 5.0 §3.1.2.10: one and a half times the keep alive; then the will delay (§3.1.3.2.2)."""
        return keepalive_s * 1.5 + self.will_delay_s


@dataclass(frozen=True)
class Lost:
    who: str
    how: str
    limit_s: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    connect_s: float
    present: int
    filing_s: float
    filed: int  # rows
    specimens: int  # different ones
    sent_again: int
    killed_at: int  # how many were filed when one consumer was killed
    broker_cpu_s: float
    broker_mib: float
    losses: tuple[Lost, ...]


def trial(folder: Path, size: Size, say: Callable[[str], None] = lambda _: None) -> Outcome:
    allow_files(2 * size.gateways)
    with ExitStack() as stack:
        broker = stack.enter_context(running(Broker(folder / "broker", config=broker_config(size.results))))
        seen = stack.enter_context(presence(HOST, broker.port))
        two = [
            stack.enter_context(consumer(HOST, broker.port, folder / "filed.sqlite", name, "fleet")) for name in "ab"
        ]
        two[0].start(killed_instead_of_answer=size.results // 6)
        two[1].start()
        mqtt = (
            f"keepalive_s = {size.agent_keepalive_s}\nwill_delay_s = {size.will_delay_s}\nretry_max_s = {GRACE_S:.0f}\n"
        )
        mqtt += f"ack_timeout_s = {size.ack_timeout_s}"
        real = stack.enter_context(agents(broker.url, folder, size.agents, mqtt))
        say(f"{size.agents} agents run")
        cpu, began = cpu_s(broker.pid), time.monotonic()
        alone = [size.gateways - 2, size.gateways - 1]
        fleets = [
            stack.enter_context(_fleet(broker.url, folder, size, first, count))
            for first, count in ((0, size.gateways - 2), *((number, 1) for number in alone))
        ]
        until(lambda: len(seen.now("ready")) == size.results, 120, "all are present")
        present = len(seen.now("ready"))
        for number, (_, bench) in enumerate(real):
            plan = Plan("lis02_generic", seed=number, samples=("worked_example",), analyser=bench.id)
            assert send(plan, bench.url).all_acknowledged
        killed_at = _killed_and_back(two[0])
        _all_filed(fleets, [agent for agent, _ in real], folder, size)
        filing_s, used = time.monotonic() - began, cpu_s(broker.pid) - cpu
        say(f"{size.results} results are filed")
        mib = memory_mib(broker.pid)
        losses = _losses(size, seen, fleets, [agent for agent, _ in real])
        report = fleets[0].report()
        filed, specimens = _filed(folder)
        return Outcome(
            report["connect_s"],
            present,
            filing_s,
            filed,
            specimens,
            report["retries"],
            killed_at,
            used,
            mib,
            losses,
        )


def _fleet(url: str, folder: Path, size: Size, first: int, count: int) -> AbstractContextManager[Gateways]:
    return gateways(
        url,
        folder,
        gateways=count,
        first=first,
        keepalive=size.keepalive_s,
        will_delay=size.will_delay_s,
        ack_timeout=size.ack_timeout_s,
    )


def _killed_and_back(one: Consumer) -> int:
    """How many results were filed when it was killed, in the moment between filing one and answering it."""
    until(lambda: one.ended() == -9, 120, "one consumer is killed")
    killed_at = len(one.filed())
    one.start()
    return killed_at


def _all_filed(fleets: list[Gateways], real: list[AgentProcess], folder: Path, size: Size) -> None:
    for fleet in fleets:
        until(lambda f=fleet: f.has_said("filed"), 300, "the fleet's results are filed")
    for agent in real:
        until(agent.nothing_waits, 300, "an agent's result is filed")
    until(lambda: _filed(folder)[0] >= size.results, 60, "all results are in the database")


def _filed(folder: Path) -> tuple[int, int]:
    """(rows, different specimens of different gateways)"""
    with closing(sqlite3.connect(folder / "filed.sqlite", timeout=30)) as db:
        rows = db.execute("SELECT topic, payload FROM filed").fetchall()
    return len(rows), len({(topic, payload.partition(b"\rSPM|")[2].split(b"|")[1]) for topic, payload in rows})


def _losses(size: Size, seen: Presence, fleets: list[Gateways], real: list[AgentProcess]) -> tuple[Lost, ...]:
    """Killed and stopped; how long each was not missed."""
    last = [f"gw-{size.gateways - 2:05d}", f"gw-{size.gateways - 1:05d}"]
    pids = [agent.process.pid for agent in real if agent.process is not None]
    broken, silent = float(size.will_delay_s), size.silent_limit_s
    gone = [
        (last[0], "killed, a simulated gateway", broken, fleets[1].process.pid, signal.SIGKILL),
        ("agent-0", "killed, an agent", broken, pids[0], signal.SIGKILL),
        (last[1], "silent, a simulated gateway", silent(size.keepalive_s), fleets[2].process.pid, signal.SIGSTOP),
    ]
    if len(pids) > 1:
        gone.append(("agent-1", "silent, an agent", silent(size.agent_keepalive_s), pids[1], signal.SIGSTOP))
    began = {}
    for who, _, _, pid, number in gone:
        began[who] = time.monotonic()
        os.kill(pid, number)
    longest = max(limit for _, _, limit, _, _ in gone)
    until(lambda: all(seen.when_lost(who) for who in began), longest + GRACE_S, "all of them are lost")
    assert seen.now("lost") == set(began), "and nobody else"
    return tuple(Lost(who, how, limit, (seen.when_lost(who) or 0.0) - began[who]) for who, how, limit, *_ in gone)
