"""A message on the wire, cut off or with one byte changed, through receiver, reader and pipeline to what would go out.

Frames of the corpus carry sums. What is asked: is any result in the messages that the unchanged bytes did not give?
"""

from collections import Counter
from dataclasses import dataclass, field

from end_to_end.captures import lis02_files
from judge.reader import Reading, read
from support_pipeline import Memory, payloads, received, samples

from drivers.protocols.lis01_dialect import Dialect
from drivers.sdk import SHIPPED, Device, load
from edge_agent.store.rows import ChunkKind, Transmission

LONG = 4096
Fact = tuple[str, ...]
_OBX = (3, 4, 5, 6, 7, 8, 11, 18, 19)


@dataclass
class Message:
    """What frames say is read once, however many changes lead to the same frames."""

    name: str
    wire: bytes
    device: Device
    _known: dict[object, Counter[Fact]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def dialect(self) -> Dialect:
        return self.device.dialect()

    @property
    def good(self) -> Counter[Fact]:
        return self.facts(self.wire)

    def facts(self, wire: bytes) -> Counter[Fact]:
        """The results that would go out, each with whose and of what it is."""
        sent = received(wire, self.dialect)
        key = tuple((t.state, tuple((c.chunk.text, c.chunk.last) for c in t.chunks if c.chunk.text)) for t in sent)
        if key not in self._known:
            self._known[key] = _facts(self.device, sent)
        return self._known[key]

    def altered(self, wire: bytes) -> Counter[Fact]:
        """Results of changed bytes that the unchanged ones did not give, or not as often."""
        return self.facts(wire) - self.good


def _facts(device: Device, sent: list[Transmission]) -> Counter[Fact]:
    memory = Memory(device)
    return Counter(
        fact for transmission in sent for payload in payloads(memory.settle(transmission)) for fact in _results(payload)
    )


def _results(payload: bytes) -> list[Fact]:
    reading = read(payload)
    assert not reading.findings, str(reading.findings[0])
    whose = (_first(reading, "PID", 3), _first(reading, "SPM", 2), _first(reading, "SPM", 11))
    return [(*whose, *(obx.raw(n) for n in _OBX)) for obx in reading.named("OBX")]


def _first(reading: Reading, segment: str, field_: int) -> str:
    found = reading.named(segment)
    return found[0].raw(field_) if found else ""


def corpus() -> list[Message]:
    """Samples of every device, and captures where they are at hand; those with sums in all frames."""
    found = [Message(str(s), s.wire, load(s.device)) for s in samples()]
    captures = lis02_files()
    found += [Message(f"{p.name} ({name})", p.read_bytes(), load(name)) for p in captures for name in SHIPPED]
    return [message for message in found if _is_summed(message)]


def _is_summed(message: Message) -> bool:
    chunks = [c.chunk for t in received(message.wire, message.dialect) for c in t.chunks]
    frames = [c for c in chunks if c.kind is ChunkKind.FRAME]
    framed = all(c.raw.startswith(b"\x02") for c in frames)
    return message.dialect.checksum != "none" and bool(frames) and framed
