"""A store with very many rows, made fast: the schema's own tables filled by SQL, without syncs, indexes or triggers.

What triggers would have done (counters, heads, unsettled) is written by hand. Every message is queued, as after a long
time without a broker: the case in which most rows take part in every index. Payloads are short but real messages, with
their digests; places of an analyser's sequence follow one another, and so do the messages of one specimen.
"""

import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.store import audit
from edge_agent.store.connection import Database
from edge_agent.store.coverage import all_facts
from edge_agent.store.store import Store

IDENTITY = "BULK0000"  # a former one: the agent goes on under another, with sequences from 1
_TOLD_AT_ONCE = 5_000
PAYLOAD_BYTES = 420  # a million rows are then about 1 GB; a message of 24 results would be ten times that


@dataclass(frozen=True)
class Backlog:
    rows: int
    analysers: int = 1  # an1, an2, ... in turns
    per_specimen: int = 1
    filed: int = 0  # of the rows, the first and oldest: filed long ago, so that retention takes them


def fill(data_dir: Path, backlog: Backlog) -> None:
    """A new store."""
    Store.open(data_dir, SystemClock()).close()
    connection = sqlite3.connect(data_dir / "agent.db", isolation_level=None)
    connection.create_function("payload", 2, payload, deterministic=True)
    connection.create_function("sha256", 1, lambda data: hashlib.sha256(data).digest(), deterministic=True)
    for pragma in ("synchronous = OFF", "journal_mode = MEMORY", "cache_size = -200000", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    aside = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND (type = 'trigger'"
        " OR (type = 'index' AND tbl_name IN ('outbox', 'payload', 'transmission')))"
    ).fetchall()
    connection.execute("BEGIN")
    for kind, name, _ in aside:
        connection.execute(f"DROP {kind} {name}")
    values = {
        "rows": backlog.rows,
        "analysers": backlog.analysers,
        "each": backlog.per_specimen,
        "filed": backlog.filed,
        "identity": IDENTITY,
    }
    for sql in _ROWS:
        connection.execute(sql, values)
    for _, _, sql in aside:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()


def tell(data_dir: Path, backlog: Backlog) -> None:
    """The rows in the audit chain, as retention tells again what is still here of entries that go."""
    store = Store.open(data_dir, SystemClock())
    try:
        for first in range(1, backlog.rows + 1, _TOLD_AT_ONCE):
            last = min(first + _TOLD_AT_ONCE - 1, backlog.rows)
            (outcome,) = store.group([lambda s, first=first, last=last: _tell(s.database, first, last)])
            outcome.result()
    finally:
        store.close()


def _tell(database: Database, first: int, last: int) -> None:
    for transmission in range(first, last + 1):
        audit.add(database, "kept", all_facts(database, transmission))


def payload(message: str, specimen: int) -> bytes:
    """OUL^R22 in its least form; its free text makes it PAYLOAD_BYTES long."""
    text = (
        f"MSH|^~\\&|AN|LAB|IVD|CENTRAL|20260101000000+0000||OUL^R22^OUL_R22|{message}|P|2.5.1\r"
        f"SPM|1|{specimen:010d}||SER^Serum^HL70487|||||||P\rOBR|1|||GLU^Glucose^L\r"
        "OBX|1|NM|GLU^Glucose^L||5.1|mmol/L|||||F|||20260101000000\rNTE|1||"
    )
    return (text.ljust(PAYLOAD_BYTES - 1, "x") + "\r").encode("ascii")


_PLACES = (  # n, its analyser's number, its place in that one's sequence from 0, its specimen
    "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :rows),"
    " d AS (SELECT n, 1 + (n - 1) % :analysers AS a, (n - 1) / :analysers AS place FROM c),"
    " e AS (SELECT n, a, place, 1 + place / :each * :analysers + a - 1 AS specimen,"
    " printf('%s-%011d', :identity, n) AS id, n <= :filed AS done,"
    " 1767225600000000 + n * 1000000 AS at FROM d)"
)
_ROWS = (
    "INSERT INTO transmission (id, analyser, peer, profile, revision, profile_hash, mode, state, opened, ended,"
    " opened_steady, ended_steady, reason, converted, unsettled, settled)"
    f" {_PLACES} SELECT n, 'an' || a, '', 'lis02_generic', 1, '00', 'production', 'complete', at, at, at, at, 'L', 1,"
    " NOT done, iif(done, at, NULL) FROM e",
    "INSERT INTO outbox (number, id, identity, analyser, route, sequence, specimen_key, digest, state, stat, graphics,"
    f" head, created, queued, filed, repeat_of, replaces, held, transmission) {_PLACES}"
    " SELECT n, id, :identity, 'an' || a, 'result', place + 1, sha256(CAST('specimen ' || specimen AS BLOB)),"
    " lower(hex(sha256(payload(id, specimen)))), iif(done, 'filed', 'queued'), 0, 0,"
    " NOT done AND (place % :each = 0 OR n - :analysers <= :filed), at, at, iif(done, at, NULL), '', '', 0, n FROM e",
    f"INSERT INTO payload {_PLACES} SELECT n, payload(id, specimen) FROM e",
    "INSERT INTO counter SELECT 'message', 'queued', :rows - :filed UNION SELECT 'message', 'filed', :filed",
)
