"""Recorded bytes through the link layer, every frame acknowledged, whole or cut at any place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from drivers.protocols.lis01 import Closed, FrameReceived, Noise, Receiver, Refused, Repeated
from drivers.protocols.lis01_dialect import Dialect

_PATIENCE_S = 120.0  # longer than any timer of the link: a quiet line has then said all it will


@dataclass(frozen=True, slots=True)
class _Kept:
    """The receipt of a store that keeps everything."""

    chunks: int = 1


@dataclass(slots=True)
class Transfer:
    """What the link layer made of the bytes. ``texts``: the joined frame texts of each session."""

    texts: list[bytes] = field(default_factory=list)
    frames: int = 0
    repeated: int = 0
    refused: list[str] = field(default_factory=list)
    noise: int = 0
    closed: list[str] = field(default_factory=list)
    answers: bytes = b""


def transfer(dialect: Dialect, wire: bytes, cuts: Sequence[int] = ()) -> Transfer:
    """Feed the wire's bytes, cut at the given places, into a fresh receiver."""
    receiver, made, now = Receiver(dialect), Transfer(), 0.0
    open_text = bytearray()
    edges = [0, *sorted(cuts), len(wire)]
    for start, end in pairwise(edges):
        receiver.receive(wire[start:end], now)
        _drain(receiver, made, open_text, now)
    while receiver.deadline is not None and now < _PATIENCE_S:
        now = max(now, receiver.deadline)
        receiver.expire(now)
        _drain(receiver, made, open_text, now)
    receiver.link_lost()
    _drain(receiver, made, open_text, now)
    _finish(made, open_text)
    return made


def _drain(receiver: Receiver, made: Transfer, open_text: bytearray, now: float) -> None:
    while (event := receiver.next_event(now)) is not None:
        if isinstance(event, FrameReceived):
            made.frames += 1
            open_text += event.text
            made.answers += receiver.acknowledge(event, _Kept())
            continue
        made.answers += event.answer
        if isinstance(event, Repeated):
            made.repeated += 1
        elif isinstance(event, Refused):
            made.refused.append(event.reason)
        elif isinstance(event, Noise):
            made.noise += len(event.raw)
        elif isinstance(event, Closed):
            made.closed.append(event.reason)
            _finish(made, open_text)


def _finish(made: Transfer, open_text: bytearray) -> None:
    if open_text:
        made.texts.append(bytes(open_text))
        open_text.clear()
