"""Sender and receiver over a line that loses, changes and doubles bytes; seeds are printed, time is simulated."""

import random
from dataclasses import dataclass

import pytest

from drivers.protocols import lis01
from drivers.protocols.lis01_sender import Aborted, Sender, Sent

RECORDS = [
    b"H|\\^&|||X\r",
    b"P|1\r",
    b"O|1|S1||^^^A\r",
    b"R|1|^^^A|5.5|g/L\r",
    b"M|1|" + b"A" * 400 + b"\r",
    b"L|1|N\r",
]


@dataclass
class Stored:
    chunks: int = 1


class Line:
    """One direction. At most one fault per write: two that cancel in the sum are beyond the standard's check."""

    def __init__(self, rng, lose=0.0, change=0.0, double=0.0):
        self.rng = rng
        self.chances = {"lose": lose, "change": change, "double": double}

    def carry(self, data):
        """The pieces in which a terminal server hands ``data`` on."""
        pieces = [bytearray(data[start : start + 17]) for start in range(0, len(data), 17)]
        fault = next((name for name, chance in self.chances.items() if self.rng.random() < chance), "")
        if pieces and fault:
            at = self.rng.randrange(len(pieces))
            byte = self.rng.randrange(len(pieces[at]))
            if fault == "lose":
                del pieces[at][byte]
            elif fault == "change":
                pieces[at][byte] ^= 1 << self.rng.randrange(8)
            elif len(pieces) > 1 or not data.startswith(b"\x02"):
                # A whole frame doubled by the line is a retransmission, and its second ACK one too many: LIS01 numbers
                # no answers, so no receiver can help there.
                pieces.insert(at, bytearray(pieces[at]))
        return [bytes(p) for p in pieces if p]


class TwoEnds:
    """Runs one transfer after another until one goes through, or patience ends."""

    def __init__(self, rng, dialect, there, back):
        self.now = 0.0
        self.rng = rng
        self.sender, self.receiver = Sender(dialect, role="instrument"), lis01.Receiver(dialect)
        self.there, self.back = there, back
        self.sessions: list[list[bytes]] = [[]]
        self.acked = self.transfers = 0

    def transfer(self, records):
        self.transfers += 1
        self.sender.start(records, self.now)
        while True:
            for event in iter(self.sender.next_event, None):
                for piece in self.there.carry(event.answer):
                    self.receive(piece)
                if isinstance(event, Sent | Aborted):
                    return isinstance(event, Sent)
            self.pass_time()

    def receive(self, piece):
        self.now += 0.01
        self.receiver.receive(piece, self.now)
        self.answer()

    def answer(self):
        for event in iter(lambda: self.receiver.next_event(self.now), None):
            if isinstance(event, lis01.FrameReceived):
                self.sessions[-1].append(event.text)
                out = self.receiver.acknowledge(event, Stored())
            else:
                out = event.answer
                if isinstance(event, lis01.Closed):
                    self.sessions.append([])
            for piece in self.back.carry(out):
                self.sender.receive(piece, self.now)

    def pass_time(self):
        due = [t for t in (self.sender.deadline, self.receiver.deadline) if t is not None]
        if self.sender._events:
            return
        self.now = max(self.now, min(due))
        self.receiver.expire(self.now)
        self.answer()
        if not self.sender._events:
            self.sender.expire(self.now)


def ends(seed, dialect=None, **faults):
    rng = random.Random(seed)
    there = Line(rng, **{k: v for k, v in faults.items() if not k.startswith("back_")})
    back = Line(rng, **{k.removeprefix("back_"): v for k, v in faults.items() if k.startswith("back_")})
    return TwoEnds(rng, dialect or lis01.Dialect(max_frame=247), there, back)


def test_a_clean_line_takes_one_transfer():
    two = ends(0)
    assert two.transfer(RECORDS)
    assert b"".join(two.sessions[0]) == b"".join(RECORDS)


@pytest.mark.parametrize(
    "faults",
    [{"lose": 0.2}, {"change": 0.3}, {"lose": 0.1, "change": 0.1, "double": 0.1}, {"back_lose": 0.1}],
    ids=["lost bytes", "changed bits", "all of it", "lost answers"],
)
def test_what_the_sender_was_told_we_have_we_have_and_nothing_else(faults):
    whole = b"".join(RECORDS)
    for seed in range(60):
        two = ends(seed, **faults)
        done = False
        for _ in range(40):
            two.sessions.append([])
            if done := two.transfer(RECORDS):
                break
        sessions = [b"".join(s) for s in two.sessions if s]
        print(f"seed {seed}: {two.transfers} transfers, {len(sessions)} sessions, {two.now:.0f} s")
        assert done, seed
        assert all(whole.startswith(s) for s in sessions), seed
        assert sessions[-1] == whole, seed


def test_doubled_answers_alone_never_lose_a_record_of_a_clean_stream():
    for seed in range(30):
        two = ends(seed, back_double=0.2)
        for _ in range(20):
            two.sessions.append([])
            if two.transfer(RECORDS):
                break
        assert b"".join(RECORDS) in [b"".join(s) for s in two.sessions], seed


def test_negative_control_without_checksums_a_changing_line_alters_what_is_stored():
    whole, altered = b"".join(RECORDS), 0
    for seed in range(30):
        two = ends(seed, lis01.Dialect(checksum="none", max_frame=247), change=0.5)
        two.transfer(RECORDS)
        altered += any(not whole.startswith(b"".join(s)) for s in two.sessions)
    assert altered > 0


def test_contention_is_settled_a_thousand_times_and_no_transfer_is_lost():
    for seed in range(1000):
        rng = random.Random(seed)
        instrument, host = Sender(lis01.Dialect(), role="instrument"), Sender(lis01.Dialect(), role="host")
        receiver = lis01.Receiver(lis01.Dialect())
        start = rng.random() * 0.01
        instrument.start([b"L|1\r"], start)
        host.start([b"H|\\^&\r"], 0.0)
        host.receive(instrument.next_event().answer, start)
        instrument.receive(host.next_event().answer, start)
        assert instrument.next_event().until < host.next_event().until
        now = instrument.deadline
        instrument.expire(now)
        host.receive(instrument.next_event().answer, now)
        receiver.receive(host.unclaimed(), now)
        instrument.receive(receiver.next_event(now).answer, now)
        assert instrument.next_event().answer.startswith(b"\x021L|1\r")
        host.expire(host.deadline)
        assert host.next_event().answer == b"\x05"
