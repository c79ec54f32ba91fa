"""Wire to filed: 64 analysers, the agent, Mosquitto and a management system that files and answers, on the same cores.

From the same runs: the agent's processor time per message. Beside it the receiver with storing off, and paho alone
delivering messages of the same size to the same management system.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from tempfile import TemporaryDirectory

from benchmarks import hl7_build, receive, wire
from benchmarks.bench_lab import MeasuredAgent, agent, benches, quiet_broker, silent
from benchmarks.kit import Child, Finding, Sample, Size, child, cpu_s, fine_cpu_s
from benchmarks.reference.bare_publisher import BarePublisher
from end_to_end.lab import until
from support_broker import Broker

from hl7 import oul_r22

CPU_MOST_MS = 4.0
FILED_LEAST = 200
DRAINED_LEAST = 1000
WINDOW, UNFILED = 100, 200
WIDE = f"window = {WINDOW}\nunfiled = {UNFILED}"
_number = count(1)


@dataclass
class Runs:
    rate: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    central_ms: list[float] = field(default_factory=list)
    receiver_ms: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


@contextmanager
def central(broker: Broker) -> Iterator[Child]:
    """A management system in a process of its own."""
    name = f"bench-{next(_number)}"
    with child("filing_system", str(broker.port), name, str(broker.folder / f"{name}.ledger")) as made:
        yield made


def payloads(number: int) -> list[tuple[str, bytes]]:
    first = hl7_build.message(wire.RESULTS)
    ids = [f"BARE{os.getpid() % 10_000:04d}-{next(_number):011d}" for _ in range(number)]
    return [(i, oul_r22.build(replace(first, header=replace(first.header, control_id=i))).encode()) for i in ids]


def measure(size: Size) -> list[Finding]:
    runs = Runs()
    for _ in range(min(size.repeats, 3)):
        with TemporaryDirectory(dir=size.folder) as folder, quiet_broker(_in(folder, size)) as broker:
            _run(size, broker, runs)
    rate, cpu, receiver = Sample(tuple(runs.rate)), Sample(tuple(runs.cpu_ms)), Sample(tuple(runs.receiver_ms))
    bare, answering = Sample(tuple(runs.bare)), Sample(tuple(runs.central_ms))
    return [
        Finding(
            "cpu",
            f"{cpu.show('ms')}, {cpu.median / receiver.median:.2f}x",
            f"the receiver alone with storing off {receiver.show('ms')}",
            cpu.median <= CPU_MOST_MS,
        ),
        Finding(
            "filed",
            f"{rate.show('msg/s')}, {rate.median / bare.median:.2f}x",
            f"paho alone, payloads ready, nothing stored {bare.show('msg/s')}",
            rate.median >= FILED_LEAST,
            (f"the management system's own CPU {answering.show('ms per message')}",),
        ),
    ]


def _in(folder: str, size: Size):
    return size.folder / folder


def _run(size: Size, broker: Broker, runs: Runs) -> None:
    analysers = benches(size.links)
    messages = size.links * size.messages
    with central(broker) as system, agent(broker.folder / "agent", broker.url, analysers, WIDE) as running:
        _filed(size, running, [b.port for b in analysers], system, messages, runs)
    with central(broker) as system:
        bare = BarePublisher(broker.port, WINDOW)
        runs.bare.append(bare.deliver(payloads(messages)))
        bare.close()
    with child("receiver", str(size.links), "nothing", "") as receiver:
        before = receiver.ask("cpu")
        receive.sent(receiver.ready, size.messages, 0)
        runs.receiver_ms.append((receiver.ask("cpu") - before) * 1000 / messages)


def _filed(size: Size, running: MeasuredAgent, ports: list[int], system: Child, messages: int, runs: Runs) -> None:
    load = receive.load(ports, size.messages, 0)
    cpu, central_cpu = fine_cpu_s(running.pid), fine_cpu_s(system.process.pid)
    began = time.monotonic()
    load.ask("go")
    system.ask(str(messages))
    until(running.nothing_waits, 60)
    seconds = time.monotonic() - began
    load.end()
    runs.rate.append(messages / seconds)
    runs.cpu_ms.append((fine_cpu_s(running.pid) - cpu) * 1000 / messages)
    runs.central_ms.append((fine_cpu_s(system.process.pid) - central_cpu) * 1000 / messages)


def measure_drain(size: Size) -> list[Finding]:
    """A backlog and nothing else to do: the broker was away, and comes back."""
    rates: dict[str, list[float]] = {"wide": [], "default": [], "bare": []}
    cpu: list[float] = []
    for _ in range(min(size.repeats, 3)):
        for name, mqtt in (("wide", WIDE), ("default", "")):
            rate, used = _drained(size, mqtt)
            rates[name].append(rate)
            if name == "wide":
                cpu.append(used)
        rates["bare"].append(_bare(size))
    wide, default, bare = (Sample(tuple(rates[name])) for name in ("wide", "default", "bare"))
    more = (
        f"with the default window of 16 and 8 unfiled: {default.show('msg/s')}",
        f"the agent's CPU {Sample(tuple(cpu)).show('ms per message')}",
    )
    measured = f"{wide.show('msg/s')}, {wide.median / bare.median:.2f}x (window {WINDOW}, unfiled {UNFILED})"
    reference = f"paho alone, payloads ready, nothing stored {bare.show('msg/s')}"
    return [Finding("drain", measured, reference, wide.median >= DRAINED_LEAST, more)]


def _bare(size: Size) -> float:
    with TemporaryDirectory(dir=size.folder) as folder, quiet_broker(_in(folder, size)) as broker, central(broker):
        bare = BarePublisher(broker.port, WINDOW)
        rate = bare.deliver(payloads(size.drained))
        bare.close()
        return rate


def _drained(size: Size, mqtt: str) -> tuple[float, float]:
    """Messages a second from the first one at the management system to the last one filed, and CPU ms per message."""
    links = min(size.links, 16)
    each = size.drained // links
    with TemporaryDirectory(dir=size.folder) as folder:
        broker = silent(Broker(_in(folder, size), extra=("max_queued_messages 100000",)))
        analysers = benches(links)
        with agent(broker.folder / "agent", broker.url, analysers, mqtt) as running:
            receive.sent([b.port for b in analysers], each, 0)
            until(lambda: _converted(running, each * links), 60)
            os.kill(running.pid, signal.SIGSTOP)  # what comes before anybody subscribed waits for its time limit
            try:
                broker.start()
                with central(broker) as system:
                    os.kill(running.pid, signal.SIGCONT)
                    cpu = cpu_s(running.pid)
                    rate = system.ask(str(each * links))
                    return rate, (cpu_s(running.pid) - cpu) * 1000 / (each * links)
            finally:
                broker.kill()


def _converted(running: MeasuredAgent, messages: int) -> bool:
    status = running.ask("status")
    return status["messages"].get("queued") == messages and not status["converting"]
