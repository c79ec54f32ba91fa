"""What a simulated gateway of a fleet says: one result of a made-up specimen, and what it publishes about itself.

The shape follows docs/mqtt-contract.md; it is written here by hand so that a mistake of the agent cannot meet
its mirror.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

HL7_TYPE = "application/hl7-v2; charset=utf-8"
JSON_TYPE = "application/json"
VERSION = "fleet"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Result:
    """One message. ``id`` is MSH-10."""

    id: str
    payload: bytes
    user: tuple[tuple[str, str], ...]


def result(site: str, gateway: str, number: int, store: str) -> Result:
    """The first message of the gateway's store; ``number`` makes specimen and value its own."""
    key = f"{store}-{1:011d}"
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    segments = (
        f"MSH|^~\\&|xn1|{site}|IVD|CENTRAL|{stamp}||OUL^R22^OUL_R22|{key}|P|2.5.1|||NE|AL||UNICODE UTF-8|||LAB-29^IHE",
        f"PID|||P{number:07d}||^^^^^^U",
        f"SPM|1|{number:010d}||WB^Whole blood^HL70487|||||||P^Patient^HL70369",
        f"SAC|||{number:010d}",
        'OBR||""||WBC^^99LOC',
        "ORC|SC||||CM",
        f"OBX|1|NM|WBC^^99LOC||{number % 90 / 10 + 1:.1f}|10*3/uL^10*3/uL^99LOC|||||F|||||op||XN-10^SYSMEX|{stamp}"
        "||||||||||RSLT",
    )
    payload = "".join(f"{segment}\r" for segment in segments).encode()
    user = (
        ("specversion", "1.0"),
        ("id", key),
        ("source", f"/edge-agent/{site}/{gateway}/xn1"),
        ("type", "org.edge-agent.hl7.oul.r22.v1"),
        ("time", now()),
        ("sequence", "1"),
        ("digest", hashlib.sha256(payload).hexdigest()),
    )
    return Result(key, payload, user)


def state(word: str, session: str) -> bytes:
    return _json(state=word, session=session, ts=now(), version=VERSION, reason="")


def health(store: str, *, filed: bool) -> bytes:
    moment = now()
    waiting = 0 if filed else 1
    return _json(
        ts=moment,
        store=store,
        backlog=waiting,
        queued=0,
        at_broker=waiting,
        filed=1 - waiting,
        rejected=0,
        blocked=0,
        oldest_unfiled_s=0 if waiting else None,
        held=0,
        failed=0,
        disk_free_mb=10_000,
        clock={"now": moment, "jumped_s": 0, "trusted": True, "synchronised": None},
        audit={"entry": 1, "hash": "0" * 64},
        alarms=0,
    )


def _json(**facts: Any) -> bytes:
    return json.dumps(facts).encode()
