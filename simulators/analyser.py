"""A simulated analyser: makes transmissions, delivers them, and writes down what it was told is safe.

It promises that a row is marked complete only after the acknowledgement of the L record came in. Like a real analyser
it keeps a transmission until then: when the line breaks or the receiver does not take it, it comes back and sends the
whole transmission again (switch off with ``resend=False``).
"""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from simulators.analyser_ledger import AnalyserLedger, Row, rows_of
from simulators.devices import Device
from simulators.devices import device as find_device
from simulators.errors import LinkLostError, NotAcceptedError, SimulatorError
from simulators.framing import LONG, SHORT, Frame, frames
from simulators.generate import Generator, Transmission
from simulators.lines import Line, Port, open_port
from simulators.lis01_sender import Counters, Sender, Timers
from simulators.shapes import shapes

BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
LIMITS = {240: SHORT, 64_000: LONG}


def new_seed() -> int:
    return secrets.randbelow(1_000_000)


def clock_in(zone: str) -> Callable[[], datetime]:
    """An analyser's clock that is right. Raises ``SimulatorError`` for a zone that is not there."""
    try:
        known = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise SimulatorError(f"{zone!r} is not a time zone.", "Name one such as Asia/Seoul.") from None
    return lambda: datetime.now(known)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send. ``results``: end after so many observations. ``rate``: transmissions a second, 0: do not wait."""

    device: str
    count: int = 1
    rate: float = 0.0
    seed: int = field(default_factory=new_seed)
    results: int | None = None
    frame_size: int | None = None  # 240 or 64 000; None: as in the sample
    samples: tuple[str, ...] = ()
    analyser: str = ""
    per_specimen: int = 1
    resend: bool = True
    give_up_s: float = 600.0  # without one acknowledged transmission
    devices: Path | None = None
    clock: Callable[[], datetime] = field(default_factory=lambda: clock_in("Asia/Seoul"))  # its headers show it


@dataclass(slots=True)
class SendReport:
    """What came of it. ``acknowledged`` counts observations told to be safe."""

    plan: Plan
    transmissions: int = 0
    transmissions_acknowledged: int = 0
    sent: int = 0
    acknowledged: int = 0
    resends: int = 0
    link_losses: int = 0
    reasons: list[str] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    rows: list[Row] = field(default_factory=list)

    @property
    def all_acknowledged(self) -> bool:
        return self.transmissions > 0 and self.transmissions == self.transmissions_acknowledged


Progress = Callable[[SendReport], None]
Trouble = Callable[[SimulatorError], None]


def send(
    plan: Plan,
    to: str,
    *,
    ledger: Path | None = None,
    progress: Progress = lambda _: None,
    trouble: Trouble = lambda _: None,
    timers: Timers | None = None,
    stop: threading.Event | None = None,
) -> SendReport:
    """Send what the plan says to an address. Raises ``SimulatorError`` only when it cannot begin.

    ``trouble`` hears each new reason why something was not taken; it is tried again all the same.
    """
    found = find_device(plan.device, plan.devices)
    port = open_port(to)
    with AnalyserLedger(ledger) as book:
        analyser = Analyser(plan, found, port, book, timers or Timers(), stop or threading.Event(), trouble)
        try:
            return analyser.run(progress)
        finally:
            analyser.hang_up()
            port.close()


class Analyser:
    def __init__(
        self,
        plan: Plan,
        device: Device,
        port: Port,
        ledger: AnalyserLedger,
        timers: Timers,
        stop: threading.Event,
        trouble: Trouble,
    ) -> None:
        self._plan, self._device, self._port, self._ledger = plan, device, port, ledger
        self._timers, self._stop, self._trouble = timers, stop, trouble
        found = shapes(device, plan.samples)
        self._generator = Generator(device.name, found, plan.seed, plan.per_specimen, plan.clock)
        self._line: Line | None = None
        self.report = SendReport(plan, rows=ledger.rows)

    def run(self, progress: Progress) -> SendReport:
        started = time.monotonic()
        for number in range(self._plan.count):
            left = None if self._plan.results is None else self._plan.results - self.report.sent
            if self._stop.is_set() or left == 0:
                break
            if self._plan.rate > 0:
                self._stop.wait(max(0.0, started + number / self._plan.rate - time.monotonic()))
            self._one(self._generator.transmission(number, left))
            progress(self.report)
        return self.report

    def _one(self, transmission: Transmission) -> None:
        self.report.transmissions += 1
        self.report.sent += len(transmission.observations)
        began, tries = time.monotonic(), 0
        while not self._stop.is_set():
            if self._attempt(transmission, tries):
                self.report.transmissions_acknowledged += 1
                self.report.acknowledged += len(transmission.observations)
                return
            if not self._plan.resend or time.monotonic() - began > self._plan.give_up_s:
                return
            self.report.resends += 1
            self._stop.wait(BACKOFF[min(tries, len(BACKOFF) - 1)])
            tries += 1

    def _attempt(self, transmission: Transmission, attempt: int) -> bool:
        made = self._frames(transmission)
        sender: Sender | None = None
        reached = 0

        def reach(frame: Frame) -> None:
            nonlocal reached
            reached = frame.ends_at

        try:
            if self._line is None:
                self._line = self._port.connect()
            sender = Sender(self._line, self._timers, sleep=self._wait, counters=self.report.counters)
            sender.deliver(made, reach)
        except (LinkLostError, NotAcceptedError) as error:
            self._failed(error)
        # The L record's frame is the last one: its acknowledgement is what counts, not whether our EOT still got out.
        complete = reached == made[-1].ends_at
        if complete or sender is not None:
            self._ledger.write(
                rows_of(transmission, self._device.name, self._plan.analyser, reached, complete, attempt)
            )
        return complete

    def _failed(self, error: SimulatorError) -> None:
        if error.sentence not in self.report.reasons:
            self.report.reasons.append(error.sentence)
            self._trouble(error)
        if isinstance(error, LinkLostError):
            self.report.link_losses += 1
            self.hang_up()

    def _frames(self, transmission: Transmission) -> Sequence[Frame]:
        framing = transmission.shape.framing
        if self._plan.frame_size is not None:
            framing = replace(framing, limit=LIMITS[self._plan.frame_size])
        return frames(transmission.records, framing)

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
