"""How long an analyser waits for an ACK: 64 links at 110 frames a second each, 9600 baud and a little more.

The whole agent, converting what it receives; its broker is away, so that only this is measured. Beside it the same
sessions with storing off.
"""

from tempfile import TemporaryDirectory

from benchmarks.bench_lab import agent, benches, nobody
from benchmarks.kit import Finding, Sample, Size, child
from benchmarks.receive import sent
from benchmarks.wire import RECORDS

RATE = 110
P99_MOST_MS, P999_MOST_MS = 20.0, 100.0
Told = dict[str, float]


def measure(size: Size) -> list[Finding]:
    messages = max(1, int(size.paced_s * RATE / (RECORDS + 1)))
    found: dict[str, list[Told]] = {"agent": [], "receive path": [], "nothing": []}
    for _ in range(min(size.repeats, 3)):
        found["agent"].append(_agent(size, messages))
        found["receive path"].append(_receiver(size, messages, "durable"))
        found["nothing"].append(_receiver(size, messages, "nothing"))
    p99, p999 = _of(found["agent"], "p99"), _of(found["agent"], "p999")
    return [
        Finding(
            "wait",
            f"p99 {p99.show('ms')}, p99.9 {p999.show('ms')}",
            f"storing off: {_show(found['nothing'])}",
            p99.median <= P99_MOST_MS and p999.median <= P999_MOST_MS,
            (
                f"the whole agent: {_show(found['agent'])}, {_rate(found['agent'])}",
                f"the receive path alone, every frame durable: {_show(found['receive path'])}, "
                f"{_rate(found['receive path'])}",
            ),
        )
    ]


def _agent(size: Size, messages: int) -> Told:
    with TemporaryDirectory(dir=size.folder) as folder:
        analysers = benches(size.links)
        with agent(size.folder / folder / "agent", nobody(), analysers):
            return sent([b.port for b in analysers], messages, 0, RATE)


def _receiver(size: Size, messages: int, kind: str) -> Told:
    with TemporaryDirectory(dir=size.folder) as folder, child("receiver", str(size.links), kind, folder) as receiver:
        return sent(receiver.ready, messages, 0, RATE)


def _of(told: list[Told], name: str) -> Sample:
    return Sample(tuple(t[name] for t in told))


def _show(told: list[Told]) -> str:
    names = (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"), ("longest", "most"))
    return ", ".join(f"{said} {_of(told, name).show('ms')}" for said, name in names)


def _rate(told: list[Told]) -> str:
    return Sample(tuple(t["frames"] / t["seconds"] for t in told)).show("frames/s", 4)
