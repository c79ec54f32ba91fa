"""The conversion thread: takes ended transmissions from the store, settles each in one transaction.

Promised: a transmission is settled once and whole, or stays unconverted and is tried again; a message that breaks its
driver, or that the store refuses, fails alone; the thread never ends unnoticed. Not promised: speed for analysers; they
were acknowledged long before.

It sleeps until something was stored. Only after a storage error does it wake by itself, to try again.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from drivers.errors import DriverError
from drivers.protocols.lis02 import Record
from drivers.sdk import Device
from edge_agent.codes import CODES
from edge_agent.pipeline import Plan, plan, whole_records
from edge_agent.policy import Policy, policy_for
from edge_agent.settings import AnalyserTable, Settings
from edge_agent.settlement import settle
from edge_agent.states import IllegalTransitionError, TransmissionState
from edge_agent.store.errors import RefusedError, StoreError
from edge_agent.store.rows import Group, KnownObservation, ObservationKey, Reserved, Settlement, Transmission
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

log = logging.getLogger(__name__)

T = TypeVar("T")
OnAlarm = Callable[[str, str, Mapping[str, str]], object]

RETRY_S = 2.0
MOST_BROKEN = 256  # a line that babbles makes many: the one that matters must not hide behind them
_ANSWER_S = 60.0
_COMMENTS = ("comments",)
# What a defect in our own code raises. It costs the one message; the bytes stay for the fix.
_DEFECTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Reader:
    """How one analyser's transmissions are read."""

    device: Device
    policy: Policy

    @classmethod
    def of(cls, settings: Settings, analyser: AnalyserTable, device: Device) -> Self:
        """As it is configured, by ``device``."""
        return cls(device, policy_for(settings, analyser, device.profile.result.resend_horizon_s))


