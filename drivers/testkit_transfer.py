"""Recorded bytes through the link layer, every frame acknowledged, whole or cut at any place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from drivers.protocols.lis01 import Closed, FrameReceived, Noise, Receiver, Refused, Repeated
from drivers.protocols.lis01_dialect import Dialect
from drivers.protocols.lis01_records import joined

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
    frames: list[tuple[bytes, bool]] = []
    edges = [0, *sorted(cuts), len(wire)]
    for start, end in pairwise(edges):
        receiver.receive(wire[start:end], now)
        _drain(receiver, made, frames, now)
    while receiver.deadline is not None and now < _PATIENCE_S:
        now = max(now, receiver.deadline)
        receiver.expire(now)
        _drain(receiver, made, frames, now)
    receiver.link_lost()
    _drain(receiver, made, frames, now)
    _finish(made, frames)
    return made


def _drain(receiver: Receiver, made: Transfer, frames: list[tuple[bytes, bool]], now: float) -> None:
    while (event := receiver.next_event(now)) is not None:
        if isinstance(event, FrameReceived):
            made.frames += 1
            frames.append((event.text, event.last))
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
            _finish(made, frames)


def _finish(made: Transfer, frames: list[tuple[bytes, bool]]) -> None:
    if frames:
        made.texts.append(joined(frames))
        frames.clear()
