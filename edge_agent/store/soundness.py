"""Whether what still has to go out is, byte for byte, what was stored: SQLite keeps no checksum of a page's content.

Promised: at start every message that is to go out is compared with its digest, and the bytes of every transmission that
is still to be read, or to be read again because something of it is held, with what the audit chain tells of them; every
message once more before it is sent. A difference is damage like any other: nothing is acknowledged, nothing is sent.
Not promised: what is filed, and what recognises repeats; the verification of the chain goes through those meanwhile.
"""

import hashlib
import json
from collections.abc import Iterable

from edge_agent.store.connection import Database
from edge_agent.store.errors import StorageFailedError, StoreCorruptError

_WAITING = (
    "SELECT id FROM transmission WHERE converted = 0 AND state <> 'receiving' UNION"
    " SELECT transmission FROM specimen_group WHERE held + failed > 0"
)
_TOLD = (
    "SELECT json_extract(facts, '$.transmission'), json_extract(facts, '$.raw') FROM audit"
    " WHERE kind IN ('transmission-complete', 'transmission-interrupted', 'kept')"
    " AND json_extract(facts, '$.transmission') IN (SELECT value FROM json_each(?)) ORDER BY entry"
)
_MESSAGES = (
    "SELECT o.digest, p.payload FROM outbox o INDEXED BY outbox_open LEFT JOIN payload p ON p.number = o.number"
    " WHERE o.state IN ('queued', 'at-broker', 'rejected', 'blocked') UNION ALL"
    " SELECT o.digest, p.payload FROM outbox o LEFT JOIN payload p ON p.number = o.number WHERE o.replay_at IS NOT NULL"
)


def check(database: Database) -> None:
    """Raises StoreCorruptError."""
    for digest, payload in database.execute(_MESSAGES):
        if payload is None or hashlib.sha256(payload).hexdigest() != digest:
            raise StoreCorruptError("a message that is not filed is not as it was stored")
    waiting = [str(number) for (number,) in database.rows(_WAITING)]
    if waiting:
        _check_bytes(database, waiting)


def _check_bytes(database: Database, waiting: Iterable[str]) -> None:
    told: dict[str, str | None] = dict(database.rows(_TOLD, (json.dumps(list(waiting)),)))
    for number, raw in told.items():
        if raw is not None and bytes_digest(database, int(number)) != raw:
            raise StoreCorruptError("what an analyser sent, and is still to be read, is not as it was stored")


def bytes_digest(database: Database, transmission: int) -> str:
    """SHA-256 over every byte received, hex: what the audit chain holds against the stored bytes."""
    sha = hashlib.sha256()
    for (raw,) in database.rows("SELECT raw FROM chunk WHERE transmission = ? ORDER BY position", (transmission,)):
        sha.update(raw)
    return sha.hexdigest()


def as_stored(database: Database, payload: bytes, digest: str) -> None:
    """Before a message is sent. Raises StorageFailedError, and no statement succeeds until the store was checked."""
    if hashlib.sha256(payload).hexdigest() != digest:
        database.broken = "a message is not as it was stored (SQLITE_CORRUPT)"
        raise StorageFailedError(database.broken)