class Converter:
    def __init__(
        self,
        store: StoreThread,
        readers: Mapping[str, Reader],
        on_alarm: OnAlarm,
        on_settled: Callable[[], object],
        on_clock: Callable[[str, float], object] = lambda analyser, ahead_s: None,
    ) -> None:
        """``on_alarm(code, analyser, params)``, ``on_settled()`` and ``on_clock`` are called in the conversion thread.

        ``on_clock(analyser, ahead_s)``: what a message that just came said of its sender's clock.
        """
        self._store = store
        self._readers = readers
        self._on_alarm = on_alarm
        self._on_settled = on_settled
        self._on_clock = on_clock
        self._wake = threading.Event()
        self._stopping = False
        self._ended: Future[None] = Future()
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

    async def ended(self) -> None:
        """Returns when the thread has ended; raises what ended it."""
        await asyncio.shield(asyncio.wrap_future(self._ended))

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  # a thread that dies in silence would leave results lying
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    def _work(self) -> None:
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
        except (StoreError, TimeoutError):
            self._on_settled()  # what was settled before, and what was written although an error was reported
            return RETRY_S
        return None

    def _convert_some(self) -> bool:
        """One is read while the outcome of the one before it is being written.

        The store does its jobs in the order they were given: what it is asked for one transmission includes what the
        one before it settled.
        """
        waiting = self._ask(_unconverted)
        written: _Written | None = None
        try:
            for transmission, before in waiting:
                if self._stopping:
                    return False
                settlement = self._settlement(transmission, before)
                last, written = written, self._write(transmission, settlement)
                self._finish(last)
        finally:
            self._finish(written)
        return bool(waiting)

    def _write(self, transmission: Transmission, settlement: Settlement) -> "_Written":
        return _Written(transmission, settlement, self._store.later(lambda s: s.settle(settlement)))

    def _finish(self, written: "_Written | None") -> None:
        if written is None:
            return
        transmission, settlement = written.transmission, written.settlement
        try:
            written.done.result(_ANSWER_S)
        except (RefusedError, IllegalTransitionError) as error:
            # Nothing of it was written. Trying it again would keep every other analyser's results from going out.
            settlement = failed = self._failed(transmission, error)
            self._ask(lambda s: s.settle(failed))
        self._raise(transmission.source.analyser, settlement)

    def _ask(self, job: Callable[[Store], T]) -> T:
        return self._store.later(job).result(_ANSWER_S)

    def _settlement(self, transmission: Transmission, before: Sequence[Group]) -> Settlement:
        reader = self._readers.get(transmission.source.analyser)
        if reader is None:
            return Settlement(transmission.id, holds=(("not-configured", ""),))
        try:
            return self._convert(transmission, before, reader)
        except (DriverError, *_DEFECTS) as error:
            return self._failed(transmission, error)

    def _convert(self, transmission: Transmission, before: Sequence[Group], reader: Reader) -> Settlement:
        """``before`` is what an earlier conversion made of it."""
        policy = reader.policy.received_in(transmission.source.mode)
        if not before and transmission.source.profile != reader.device.name:
            # Read by another device's profile it may name another specimen. A release says that it shall be.
            return Settlement(transmission.id, holds=(("wrong-device", f"it came as {transmission.source.profile}"),))
        planned = plan(transmission, reader.device, policy)
        if planned.ahead_s is not None and not before:  # not of what is read a second time
            self._on_clock(transmission.source.analyser, planned.ahead_s)
        keys = planned.keys()
        if not _still_there(before, keys):
            return Settlement(transmission.id, holds=(("reading-changed", ""),))
        facts = self._ask(lambda s: _facts(s, planned, keys))
        known = _with_its_own(facts.known, transmission, before)
        completes = self._completes(planned, facts.broken, reader)
        settled = settle(planned, known, facts.reserved, reader.device.coding(), policy, completes)
        return replace(settled, completed_by=self._completed_by(planned, reader))

    def _completes(self, planned: Plan, broken: Sequence[Transmission], reader: Reader) -> tuple[int, ...]:
        """Interrupted transmissions whose rest this complete one brought."""
        resend = planned.transmission
        before = [t for t in broken if t.id < resend.id]
        return tuple(t.id for t in before if self._is_covered(t, resend, reader)) if before else ()

    def _completed_by(self, planned: Plan, reader: Reader) -> int:
        """The transmission that brought the rest before this one was known to be interrupted; 0 if none did.

        An analyser that lost its line comes back on another and sends again; the old line's end is noticed later.
        """
        broken = planned.transmission
        if broken.state is not TransmissionState.INTERRUPTED or not broken.text():
            return 0
        came = self._ask(lambda s: s.completed_after(broken.source.analyser, broken.id))
        settled = [t for t in came if t.converted and t.source.profile == reader.device.name]
        return next((t.id for t in settled if self._is_covered(broken, t, reader)), 0)

    def _is_covered(self, broken: Transmission, resend: Transmission, reader: Reader) -> bool:
        try:
            return _covered(_promoted(broken, resend.source.mode), resend, reader)
        except (DriverError, *_DEFECTS) as error:
            # The defect is of the broken one's bytes. It stays as it is, and costs what came after it nothing.
            log.error("Whether t%d was sent again cannot be told: %s", broken.id, type(error).__name__)
            return False

    def _failed(self, transmission: Transmission, error: Exception) -> Settlement:
        # The exception's text may quote the message, so only its kind is written anywhere.
        kind = type(error).__name__
        log.error("Transmission t%d of %s failed: %s", transmission.id, transmission.source.analyser, kind)
        return Settlement(transmission.id, holds=(("driver", kind),))

    def _raise(self, analyser: str, settlement: Settlement) -> None:
        for code, params in settlement.alarms:
            self._on_alarm(code, analyser, params)
        for code, detail in settlement.holds:
            self._on_alarm(code, analyser, self._facts(code, detail, analyser))
        for group in settlement.groups:
            for code, detail in {(group.hold, group.detail), *((o.hold, o.detail) for o in group.observations)}:
                if code:
                    self._on_alarm(code, analyser, self._facts(code, detail, analyser))

    def _facts(self, code: str, detail: str, analyser: str) -> Mapping[str, str]:
        """What the sentence names. An alarm leaves this machine, and a detail can be a text the analyser sent."""
        said, reader = CODES[code].sentence, self._readers.get(analyser)
        if "{test}" in said and reader is not None:
            return {"test": reader.policy.shown_code(detail)}
        return {"reason": detail} if "{reason}" in said and detail else {}


