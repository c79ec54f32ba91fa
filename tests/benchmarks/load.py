"""Analysers as a process of its own: each sends its messages over one connection and waits for every answer.

Words: JSON {"ports": [...], "messages": per link, "first": number of the first message, "rate": frames/s per link, 0:
as fast as they are taken}. Ready when everything is prepared and connected; "go" sends all of it and answers with
counts and waits for the ACKs.
"""

import heapq
import json
import random
import select
import socket
import sys
import time
from collections.abc import Iterator

from benchmarks import wire
from benchmarks.kit import percentile, say

ACK = b"\x06"


class Analyser:
    def __init__(self, port: int, numbers: range, interval: float) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parts = _parts(numbers)
        self.interval = interval
        self.due = 0.0
        self.sent_at = 0.0
        self.is_frame = False
        self.done = False

    def send(self, now: float) -> None:
        """The next thing that is answered; an EOT goes with the ENQ behind it."""
        part = next(self.parts, None)
        if part is None:
            self.socket.sendall(b"\x04")
            self.done = True
            return
        self.is_frame = part[:1] == b"\x02"
        self.sent_at = time.monotonic()
        self.due = max(self.due + self.interval, now - 1.0)
        self.socket.sendall(part)


def _parts(numbers: range) -> Iterator[bytes]:
    prepared = [part for n in numbers for part in (b"\x04\x05", *wire.frames(n))]
    if prepared:
        prepared[0] = b"\x05"
    return iter(prepared)


class Load:
    def __init__(self, ports: list[int], messages: int, first: int, rate: float) -> None:
        starts = [first + n * messages for n in range(len(ports))]
        interval = 1 / rate if rate else 0.0
        self.analysers = [Analyser(p, range(s, s + messages), interval) for p, s in zip(ports, starts, strict=True)]
        self.by_number = {a.socket.fileno(): a for a in self.analysers}
        self.poll = select.epoll()
        for number in self.by_number:
            self.poll.register(number, select.EPOLLIN)
        self.waits: list[float] = []
        self.refused = 0
        self.later: list[tuple[float, int]] = []

    def run(self) -> dict[str, float]:
        began = time.monotonic()
        chance = random.Random(1)
        for analyser in self.analysers:
            analyser.due = began + chance.random() * analyser.interval
            self.plan(analyser, began)
        left = len(self.analysers)
        while left:
            for number, _ in self.poll.poll(self.patience()):
                left -= self.answered(self.by_number[number])
            now = time.monotonic()
            while self.later and self.later[0][0] <= now:
                analyser = self.by_number[heapq.heappop(self.later)[1]]
                analyser.send(now)
                left -= analyser.done
        return self.told(time.monotonic() - began)

    def patience(self) -> float:
        return max(0.0, self.later[0][0] - time.monotonic()) if self.later else 30.0

    def plan(self, analyser: Analyser, now: float) -> None:
        heapq.heappush(self.later, (max(now, analyser.due), analyser.socket.fileno()))

    def answered(self, analyser: Analyser) -> bool:
        """Whether it was this analyser's last."""
        answer = analyser.socket.recv(16)
        now = time.monotonic()
        assert answer, "the agent hung up"
        if analyser.is_frame:
            self.waits.append(now - analyser.sent_at)
        self.refused += answer != ACK
        if analyser.due > now:
            self.plan(analyser, now)
            return False
        analyser.send(now)
        return analyser.done

    def told(self, seconds: float) -> dict[str, float]:
        ordered = sorted(self.waits)
        named = {name: percentile(ordered, part) * 1000 for name, part in _PARTS}
        return {"frames": len(ordered), "seconds": seconds, "refused": self.refused, **named}


_PARTS = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("most", 1.0))


def main() -> None:
    load = Load(**json.loads(sys.argv[1]))
    say("ready")
    if sys.stdin.readline():
        say(load.run())
        sys.stdin.readline()


if __name__ == "__main__":
    main()
