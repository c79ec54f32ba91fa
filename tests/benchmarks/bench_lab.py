"""The agent as a process with many analysers, for the benchmarks that need all of it."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from end_to_end.lab import AgentProcess, Bench
from support_broker import Broker, running
from support_free_port import free_port


class MeasuredAgent(AgentProcess):
    """The same process; warnings are not errors here, and no waiting by polling its status while it is measured."""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


def benches(count: int) -> list[Bench]:
    ports = _free_ports(count)
    return [Bench(f"an{n}", "lis02_generic", port) for n, port in enumerate(ports)]


def _free_ports(count: int) -> list[int]:
    """All different: they are held until all are found."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


@contextmanager
def agent(folder: Path, broker_url: str, analysers: Sequence[Bench], mqtt: str = "") -> Iterator[MeasuredAgent]:
    folder.mkdir(parents=True, exist_ok=True)
    made = MeasuredAgent(folder, broker_url, analysers, mqtt)
    try:
        made.start()
        yield made
    finally:
        if made.process is not None:
            made.process.kill()
            made.process.wait(20)


def nobody() -> str:
    """The address of a broker that is away."""
    return f"mqtt://127.0.0.1:{free_port()}"


def silent(broker: Broker) -> Broker:
    """It writes no line for each packet, which would be half of what it does."""
    broker.setting("log_type", "error")
    return broker


@contextmanager
def quiet_broker(folder: Path) -> Iterator[Broker]:
    with running(silent(Broker(folder, extra=("max_queued_messages 100000",)))) as broker:
        yield broker