@dataclass(frozen=True, slots=True)
class _Written:
    """A settlement on its way into the store."""

    transmission: Transmission
    settlement: Settlement
    done: Future[None]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the store knows that decides what becomes of a plan."""

    known: dict[ObservationKey, KnownObservation]
    reserved: list[Reserved]
    broken: list[Transmission]  # may be completed by it


def _covered(broken: Transmission, resend: Transmission, reader: Reader) -> bool:
    """Whether ``resend`` brings what of ``broken`` was not saved: all of it, or from the last level decrease on.

    Comments are left aside: those of the last result may have been what did not get through.
    """
    if not broken.text():
        return True  # not one frame got through then; a whole message has since
    whole = plan(broken, reader.device, reader.policy, everything=True, aside=_COMMENTS)
    saved = plan(broken, reader.device, reader.policy, aside=_COMMENTS)
    again = plan(resend, reader.device, reader.policy, aside=_COMMENTS)
    wanted, came = set(whole.keys()), set(again.keys())
    # A resend may start where the analyser broke off, with repeated parents: what was saved need not come again.
    rest, missing = wanted - set(saved.keys()), whole.named - saved.named
    if rest or missing:
        return rest <= came and missing <= again.named
    everything = wanted <= came and whole.named <= again.named
    return everything or _unsaved(broken, reader.device) <= _said(resend, reader.device)


def _unsaved(broken: Transmission, device: Device) -> set[tuple[str, ...]]:
    """The records from the last level decrease on."""
    read, _ = device.read(whole_records(broken.text()))
    return {_content(r) for message, _ in read[-1:] for r in message.records[message.saved :] if r.type != "H"}


def _said(transmission: Transmission, device: Device) -> set[tuple[str, ...]]:
    read, _ = device.read(transmission.text())
    return {_content(record) for message, _ in read for record in message.records}


def _content(record: Record) -> tuple[str, ...]:
    """Without its sequence number."""
    return (record.type, *record.fields[2:])


def _unconverted(store: Store) -> list[tuple[Transmission, list[Group]]]:
    return [(transmission, store.groups(transmission.id)) for transmission in store.next_unconverted()]


def _promoted(broken: Transmission, mode: str) -> Transmission:
    """What broke off in validation and comes again in production has come again.

    Not the other way round: that a patient's result came in a trial does not bring it to where it belongs.
    """
    return replace(broken, source=replace(broken.source, mode=mode)) if mode == "production" else broken


def _facts(store: Store, planned: Plan, keys: Sequence[ObservationKey]) -> _Facts:
    transmission, count = planned.transmission, planned.reservations()
    whole = transmission.state is TransmissionState.COMPLETE and planned.named
    analyser = transmission.source.analyser
    return _Facts(
        known=store.lookup(analyser, keys),
        reserved=store.reserve(count) if count else [],
        broken=store.interrupted(analyser, MOST_BROKEN) if whole else [],
    )


def _with_its_own(
    known: dict[ObservationKey, KnownObservation], transmission: Transmission, before: Sequence[Group]
) -> dict[ObservationKey, KnownObservation]:
    """What this very transmission led to in an earlier conversion counts as its own."""
    own = {o.key: o.message_id for group in before for o in group.observations if o.message_id and o.key in known}
    return known | {
        key: replace(known[key], message_id=message_id, transmission=transmission.id) for key, message_id in own.items()
    }


def _still_there(before: Sequence[Group], keys: Sequence[ObservationKey]) -> bool:
    """Whether everything an earlier conversion sent is read as it was then.

    If it is not, its identity is lost, and it would go out a second time under another id (design invariant 7).
    """
    return {o.key for group in before for o in group.observations if o.message_id} <= set(keys)
