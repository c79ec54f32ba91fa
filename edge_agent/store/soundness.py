"""Whether what still has to go out is, byte for byte, what was stored: SQLite keeps no checksum of a page's content.

Promised: at start every message that is to go out is compared with its digest, and the bytes of every transmission that
is still to be read, or to be read again because something of it is held, with what the audit chain tells of them; every
message once more before it is sent. A difference is damage like any other: nothing is acknowledged, nothing is sent.
Not promised: what is filed, and what recognises repeats; the verification of the chain goes through those meanwhile.
"""

import hashlib
import json
import sqlite3
from collections.abc import Sequence

from edge_agent.store import facts, schema
from edge_agent.store.connection import Database
from edge_agent.store.coverage import differing
from edge_agent.store.errors import StorageFailedError, StoreCorruptError
from edge_agent.store.times import LATEST

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
    """Raises StoreCorruptError, also where SQLite or the words of an entry cannot be read; StorageFailedError else."""
    try:
        _check(database)
    except StorageFailedError as error:
        cause = error.__cause__
        if isinstance(cause, sqlite3.Error) and _is_damage(cause):
            raise StoreCorruptError(str(cause)) from error
        raise


def _is_damage(error: sqlite3.Error) -> bool:
    """Of what was read: a page, a text, the words of an entry. Not that it could not be: another try may be better."""
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    return name == "SQLITE_ERROR" or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _check(database: Database) -> None:
    if facts.spoiled(database.rows("SELECT name, value FROM fact")):
        raise StoreCorruptError("a fact of it cannot be what was stored")
    waiting = [str(number) for (number,) in database.rows(_WAITING)]
    for sql in _IMPOSSIBLE:
        if database.row(sql, {"waiting": json.dumps(waiting), "latest": LATEST}) is not None:
            raise StoreCorruptError("a row of it cannot be what was stored")
    for is_found, digest, payload in database.each(_MESSAGES):
        if not is_found or not _fits(payload, digest):
            raise StoreCorruptError("a message that is not filed is not as it was stored")
    if waiting:
        _check_bytes(database, waiting)


def _check_bytes(database: Database, waiting: Sequence[str]) -> None:
    current = not schema.is_old(database)
    for number, said, _ in database.rows(_TOLD, (json.dumps(waiting),)):
        try:
            differs = differing(database, int(number), json.loads(said), current=current)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreCorruptError("an entry of the audit chain is not as it was stored") from error
        if differs:
            raise StoreCorruptError("what an analyser sent, and is still to be read, is not as it was stored")


def as_stored(database: Database, payload: bytes, digest: str) -> None:
    """Before a message is sent. Raises StorageFailedError, and no statement succeeds until the store was checked."""
    if not _fits(payload, digest):
        database.broken = "a message is not as it was stored (SQLITE_CORRUPT)"
        raise StorageFailedError(database.broken)


def _fits(payload: object, digest: str) -> bool:
    return isinstance(payload, bytes) and hashlib.sha256(payload).hexdigest() == digest
