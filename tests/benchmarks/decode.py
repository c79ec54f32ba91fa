"""LIS01+LIS02 decode, any chunking: the receiver and the record reader against the reference decoder."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from benchmarks import wire
from benchmarks.kit import Finding, Sample, Size, interleaved, ratios, timed
from benchmarks.reference.decoder import Decoder

from drivers.protocols.lis01 import Dialect, FrameReceived, Receiver
from drivers.protocols.lis01_records import joined
from drivers.protocols.lis02 import Message, read

MOST = 1.5
CHUNKS = {"whole sessions": 1 << 20, "a frame at a time": 0, "16 bytes at a time": 16, "1 byte at a time": 1}


@dataclass(frozen=True)
class Receipt:
    chunks: int = 1


def decode(chunks: Iterable[bytes], *, nested: bool) -> Iterator[Message]:
    """As a session and the converter do it, without ports and store; message after message."""
    receiver, texts = Receiver(Dialect()), list[tuple[bytes, bool]]()
    for chunk in chunks:
        receiver.receive(chunk, 0.0)
        while (event := receiver.next_event(0.0)) is not None:
            if isinstance(event, FrameReceived):
                receiver.acknowledge(event, Receipt())
                texts.append((event.text, event.last))
                if event.ends_message:
                    for message in read(joined(texts)).messages:
                        if nested:
                            _cut_everything(message)
                        yield message
                    texts.clear()


def _all(messages: Iterator[Message]) -> None:
    for _ in messages:
        pass


def _cut_everything(message: Message) -> None:
    """The reference makes all parts of all fields at once; here they are made when asked for."""
    component = message.delimiters.component
    for record in message.records:
        for n in range(1, len(record.fields) + 1):
            for part in record.repeats(n):
                part.split(component)


def _reference(chunks: Iterable[bytes]) -> None:
    decoder = Decoder()
    for chunk in chunks:
        decoder.feed(chunk)


def chunked(count: int, size: int) -> list[bytes]:
    if size:
        return [part for n in range(count) for part in wire.cut(wire.session(n), size)]
    return [part for n in range(count) for part in (b"\x05", *wire.frames(n), b"\x04")]


def measure(size: Size) -> list[Finding]:
    more: list[str] = []
    worst: tuple[float, str, dict[str, Sample]] | None = None
    for name, bytes_ in CHUNKS.items():
        chunks = chunked(size.decoded, bytes_)
        found = interleaved(_cases(chunks), size.repeats)
        parts, needed = (ratios(found[case], found["reference"]) for case in ("nested", "as used"))
        more.append(f"{name}: {parts.show('x')}, as the agent uses it {needed.show('x')}")
        if worst is None or parts.median > worst[0]:
            worst = (parts.median, name, found)
    assert worst is not None
    ratio, name, found = worst
    measured = f"{ratio:.2f}x ({name}; {_ms(found['nested'], size)})"
    return [Finding("decode", measured, f"reference decoder {_ms(found['reference'], size)}", ratio <= MOST, (*more,))]


def _cases(chunks: list[bytes]) -> dict[str, Callable[[], float]]:
    return {
        "reference": lambda: timed(lambda: _reference(chunks)),
        "nested": lambda: timed(lambda: _all(decode(chunks, nested=True))),
        "as used": lambda: timed(lambda: _all(decode(chunks, nested=False))),
    }


def _ms(sample: Sample, size: Size) -> str:
    return Sample(tuple(v * 1000 / size.decoded * 100 for v in sample.values)).show("ms per 100 messages")
