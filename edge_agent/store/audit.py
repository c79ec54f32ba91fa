"""The hash chain over everything that decides a result's fate.

Each entry's hash is SHA-256(hash before || canonical JSON of entry, time, kind, facts), so that changing or removing
one changes every later hash. Promised: ``audit_verify`` names the first entry that does not fit, removed entries at the
end included. Not promised: noticing a chain rewritten as a whole; for that its head is published (``health``) where
this machine cannot change it. No patient data: numbers, codes, message ids and digests only. What the entries
tell is held against the rows in ``verification.py``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from edge_agent.store.connection import Database, Row
from edge_agent.store.times import from_us

BASE = "audit_base"  # the fact that says where the chain begins

_START = bytes(32)
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    entry: int
    at: datetime
    kind: str
    facts: Mapping[str, str]
    hash: str


def add(database: Database, kind: str, facts: Mapping[str, str]) -> None:
    """In the transaction that does what the entry tells."""
    before, last = head(database)
    at = database.now_us()
    entry, text = before + 1, _canonical(facts)
    database.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?)", (entry, at, kind, text, _hash(last, entry, at, kind, text))
    )


def head(database: Database) -> tuple[int, bytes]:
    row = database.row("SELECT entry, hash FROM audit ORDER BY entry DESC LIMIT 1")
    return (row[0], row[1]) if row else base(database)


def base(database: Database) -> tuple[int, bytes]:
    """Where the chain begins: at nothing, or after what retention removed."""
    entry, _, hash_ = database.fact(BASE).partition(" ")
    return (int(entry), bytes.fromhex(hash_)) if entry else (0, _START)


def entries(database: Database, after: int, limit: int) -> list[Row]:
    """(entry, time, kind, facts, hash)"""
    return database.rows(
        "SELECT entry, at, kind, facts, hash FROM audit WHERE entry > ? ORDER BY entry LIMIT ?", (after, limit)
    )


def fits(row: Row, before: int, last: bytes) -> bool:
    """Whether an entry follows entry ``before``, whose hash is ``last``."""
    entry, at, kind, facts, hash_ = row
    return bool(entry == before + 1 and hash_ == _hash(last, entry, at, kind, facts))


def cut(database: Database, entry: int) -> bool:
    """Whether entries behind ``entry``, the last one there, are missing: AUTOINCREMENT remembers what it gave."""
    given = database.value("SELECT seq FROM sqlite_sequence WHERE name = 'audit'") or 0
    return bool(given > entry)


def _canonical(facts: Mapping[str, str]) -> str:
    return json.dumps(dict(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _hash(last: bytes, entry: int, at: int, kind: str, facts: str) -> bytes:
    return hashlib.sha256(last + f"[{entry},{at},{json.dumps(kind)},{facts}]".encode()).digest()


class Audit:
    _database: Database

    def audit(self, kind: str, facts: Mapping[str, str]) -> None:
        """Write an entry of the caller's own. ``facts`` never name a patient or a specimen."""
        with self._database.writing():
            add(self._database, kind, facts)

    def audit_head(self) -> tuple[int, str]:
        """Number and hash (hex) of the newest entry: what is published as the anchor."""
        entry, hash_ = head(self._database)
        return entry, hash_.hex()

    def audit_entries(self, *, after: int = 0, limit: int = 100) -> list[Entry]:
        rows = entries(self._database, after, limit)
        return [Entry(e, from_us(at), kind, json.loads(facts), h.hex()) for e, at, kind, facts, h in rows]

    def audit_verify(self) -> int | None:
        """The first entry that does not fit, or None. All at once, and the chain alone: see ``verification.py``."""
        entry, last = base(self._database)
        while rows := entries(self._database, entry, _AT_ONCE):
            for row in rows:
                if not fits(row, entry, last):
                    return entry + 1
                entry, last = row[0], row[4]
        return entry + 1 if cut(self._database, entry) else None
