"""Transmissions made by hand or from recorded bytes, and the way from them to messages, without a store."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from drivers.profile import merge, parse_profile
from drivers.protocols.lis01 import Closed, FrameReceived, Noise, Receiver, Refused, Repeated
from drivers.protocols.lis01_dialect import Dialect
from drivers.sdk import FOLDERS, Device, load
from edge_agent.pipeline import plan
from edge_agent.policy import Policy
from edge_agent.settlement import settle
from edge_agent.states import ItemState, MessageState, TransmissionState
from edge_agent.store.rows import (
    Chunk,
    ChunkKind,
    KnownObservation,
    NewGroup,
    ObservationKey,
    Reserved,
    Settlement,
    Source,
    StoredChunk,
    Transmission,
)

START = datetime(2024, 6, 12, 3, 0, tzinfo=UTC)  # noon in Seoul
SEOUL = ZoneInfo("Asia/Seoul")
GENERIC = load("lis02_generic")

POLICY = Policy(
    analyser="an1",
    site="seoul-01",
    gateway="gw-01",
    receiving_application="IVD",
    receiving_facility="CENTRAL",
    message="OUL_R22",
    mode="production",
    timezone=SEOUL,
    on_unknown_code="send-local",
    specimen_id=None,
    resend_horizon=timedelta(minutes=5),
)


def policy(**changes: Any) -> Policy:
    return replace(POLICY, **changes)


def device(**changes: Any) -> Device:
    """The generic device with other tables, as a site's override would have them."""
    content = json.loads(GENERIC.profile.model_dump_json(by_alias=True, exclude_unset=True))
    return Device("lis02_generic", parse_profile(merge(content, changes)))


def source(analyser: str = "an1", mode: str = "production") -> Source:
    return Source(analyser, "127.0.0.1:40001", "lis02_generic", 1, "00", mode)


def records(*lines: str) -> bytes:
    """LIS02 records as they stand in frames' texts: each ended by CR (LIS02-A2 §5.5)."""
    return "".join(f"{line}\r" for line in lines).encode()


def transmission(
    text: bytes = b"",
    *,
    id: int = 1,
    state: TransmissionState = TransmissionState.COMPLETE,
    after: timedelta = timedelta(),
    chunks: tuple[Chunk, ...] | None = None,
    of: Source | None = None,
) -> Transmission:
    """One that ended ``after`` START, its text in one frame or in the chunks given."""
    found = (Chunk(ChunkKind.FRAME, text, text, 1, True),) if chunks is None else chunks
    at = START + after
    ended = at + timedelta(seconds=2)
    stored = tuple(StoredChunk(n, at, chunk) for n, chunk in enumerate(found))
    reason = "L" if state is TransmissionState.COMPLETE else "link"
    return Transmission(id, of or source(), state, at, ended, reason, False, None, stored)


@dataclass(frozen=True)
class Receipt:
    chunks: int = 1


def received(wire: bytes, dialect: Dialect) -> list[Transmission]:
    """What a session would have stored of recorded bytes, every frame acknowledged."""
    receiver = Receiver(dialect)
    receiver.receive(wire, 0.0)
    receiver.link_lost()
    found: list[Transmission] = []
    chunks: list[Chunk] = []

    def end(state: TransmissionState, reason: str) -> None:
        if chunks:
            made = transmission(id=len(found) + 1, state=state, chunks=tuple(chunks))
            found.append(replace(made, reason=reason))
            chunks.clear()

    while (event := receiver.next_event(0.0)) is not None:
        match event:
            case FrameReceived():
                chunks.append(Chunk(ChunkKind.FRAME, event.raw, event.text, event.number, event.last))
                receiver.acknowledge(event, Receipt())
                if event.ends_message:
                    end(TransmissionState.COMPLETE, "L")
            case Repeated(raw=raw):
                if chunks:
                    chunks.append(Chunk(ChunkKind.REPEAT, raw))
            case Refused(raw=raw, reason=reason):
                chunks.append(Chunk(ChunkKind.REFUSED, raw, reason=reason))
            case Noise(raw=raw):
                chunks.append(Chunk(ChunkKind.NOISE, raw))
            case Closed(reason=reason):
                whole = reason == "eot" and dialect.end_of_message != "L" and not event.after_refusal
                end(TransmissionState.COMPLETE if whole else TransmissionState.INTERRUPTED, reason)
    end(TransmissionState.INTERRUPTED, "link")
    return found


def reserved(count: int, first: int = 1) -> list[Reserved]:
    """Ids as a store with the identity 0A1B2C3D gives them out."""
    return [Reserved(f"0A1B2C3D-{n:011d}", START + timedelta(seconds=3)) for n in range(first, first + count)]


class Memory:
    """What a store remembers between conversions, as far as repeats need it; ids and states are looked at by tests."""

    def __init__(self, read_by: Device = GENERIC, under: Policy = POLICY) -> None:
        self.device = read_by
        self.policy = under
        self.known: dict[ObservationKey, KnownObservation] = {}
        self.states: dict[str, MessageState] = {}
        self._next = 1

    def settle(self, sent: Transmission, completes: tuple[int, ...] = ()) -> Settlement:
        planned = plan(sent, self.device, self.policy)
        count = planned.reservations()
        ids = reserved(count, self._next)
        self._next += count
        known = {k: self._now(self.known[k]) for k in self.known.keys() & set(planned.keys())}
        made = settle(planned, known, ids, self.device.coding(), self.policy, completes)
        self._remember(made, sent)
        return made

    def file(self, *ids: str) -> None:
        for message_id in ids or tuple(self.states):
            self.states[message_id] = MessageState.FILED

    def _now(self, old: KnownObservation) -> KnownObservation:
        return replace(old, message_state=self.states[old.message_id])

    def _remember(self, made: Settlement, sent: Transmission) -> None:
        for group in made.groups:
            for message in group.messages:
                self.states[message.id] = MessageState.QUEUED
            for o in group.observations:
                if o.state is ItemState.CONVERTED:
                    seen = sent.ended or sent.opened
                    self.known[o.key] = KnownObservation(o.key, o.message_id, seen, MessageState.QUEUED, sent.id)


def payloads(made: Settlement) -> list[bytes]:
    return [message.payload for group in made.groups for message in group.messages]


def states(made: Settlement) -> list[list[str]]:
    """Per specimen, the state of each observation; "held:code" where it is held or failed."""
    return [[f"{o.state}:{o.hold}" if o.hold else str(o.state) for o in g.observations] for g in made.groups]


def segments(payload: bytes, name: str) -> list[list[str]]:
    """The segments of that name, cut into fields; field n of the standard stands at n (MSH: at n - 1)."""
    return [line.split("|") for line in payload.decode().split("\r") if line.startswith(name)]


def notes(payload: bytes) -> list[str]:
    return [nte[3] for nte in segments(payload, "NTE")]


def values(payload: bytes) -> list[str]:
    """OBX-5 of every observation."""
    return [obx[5] for obx in segments(payload, "OBX")]


@dataclass(frozen=True)
class Sample:
    device: str
    case: str
    wire: bytes
    expected: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.device}/{self.case}"


def samples() -> Iterator[Sample]:
    """Every sample of every shipped device, in a fixed order."""
    for folder in sorted(p.parent for p in FOLDERS.glob("*/samples/*/wire.bin")):
        expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        yield Sample(folder.parents[1].name, folder.name, (folder / "wire.bin").read_bytes(), expected)


def held_group(group: NewGroup) -> str:
    """The code that holds the whole specimen, or ""."""
    return group.hold if group.state is ItemState.HELD else ""
