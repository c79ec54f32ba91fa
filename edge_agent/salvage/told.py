"""What the audit chain of a damaged store tells of its rows: the measure of what is sound and what is missing.

Promised: an entry tells, whether or not the chain is whole up to it; ``Chain`` says how far it is. Not promised:
anything about what the lost entries told.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.store import audit

_TABLES = """
CREATE TABLE told_bytes (transmission INTEGER PRIMARY KEY, raw TEXT, facts TEXT);
CREATE TABLE told_message (id TEXT PRIMARY KEY, analyser TEXT, sequence INTEGER, digest TEXT, transmission INTEGER,
    at INTEGER);
CREATE TABLE told_filed (id TEXT PRIMARY KEY);
CREATE TABLE told_purged (transmission INTEGER PRIMARY KEY);
CREATE TABLE told_read (transmission INTEGER PRIMARY KEY, analyser TEXT, waiting INTEGER);
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """``entry`` and ``hash``: the last one that verifies. ``head``: the newest one that can be read."""

    entry: int = 0
    hash: bytes = bytes(32)
    head: int = 0
    head_hash: str = ""
    whole: bool = True  # verified to its end, and nothing behind it is missing


def listen(found: sqlite3.Connection) -> Chain:
    """Fill the tables ``told_*``."""
    found.executescript(_TABLES)
    found.execute("BEGIN")
    for at, kind, text in found.execute("SELECT at, kind, facts FROM audit ORDER BY entry").fetchall():
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # a spoiled entry tells nothing
            for sql, values in _statements(at, kind, json.loads(text)):
                found.execute(f"INSERT OR REPLACE INTO {sql}", values)
    found.execute("COMMIT")
    return _chain(found)


def _statements(at: int, kind: str, facts: dict[str, str]) -> Iterator[tuple[str, tuple[object, ...]]]:
    if "raw" in facts:
        yield "told_bytes VALUES (?, ?, ?)", (int(facts["transmission"]), facts["raw"], json.dumps(facts))
    if kind == "settled":
        waiting = int(facts.get("held", "0")) + int(facts.get("failed", "0"))
        yield "told_read VALUES (?, ?, ?)", (int(facts["transmission"]), facts["analyser"], waiting)
    if kind in ("settled", "kept"):
        for words in facts.get("messages", "").split():
            id_, analyser, sequence, digest = words.split(":")[:4]
            told = (id_, analyser, int(sequence), digest, int(facts["transmission"]), at)
            yield "told_message VALUES (?, ?, ?, ?, ?, ?)", told
    if kind == "acknowledged" and facts["state"] == "filed":
        yield "told_filed VALUES (?)", (facts["message"],)
    if kind == "purged":
        for number in facts["transmissions"].split():
            yield "told_purged VALUES (?)", (int(number),)


def _chain(found: sqlite3.Connection) -> Chain:
    entry, last = _base(found)
    head, head_hash = found.execute("SELECT entry, hash FROM audit ORDER BY entry DESC LIMIT 1").fetchone() or (0, b"")
    given = found.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'audit'").fetchone()[0] or 0
    for row in found.execute("SELECT entry, at, kind, facts, hash FROM audit WHERE entry > ? ORDER BY entry", (entry,)):
        if not audit.fits(row, entry, last):
            break
        entry, last = row[0], row[4]
    return Chain(entry, last, head, head_hash.hex(), entry == max(head, given))


def _base(found: sqlite3.Connection) -> tuple[int, bytes]:
    """Where the chain begins. Where nobody knows any more, its first readable entry is believed."""
    row = found.execute("SELECT value FROM fact WHERE name = 'audit_base'").fetchone()
    with contextlib.suppress(ValueError):
        entry, _, hash_ = (row[0] if row else "0 " + bytes(32).hex()).partition(" ")
        if row or found.execute("SELECT 1 FROM audit WHERE entry = 1").fetchone():
            return int(entry), bytes.fromhex(hash_)
    first = found.execute("SELECT entry, hash FROM audit ORDER BY entry LIMIT 1").fetchone()
    return first or (0, bytes(32))
