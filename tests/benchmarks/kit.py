"""What every benchmark is made of: sizes, samples with their spread, findings, and what /proc says of a process."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Size:
    """How much to do. ``FULL`` is what the page shows, ``TINY`` shows only that everything runs."""

    folder: Path
    repeats: int = 5
    links: int = 64
    messages: int = 16  # per link
    decoded: int = 100
    built: int = 100
    by_hl7apy: int = 3
    paced_s: float = 6.0
    idle_s: float = 30.0
    settle_s: float = 10.0
    rows: tuple[int, int] = (1_000, 1_000_000)
    outbox_batches: int = 8
    drained: int = 1_024

    @classmethod
    def tiny(cls, folder: Path) -> "Size":
        return cls(folder, 1, 2, 1, 2, 2, 1, 0.3, 0.3, 0.1, (40, 80), 1, 4)


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def show(self, unit: str, digits: int = 3) -> str:
        low, high = _short(min(self.values), digits), _short(max(self.values), digits)
        return f"{_short(self.median, digits)} [{low}-{high}] {unit}".rstrip()


def _short(value: float, digits: int) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def ratios(above: Sample, below: Sample) -> Sample:
    """Repeat by repeat, so that what disturbed both disturbs the ratio less."""
    return Sample(tuple(a / b for a, b in zip(above.values, below.values, strict=True)))


@dataclass(frozen=True)
class Finding:
    """One row of the table. ``met`` is None where there is nothing to meet or nothing could be measured."""

    row: str
    measured: str
    reference: str
    met: bool | None
    more: tuple[str, ...] = field(default=())  # further figures of the same run


def interleaved(cases: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, Sample]:
    """A B C A B C ...: each case's figures, whatever they are."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            found[name].append(case())
    return {name: Sample(tuple(values)) for name, values in found.items()}


def timed(job: Callable[[], object]) -> float:
    """Seconds of wall time."""
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", **more}


class Child:
    """A module of the benchmarks as a process: it prints one JSON line when ready, and one after each line it reads."""

    def __init__(self, module: str, *words: str, **env: str) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}", *words]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment(**env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = self.answer()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} ended without an answer"
        return json.loads(line)

    def ask(self, line: str) -> Any:
        self.tell(line)
        return self.answer()

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@contextmanager
def child(module: str, *words: str, **env: str) -> Iterator[Child]:
    made = Child(module, *words, **env)
    try:
        yield made
    finally:
        made.end()


def say(answer: object) -> None:
    """A child's answer."""
    print(json.dumps(answer), flush=True)


def cpu_s(pid: int) -> float:
    """Processor seconds of a process, user and system, in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def fine_cpu_s(pid: int) -> float:
    """The same in nanoseconds' steps, of the threads that live."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def memory_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def percentile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0
