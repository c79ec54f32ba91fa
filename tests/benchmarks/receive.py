"""The receive path, 64 links flat out: every frame durable, against the same build with storing off."""

import json
from functools import partial
from tempfile import TemporaryDirectory

from benchmarks.kit import Child, Finding, Sample, Size, child, interleaved, ratios

LEAST = 0.6
KINDS = ("durable", "thread", "nothing")


def load(ports: list[int], messages: int, first: int, rate: float = 0.0) -> Child:
    return Child("load", json.dumps({"ports": ports, "messages": messages, "first": first, "rate": rate}))


def sent(ports: list[int], messages: int, first: int, rate: float = 0.0) -> dict[str, float]:
    """Send it all; what the analysers saw."""
    analysers = load(ports, messages, first, rate)
    try:
        told: dict[str, float] = analysers.ask("go")
    finally:
        analysers.end()
    assert not told["refused"], told
    return told


def measure(size: Size) -> list[Finding]:
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    found = interleaved({kind: partial(_run, kind, size, seconds[kind]) for kind in KINDS}, size.repeats)
    ratio = ratios(found["durable"], found["nothing"])
    by_thread = ratios(found["thread"], found["nothing"])
    cpu = {kind: Sample(tuple(values)) for kind, values in seconds.items()}
    more = (
        f"the hand-over to a second thread alone, writing nothing: {by_thread.show('x')}",
        *(f"{_NAMES[kind]}: {sample.show('us of CPU per frame')}" for kind, sample in cpu.items()),
    )
    measured = f"{ratio.show('x')} ({found['durable'].show('frames/s')})"
    reference = f"storing off {found['nothing'].show('frames/s')}"
    return [Finding("receive", measured, reference, ratio.median >= LEAST, more)]


_NAMES = {"durable": "every frame durable", "thread": "a second thread, nothing written", "nothing": "storing off"}


def _run(kind: str, size: Size, cpu: list[float]) -> float:
    """Frames a second."""
    with TemporaryDirectory(dir=size.folder) as folder, child("receiver", str(size.links), kind, folder) as receiver:
        before = receiver.ask("cpu")
        told = sent(receiver.ready, size.messages, 0)
        cpu.append((receiver.ask("cpu") - before) / told["frames"] * 1e6)
        return told["frames"] / told["seconds"]
