"""The conversion thread: takes ended transmissions from the store, settles each in one transaction.

Promised: a transmission is settled once and whole, or stays unconverted and is tried again; a message that breaks its
driver fails alone. Not promised: speed for analysers; they were acknowledged long before.

It sleeps until something was stored. Only after a storage error does it wake by itself, to try again.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from drivers.errors import DriverError
from drivers.sdk import Device
from edge_agent.pipeline import Plan, plan
from edge_agent.policy import Policy
from edge_agent.settlement import settle
from edge_agent.states import TransmissionState
from edge_agent.store.errors import StoreError
from edge_agent.store.rows import ObservationKey, Settlement, Transmission
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

log = logging.getLogger(__name__)

T = TypeVar("T")
OnAlarm = Callable[[str, str, Mapping[str, str]], object]

RETRY_S = 2.0
_ANSWER_S = 60.0
# What a defect in our own code raises. It costs the one message; the bytes stay for the fix.
_DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Reader:
    """How one analyser's transmissions are read."""

    device: Device
    policy: Policy


class Converter:
    def __init__(
        self,
        store: StoreThread,
        readers: Mapping[str, Reader],
        on_alarm: OnAlarm,
        on_settled: Callable[[], object],
    ) -> None:
        """``on_alarm(code, analyser, params)`` and ``on_settled()`` are called in the conversion thread."""
        self._store = store
        self._readers = readers
        self._on_alarm = on_alarm
        self._on_settled = on_settled
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="converter", daemon=True)

    def start(self) -> None:
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """Returns when the transmission in hand is settled or given back."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def kick(self) -> None:
        """Something was stored. Callable from any thread."""
        self._wake.set()

    def _run(self) -> None:
        wait: float | None = None
        while not self._stopping:
            self._wake.wait(wait)
            self._wake.clear()
            wait = self._drain()

    def _drain(self) -> float | None:
        """Convert until nothing is left; the seconds to wait if the store would not have it."""
        try:
            while not self._stopping and self._convert_some():
                self._on_settled()
        except StoreError:
            return RETRY_S
        return None

    def _convert_some(self) -> bool:
        transmissions = self._ask(lambda s: s.next_unconverted())
        for transmission in transmissions:
            if self._stopping:
                return False
            self._write(transmission.source.analyser, self._settlement(transmission))
        return bool(transmissions)

    def _write(self, analyser: str, settlement: Settlement) -> None:
        self._ask(lambda s: s.settle(settlement))
        self._raise(analyser, settlement)

    def _ask(self, job: Callable[[Store], T]) -> T:
        return self._store.later(job).result(_ANSWER_S)

    def _settlement(self, transmission: Transmission) -> Settlement:
        reader = self._readers.get(transmission.source.analyser)
        if reader is None:
            return Settlement(transmission.id, holds=(("not-configured", ""),))
        try:
            return self._convert(transmission, reader)
        except (DriverError, *_DEFECTS) as error:
            return self._failed(transmission, error)

    def _convert(self, transmission: Transmission, reader: Reader) -> Settlement:
        planned = plan(transmission, reader.device, reader.policy)
        analyser, keys = transmission.source.analyser, planned.keys()
        known = self._ask(lambda s: s.lookup(analyser, keys)) if keys else {}
        count = planned.reservations()
        reserved = self._ask(lambda s: s.reserve(count)) if count else []
        completes = self._completes(planned, reader)
        return settle(planned, known, reserved, reader.device.coding(), reader.policy, completes)

    def _completes(self, planned: Plan, reader: Reader) -> tuple[int, ...]:
        """Interrupted transmissions whose every observation and specimen this complete one brought again."""
        transmission = planned.transmission
        if transmission.state is not TransmissionState.COMPLETE:
            return ()
        analyser = transmission.source.analyser
        broken = self._ask(lambda s: s.interrupted(analyser))
        keys, specimens = set(planned.keys()), {s.specimen.id for s in planned.specimens}
        return tuple(t.id for t in broken if t.id < transmission.id and self._covered(t, reader, keys, specimens))

    def _covered(self, broken: Transmission, reader: Reader, keys: set[ObservationKey], specimens: set[str]) -> bool:
        if not broken.text():
            return False
        whole = plan(broken, reader.device, reader.policy, everything=True)
        return {s.specimen.id for s in whole.specimens} <= specimens and set(whole.keys()) <= keys

    def _failed(self, transmission: Transmission, error: Exception) -> Settlement:
        # The exception's text may quote the message, so only its kind is written anywhere.
        kind = type(error).__name__
        log.error("Transmission t%d of %s failed: %s", transmission.id, transmission.source.analyser, kind)
        return Settlement(transmission.id, holds=(("driver", kind),))

    def _raise(self, analyser: str, settlement: Settlement) -> None:
        for code, params in settlement.alarms:
            self._on_alarm(code, analyser, params)
        for code, detail in settlement.holds:
            self._on_alarm(code, analyser, {"reason": detail})
        for group in settlement.groups:
            for code, detail in {(group.hold, group.detail), *((o.hold, o.detail) for o in group.observations)}:
                if code:
                    self._on_alarm(code, analyser, {"reason": detail, "test": detail})
