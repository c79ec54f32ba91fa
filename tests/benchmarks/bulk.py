"""A store with very many rows, made fast: the schema's own tables filled by SQL, without syncs, indexes or triggers.

What triggers would have done (counters, heads, unsettled) is written by hand. Every message is queued and the oldest of
its specimen, as after a long time without a broker: the case in which most rows take part in every index.
"""

import sqlite3
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.store.store import Store

IDENTITY = "BULK0000"
PAYLOAD_BYTES = 420  # a million rows are then about 1 GB; a message of 24 results would be ten times that


def fill(data_dir: Path, rows: int) -> None:
    """A new store with ``rows`` queued messages."""
    Store.open(data_dir, SystemClock()).close()
    connection = sqlite3.connect(data_dir / "agent.db", isolation_level=None)
    for pragma in ("synchronous = OFF", "journal_mode = MEMORY", "cache_size = -200000", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    aside = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND (type = 'trigger'"
        " OR (type = 'index' AND tbl_name IN ('outbox', 'payload', 'transmission')))"
    ).fetchall()
    connection.execute("BEGIN")
    for kind, name, _ in aside:
        connection.execute(f"DROP {kind} {name}")
    for sql in _ROWS:
        connection.execute(sql, {"rows": rows, "identity": IDENTITY, "bytes": PAYLOAD_BYTES})
    for _, _, sql in aside:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()


_NUMBERS = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :rows)"
_AT = "1767225600000000 + n * 1000000"
_ROWS = (
    "INSERT INTO transmission (id, analyser, peer, profile, revision, profile_hash, mode, state, opened, ended, reason,"
    f" converted, unsettled) {_NUMBERS} SELECT n, 'an1', '', 'lis02_generic', 1, '00', 'production', 'complete', {_AT},"
    f" {_AT}, 'L', 1, 1 FROM c",
    "INSERT INTO outbox (number, id, identity, analyser, route, sequence, specimen_key, digest, state, stat, graphics,"
    f" head, created, queued, repeat_of, replaces, held, transmission) {_NUMBERS}"
    " SELECT n, printf('%s-%011d', :identity, n), :identity, 'an1', 'result', n, randomblob(32),"
    f" lower(hex(randomblob(32))), 'queued', 0, 0, 1, {_AT}, {_AT}, '', '', 0, n FROM c WHERE :bytes > 0",
    f"INSERT INTO payload {_NUMBERS} SELECT n, randomblob(:bytes) FROM c",
    "INSERT INTO counter SELECT 'message', 'queued', :rows",
    "INSERT INTO sequence SELECT :identity, 'an1', :rows",
)
