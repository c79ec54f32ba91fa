"""What the store's tests are made of: a clock that stands still until told, and short ways to say who sent what."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from edge_agent.states import ItemState, TransmissionEvent
from edge_agent.store.rows import (
    Chunk,
    ChunkKind,
    NewGroup,
    NewMessage,
    NewObservation,
    ObservationKey,
    Route,
    Settlement,
    Source,
)

START = datetime(2024, 3, 1, 10, 0, tzinfo=UTC)
IDENTITY = "TESTSTOR"


class StillClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    def advance(self, **by: int) -> None:
        self.time += timedelta(**by)


def source(analyser: str = "xn1") -> Source:
    return Source(analyser, "10.0.0.5", "lis02_generic", 1, "0" * 64, "production")


def frame(text: bytes = b"H|\\^&\r", number: int = 1) -> Chunk:
    raw = b"\x02" + str(number).encode() + text + b"\x03A1\r\n"
    return Chunk(ChunkKind.FRAME, raw, text, number, last=True)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def key(text: str, occurrence: int = 0) -> ObservationKey:
    return ObservationKey(digest(text), occurrence)


def received(store, analyser: str = "xn1", *, event: TransmissionEvent = TransmissionEvent.ENDED, reason="L") -> int:
    """A transmission that came and ended."""
    number = store.open_transmission(source(analyser))
    store.append(number, [frame()])
    store.end(number, event, reason)
    return number


def converted(value: str, message_id: str = "") -> NewObservation:
    return NewObservation(key(value), value, ItemState.CONVERTED, message_id=message_id)


def held(value: str, code: str = "unknown-test-held") -> NewObservation:
    return NewObservation(key(value), value, ItemState.HELD, code)


def message(store, specimen: str, analyser: str = "xn1", **more: object) -> NewMessage:
    reserved = store.reserve(1)[0]
    fields: dict[str, object] = {
        "id": reserved.id,
        "created": reserved.at,
        "analyser": analyser,
        "route": Route.RESULT,
        "specimen_key": digest(f"{analyser}/{specimen}"),
        "payload": b"MSH|^~\\&|" + specimen.encode(),
    }
    return NewMessage(**(fields | more))  # type: ignore[arg-type]  # tests name the fields they mean


def queued(
    store,
    specimen: str = "S1",
    analyser: str = "xn1",
    *,
    values: Sequence[str] = (),
    holds: Sequence[str] = (),
    **more: object,
) -> str:
    """A specimen received, converted and queued; the id of its message."""
    transmission = received(store, analyser)
    outgoing = message(store, specimen, analyser, **more)
    observations = (
        *(converted(v, outgoing.id) for v in values or (f"{specimen}/{outgoing.id}",)),
        *(held(v) for v in holds),
    )
    group = NewGroup(specimen, "P", ItemState.CONVERTED, observations=observations, messages=(outgoing,))
    store.settle(Settlement(transmission, (group,)))
    return outgoing.id


def at_broker(store, message_id: str) -> None:
    store.published(message_id, replay="original")
    store.puback(message_id, 0)


def filed(store, message_id: str) -> None:
    at_broker(store, message_id)
    store.acknowledged(message_id, code="AA", detail="", consumer="ivd", digest_ok=True)


def ids(rows) -> list[str]:
    return [row.id for row in rows]
