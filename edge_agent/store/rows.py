"""What goes into the store and comes out of it: plain frozen values, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from drivers.protocols.lis01_records import joined
from edge_agent.states import ItemState, MessageState, TransmissionState


class ChunkKind(StrEnum):
    FRAME = "frame"  # good, new, acknowledged once stored
    REPEAT = "repeat"  # a retransmission: number and bytes equal the last accepted frame
    REFUSED = "refused"  # answered NAK; kept as evidence
    NOISE = "noise"  # bytes outside any frame


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes off the wire. ``raw`` is every byte as received; ``text`` is a frame's content, number and checksum off."""

    kind: ChunkKind
    raw: bytes
    text: bytes = b""
    number: int | None = None
    last: bool = False  # ended with ETX: the end of an E1381 message
    reason: str = ""  # why it was refused


@dataclass(frozen=True, slots=True)
class Source:
    """Which analyser a transmission came from, and under which profile it will be read."""

    analyser: str
    peer: str
    profile: str
    revision: int
    profile_hash: str
    mode: str  # "production" or "validation"


@dataclass(frozen=True, slots=True)
class StoredChunk:
    position: int
    received: datetime
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Transmission:
    id: int
    source: Source
    state: TransmissionState
    opened: datetime
    ended: datetime | None
    reason: str  # why it ended: "L", "eot", "timeout", "link", "enq", "restart", "idle"
    converted: bool
    completed_by: int | None
    chunks: tuple[StoredChunk, ...] = ()  # only where asked for
    opened_steady: datetime | None = None  # by the store's own time

    def text(self) -> bytes:
        """The accepted frames' texts as one (see ``lis01_records.joined``)."""
        return joined((c.chunk.text, c.chunk.last) for c in self.chunks if c.chunk.kind is ChunkKind.FRAME)


class Route(StrEnum):
    RESULT = "result"
    QC = "qc"
    VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class ObservationKey:
    """The identity of an observation (design invariant 3): a digest over its content, and which equal one it is."""

    digest: bytes  # SHA-256
    occurrence: int  # 0 for the first equal one of a transmission, 1 for the second, ...


@dataclass(frozen=True, slots=True)
class KnownObservation:
    """What the store remembers of an observation seen before."""

    key: ObservationKey
    message_id: str  # the message that carried it
    seen: datetime  # when the transmission that brought it had ended, by the store's own time
    message_state: MessageState
    transmission: int = 0  # the one that brought it; the same one again after a release


@dataclass(frozen=True, slots=True)
class NewObservation:
    key: ObservationKey
    code: str
    state: ItemState  # received is not allowed here: converted, duplicate, held or failed
    hold: str = ""  # code of edge_agent.codes
    detail: str = ""
    message_id: str = ""  # the message that carries it; for a duplicate, the one that did


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One HL7 message to be queued. ``sequence`` is given by the store when it queues the row."""

    id: str  # MSH-10, reserved before
    created: datetime  # MSH-7, reserved with it
    analyser: str
    route: Route
    specimen_key: bytes  # SHA-256 of analyser and specimen id: orders messages without naming the specimen
    payload: bytes
    stat: bool = False
    repeat_of: str = ""
    replaces: str = ""
    graphics: bool = False  # a message of images only: never delays values
    held: int = 0  # observations of the specimen that are held back


@dataclass(frozen=True, slots=True)
class NewGroup:
    """One specimen of one transmission."""

    specimen: str
    role: str
    state: ItemState
    hold: str = ""
    detail: str = ""
    stat: bool = False
    observations: tuple[NewObservation, ...] = ()
    messages: tuple[NewMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """Everything one conversion decided, written in one transaction."""

    transmission: int
    groups: tuple[NewGroup, ...] = ()
    replays: tuple[str, ...] = ()  # filed messages the analyser sent again in full: once more, same id
    completes: tuple[int, ...] = ()  # interrupted transmissions this one completes
    completed_by: int = 0  # the transmission that completes this interrupted one, where it was settled before
    holds: tuple[tuple[str, str], ...] = ()  # (code, detail) for the whole transmission
    alarms: tuple[tuple[str, Mapping[str, str]], ...] = ()  # (code, params): raised, not stored


@dataclass(frozen=True, slots=True)
class Reserved:
    """An MSH-10 that will never be given out again, and its time."""

    id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: str
    analyser: str
    route: Route
    sequence: int
    specimen_key: bytes
    payload: bytes
    digest: str  # SHA-256 of payload, hex
    state: MessageState
    code: str  # why rejected or blocked; for queued, the broker's last refusal
    reason: str
    stat: bool
    graphics: bool
    created: datetime
    queued: datetime
    attempts: int
    replay: str  # original, retry, analyser, operator
    repeat_of: str
    replaces: str
    transmission: int
    filed: datetime | None
    at_broker: datetime | None = None  # since when it waits for the application's answer
    retry_at: datetime | None = None  # rejected: when it may be tried again; None = by a person only
    replay_at: datetime | None = None  # filed, and the analyser sent it again: when it may go out once more
    held: int = 0  # observations of its specimen that were held back


@dataclass(frozen=True, slots=True)
class Addressed:
    """As much of a row as judging an answer to it needs."""

    id: str
    analyser: str
    route: Route
    digest: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing that happened to a message on its way."""

    at: datetime
    what: str  # "published", "puback", "refused", "ack", "timeout", "blocked", "requeued", "set-aside"
    code: str  # reason code or MSA-1
    detail: str


@dataclass(frozen=True, slots=True)
class Group:
    """A specimen group as stored."""

    id: int
    transmission: int
    analyser: str
    specimen: str
    role: str
    state: ItemState
    hold: str
    detail: str
    since: datetime
    stat: bool
    observations: tuple[NewObservation, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters kept by the store, never by counting rows."""

    messages: Mapping[MessageState, int]
    held: Mapping[str, int]  # analyser -> observations held (a held specimen counts its observations, at least 1)
    failed: Mapping[str, int]
    oldest_unfiled: datetime | None
    interrupted: Mapping[str, int]
