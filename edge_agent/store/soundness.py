"""Whether what still has to go out is, byte for byte, what was stored: SQLite keeps no checksum of a page's content.

Promised: at start every message that is to go out is compared with its digest, and the bytes of every transmission that
is still to be read, or to be read again because something of it is held, with what the audit chain tells of them; every
message once more before it is sent. A difference is damage like any other: nothing is acknowledged, nothing is sent.
Not promised: what is filed, and what recognises repeats; the verification of the chain goes through those meanwhile.
"""

import hashlib
import json
from collections.abc import Sequence

from edge_agent.store import facts, schema
from edge_agent.store.connection import Database
from edge_agent.store.coverage import differing
from edge_agent.store.errors import StorageFailedError, StoreCorruptError

LATEST = 253_402_300_799_999_999  # the last moment of the year 9999: what is later is no moment
_WAITING = (
    "SELECT id FROM transmission WHERE converted = 0 UNION"
    " SELECT transmission FROM specimen_group WHERE held + failed > 0"
)
_TOLD = (  # by the newest entry that tells of each
    "SELECT json_extract(facts, '$.transmission') AS number, facts, max(entry) FROM audit"
    " WHERE kind IN ('transmission-complete', 'transmission-interrupted', 'kept')"
    " AND number IN (SELECT value FROM json_each(?)) GROUP BY number"
)
# What no agent can have written, of those that wait.
_IMPOSSIBLE = (
    "SELECT 1 FROM transmission WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(:waiting))"
    " AND (opened NOT BETWEEN 0 AND :latest OR ended NOT BETWEEN 0 AND :latest)",
    "SELECT 1 FROM chunk WHERE transmission IN (SELECT CAST(value AS INTEGER) FROM json_each(:waiting))"
    " AND (received NOT BETWEEN 0 AND :latest OR text_start < 0 OR text_length < 0"
    " OR text IS NULL AND text_start + text_length > length(raw))",
    "SELECT 1 FROM specimen_group WHERE held + failed > 0 AND since NOT BETWEEN 0 AND :latest",
    "SELECT 1 FROM outbox INDEXED BY outbox_open WHERE state IN ('queued', 'at-broker', 'rejected', 'blocked')"
    " AND (created NOT BETWEEN 0 AND :latest OR queued NOT BETWEEN 0 AND :latest"
    " OR at_broker NOT BETWEEN 0 AND :latest OR retry_at NOT BETWEEN 0 AND :latest)",
)
# A message is answered by its id: it must be found by the id its row has.
_MESSAGES = (
    "SELECT (SELECT number FROM outbox WHERE id = o.id) IS o.number, o.digest, p.payload"
    " FROM outbox o INDEXED BY outbox_open LEFT JOIN payload p ON p.number = o.number"
    " WHERE o.state IN ('queued', 'at-broker', 'rejected', 'blocked') UNION ALL"
    " SELECT (SELECT number FROM outbox WHERE id = o.id) IS o.number, o.digest, p.payload"
    " FROM outbox o LEFT JOIN payload p ON p.number = o.number WHERE o.replay_at IS NOT NULL"
)


def check(database: Database) -> None:
    """Raises StoreCorruptError."""
    if facts.spoiled(database.rows("SELECT name, value FROM fact")):
        raise StoreCorruptError("a fact of it cannot be what was stored")
    waiting = [str(number) for (number,) in database.rows(_WAITING)]
    for sql in _IMPOSSIBLE:
        if database.row(sql, {"waiting": json.dumps(waiting), "latest": LATEST}) is not None:
            raise StoreCorruptError("a row of it cannot be what was stored")
    for is_found, digest, payload in database.execute(_MESSAGES):
        if not is_found or payload is None or hashlib.sha256(payload).hexdigest() != digest:
            raise StoreCorruptError("a message that is not filed is not as it was stored")
    if waiting:
        _check_bytes(database, waiting)


def _check_bytes(database: Database, waiting: Sequence[str]) -> None:
    current = not schema.is_old(database)
    for number, said, _ in database.rows(_TOLD, (json.dumps(waiting),)):
        if differing(database, int(number), json.loads(said), current=current):
            raise StoreCorruptError("what an analyser sent, and is still to be read, is not as it was stored")


def as_stored(database: Database, payload: bytes, digest: str) -> None:
    """Before a message is sent. Raises StorageFailedError, and no statement succeeds until the store was checked."""
    if hashlib.sha256(payload).hexdigest() != digest:
        database.broken = "a message is not as it was stored (SQLITE_CORRUPT)"
        raise StorageFailedError(database.broken)
