"""An analyser in virtual time: LIS01-A2's sending side, and a memory of what it was told is safe.

Like a real one it keeps a transmission until the frame of its L record was acknowledged, and sends it again until then.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from faults.simulation.line import Line, Noise, Port

from simulators.analyser_ledger import Row, rows_of
from simulators.framing import ACK, ENQ, EOT, NAK, Frame, frames
from simulators.generate import Generator, Transmission

REPLY_S, BUSY_S, SENDS = 15.0, 10.0, 6
AGAIN_S = 30.0  # after a failure


class _FailedError(Exception):
    """This attempt; the transmission is kept."""


@dataclass
class SimAnalyser:
    name: str
    device: str
    generator: Generator
    port: Port
    noise: Noise
    rows: list[Row] = field(default_factory=list)
    waiting: deque[Transmission] = field(default_factory=deque)
    line: Line | None = None
    numbers: int = 0
    last: Transmission | None = None  # delivered whole

    def __post_init__(self) -> None:
        self._news = asyncio.Event()
        self._attempts = 0
        self._delivered: set[int] = set()
        self._sending: Transmission | None = None

    def measure(self) -> None:
        """Another transmission is ready to be sent."""
        self.waiting.append(self.generator.transmission(self.numbers))
        self.numbers += 1
        self._news.set()

    def send_again(self) -> None:
        """Somebody pressed the key: the last one once more. What it owes was written down the first time."""
        if self.last is not None and not any(t.number == self.last.number for t in self.waiting):
            self.waiting.append(self.last)
            self._news.set()

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.cut()
            self.line = None

    def sent(self) -> list[Row]:
        """All that was sent. Of what is being sent no result is owed yet, and the last answer may be lost on its way
        while the results are filed."""
        if self._sending is None or self._sending.number in self._delivered:
            return self.rows
        return self.rows + self._rows(self._sending, reached=0, complete=False)

    @property
    def idle(self) -> bool:
        return not self.waiting

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self.waiting:
                if await self._deliver(self.waiting[0]):
                    self.waiting.popleft()
                else:
                    await asyncio.sleep(AGAIN_S)

    async def _deliver(self, transmission: Transmission) -> bool:
        made = frames(transmission.records, transmission.shape.framing)
        reached = 0
        self._sending = transmission
        try:
            line = self._connected()
            await self._establish(line)
            for frame in made:
                await self._send(line, frame)
                reached = frame.ends_at
            line.to_agent.put(EOT)
        except _FailedError:
            pass
        self._sending = None
        complete = reached == made[-1].ends_at
        if transmission.number not in self._delivered:  # sent again later it is the same results, owed once
            self.rows += self._rows(transmission, reached, complete)
        self._attempts = 0 if complete else self._attempts + 1
        if complete:
            self._delivered.add(transmission.number)
            self.last = transmission
        return complete

    def _rows(self, transmission: Transmission, reached: int, complete: bool) -> list[Row]:
        return rows_of(transmission, self.device, self.name, reached, complete, self._attempts)

    def _connected(self) -> Line:
        if self.line is None or not self.line.up:
            self.line = self.port.connect()
        if self.line is None:
            raise _FailedError
        return self.line

    async def _establish(self, line: Line) -> None:
        for _ in range(SENDS):
            line.to_agent.put(ENQ)
            if await self._answer(line) == ACK:
                return
            await asyncio.sleep(BUSY_S)
        raise _FailedError

    async def _send(self, line: Line, frame: Frame) -> None:
        for _ in range(SENDS):
            line.to_agent.put(self.noise.on(frame.wire))
            if await self._answer(line) == ACK:
                return
        line.to_agent.put(EOT)
        raise _FailedError

    async def _answer(self, line: Line) -> bytes:
        answer = await line.to_analyser.get(REPLY_S)
        if answer == b"":
            raise _FailedError
        if answer is None:
            line.to_agent.put(EOT)
            raise _FailedError
        return ACK if answer[-1:] == ACK else NAK
