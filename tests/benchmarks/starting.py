"""From the start of the process to the first open port; and what an idle agent costs in memory and processor time."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bench_lab import MeasuredAgent, agent, benches, nobody
from benchmarks.kit import Finding, Sample, Size, child, environment, fine_cpu_s, interleaved, memory_mib, timed
from benchmarks.outbox_size import prepared
from end_to_end.lab import Bench

MOST_S = 0.5
MOST_MIB = 45.0
MOST_PERCENT = 0.2
LIBRARIES = "asyncio, click, json, logging, paho.mqtt.client, pydantic, serial, sqlite3, ssl"
ANALYSERS = 4


def measure(size: Size) -> list[Finding]:
    with TemporaryDirectory(dir=size.folder) as folder:
        fresh = partial(_fresh, size.folder / folder)
        found = interleaved({"imports": _imports, "empty": fresh}, size.repeats)
        full = _with_data(size, size.folder / folder)
    megabytes = sum(f.stat().st_size for f in prepared(size, size.rows[1]).iterdir()) / 1e6
    empty, imports = found["empty"], found["imports"]
    return [
        Finding(
            "start",
            f"{empty.show('s')}; with {megabytes:.0f} MB stored {full.show('s')}",
            f"Python and the same libraries, nothing else {imports.show('s')}",
            empty.median <= MOST_S,
        )
    ]


def _imports() -> float:
    command = [sys.executable, "-c", f"import {LIBRARIES}"]
    return timed(lambda: subprocess.run(command, env=environment(), check=True))


def _fresh(folder: Path) -> float:
    """With a store that does not exist yet."""
    with TemporaryDirectory(dir=folder) as new:
        return _start(MeasuredAgent(Path(new), nobody(), made := benches(ANALYSERS)), made)


def _with_data(size: Size, folder: Path) -> Sample:
    data_dir = prepared(size, size.rows[1])
    analysers = benches(ANALYSERS)
    made = MeasuredAgent(folder, nobody(), analysers)
    (folder / "data").symlink_to(data_dir)
    return Sample(tuple(_start(made, analysers) for _ in range(min(2, size.repeats))))


def _start(made: MeasuredAgent, analysers: list[Bench]) -> float:
    try:
        return timed(lambda: (made.launch(), _await_port(analysers[0].port, lambda: made.process)))
    finally:
        if made.process is not None:
            made.stop()


def _await_port(port: int, process: Callable[[], "subprocess.Popen[bytes] | None"]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        running = process()
        assert running is not None
        assert running.poll() is None, "the agent ended"
        time.sleep(0.002)
    raise AssertionError("no port")


def measure_idle(size: Size) -> list[Finding]:
    """Analysers that are connected and say nothing, a broker that is away; beside it an event loop that waits."""
    with TemporaryDirectory(dir=size.folder) as folder, child("idle") as bare:
        analysers = benches(ANALYSERS)
        with agent(size.folder / folder / "agent", nobody(), analysers) as running, _silent(analysers):
            time.sleep(size.settle_s)
            used = {"agent": running.pid, "bare": bare.process.pid}
            percent = _percent(used, size)
            memory = {name: memory_mib(pid) for name, pid in used.items()}
    return [
        Finding(
            "memory",
            f"{memory['agent']:.1f} MiB (there is no page yet)",
            f"Python with the same libraries, an event loop that waits {memory['bare']:.1f} MiB",
            memory["agent"] <= MOST_MIB,
        ),
        Finding(
            "idle",
            f"{percent['agent'].show('% of a core')}",
            f"an event loop that waits {percent['bare'].show('% of a core')}",
            percent["agent"].median < MOST_PERCENT,
        ),
    ]


@contextmanager
def _silent(analysers: list[Bench]):
    lines = [socket.create_connection(("127.0.0.1", bench.port)) for bench in analysers]
    try:
        yield
    finally:
        for line in lines:
            line.close()


def _percent(pids: dict[str, int], size: Size) -> dict[str, Sample]:
    """Three stretches of the time."""
    found: dict[str, list[float]] = {name: [] for name in pids}
    for _ in range(3):
        before = {name: fine_cpu_s(pid) for name, pid in pids.items()}
        time.sleep(size.idle_s / 3)
        for name, pid in pids.items():
            found[name].append((fine_cpu_s(pid) - before[name]) / (size.idle_s / 3) * 100)
    return {name: Sample(tuple(values)) for name, values in found.items()}
