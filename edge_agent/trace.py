"""One transmission from the bytes on the wire to the answers that filed it, as plain data (docs/trace.md).

The records and the report are read anew from the stored bytes with the analyser's profile; what became of each
observation is looked up by its key, so the trace shows what was decided then beside what the bytes say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.canonical import Hold
from drivers.errors import DriverError
from drivers.protocols import lis02
from edge_agent.codes import CODES
from edge_agent.converter import Reader
from edge_agent.pipeline import PlannedSpecimen, plan
from edge_agent.sentences import sentence
from edge_agent.store.rows import (
    Attempt,
    Group,
    NewObservation,
    ObservationKey,
    OutboxRow,
    StoredChunk,
    Transmission,
)
from edge_agent.times import shown

Plain = dict[str, Any]

_CONTROL = {
    0x02: "STX",
    0x03: "ETX",
    0x04: "EOT",
    0x05: "ENQ",
    0x06: "ACK",
    0x0A: "LF",
    0x0D: "CR",
    0x15: "NAK",
    0x17: "ETB",
}


@dataclass(frozen=True, slots=True)
class Traced:
    """What the store knows of one transmission."""

    transmission: Transmission
    groups: tuple[Group, ...]
    messages: tuple[tuple[OutboxRow, tuple[Attempt, ...]], ...]


def transmission_trace(traced: Traced, reader: Reader | None) -> Plain:
    transmission = traced.transmission
    source = transmission.source
    return {
        "id": transmission.id,
        "analyser": source.analyser,
        "peer": source.peer,
        "profile": source.profile,
        "revision": source.revision,
        "profile_hash": source.profile_hash,
        "state": transmission.state.value,
        "reason": transmission.reason,
        "opened": shown(transmission.opened),
        "ended": shown(transmission.ended),
        "wire": [_chunk(c) for c in transmission.chunks],
        "records": _records(transmission, reader),
        "specimens": _specimens(traced, reader),
        "holds": [_hold(g.hold, g.detail, source.analyser) for g in traced.groups if g.hold and not g.observations],
        "messages": [message_trace(row, attempts) for row, attempts in traced.messages],
    }


def message_facts(row: OutboxRow) -> Plain:
    """Which message it is and how it stands: the same words in a list of messages and in a trace."""
    return {
        "id": row.id,
        "analyser": row.analyser,
        "route": row.route.value,
        "sequence": row.sequence,
        "state": row.state.value,
        "code": row.code,
        "reason": row.reason,
    }


def message_trace(row: OutboxRow, attempts: Sequence[Attempt]) -> Plain:
    return {
        **message_facts(row),
        "digest": row.digest,
        "transmission": row.transmission,
        "hl7": row.payload.decode().rstrip("\r").split("\r"),
        "attempts": [{"at": shown(a.at), "what": a.what, "code": a.code, "detail": a.detail} for a in attempts],
        "receipt": _receipt(row, attempts),
    }


def _receipt(row: OutboxRow, attempts: Sequence[Attempt]) -> str:
    if row.filed is None:
        return f"none yet: {row.state.value}" + (f", {row.reason}" if row.reason else "")
    answer = next((a for a in reversed(attempts) if a.what == "ack" and a.code == "AA"), None)
    return f"filed {shown(row.filed)}" + (f" by {answer.detail}" if answer and answer.detail else "")


def spelled(data: bytes) -> str:
    """Bytes for a person: control characters by name, everything that is not ASCII in hex."""
    return "".join(_spelled(byte) for byte in data)


def _spelled(byte: int) -> str:
    if 0x20 <= byte < 0x7F:
        return chr(byte)
    return f"<{_CONTROL.get(byte, f'{byte:02X}')}>"


def _chunk(stored: StoredChunk) -> Plain:
    chunk = stored.chunk
    return {
        "at": shown(stored.received),
        "kind": chunk.kind.value,
        "number": chunk.number,
        "reason": chunk.reason,
        "bytes": spelled(chunk.raw),
    }


def _records(transmission: Transmission, reader: Reader | None) -> list[Plain]:
    options = reader.device.record_options() if reader else lis02.RecordOptions()
    reading = lis02.read(transmission.text(), options)
    records = [*reading.stray, *(r for m in reading.messages for r in m.records)]
    return [{"index": r.index, "type": r.type, "text": spelled(r.raw) if r.undecodable else r.text} for r in records]


def _specimens(traced: Traced, reader: Reader | None) -> list[Plain]:
    if reader is None:
        return []
    try:
        planned = plan(traced.transmission, reader.device, reader.policy)
    except DriverError:
        return []
    stored = {o.key: o for g in traced.groups for o in g.observations}
    return [_specimen(s, stored) for s in planned.specimens]


def _specimen(planned: PlannedSpecimen, stored: Mapping[ObservationKey, NewObservation]) -> Plain:
    observations = [
        {
            "code": o.observation.code,
            "component": o.observation.component,
            "value": o.observation.value,
            "unit": o.observation.unit,
            "status": o.observation.status,
            "flags": list(o.observation.flags),
            "kind": o.observation.kind.value,
            "records": list(o.observation.records),
            **_fate(stored.get(o.key), planned.hold or o.hold),
        }
        for o in planned.observations
    ]
    states = list(dict.fromkeys(o["state"] for o in observations))
    return {
        "id": planned.specimen.id,
        "role": planned.specimen.role.value,
        "state": ", ".join(states),
        "observations": observations,
    }


def _fate(row: NewObservation | None, hold: Hold | None) -> Plain:
    if row is None:
        return {"state": "received", "hold": hold.code if hold else "", "message": ""}
    return {"state": row.state.value, "hold": row.hold, "message": row.message_id}


def _hold(code: str, detail: str, analyser: str) -> Plain:
    return {
        "code": code,
        "sentence": sentence(code, {"analyser": analyser, "reason": detail, "test": detail}),
        "action": CODES[code].action,
    }
