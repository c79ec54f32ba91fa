"""Changed bytes in frames of every shipped device, and which of them reach the management system.

One changed byte never does. Two can cancel in a sum of one byte (LIS01-A2 §6.3.3 has no more): how many of those
there are is counted here and said, for no receiver can refuse them.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from end_to_end.bad_input_cases import ENQ, EOT, STX
from faults.in_process import ANALYSER, Desk, desk
from faults.outcomes_file import ENUMERATED, RANDOM, Outcome, Outcomes
from faults.scale import chance, many
from faults.three_patients import LAST, Sheet, wire

from drivers.protocols.lis01 import Dialect, FrameReceived, Receiver
from drivers.sdk import FOLDERS, load
from simulators.oracle import compare

ONE, TWO = "one byte of a frame changed", "two bytes of a frame changed, at random"
CANCELLING = "two bytes of a frame changed so that its sum stays right (whole path; LIS01 cannot see these)"
PREFIX = "a frame cut short at every byte"


@dataclass
class Receipt:
    chunks: int = 1


@dataclass(frozen=True)
class Frame:
    """A good frame that begins a session, and how its device's frames are read."""

    dialect: Dialect
    wire: bytes


def corpus() -> list[Frame]:
    """Frames of the shipped samples that are taken behind an ENQ, at most 400 bytes long."""
    found: dict[bytes, Frame] = {}
    for file in sorted(FOLDERS.glob("*/samples/*/wire.bin")):
        dialect = load(file.parents[2].name).dialect()
        for piece in _frames(file.read_bytes()):
            if len(piece) <= 400 and len(taken(dialect, piece)) == 1:
                found[piece] = Frame(dialect, piece)
    return list(found.values())


def _frames(data: bytes) -> Iterator[bytes]:
    for part in data.split(STX)[1:]:
        yield STX + part.split(EOT)[0].split(ENQ)[0]


def taken(dialect: Dialect, sent: bytes) -> list[bytes]:
    """The texts handed out as data of what follows an ENQ, when silence or the end of the line follows."""
    receiver, found = Receiver(dialect), []
    receiver.receive(ENQ + sent, 0.0)
    for step in (lambda: None, lambda: receiver.expire(1.0), receiver.link_lost):
        step()
        while (event := receiver.next_event(1.0)) is not None:
            if isinstance(event, FrameReceived):
                found.append(event.text)
                receiver.acknowledge(event, Receipt())
    return found


def changed(good: bytes, draw: random.Random, count: int) -> bytes:
    bad = bytearray(good)
    for at in draw.sample(range(len(good)), count):
        bad[at] ^= draw.randrange(1, 256)
    return bytes(bad)


def accepted(count: int, bytes_changed: int, name: str) -> int:
    """How many of so many changed frames are taken for data that differs from what was sent."""
    draw, frames = chance(name), corpus()
    assert len(frames) >= 50
    good = {frame.wire: taken(frame.dialect, frame.wire) for frame in frames}
    found = 0
    for _ in range(count):
        frame = draw.choice(frames)
        got = taken(frame.dialect, changed(frame.wire, draw, bytes_changed))
        found += bool(got) and got != good[frame.wire]
    return found


def test_no_single_changed_byte_is_taken_for_data(outcomes: Outcomes) -> None:
    count = many(sample=3000, full=20_000)
    found = accepted(count, 1, ONE)
    outcomes.add(Outcome(ONE, RANDOM, count, altered=found))
    assert found == 0


def test_of_two_changed_bytes_about_one_frame_in_256_is_taken(outcomes: Outcomes) -> None:
    count = many(sample=3000, full=20_000)
    found = accepted(count, 2, TWO)
    outcomes.add(Outcome(TWO, RANDOM, count, altered=found, note="a sum of one byte is right by chance once in 256"))
    assert found <= count / 256 * 3


def test_control_without_the_sum_changed_bytes_are_taken(monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes) -> None:
    monkeypatch.setattr(Dialect, "verifies", lambda self, body, found: True)
    for name, bytes_changed in ((ONE, 1), (TWO, 2)):
        found = accepted(400, bytes_changed, name)
        assert found > 100
        outcomes.control(name, "checksum ignored", f"{found} of 400 taken for data")


def test_no_frame_cut_short_is_taken_for_data(outcomes: Outcomes) -> None:
    """But for a trailer that says nothing more: the check digits were there."""
    frames = corpus()
    points = [(f, f.wire[:length]) for f in frames for length in range(len(f.wire))]
    good = {frame.wire: taken(frame.dialect, frame.wire) for frame in frames}
    found = [cut for f, cut in points if (got := taken(f.dialect, cut)) and got != good[f.wire]]
    assert found == []
    outcomes.add(Outcome(PREFIX, ENUMERATED, len(points), len(points)))
    blind = Dialect(checksum="none", trailer="none", frame_number="none")
    short = sum(bool(taken(blind, f.wire[: len(f.wire) // 2] + b"\x03")) for f in frames)
    outcomes.control(PREFIX, "checksum ignored, ETX by chance", f"{short} of {len(frames)} halves taken for data")
    assert short > 0


def _cancelling(frame: bytes, draw: random.Random) -> bytes:
    """Two bytes of the text, one as much larger as the other is smaller."""
    one, other = draw.sample(range(2, len(frame) - 6), 2)
    by, bad = draw.randrange(1, 256), bytearray(frame)
    bad[one], bad[other] = (bad[one] + by) % 256, (bad[other] - by) % 256
    return bytes(bad)


def _sent_with_one_frame_changed(lab: Desk, number: int, draw: random.Random) -> str:
    """What became of it."""
    sheet = Sheet(number)
    frames = wire(sheet.whole())
    at = draw.randrange(LAST)
    bad = frames.copy()
    bad[at] = _cancelling(frames[at], draw)
    answers = lab.hear(ENQ, *bad, EOT)
    lab.convert()
    filings = lab.filings()
    if not answers.startswith(b"\x06" * (at + 2)):
        return "refused"
    verdict = compare(sheet.rows(ANALYSER), filings)
    if verdict.flawless:
        return "without consequence"
    if len(verdict.faults) == len(verdict.of("lost")):
        return "held or not read"
    return "filed with another content"


def test_what_becomes_of_two_changes_that_cancel_is_counted(outcomes: Outcomes) -> None:
    count, draw = many(sample=40, full=2000), chance(CANCELLING)
    with desk() as lab:
        became = Counter(_sent_with_one_frame_changed(lab, n, draw) for n in range(1, count + 1))
    altered = became["filed with another content"]
    said = ", ".join(f"{number} {what}" for what, number in sorted(became.items()))
    outcomes.add(Outcome(CANCELLING, RANDOM, count, altered=altered, note=f"{said}; the sum cannot tell"))
    assert became.total() == count
    outcomes.control(CANCELLING, "none", "this is what no receiver of LIS01 can refuse")
    assert altered < count  # some are refused or held because the frame's or the record's form breaks
